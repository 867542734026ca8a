"""Runs the blueprint against Pulumi's mock monitor: what is registered, under which parent, with which inputs."""

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks

from infra import blueprint, release
from infra.config import ENVIRONMENTS, StackConfig
from tests.mocked_engine import run_program
from tests.shared import once

GOLDEN = Path(__file__).parent / "golden"
DIGEST = "sha256:" + "a" * 64
SAGEMAKER = [f"aws-sagemaker-{environment}" for environment in ENVIRONMENTS]
ALL = [f"aws-{platform}-{environment}" for platform in ("sagemaker", "serverless") for environment in ENVIRONMENTS]


@dataclass(frozen=True)
class Registered:
    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    protected: bool


@dataclass(frozen=True)
class Plan:
    resources: list[Registered]
    outputs: dict[str, Any]

    def named(self, name: str) -> Registered:
        return next(resource for resource in self.resources if resource.name == name)


def documents(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy statement of the stack, with the resource that carries it."""
    for resource in plan.resources:
        for key in ("policy", "assumeRolePolicy"):
            text = resource.inputs.get(key)
            if isinstance(text, str) and '"Statement"' in text:
                for statement in json.loads(text)["Statement"]:
                    yield resource.name, statement


def of_type(plan: Plan, *types: str) -> list[Registered]:
    """The resources of AWS of these types."""
    return [r for r in plan.resources if r.type.removeprefix("aws:") in types]


DATABRICKS = {
    "workspaceId": "1234567890",
    "workspaceUrl": "https://dbc-1234.cloud.databricks.com",
    "applicationId": "3f0a5c9e-0000-4000-8000-000000000000",
    "volumePath": "/Volumes/catalog/ml/wheels",
    "servingEndpointId": "endpoint",
    "policyId": "policy",
    **{f"{name}Id": name for name in ("credentials", "storageConfiguration", "customerManagedKey", "network")},
    "privateAccessSettingsId": "access",
    "vpcEndpointId": "endpoint",
}


class _Mocks(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        answers: dict[str, Any] = {"host": "127.0.0.1", "uri": "file:///store", "url": "http://127.0.0.1:1"}
        if args.typ.startswith("aws:"):
            of_the_service = {name: f"{args.name}-{name}" for name in ("keyId", "prefixListId", "functionUrl")}
            answers = {
                "arn": f"arn:aws:mock:::{args.name}",
                "repositoryUrl": "registry.example/image",
                **of_the_service,
            }
        if args.typ == "aws:lambda/function:Function":
            answers["version"] = "8"
        if args.typ.startswith("databricks:"):
            answers = DATABRICKS | {"awsIamRole": (args.inputs.get("awsIamRole") or {}) | {"externalId": "external"}}
            return "1234", answers | {k: v for k, v in args.inputs.items() if k != "awsIamRole"}
        return f"{args.name}-id", answers | {"serving": args.inputs.get("release")} | args.inputs

    def call(self, args: mocks.MockCallArgs) -> dict[str, Any]:
        """What serves already: the pinned release, by the seventh version."""
        is_alias = args.token == "aws:lambda/getAlias:getAlias"  # noqa: S105 # no secret
        return {"functionVersion": "7", "description": DIGEST} if is_alias else {}


class _Monitor(mocks.MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Mocks())
        self.registered: list[Registered] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 # the protocol's name
        inputs = mocks.rpc.deserialize_properties(request.object)
        inputs.pop("__provider", None)
        parent = request.parent.rpartition("::")[2] if request.parent else ""
        if request.type != "pulumi:pulumi:Stack":
            parent = "" if parent.startswith("mlops-") else parent  # the stack itself
            self.registered.append(Registered(request.type, request.name, parent, inputs, request.protect))
        return super().RegisterResource(request)


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Callable[..., Plan]:
    """Plans a stack in memory; `released` plans it with a pinned release."""
    monkeypatch.setattr("infra.clouds.local.observability.shutil.which", lambda _: "/usr/bin/prometheus")

    def run(stack: str, *, released: bool = False, **values: str) -> Plan:
        monitor = _Monitor()
        monkeypatch.setattr(release, "check", lambda *_, **__: DIGEST if released else None)
        outputs: dict[str, Any] = {}

        async def program() -> None:
            for name, value in blueprint.compose(StackConfig.parse(stack, values)).items():
                outputs[name] = await pulumi.Output.from_input(value).future()

        run_program(program, monitor, stack, tmp_path)
        return Plan(monitor.registered, outputs)

    return run


def stated(stack: str) -> dict[str, str]:
    """The stack file's values as the engine hands them over."""
    text = (Path(__file__).parents[2] / "stacks" / f"Pulumi.{stack}.yaml").read_text()
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in yaml.safe_load(text)["config"].items()}


PLANS: dict[str, Plan] = {}


@pytest.fixture
def planned(plan: Callable[..., Plan]) -> Callable[..., Plan]:
    """Plans a shipped stack once a run of the suite: before its first release, or with one pinned."""

    def run(stack: str, *, released: bool = True, **values: str) -> Plan:
        pins = {"mlops:release": DIGEST, "mlops:image": DIGEST} if released else {}

        def make(inside: Path) -> None:
            made = plan(stack, released=released, **(stated(stack) | pins | values))
            (inside / "plan.pickle").write_bytes(pickle.dumps(made))

        key = f"mocked-{stack}-{sha256(repr((released, sorted(values.items()))).encode()).hexdigest()[:12]}"
        if key not in PLANS:
            PLANS[key] = pickle.loads((once(key, make) / "plan.pickle").read_bytes())  # noqa: S301 # this run wrote it
        return PLANS[key]

    return run
