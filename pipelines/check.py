"""`make test`: linters, import rules, types and the whole test suite. Ends with the first failure, but for the types.

They take one core for a minute, so they are checked beside the tests, and what is wrong with them is said when it is
known.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines._steps import PROJECT, say

BIN = Path(sys.prefix) / "bin"
FORMAT = ("format", ["ruff", "format", "--check", "--quiet", "."])
LINT = ("lint", ["ruff", "check", "--quiet", "."])
IMPORT_RULES = ("import rules", ["lint-imports", "--no-cache"])
TYPES = ("types", ["pyright"])
# A worker takes a file at a time; the longest come first (tests/conftest.py), else one of them would be the last.
TESTS = ("tests", ["pytest", "--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder", *sys.argv[1:]])


def main() -> None:
    """Run every step; exit with the code of the first that fails."""
    for step in (FORMAT, LINT, IMPORT_RULES):
        if code := _run(*step):
            sys.exit(code)
    with ThreadPoolExecutor() as pool:
        types = pool.submit(_run, *TYPES)
        code = _run(*TESTS)
    sys.exit(code or types.result())


def _run(name: str, command: list[str]) -> int:
    started = time.monotonic()
    say(f"{name}: {' '.join(command)}")
    result = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=PROJECT,
        check=False,
        text=True,
        stdout=None if name == TESTS[0] else subprocess.PIPE,  # two that print at once can't be read
    )
    if result.returncode and result.stdout:
        print(result.stdout)
    outcome = "passed in" if result.returncode == 0 else "failed after"
    say(f"{name}: {outcome} {time.monotonic() - started:.0f} s")
    return result.returncode


if __name__ == "__main__":
    main()
