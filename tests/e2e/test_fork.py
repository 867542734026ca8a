"""A fork with another problem: the tests of the machinery hold as they are, for they are about the reference."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ml.problem import load_problem, read_problem

ROOT = Path(__file__).parents[2]
# The files of the unit suite that read rows of the reference, or fit, judge and log what its problem describes.
ABOUT_ROWS = ("data_quality", "data_read", "monitoring_drift", "problem", "serving_schema", "training_threshold")


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout whose problem is customers who leave: other columns, other data, not there yet."""
    folder = tmp_path_factory.mktemp("fork") / "checkout"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in filter(None, subprocess.check_output(listed, cwd=ROOT, text=True).split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    text = (ROOT / "ml" / "problem.yaml").read_text()
    for name in (*load_problem().feature_names, load_problem().target.column):
        text = re.sub(rf"\b{name}\b", f"churn_{name.lower()}", text)
    definition = yaml.safe_load(text) | {"name": "churn"}
    definition["datasets"]["root"] = "data/churn"
    (folder / "ml" / "problem.yaml").write_text(yaml.safe_dump(definition))
    shutil.rmtree(folder / "data")
    assert read_problem(folder / "ml" / "problem.yaml").feature_names[0].startswith("churn_")
    return folder


def pytest_in(folder: Path, *words: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    return ended.stdout


def test_the_whole_unit_suite_is_collected(fork: Path) -> None:
    assert re.search(r"\n[1-9]\d{3,} tests collected", pytest_in(fork, "--collect-only", "tests/unit"))


def test_what_is_about_rows_of_the_reference_passes_as_it_is(fork: Path) -> None:
    files = [f"tests/unit/test_{name}.py" for name in ABOUT_ROWS]
    assert re.search(r"[1-9]\d+ passed", pytest_in(fork, *files))
