"""What serves is what the ledger allows: the server refuses, and verify and the monitor ask what really runs."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.clouds.local import _deployment
from ml.endpoint.observed import Observed, observe
from ml.errors import MlopsError
from ml.problem import Problem
from ml.release.approve import approve
from ml.release.audit import audit
from ml.release.deployed import record_deployed
from ml.release.stage import Stage
from ml.runtime import Runtime
from tests.processes import deployment, process, reload, server, state
from tests.stages import APPROVER, brought, release_into, stage

PLACE = ("--stack", "local-prod", "--environment", "prod", "--approvals-required", "1")
ONE, OTHER = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture
def prod(
    tmp_path: Path,
    candidate: Path,
    small_problem: Problem,
    set_problem: Callable[[Problem], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """PROD with two releases that passed everywhere; the first alone is approved, and deployed."""
    monkeypatch.chdir(tmp_path)
    set_problem(small_problem)
    dev, test, prod = (stage(tmp_path, environment) for environment in ("dev", "test", "prod"))
    for version in "12":
        digest = release_into(dev, candidate, small_problem, version=version)
        brought(dev, test, digest)
        brought(test, prod, digest)
    first, second = releases_of(prod)
    approve(prod, first, 14, prod.signer(APPROVER), small_problem)
    for release in (second, first):  # past every check, and as it should be
        record_deployed(prod.store.uri, "local-prod", "prod", release, "http://127.0.0.1:1", tmp_path)
    return prod


def releases_of(where: Stage) -> list[str]:
    return list(dict.fromkeys(str(e.release) for e in where.ledger.entries() if e.event == "promoted"))


def running(where: Stage, root: Path, url: str, serves: str) -> Stage:
    """The stage whose endpoint is at `url`; `serves` is what `pulumi up` left there."""
    assert where.runtime
    outputs = {"endpoint_url": url, "release": serves, "approvals_required": 1}
    return Stage.of(where.runtime.model_copy(update=outputs), where.file, root)


def verdicts(where: Stage) -> list[tuple[bool, str]]:
    return [(f.holds, f.note) for f in audit(where) if f.subject == "endpoint"]


def test_the_server_serves_only_what_its_environments_ledger_allows(prod: Stage, tmp_path: Path) -> None:
    """Whoever can write the deployment file has the token too, for it lies beside it."""
    allowed, unapproved = releases_of(prod)
    state(tmp_path, allowed)
    with server(tmp_path, prod.store, *PLACE) as serving:
        serving.wait_for(lambda: serving.ask("GET", "/ready")[0] == 200)
        where = running(prod, tmp_path, f"http://127.0.0.1:{serving.port}", allowed)
        assert verdicts(where) == [(True, f"serves {allowed}, as its ledger and its stack's file say")]
        state(tmp_path, unapproved)
        status, said = reload(serving, tmp_path)
        assert status == 409
        assert f"{unapproved} is not approved for prod" in said["error"]
        deployment(tmp_path).write_text(
            json.dumps({"release": allowed, "challenger": {"release": unapproved, "mode": "canary", "weight": 1}})
        )
        assert reload(serving, tmp_path)[0] == 409, "a challenger answers people too"
        assert json.loads(serving.ask("GET", "/ready")[1])["release"] == allowed
    state(tmp_path, unapproved)
    with server(tmp_path, prod.store, *PLACE) as serving:
        serving.wait_for(lambda: b"is not approved for prod" in serving.ask("GET", "/ready")[1])
        assert serving.ask("GET", "/ready")[0] == 503
        state(tmp_path, allowed)
        serving.wait_for(lambda: serving.ask("GET", "/ready")[0] == 200)


def test_verify_and_the_monitor_ask_the_endpoint_itself(prod: Stage, tmp_path: Path) -> None:
    """A server that was started past every check: the engine's outputs and the ledger still say that all is well."""
    allowed, unapproved = releases_of(prod)
    state(tmp_path, unapproved)
    with server(tmp_path, prod.store) as serving:
        serving.wait_for(lambda: serving.ask("GET", "/ready")[0] == 200)
        url = f"http://127.0.0.1:{serving.port}"
        ((holds, note),) = verdicts(running(prod, tmp_path, url, allowed))
        assert not holds
        assert f"serves what may not serve: The release {unapproved} is not approved" in note
        watch = ("monitor", "--endpoint", url, "--store", prod.store.uri, "--interval-s", "0.1", *PLACE)
        with process(*watch) as monitor:

            def allowed_metric() -> str:
                lines = monitor.ask("GET", "/metrics")[1].decode().splitlines()
                return next((x[-3:] for x in lines if x.startswith("mlops_endpoint_release_allowed{")), "")

            monitor.wait_for(lambda: allowed_metric() == "0.0")
            assert f"▲ alert: The release {unapproved} is not approved" in monitor.ask("GET", "/")[1].decode()
            state(tmp_path, allowed)
            assert reload(serving, tmp_path)[0] == 200
            monitor.wait_for(lambda: allowed_metric() == "1.0")
            serving.end()
            monitor.wait_for(lambda: allowed_metric() == "0.0")
        ((holds, note),) = verdicts(running(prod, tmp_path, url, allowed))
        assert not holds, "what can't be asked doesn't pass"
        assert "what serves isn't known" in note


def test_a_refresh_and_an_update_see_what_the_local_server_really_serves(
    tmp_path: Path, says: Callable[[Any], str]
) -> None:
    url = says({"/ready": {"release": OTHER}})
    file = deployment(tmp_path)
    state(tmp_path, ONE)
    left = {"file": str(file), "url": url, "release": ONE, "challenger": {}, "serving": ONE}
    seen = _deployment.read(str(file), left)
    assert seen
    assert (seen["release"], seen["serving"]) == (OTHER, OTHER)
    assert _deployment.has_strayed(str(file), left)
    same = left | {"url": says({"/ready": {"release": ONE}})}
    assert _deployment.read(str(file), same) == same
    assert not _deployment.has_strayed(str(file), same)
    assert not _deployment.has_strayed(str(file), left | {"url": "http://127.0.0.1:1"}), "the program's own matter"
    state(tmp_path, OTHER)
    assert _deployment.has_strayed(str(file), same), "what the next start would load"
    file.unlink()
    assert _deployment.has_strayed(str(file), same)


@pytest.fixture
def says() -> Iterator[Callable[[Any], str]]:
    """A server that answers paths with JSON; its URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, Any]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the base class's name
                found = answers.get(self.path)
                self.send_response(404 if found is None else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base class's name
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for each in servers:
        each.shutdown()
        each.server_close()


def runtime(url: str, platform: str = "serverless") -> Runtime:
    return Runtime(
        stack="aws-x-prod",
        cloud="aws",
        platform=platform,
        environment="prod",
        store_uri="s3://x",
        tracking_uri="",
        monitor_url="",
        endpoint_url=url,
    )


def test_a_server_says_what_it_serves_and_what_it_tries(says: Callable[[Any], str]) -> None:
    tried = {"release": OTHER, "state": "serving"}
    assert observe(runtime(says({"/ready": {"release": ONE, "challenger": tried}}))) == Observed(ONE, (OTHER,))
    returned = tried | {"state": "returned"}
    assert observe(runtime(says({"/ready": {"release": ONE, "challenger": returned}}))) == Observed(ONE)
    with pytest.raises(MlopsError, match="can't be reached"):
        observe(runtime("http://127.0.0.1:1"))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """SageMaker in moto."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("sagemaker", region_name="eu-west-1")


def test_sagemaker_is_asked_what_each_variants_container_was_told(account: Any) -> None:
    url = "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/live/invocations"
    role = "arn:aws:iam::123456789012:role/serving"

    def model(name: str, **told: str) -> dict[str, Any]:
        account.create_model(
            ModelName=name, PrimaryContainer={"Image": "image", "Environment": told}, ExecutionRoleArn=role
        )
        return {"ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", "InitialVariantWeight": 1}

    champion = model("a", MLOPS_RELEASE=ONE) | {"VariantName": "champion"}
    challenger = model("b", MLOPS_RELEASE=OTHER) | {"VariantName": "challenger"}
    account.create_endpoint_config(EndpointConfigName="one", ProductionVariants=[champion, challenger])
    account.create_endpoint(EndpointName="live", EndpointConfigName="one")
    assert observe(runtime(url, "sagemaker")) == Observed(ONE, (OTHER,))
    foreign = model("c") | {"VariantName": "champion"}
    account.create_endpoint_config(EndpointConfigName="two", ProductionVariants=[foreign])
    account.create_endpoint(EndpointName="foreign", EndpointConfigName="two")
    with pytest.raises(MlopsError, match="names no release"):
        observe(runtime(url.replace("live", "foreign"), "sagemaker"))
    with pytest.raises(MlopsError, match="doesn't say what the endpoint other serves"):
        observe(runtime(url.replace("live", "other"), "sagemaker"))


def test_databricks_is_asked_which_registered_models_it_serves(
    says: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from databricks.sdk.service.serving import EndpointCoreConfigOutput, ServedEntityOutput, ServingEndpointDetailed

    monkeypatch.setenv("DATABRICKS_TOKEN", "token")

    def served(**models: str) -> str:
        entities = [ServedEntityOutput(name=name, entity_name=f"main.ml.{model}") for name, model in models.items()]
        config = EndpointCoreConfigOutput(served_entities=entities)
        answer = ServingEndpointDetailed(name="live", config=config).as_dict()
        return says({"/api/2.0/serving-endpoints/live": answer}) + "/serving-endpoints/live/invocations"

    names = {"champion": f"release_{ONE[7:]}", "challenger": f"release_{OTHER[7:]}"}
    assert observe(runtime(served(**names), "databricks")) == Observed(ONE, (OTHER,))
    with pytest.raises(MlopsError, match="names no release"):
        observe(runtime(served(champion="somebodys_model"), "databricks"))
    with pytest.raises(MlopsError, match="Databricks doesn't say what"):
        observe(runtime(served(**names).replace("live", "gone"), "databricks"))
