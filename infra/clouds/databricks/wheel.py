"""The wheel that jobs run: the portable code of this checkout, built where the program runs, named by its content.

The organisation's public keys are part of it: a job has no checkout to find them in, and no signature counts without.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

__all__ = ["Wheel", "build"]

PROJECT = Path(__file__).parents[3]
BUILT = PROJECT / ".mlops" / "wheels"
FILES = ("pyproject.toml", "README.md", "LICENSE")
PACKAGE, KEYS = "ml", "keys"
PUBLIC = (".pub", ".revoked")  # whose signatures count, and whose no more


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
        built = Path(next(WheelBuilder(str(staged)).build(directory=temporary, versions=["standard"])))
        sha256 = hashlib.sha256(built.read_bytes()).hexdigest()
        target = folder / sha256 / built.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            arriving = target.with_suffix(f".{Path(temporary).name}")
            shutil.copyfile(built, arriving)
            arriving.replace(target)
    return Wheel(target, sha256)
