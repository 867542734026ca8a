"""The folder in which an engine runs against simulated clouds: the checkout's program, not its state or stack files."""

from pathlib import Path

from infra.config import ConfigInvalid
from infra.config.reader import read_values

__all__ = ["prepare", "require_no_secrets"]

SALT = "encryptionsalt:"


def require_no_secrets(stack: str, project: Path) -> None:
    """ConfigInvalid for a stack file that can't be read, or has what only the engine's real state can read."""
    file = project / "stacks" / f"Pulumi.{stack}.yaml"
    if encrypted := read_values(file).encrypted:
        raise ConfigInvalid(
            f"{encrypted[0]} in {file} is a secret, which simulated clouds can't read. Nothing in this project's "
            "configuration is one: set it again without --secret."
        )


def prepare(project: Path, folder: Path) -> Path:
    """A copy of the project's frame in `folder`, with the stack files as they are now; the folder to run in."""
    inside = folder / "project"
    for name in ("stacks", "state"):
        (folder / "project" / name if name == "stacks" else folder / name).mkdir(parents=True, exist_ok=True)
    (inside / "Pulumi.yaml").write_text((project / "Pulumi.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    program = inside / "infra"
    if not program.is_symlink():
        program.symlink_to(project / "infra", target_is_directory=True)
    for file in (project / "stacks").glob("Pulumi.*.yaml"):
        copy = inside / "stacks" / file.name
        copy.write_text(_without_salt(file) + _salt(copy), encoding="utf-8")
    return inside


def _without_salt(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines if not line.startswith(SALT))


def _salt(file: Path) -> str:
    """The engine's own line, which it needs to read the simulated state again."""
    if not file.exists():
        return ""
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith(SALT))
