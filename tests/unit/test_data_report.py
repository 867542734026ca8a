"""The page and the command that a person uses."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from ml.data.command import data
from ml.data.quality import QualityReport, check
from ml.data.report import render
from ml.problem import load_problem
from tests.conftest import REFERENCE

PROBLEM = load_problem()
FILE = REFERENCE / "data" / "2015.parquet"
PEOPLE = pd.read_parquet(FILE).head(500)


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()] if data.strip() else []


def report(frame: pd.DataFrame) -> QualityReport:
    return check(PROBLEM, frame, "raw", "people.csv", digest="sha256:abc")


def test_the_page_shows_verdict_findings_and_the_meaning_of_codes() -> None:
    page = _Page(render([report(PEOPLE), report(PEOPLE.assign(SEX=7))]))
    assert page.words.count("✓ passed") == 2  # in the summary and at the section
    assert page.words.count("✗ refused") == 2
    assert any(
        word.startswith("column 'SEX': a code that the problem doesn't define in 500 rows") for word in page.words
    )
    assert {"people.csv", "sha256:abc", "Age in years", "2 female", "7 undefined"} <= set(page.words)
    women = page.words.index("2 female")
    assert page.words[women + 1] == str((PEOPLE["SEX"] == 2).sum())


def test_the_page_needs_nothing_else_and_escapes_what_comes_from_files() -> None:
    hostile = "<script>alert(1)</script>"
    page = _Page(render([report(PEOPLE.assign(**{hostile: hostile}))]))
    assert "script" not in page.tags
    assert hostile in page.words
    assert page.references == ["#report-1"]
    assert "http" not in render([report(PEOPLE)])


def test_the_same_reports_give_the_same_page() -> None:
    assert render([report(PEOPLE)]) == render([report(PEOPLE.copy())])


def test_the_command_passes_good_files(tmp_path: Path) -> None:
    result = CliRunner().invoke(data, ["check", str(FILE), "--report", str(tmp_path / "out.html")])
    assert result.exit_code == 0
    assert f"{FILE}: passed, 68,785 rows, 19 columns, sha256:eb0693b7" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


def test_the_command_reports_a_refused_file_and_exits_with_2(tmp_path: Path) -> None:
    bad, empty = tmp_path / "bad.csv", tmp_path / "empty.csv"
    PEOPLE.assign(MAR=9).to_csv(bad, index=False)
    empty.write_bytes(b"")
    result = CliRunner().invoke(data, ["check", str(bad), str(empty), "--json", "--report", str(tmp_path / "out.html")])
    assert result.exit_code == 2
    first, second = json.loads(result.stdout)
    assert (first["passed"], first["findings"][0]["column"], first["findings"][0]["count"]) == (False, "MAR", 500)
    assert second["findings"][0]["rule"] == "empty"
    assert "✗ refused" in (tmp_path / "out.html").read_text(encoding="utf-8")


def test_unlabelled_data_may_lack_the_target(tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    PEOPLE.drop(columns=PROBLEM.target.column).to_csv(file, index=False)
    assert CliRunner().invoke(data, ["check", str(file)]).exit_code == 2
    assert CliRunner().invoke(data, ["check", str(file), "--unlabelled"]).exit_code == 0


@pytest.mark.parametrize("command", [["--help"], ["check", "--help"]])
def test_help_has_an_example(command: list[str]) -> None:
    assert "Example:" in CliRunner().invoke(data, command).output
