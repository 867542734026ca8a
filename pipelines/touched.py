"""What a change touches: the files that differ from the branch it will go into, what imports them, and their tests."""

import ast
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import grimp

from pipelines._steps import PROJECT

__all__ = ["changed_files", "files_of", "quick_tests", "touched_modules"]

PACKAGES: Final = ("infra", "ml", "pipelines")
QUICK: Final = PROJECT / "tests" / "unit"
BRANCHES: Final = ("@{upstream}", "origin/HEAD", "main")  # the first that there is


def changed_files() -> list[Path]:
    """Python files that differ from where this branch left the one it will go into, and those not committed yet."""
    base = next((found for each in BRANCHES if (found := _git("merge-base", "HEAD", each))), "HEAD")
    names = [*_git("diff", "--name-only", base).split(), *_git("ls-files", "--others", "--exclude-standard").split()]
    return sorted(PROJECT / name for name in set(names) if name.endswith(".py") and (PROJECT / name).is_file())


def touched_modules(changed: list[Path]) -> set[str]:
    """The modules among them and all that import one of them, directly or by way of others."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    modules = {_module(file) for file in changed} & graph.modules
    return modules.union(*(graph.find_downstream_modules(module) for module in modules))


def quick_tests(changed: list[Path], touched: set[str]) -> list[Path]:
    """The unit tests that changed, or import what a change touches, themselves or by way of the tests' own modules."""
    return [
        file
        for file in sorted(QUICK.glob("test_*.py"))
        if any(part in changed or _imports(part) & touched for part in _reached(file))
    ]


def _reached(file: Path) -> set[Path]:
    """The file and the tests' own modules that it imports, directly or by way of others."""
    reached, left = set[Path](), [file]
    while left:
        if (part := left.pop()) not in reached:
            reached.add(part)
            ours = (
                PROJECT / Path(*name.split(".")).with_suffix(".py") for name in _imports(part) if name[:6] == "tests."
            )
            left += [each for each in ours if each.is_file()]
    return reached


@cache
def _imports(file: Path) -> set[str]:
    found = set[str]()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files_of(module: str) -> list[Path]:
    """The file of a module or package."""
    path = PROJECT.joinpath(*module.split("."))
    return [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()]


def _module(file: Path) -> str:
    return ".".join(file.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


def _git(*words: str) -> str:
    """What git says, nothing where it can't."""
    return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False).stdout.strip()
