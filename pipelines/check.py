"""`make test`: linters, import rules, types and the test suite. Ends with the first failure, but for the types.

They take one core for a minute, so they are checked beside the tests, and what is wrong with them is said when it is
known. `make check` is for work in between: types of what a change touches, and the unit
tests of that but for the slow ones.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines._steps import PROJECT, say
from pipelines.touched import changed_files, files_of, quick_tests, touched_modules

BIN = Path(sys.prefix) / "bin"
FORMAT = ("format", ["ruff", "format", "--check", "--quiet", "."])
LINT = ("lint", ["ruff", "check", "--quiet", "."])
IMPORT_RULES = ("import rules", ["lint-imports", "--no-cache"])
TYPES = ("types", ["pyright"])
# A worker takes a file at a time; the longest come first (tests/conftest.py), else one of them would be the last.
PYTEST = ["pytest", "--numprocesses", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
NOT_SLOW = ["--quiet", "-m", "not slow"]


def main() -> None:
    """Run every step; exit with the code of the first that fails."""
    quick, words = "--quick" in sys.argv, [word for word in sys.argv[1:] if word != "--quick"]
    for step in (FORMAT, LINT, IMPORT_RULES):
        if code := _run(*step):
            sys.exit(code)
    types, tests = _of_a_change() if quick else (TYPES[1], PYTEST)
    with ThreadPoolExecutor() as pool:
        checked = pool.submit(_run, TYPES[0], types) if types else None
        code = _run("tests", [*tests, *words]) if tests else 0
    sys.exit(code or (checked.result() if checked else 0))


def _of_a_change() -> tuple[list[str], list[str]]:
    """The commands for types and tests of what differs from the branch that this one will go into."""
    changed = changed_files()
    touched = touched_modules(changed)
    tests = quick_tests(changed, touched)
    say(f"changed: {len(changed)} files; touched: {len(touched)} modules, {len(tests)} files of unit tests")
    files = sorted(str(file) for module in touched for file in files_of(module))
    return [*TYPES[1], *files] if files else [], [*PYTEST, *NOT_SLOW, *map(str, tests)] if tests else []


def _run(name: str, command: list[str]) -> int:
    started = time.monotonic()
    files = [word for word in command if word.startswith(str(PROJECT))]
    shown = [word for word in command if word not in files]
    say(f"{name}: {' '.join([*shown, f'({len(files)} files)'] if files else shown)}")
    result = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=PROJECT,
        check=False,
        text=True,
        stdout=None if name == "tests" else subprocess.PIPE,  # two that print at once can't be read
    )
    if result.returncode and result.stdout:
        print(result.stdout)
    outcome = "passed in" if result.returncode == 0 else "failed after"
    say(f"{name}: {outcome} {time.monotonic() - started:.0f} s")
    return result.returncode


if __name__ == "__main__":
    main()
