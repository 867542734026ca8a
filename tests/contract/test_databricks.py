"""What every stack on Databricks registers: names, identities, grants, who reaches what, and what is served."""

import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.clouds.databricks import wheel
from infra.config import ENVIRONMENTS
from infra.engine.environ import PROJECT
from ml.platforms.databricks import tasks
from ml.runtime import Runtime
from tests.contract.conftest import DIGEST, GOLDEN, Plan, Registered, documents, stated

STACKS = [f"aws-databricks-{environment}" for environment in ENVIRONMENTS]
CHALLENGER = "sha256:" + "b" * 64


def of(plan: Plan, kind: str) -> list[Registered]:
    return [each for each in plan.resources if each.type.startswith("databricks:") and each.type.endswith(f":{kind}")]


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("released", [False, True], ids=["empty", "released"])
def test_types_names_and_parents_are_those_of_the_golden_list(
    planned: Callable[..., Plan], stack: str, released: bool
) -> None:
    registered = sorted([r.type, r.name, r.parent] for r in planned(stack, released=released).resources)
    assert registered == json.loads((GOLDEN / f"{stack}.json").read_text())["released" if released else "empty"]


@pytest.mark.parametrize("stack", STACKS)
def test_outputs_are_the_runtime(planned: Callable[..., Plan], stack: str) -> None:
    outputs = planned(stack).outputs
    assert outputs.keys() == Runtime.model_fields.keys()
    runtime = Runtime.model_validate(outputs)
    assert runtime.release == DIGEST
    assert runtime.store_uri.startswith("s3://mlops-")
    assert runtime.model_registry == f"mlops_{stack.replace('-', '_')}.ml"
    assert runtime.training_job == "https://dbc-1234.cloud.databricks.com/jobs/1234"
    assert str(runtime.endpoint_url).endswith("/serving-endpoints/mlops-" + stack + "-endpoint/invocations")


@pytest.mark.parametrize("stack", STACKS)
def test_prod_protects_what_keeps_and_what_serves_and_the_others_nothing(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan = planned(stack)
    kinds = ("MwsWorkspaces", "Catalog", "Schema", "Volume", "ExternalLocation", "ModelServing")
    kept = [each for kind in kinds for each in of(plan, kind)]
    assert len(kept) == len(kinds)
    assert {each.protected for each in kept} == {stack.endswith("prod")}


@pytest.mark.parametrize("stack", STACKS)
def test_no_policy_allows_a_wildcard_action_and_only_looking_names_no_resource(
    planned: Callable[..., Plan], stack: str
) -> None:
    for name, statement in documents(planned(stack)):
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        if statement["Effect"] == "Allow":
            assert not [action for action in actions if "*" in action], name
            everything = statement.get("Resource") == ["*"] and "Principal" not in statement
            assert not everything or "Condition" in statement or actions == ["ecr:GetAuthorizationToken"], name


@pytest.mark.parametrize("stack", STACKS)
def test_each_job_runs_as_a_principal_that_reaches_the_store_by_a_credential_of_its_own(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan = planned(stack)
    credentials = {each.inputs["name"]: each.inputs["awsIamRole"]["roleArn"] for each in of(plan, "Credential")}
    assert len(set(credentials.values())) == len(credentials) == 3
    for job in of(plan, "Job"):
        assert job.inputs["runAs"]["servicePrincipalName"]
        assert job.inputs["budgetPolicyId"]
        for task in job.inputs["tasks"]:
            if wheel_task := task.get("pythonWheelTask"):
                assert wheel_task["namedParameters"]["credential"] in credentials
                assert wheel_task["namedParameters"]["runtime"].startswith("s3://")


@pytest.mark.parametrize("stack", STACKS)
def test_databricks_takes_roles_only_for_this_account_of_it_or_with_an_external_id(
    planned: Callable[..., Plan], stack: str
) -> None:
    theirs = [
        (name, statement)
        for name, statement in documents(planned(stack))
        if "414351767826" in json.dumps(statement.get("Principal", {}))
    ]
    assert len(theirs) >= 8
    for name, statement in theirs:
        proof = json.dumps(statement["Condition"])
        assert "sts:ExternalId" in proof or "aws:PrincipalTag/DatabricksAccountId" in proof, name


def test_no_secret_and_no_token_is_part_of_any_stack(planned: Callable[..., Plan]) -> None:
    for stack in STACKS:
        plan = planned(stack)
        kinds = {each.type.rpartition(":")[2] for each in plan.resources}
        assert not kinds & {"Token", "OboToken", "ServicePrincipalSecret", "Secret"}
        provider = next(each for each in plan.resources if each.type == "pulumi:providers:databricks")
        assert set(provider.inputs) <= {"host", "accountId", "version"}
        assert "token" not in next(iter(of(plan, "MwsWorkspaces"))).inputs


def test_dev_scales_to_zero_and_logs_every_answer(planned: Callable[..., Plan]) -> None:
    for stack in STACKS:
        (endpoint,) = of(planned(stack), "ModelServing")
        (entity,) = endpoint.inputs["config"]["servedEntities"]
        assert entity["scaleToZeroEnabled"] is stack.endswith("dev")
        assert entity["entityName"].endswith(f".ml.release_{'a' * 64}")
        assert endpoint.inputs["aiGateway"]["inferenceTableConfig"]["enabled"]


def test_the_monitor_reads_the_table_that_the_endpoint_writes_and_may_log_what_it_finds(
    planned: Callable[..., Plan],
) -> None:
    for stack in STACKS:
        plan = planned(stack)
        (endpoint,) = of(plan, "ModelServing")
        made = endpoint.inputs["aiGateway"]["inferenceTableConfig"]
        tasks = [task for job in of(plan, "Job") for task in job.inputs["tasks"] if task["taskKey"] == "monitor"]
        (told,) = [task["pythonWheelTask"]["namedParameters"] for task in tasks]
        table = f"{made['catalogName']}.{made['schemaName']}.{made['tableNamePrefix']}_payload"
        assert told["inference-table"] == table
        (written,) = [
            statement["Resource"]
            for name, statement in documents(plan)
            if "monitoring-role-policy" in name and statement["Sid"] == "Write"
        ]
        assert {resource.partition("/")[2] for resource in written} == {
            *("monitoring/*", "retraining/*", "predictions/*", "privacy/pseudonym.key", "privacy/left-out/*")
        }


def test_a_canary_gets_its_share_and_a_shadow_is_refused(planned: Callable[..., Plan]) -> None:
    canary = json.dumps({"release": CHALLENGER, "mode": "canary", "weight": 0.2})
    (endpoint,) = of(planned(STACKS[2], **{"mlops:challenger": canary}), "ModelServing")
    routes = endpoint.inputs["config"]["trafficConfig"]["routes"]
    assert {each["servedEntityName"]: each["trafficPercentage"] for each in routes} == {
        "champion": 80,
        "challenger": 20,
    }
    with pytest.raises(Exception, match="databricks has no shadow"):
        planned(STACKS[2], **{"mlops:challenger": json.dumps({"release": CHALLENGER})})


def test_a_stack_chooses_machines_runtime_and_environment(planned: Callable[..., Plan]) -> None:
    mine = json.loads(stated(STACKS[0])["mlops:databricks"])
    chosen = {"node_types": ["i4i.large"], "spark_version": "16.4.x-scala2.13", "environment_version": "5"}
    plan = planned(STACKS[0], **{"mlops:databricks": json.dumps(mine | chosen)})
    (policy,) = of(plan, "ClusterPolicy")
    definition = json.loads(policy.inputs["definition"])
    assert definition["node_type_id"] == {"type": "allowlist", "values": ["i4i.large"], "defaultValue": "i4i.large"}
    assert definition["spark_version"]["value"] == "16.4.x-scala2.13"
    versions = {
        e["spec"]["environmentVersion"] for job in of(plan, "Job") for e in job.inputs.get("environments") or []
    }
    assert versions == {"5"}
    usual = json.loads(of(planned(STACKS[0]), "ClusterPolicy")[0].inputs["definition"])
    assert usual["node_type_id"]["defaultValue"] == "m7g.large"


def test_every_resource_of_a_workspace_says_which(planned: Callable[..., Plan]) -> None:
    """The provider speaks to the account: what says nothing would be made in no workspace."""
    of_the_account = {
        *("MwsCredentials", "MwsStorageConfigurations", "MwsCustomerManagedKeys", "MwsNetworks", "MwsVpcEndpoint"),
        *("MwsPrivateAccessSettings", "MwsWorkspaces", "MetastoreAssignment", "MwsPermissionAssignment"),
        *("ServicePrincipal", "AccessControlRuleSet", "ServicePrincipalFederationPolicy", "BudgetPolicy"),
    }
    for each in planned(STACKS[0]).resources:
        if each.type.startswith("databricks:") and each.type.rpartition(":")[2] not in of_the_account:
            assert each.inputs["providerConfig"] == {"workspaceId": "1234567890"}, each.name


def test_the_wheel_is_named_by_what_is_in_it_and_has_the_tasks_entry_point(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    for suffix in ("pub", "revoked", "key"):
        (tmp_path / "keys" / f"ann@example.org.{suffix}").write_bytes(suffix.encode())
    built = wheel.build(folder=tmp_path, keys=tmp_path / "keys")
    assert wheel.build(folder=tmp_path, keys=tmp_path / "keys") == built
    assert wheel.build(folder=tmp_path).sha256 != built.sha256, "another's signature counts: another wheel"
    assert built.file.parent.name == built.sha256
    with zipfile.ZipFile(built.file) as content:
        names = content.namelist()
        entry_points = content.read("mlops_reference-0.1.0.dist-info/entry_points.txt").decode()
    assert "mlops-databricks = ml.platforms.databricks.tasks:main" in entry_points
    assert not [name for name in names if name.startswith(("infra/", "tests/"))]
    assert (PROJECT / wheel.PACKAGE / wheel.KEYS) == tasks.KEYS, "where a job looks for them"
    carried = {name for name in names if "example.org" in name}
    assert carried == {f"ml/keys/ann@example.org.{suffix}" for suffix in ("pub", "revoked")}


def test_the_wheel_names_its_libraries_in_the_versions_of_the_lock(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    """What pip finds for the extra of the jobs, from the wheel alone, is what uv.lock has and the tests run on."""
    with zipfile.ZipFile(wheel.build(folder=tmp_path).file) as content:
        metadata = Parser().parsestr(content.read("mlops_reference-0.1.0.dist-info/METADATA").decode())
    requirements = [Requirement(each) for each in metadata.get_all("Requires-Dist", [])]
    here = {"extra": wheel.EXTRA}
    pinned = [r for r in requirements if "extra ==" in str(r.marker) and r.marker and r.marker.evaluate(here)]
    locked = tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    versions = {f"{each['name']}=={each['version']}" for each in locked}
    found = {f"{each.name}{each.specifier}" for each in pinned}
    assert found <= versions
    assert found == {f"{each.name}=={version(each.name)}" for each in pinned}
    wanted = [r for r in requirements if not r.marker or any(r.marker.evaluate({"extra": e}) for e in wheel.LIBRARIES)]
    assert {canonicalize_name(each.name) for each in wanted} <= {each.name for each in pinned}
    for job in of(planned(STACKS[0]), "Job"):
        for environment in job.inputs.get("environments") or []:
            (dependency,) = environment["spec"]["dependencies"]
            assert Requirement(dependency).extras == {wheel.EXTRA}


def test_another_platforms_stack_imports_nothing_of_databricks() -> None:
    script = (
        "import sys; from infra.clouds import load; from infra.config import StackConfig; from pathlib import Path;"
        "stack = 'aws-sagemaker-dev'; config = StackConfig.read(stack, Path(f'stacks/Pulumi.{stack}.yaml'));"
        "load(config); other = ('pulumi_databricks', 'infra.clouds.databricks');"
        "print([name for name in sys.modules if name.startswith(other)])"
    )
    printed: Any = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
