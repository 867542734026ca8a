"""Plants mistakes in the project, one at a time, and says which no test notices: `make mutants`.

A mistake is an entry of a YAML file beside this one: in which file, which text becomes which other, and the tests that
should notice. It is planted in a copy of the checkout. Exit code 1 where more than one of twenty lives.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import msgspec
import yaml

from infra.engine.environ import PROJECT

FOLDER = Path(__file__).parent
WORKERS = 2
TIMEOUT_S = 300
MOST_THAT_LIVE = 0.05


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`of` stands once in `file`."""

    file: str
    of: str
    to: str
    tests: tuple[str, ...]

    def planted_in(self, copy: Path) -> str:
        """The file's text with the mistake; ValueError where the text isn't there once."""
        text = (copy / self.file).read_text(encoding="utf-8")
        if text.count(self.of) != 1:
            raise ValueError(f"{self.file} has {text.count(self.of)} times {self.of!r}: say more of it")
        return text.replace(self.of, self.to)


def listed() -> list[Mutant]:
    """All mistakes of all files."""
    return [each for file in sorted(FOLDER.glob("*.yaml")) for each in msgspec.convert(_read(file), list[Mutant])]


def _read(file: Path) -> object:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def main(words: list[str]) -> int:
    """Plant all, or those in files whose path has one of the words."""
    mutants = [each for each in listed() if not words or any(word in each.file for word in words)]
    living: list[Mutant] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(WORKERS) as workers:
        copies = SimpleQueue[Path]()
        for number in range(WORKERS):
            copies.put(_copy(Path(folder) / str(number)))
        for number, (mutant, is_noticed) in enumerate(workers.map(lambda each: (each, _try(each, copies)), mutants), 1):
            said = "noticed" if is_noticed else "LIVES  "
            print(f"{number:4}/{len(mutants)} {said} {mutant.file}: {mutant.of!r} → {mutant.to!r}", flush=True)
            living += [] if is_noticed else [mutant]
    print(f"{len(living)} of {len(mutants)} live ({len(living) / max(1, len(mutants)):.1%})")
    return int(len(living) > MOST_THAT_LIVE * len(mutants))


def _copy(to: Path) -> Path:
    """What git knows of the checkout, as it is on disk."""
    for name in _tracked():
        if (PROJECT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, to / name)
    return to


def _tracked() -> Iterator[str]:
    asked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    yield from subprocess.run(asked, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]


def _try(mutant: Mutant, copies: "SimpleQueue[Path]") -> bool:
    """Whether a test fails with the mistake in place."""
    copy = copies.get()
    file = copy / mutant.file
    before = file.read_bytes()
    try:
        file.write_text(mutant.planted_in(copy), encoding="utf-8")
        pytest = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant.tests]
        ended = subprocess.run(pytest, cwd=copy, capture_output=True, timeout=TIMEOUT_S, check=False).returncode
        return ended in (1, 2)  # a test failed, or a module of tests could not even be read
    except subprocess.TimeoutExpired:
        return True
    finally:
        file.write_bytes(before)
        copies.put(copy)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
