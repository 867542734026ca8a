"""`make test`: linters, types, import rules, generated files, and the whole test suite. Ends with the first failure."""

import subprocess
import sys
import time
from pathlib import Path

from pipelines._steps import PROJECT, say

BIN = Path(sys.prefix) / "bin"
STEPS: tuple[tuple[str, list[str]], ...] = (
    ("format", ["ruff", "format", "--check", "--quiet", "."]),
    ("lint", ["ruff", "check", "--quiet", "."]),
    ("types", ["pyright"]),
    ("import rules", ["lint-imports", "--no-cache"]),
    ("tests", ["pytest", "--numprocesses", "2", "--dist", "loadfile", *sys.argv[1:]]),
)


def main() -> None:
    """Run every step; exit with the code of the first that fails."""
    for name, command in STEPS:
        started = time.monotonic()
        say(f"{name}: {' '.join(command)}")
        code = subprocess.run([BIN / command[0], *command[1:]], cwd=PROJECT, check=False).returncode
        if code:
            say(f"{name} failed after {time.monotonic() - started:.0f} s")
            sys.exit(code)
        say(f"{name}: passed in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
