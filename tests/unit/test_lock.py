"""What uv.lock holds: wheels for every Python and machine that the README names, so that nobody needs a compiler."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[2]
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text())
PYTHONS = [(3, minor) for minor in range(11, 15)]
GLIBC = [f"manylinux_2_{minor}" for minor in range(28, 4, -1)] + ["manylinux2014", "manylinux2010", "manylinux1"]
MACHINES = {
    "linux x86_64": [f"{kind}_x86_64" for kind in GLIBC],
    "linux aarch64": [f"{kind}_aarch64" for kind in GLIBC],
    "macOS arm64": list(mac_platforms((14, 0), "arm64")),
}
# Spark is Java and needs none; the Lambda's own is for Linux alone.
WITHOUT = {"linux x86_64": {"pyspark"}, "linux aarch64": {"pyspark"}, "macOS arm64": {"pyspark", "awslambdaric"}}


def wheels(package: dict[str, Any]) -> set[Tag]:
    names = [wheel["url"].rsplit("/", 1)[1].replace("%2B", "+") for wheel in package.get("wheels", [])]
    return {tag for name in names for tag in parse_wheel_filename(name)[3]}


@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: ".".join(map(str, python)))
@pytest.mark.parametrize("machine", MACHINES)
def test_every_package_has_a_wheel(machine: str, python: tuple[int, int]) -> None:
    platforms, interpreter = MACHINES[machine], f"cp{python[0]}{python[1]}"
    taken = {*cpython_tags(python, platforms=platforms), *compatible_tags(python, interpreter, platforms)}
    packages = [package for package in LOCK["package"] if "registry" in package["source"]]
    having = {package["name"] for package in packages if wheels(package) & taken}
    assert len(having) > 200
    assert {package["name"] for package in packages} - having == WITHOUT[machine]


def test_the_pythons_are_those_of_the_project_and_the_readme() -> None:
    first, last = (f"{major}.{minor}" for major, minor in (PYTHONS[0], PYTHONS[-1]))
    assert LOCK["requires-python"] == f">={first}, <3.{PYTHONS[-1][1] + 1}"
    assert re.search(rf"Python {first} to 3\.\d+ \({last} ", (ROOT / "README.md").read_text())


def test_what_only_tests_need_is_in_no_extra() -> None:
    """shap brings numba and LLVM, 200 MB: reasons are compared with its own, and worked out without it."""
    (project,) = [package for package in LOCK["package"] if package["name"] == "mlops-reference"]
    needed = {each["name"] for extra in project["optional-dependencies"].values() for each in extra}
    by_name: dict[str, set[str]] = {}
    for package in LOCK["package"]:
        extras = [each for extra in package.get("optional-dependencies", {}).values() for each in extra]
        names = {each["name"] for each in [*package.get("dependencies", []), *extras]}
        by_name[package["name"]] = by_name.get(package["name"], set()) | names
    reached: set[str] = set()
    while needed - reached:
        reached |= needed
        needed = {name for each in needed for name in by_name[each]} - {"mlops-reference"}
    assert "mlflow" in reached
    assert not reached & {"shap", "numba", "llvmlite"}
