"""What every local stack registers, and what it tells the code that runs on it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.server.security_utils import get_allowed_hosts_from_env, is_allowed_host_header

from ml.runtime import Runtime
from tests.contract.conftest import DIGEST, Plan

GOLDEN = Path(__file__).parent / "golden"
STACKS = ("local-dev", "local-test", "local-prod")
pytestmark = pytest.mark.parametrize("stack", STACKS)


@pytest.mark.parametrize("released", [False, True], ids=["empty", "released"])
def test_types_names_and_parents_are_those_of_the_golden_list(
    plan: Callable[..., Plan], stack: str, released: bool
) -> None:
    """A changed type, name or parent replaces the resource in every environment: change the list on purpose only."""
    registered = sorted([r.type, r.name, r.parent] for r in plan(stack, released=released).resources)
    golden = json.loads((GOLDEN / "local.json").read_text())["released" if released else "empty"]
    assert registered == golden


def test_outputs_are_the_runtime(plan: Callable[..., Plan], stack: str) -> None:
    outputs = plan(stack, released=True).outputs
    assert outputs.keys() == Runtime.model_fields.keys()
    runtime = Runtime.model_validate(outputs)
    assert runtime.stack == stack
    assert runtime.release == DIGEST


def test_without_a_release_there_is_no_endpoint(plan: Callable[..., Plan], stack: str) -> None:
    runtime = Runtime.model_validate(plan(stack).outputs)
    assert runtime.endpoint_url is None
    assert runtime.release is None


def test_prod_protects_whatever_runs_or_holds_data_and_the_others_nothing(
    plan: Callable[..., Plan], stack: str
) -> None:
    """Destroy works from the leaves inwards: with the data alone protected, it would end the endpoint first."""
    real = {r.name: r.protected for r in plan(stack, released=True).resources if r.type.startswith("pulumi-python:")}
    unprotected = [name for name, protected in real.items() if not protected]
    assert unprotected == (["network-ports"] if stack == "local-prod" else list(real))


def test_what_can_be_tagged_is_tagged(plan: Callable[..., Plan], stack: str) -> None:
    tags = plan(stack, **{"mlops:owner": "fraud-team"}).named("store-folder").inputs["tags"]
    assert tags["owner"] == "fraud-team"
    assert tags["stack"] == stack
    assert set(tags) == {"project", "stack", "environment", "owner", "cost-centre", "data-class"}


def test_logical_names_hold_no_environment(plan: Callable[..., Plan], stack: str) -> None:
    environment = stack.rpartition("-")[2]
    assert not [r.name for r in plan(stack, released=True).resources if environment in r.name.split("-")]


def test_prometheus_can_be_switched_off(plan: Callable[..., Plan], stack: str) -> None:
    planned = plan(stack, **{"mlops:local": '{"prometheus": false}'})
    assert planned.outputs["metrics_url"] is None
    assert "observability-prometheus" not in [r.name for r in planned.resources]


def test_mlflow_answers_to_this_machine_s_names_alone(
    plan: Callable[..., Plan], stack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own default also to `10.page.example`, which is a name that a page can give to 127.0.0.1."""
    for name, value in plan(stack).named("tracking-server").inputs["environment"].items():
        monkeypatch.setenv(name, value)
    allowed = get_allowed_hosts_from_env()
    assert allowed is not None
    asked = {
        name: is_allowed_host_header(allowed, f"{name}:5000")
        for name in ("127.0.0.1", "localhost", "10.page.example", "192.168.page.example", "page.example")
    }
    assert [name for name, is_answered in asked.items() if is_answered] == ["127.0.0.1", "localhost"]
