"""The wheel that jobs run: the portable code of this checkout, built where the program runs, named by its content.

The organisation's public keys are part of it: a job has no checkout to find them in, and no signature counts without.
So are, as an extra, the libraries of jobs in the versions of uv.lock: a job runs on what was tested.
"""

import hashlib
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["EXTRA", "LIBRARIES", "Wheel", "build"]

PROJECT = Path(__file__).parents[3]
BUILT = PROJECT / ".mlops" / "wheels"
FILES = ("README.md", "LICENSE")
LIBRARIES = ("train", "monitor", "feedback", "s3")  # the extras that the jobs' tasks need
EXTRA = "jobs"  # all of that, and what it needs itself, in one version each
EXTRAS = "[project.optional-dependencies]\n"
PACKAGE, KEYS = "ml", "keys"
PUBLIC = (".pub", ".revoked", ".machine")  # whose signatures count, whose no more, and who is no person


@dataclass(frozen=True)
class Wheel:
    """A file and what it holds: the same sources make the same bytes, on every machine."""

    file: Path
    sha256: str


def build(project: Path = PROJECT, folder: Path = BUILT, keys: Path = PROJECT / KEYS) -> Wheel:
    """Build it with the public keys in `keys`, or find it built; another that does so at the same time does no harm."""
    from hatchling.builders.wheel import WheelBuilder

    with TemporaryDirectory() as temporary:
        staged = Path(temporary) / "project"
        shutil.copytree(project / PACKAGE, staged / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        (staged / PACKAGE / KEYS).mkdir()
        for suffix in PUBLIC:
            for key in sorted(keys.glob(f"*{suffix}")):
                shutil.copyfile(key, staged / PACKAGE / KEYS / key.name)
        for name in FILES:
            shutil.copyfile(project / name, staged / name)
        (staged / "pyproject.toml").write_text(_with_versions(project), encoding="utf-8")
        built = Path(next(WheelBuilder(str(staged)).build(directory=temporary, versions=["standard"])))
        sha256 = hashlib.sha256(built.read_bytes()).hexdigest()
        target = folder / sha256 / built.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            arriving = target.with_suffix(f".{Path(temporary).name}")
            shutil.copyfile(built, arriving)
            arriving.replace(target)
    return Wheel(target, sha256)


def _with_versions(project: Path) -> str:
    """The project's pyproject.toml with the extra; a list of JSON is one of TOML."""
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    return text.replace(EXTRAS, f"{EXTRAS}{EXTRA} = {json.dumps(_locked(project))}\n", 1)


def _locked(project: Path) -> list[str]:
    """What uv.lock has for the project with these extras, with markers where it depends on the machine."""
    from uv import find_uv_bin

    chosen = [word for extra in LIBRARIES for word in ("--extra", extra)]
    plain = ("--no-default-groups", "--no-emit-project", "--no-hashes", "--no-header", "--no-annotate")
    exported = subprocess.run(
        [find_uv_bin(), "export", "--quiet", "--frozen", *plain, *chosen],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    if exported.returncode:
        raise RuntimeError(f"uv.lock doesn't say what the jobs need: {exported.stderr.strip()}. Run `uv lock`.")
    return exported.stdout.splitlines()
