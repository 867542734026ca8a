"""A release's life where stores are buckets, S3 as moto's server has it: a stack file and a URI are all it takes."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner

from infra.config import StackConfig
from infra.release import PinRefused, check
from ml.cli import mlops
from ml.predictions import PREFIX, read_log
from ml.problem import Problem, load_problem
from ml.release import lifecycle_command
from ml.release.deployed import record_deployed
from ml.release.stackfile import pin, pinned
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.store import Store
from ml.trust.keys import new_key
from tests.aws import aws
from tests.conftest import rows_of
from tests.processes import JSON, server, state
from tests.stages import APPROVER, AUTHOR, release_into, without_shadow

ROOT = Path(__file__).parents[2]
SOON = ("--flush-interval-s", "0.1", "--rotate-interval-s", "0.3")
ENVIRONMENTS = ("dev", "test", "prod")
PEOPLE = 400


class Estate:
    """Three environments in S3, and the command line on them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.endpoint: str | None = None
        self.serves: dict[str, str] = {}
        for environment in ENVIRONMENTS:
            boto3.client("s3").create_bucket(Bucket=f"mlops-{environment}")
            (root / f"Pulumi.local-{environment}.yaml").write_text("config:\n  mlops:owner: ml-platform\n")

    def runtime(self, stack: str) -> Runtime:
        environment = stack.rpartition("-")[2]
        return Runtime(
            stack=stack,
            cloud="local",
            platform="process",
            environment=environment,
            store_uri=f"s3://mlops-{environment}/store",
            tracking_uri="unused",
            monitor_url="unused",
            endpoint_url=self.endpoint,
            release=self.serves.get(stack),
            log_retention_days=30,
        )

    def stage(self, stack: str) -> Stage:
        return Stage.of(self.runtime(stack), self.root / f"Pulumi.{stack}.yaml")

    def up(self, stack: str) -> str:
        """What `pulumi up` asks and says, without the engine."""
        where = self.stage(stack)
        digest = check(StackConfig.read(stack, where.file), where.store.uri, self.root)
        assert digest
        record_deployed(where.store.uri, stack, where.environment, digest, "http://127.0.0.1:1", self.root)
        self.serves[stack] = digest
        return digest

    def run(self, *words: str, exit_code: int = 0, **given: Any) -> str:
        result = CliRunner().invoke(mlops, list(words), catch_exceptions=bool(exit_code), **given)
        assert result.exit_code == exit_code, result.output
        return result.stdout

    def ask(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))


@pytest.fixture
def estate(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_problem: Problem,
    set_problem: Callable[[Problem], None],
) -> Iterator[Estate]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path / "keys"))
    for name in (AUTHOR, APPROVER):
        new_key(name, tmp_path / "keys")
    with aws(monkeypatch, "us-east-1"):
        estate = Estate(tmp_path)
        monkeypatch.setattr(lifecycle_command.Stage, "load", estate.stage)
        monkeypatch.setattr(Runtime, "load", lambda stack=None: estate.runtime(stack or "local-prod"))
        # Of so few predictions, the one in 500 that the project has experts look at is often none.
        review = small_problem.review.model_copy(update={"sample_fraction": 0.1})
        set_problem(without_shadow(small_problem.model_copy(update={"review": review})))
        yield estate


def promoted_to_prod(estate: Estate, candidate: Path, problem: Problem) -> str:
    """DEV, TEST and PROD serve it; PROD refuses it before somebody else approves."""
    dev = estate.stage("local-dev")
    digest = release_into(dev, candidate, problem)
    pin(dev.file, digest)
    assert estate.up("local-dev") == digest
    for source, target in (("local-dev", "local-test"), ("local-test", "local-prod")):
        assert estate.ask("promote", "--from", source, "--to", target)["digest"] == digest
        if target == "local-prod":
            with pytest.raises(PinRefused, match="is not approved for prod"):
                estate.up(target)
            estate.run("approve", "--yes", "--stack", target, "--release", digest, exit_code=1)
            estate.run("approve", "--yes", "--stack", target, "--release", digest, "--as", APPROVER)
        assert estate.up(target) == digest
    return digest


def stacks() -> list[str]:
    return [word for environment in ENVIRONMENTS for word in ("--stack", f"local-{environment}")]


def test_releases_go_and_come_back_in_buckets(
    estate: Estate, candidate: Path, small_problem: Problem, tmp_path: Path, make_candidate: Callable[..., None]
) -> None:
    first = promoted_to_prod(estate, candidate, small_problem)
    make_candidate(tmp_path / "other", small_problem, seed=7)
    second = release_into(estate.stage("local-dev"), tmp_path / "other", small_problem, version="2")
    estate.run("promote", "--from", "local-dev", "--to", "local-test", "--release", second)
    assert estate.up("local-test") == second
    estate.run("rollback", "--stack", "local-test")
    assert estate.up("local-test") == pinned(estate.stage("local-test").file) == first
    estate.run("retire", second, "--stack", "local-test", "--reason", "a leak was found in it")
    states = {(s["stack"], s["release"]): s["state"] for s in estate.ask("releases", *stacks())}
    assert states["local-prod", first] == states["local-test", first] == "serving"
    assert states["local-test", second] == "retired"
    assert "BROKEN" not in estate.run("verify", *stacks())
    store = estate.stage("local-prod").store
    key = next(key for key in store.list("bundles") if key.endswith("schema.json"))
    store.write(key, store.read(key).replace(b"Age", b"age", 1))
    assert "schema.json was altered" in estate.run("verify", "--stack", "local-prod", exit_code=1)
    with pytest.raises(PinRefused, match=r"schema\.json was altered"):
        estate.up("local-prod")


def test_the_loop_closes_in_a_bucket(estate: Estate, candidate: Path, small_problem: Problem, tmp_path: Path) -> None:
    digest = promoted_to_prod(estate, candidate, small_problem)
    store, truth = estate.stage("local-prod").store, tmp_path / "truth.csv"
    state(tmp_path, digest)
    with server(tmp_path, store, *SOON) as running:
        running.wait_for(lambda: running.ask("GET", "/ready")[0] == 200)
        estate.endpoint = f"http://127.0.0.1:{running.port}"
        play = ("replay", "--dataset", "2017", "--rows", str(PEOPLE), "--root", str(ROOT), "--truth", str(truth))
        assert estate.ask(*play, "--stack", "local-prod")["failures"] == {}
        body = json.dumps({"rows": rows_of(small_problem, 2).to_dict("records"), "subjects": ["anna", None]})
        assert running.ask("POST", "/predict?explain=true", body.encode(), JSON)[0] == 200
        running.wait_for(lambda: logged(store) == PEOPLE + 2)
        running.end()
    where = ("--stack", "local-prod")
    cases = estate.ask("review", "list", *where)
    assert cases
    estate.run("review", "decide", cases[0]["case"], *where, "--overrule", "--note", "has two jobs")
    assert estate.ask("labels", "add", str(truth), *where)["accepted"] == PEOPLE - 1, "the expert's goes before"
    estate.run("review", "account", "eve", *where, "--password-stdin", input="a long enough password\n")
    report = estate.ask("monitor", "run", *where)
    assert (report["rows"], report["labels"]) == (PEOPLE + 2, PEOPLE)
    assert store.exists(report["page"])
    assert "not due" in estate.run("retrain", *where, "--check")
    held = json.loads(estate.run("subject-export", *where, "--subject", "anna"))["records"]
    assert len(held["predictions"]) == 1
    done = estate.ask("erase", *where, "--subject", "anna")
    assert (done["removed"]["predictions"], done["remaining"]) == (1, 0)
    assert not any(json.loads(estate.run("subject-export", *where, "--subject", "anna"))["records"].values())
    assert logged(store) == PEOPLE + 1
    kept = estate.ask("retention", *where, "--days", "1")
    assert set(kept["deleted_objects"].values()) == {0}, "it is all of today"
    assert "BROKEN" not in estate.run("verify", "--offline", *where)  # its server has ended


def begin() -> datetime:
    return datetime.now(UTC) - timedelta(days=1)


def logged(store: Store) -> int:
    if not any(key.endswith(".parquet") for key in store.list(PREFIX)):
        return 0
    return read_log(store, load_problem(), begin(), datetime.now(UTC), ["prediction_id"]).num_rows
