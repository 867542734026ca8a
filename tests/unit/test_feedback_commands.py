"""The commands of the loop: what they print, what scripts read, and how they end."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ml import cli
from ml.errors import InputRefused
from ml.feedback.accounts import Accounts
from ml.feedback.labels import read_labels
from ml.feedback.labels_command import labels
from ml.feedback.requests import REQUESTS
from ml.feedback.retrain_command import retrain
from ml.feedback.review_command import review
from ml.feedback.triggers import Trigger, Verdict
from ml.problem import load_problem
from ml.store import Store
from tests.live import RELEASE, labels_file, log_rows, reasons_json, runtime_json, write_log


def run(command: click.Command, store: Store, *arguments: str, stdin: str = "", release: str | None = None) -> Result:
    env = {"MLOPS_RUNTIME": runtime_json(store, release=release), "MLOPS_SIGN_AS": "eve"}
    return CliRunner().invoke(command, arguments, input=stdin, env=env, catch_exceptions=False)


@pytest.fixture
def ids(store: Store) -> list[str]:
    problem, at = load_problem(), datetime.now(UTC) - timedelta(hours=1)
    rows = log_rows(problem, 3, at, score=0.6667, MAR=1, reasons=reasons_json(MAR=-0.25, AGEP=0.125))
    return write_log(store, problem, rows)


def test_labels_add_says_what_counts_and_what_does_not(store: Store, ids: list[str], tmp_path: Path) -> None:
    file = labels_file(tmp_path, {ids[0]: 1, "nobody": 0, ids[1]: 5})
    result = run(labels, store, "add", str(file))
    said = result.output
    assert result.exit_code == 4
    assert f"{file}: 1 of 3 labels count\n" in said
    waits = "name a prediction that isn't in the log yet, and count once it is, such as nobody = 0"
    assert f"waiting              1  {waits}" in said
    assert "Kept aside in labels/rejected/day=" in said
    again = json.loads(run(labels, store, "add", str(file), "--json").stdout)
    assert (again["accepted"], again["is_new"]) == (1, False)
    assert read_labels(store)["author"].to_list() == ["eve", "eve"]
    write_log(store, load_problem(), log_rows(load_problem(), 1, datetime.now(UTC), prediction_id="nobody"))
    last = run(labels, store, "add", str(file))
    assert (last.exit_code, last.output.splitlines()[0]) == (0, f"{file}: 2 of 3 labels count, all taken in before")
    assert run(labels, store, "add", str(labels_file(tmp_path, {ids[1]: 5}, "bad.csv"))).exit_code == 1
    with pytest.raises(InputRefused, match="can't be read"):
        run(labels, store, "add", str(tmp_path / "none.csv"))


def test_a_case_is_listed_shown_and_decided(store: Store, ids: list[str]) -> None:
    cases = json.loads(run(review, store, "list", "--json").stdout)
    assert {case["prediction_id"] for case in cases} == set(ids)
    case = cases[0]["case"]
    shown = run(review, store, "show", case).output
    assert "Marital status" in shown
    assert "-0.2500  married (1)" in shown
    assert shown.index("Marital status") < shown.index("Age in years")  # what did most comes first
    assert json.loads(run(review, store, "show", case, "--json").stdout)["row"]["MAR"] == 1
    assert run(review, store, "decide", case).exit_code == 2
    said = run(review, store, "decide", case, "--overrule", "--note", "two jobs").output
    assert "by eve" in said
    with pytest.raises(InputRefused, match="eve overruled the case"):
        run(review, store, "decide", case, "--confirm", "--as", "ada")
    assert len(run(review, store, "list").stdout.splitlines()) == 2


def test_an_account_is_made_from_standard_input(store: Store) -> None:
    assert (
        "ada can sign in" in run(review, store, "account", "ada", "--password-stdin", stdin="a long password\n").output
    )
    assert Accounts(store).check("ada", "a long password")
    assert not Accounts(store).check("ada", "a long passwore")
    assert "no longer" in run(review, store, "account", "ada", "--remove").output
    assert not Accounts(store).check("ada", "a long password")
    with pytest.raises(InputRefused, match="no account ada"):
        run(review, store, "account", "ada", "--remove")
    for name, password in (("ada", "short"), ("../ada", "a long password"), ("Ada", "a long password")):
        with pytest.raises(InputRefused):
            run(review, store, "account", name, "--password-stdin", stdin=f"{password}\n")


def test_retrain_check_says_why_and_why_not(store: Store, published: str) -> None:
    said = run(retrain, store, "--check", release=published).output
    assert "0 labels came since; 5,000 are enough" in said
    assert "the monitor has not reported yet" in said
    assert "not due" in said
    verdict = json.loads(run(retrain, store, "--check", "--json", release=published).stdout)
    assert verdict["is_due"] is False
    assert {trigger["kind"] for trigger in verdict["triggers"]} == {"age", "labels", "drift", "performance"}
    with pytest.raises(InputRefused, match="no champion"):
        run(retrain, store, "--check")


@pytest.mark.parametrize("is_due", [True, False])
def test_a_training_is_asked_for_only_when_it_is_time(
    store: Store, published: str, monkeypatch: pytest.MonkeyPatch, is_due: bool
) -> None:
    verdict = Verdict((Trigger("drift", is_due, "PSI of AGEP is 0.31"),), ())
    monkeypatch.setattr("ml.feedback.retrain.judge", lambda *_: (verdict, None))
    said = run(retrain, store, "--check", "--request", release=published)
    asked = list(store.list(REQUESTS))
    assert len(asked) == is_due
    assert all(store.url(key) in said.stderr for key in asked)
    assert [json.loads(store.read(key))["triggers"][0]["kind"] for key in asked] == ["drift"] * is_due
    assert run(retrain, store, "--request", release=published).exit_code == 2  # a person's training asks nobody


@pytest.mark.parametrize("name", ["labels", "review", "retrain", "erase", "subject-export", "retention"])
def test_every_command_of_the_loop_has_an_example(name: str) -> None:
    said = CliRunner().invoke(cli.mlops, [name, "--help"]).output
    assert f"Example: mlops {name}" in said
    assert name in cli.SUMMARIES


def test_a_release_that_is_gone_is_said(store: Store) -> None:
    result = CliRunner().invoke(retrain, ["--check"], env={"MLOPS_RUNTIME": runtime_json(store, release=RELEASE)})
    assert RELEASE in str(result.exception)
