"""Whom AWS stacks trust with what: no wildcard without need, services for this account, CI for its own pipeline."""

import json
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from ml.runtime import Runtime
from ml.trust.voucher import PREFIX
from tests.contract.conftest import ALL, ENVIRONMENTS, SAGEMAKER, Plan, documents, of_type, stated


@pytest.mark.parametrize("stack", SAGEMAKER)
def test_ci_registers_releases_in_the_stack_s_group_and_no_other_workload_does(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan, group = planned(stack), f"mlops-{stack}-models"
    account = json.loads(stated(stack)["mlops:aws"])["account_id"]
    runtime = Runtime.model_validate(plan.outputs)
    there = f"arn:aws:sagemaker:eu-west-1:{account}"
    assert runtime.model_registry == f"{there}:model-package-group/{group}"
    assert plan.named("platform-models").inputs["modelPackageGroupName"] == group
    assert runtime.image_repository == "registry.example/image"  # the double's, as the service would say it
    assert runtime.approvals_required == (1 if stack.endswith("prod") else 0)
    registers = [
        (owner, sorted(statement["Resource"]))
        for owner, statement in documents(plan)
        if any("ModelPackage" in action for action in statement["Action"])
    ]
    assert registers == [
        ("identity-ci-github-policy", [f"{there}:model-package-group/{group}", f"{there}:model-package/{group}/*"])
    ]


@pytest.mark.parametrize("stack", [*ALL, *(f"aws-databricks-{environment}" for environment in ENVIRONMENTS)])
def test_only_jobs_of_training_write_where_a_training_vouches_for_its_candidate(
    planned: Callable[..., Plan], stack: str
) -> None:
    """`mlops release` believes what lies there by that alone: no tracking server can write it, nor who logs to one."""
    (writer,) = writers(planned(stack), f"{PREFIX}/a-problem/20261130T000000-run.json")
    assert "training" in writer


@pytest.mark.parametrize("stack", [*ALL, *(f"aws-databricks-{environment}" for environment in ENVIRONMENTS)])
def test_ci_alone_writes_what_a_release_leaves_in_the_store(planned: Callable[..., Plan], stack: str) -> None:
    for key in ("releases/run.json", "bundles/sha256/1/manifest.json"):
        assert writers(planned(stack), key) == {"identity-ci-github-policy"}


def writers(plan: Plan, key: str) -> set[str]:
    """Whose policies allow to write an object of the stack's store."""
    store = Runtime.model_validate(plan.outputs).store_uri.removeprefix("s3://")
    return {
        owner
        for owner, statement in documents(plan)
        if statement["Effect"] == "Allow"
        and owner != "network-s3"  # what may pass the door at all, which gives nobody a right
        and any(fnmatch("s3:PutObject", action) for action in statement["Action"])
        and any(fnmatch(f"arn:aws:s3:::{store}/{key}", resource) for resource in statement.get("Resource", []))
    }


@pytest.mark.parametrize("stack", ALL)
def test_no_policy_allows_a_wildcard_action_on_a_wildcard_resource(planned: Callable[..., Plan], stack: str) -> None:
    statements = list(documents(planned(stack)))
    assert len(statements) > 40
    for name, statement in statements:
        if statement["Effect"] == "Allow":
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            assert not [action for action in actions if "*" in action], name


@pytest.mark.parametrize("stack", ALL)
def test_every_resource_bears_a_condition_or_is_one_of_the_few_actions_that_know_no_resource(
    planned: Callable[..., Plan], stack: str
) -> None:
    resourceless = re.compile(
        r"ecr:GetAuthorizationToken|ec2:(Describe|(Create|Delete)NetworkInterface)\w*|ec2:(Una|A)ssignPrivateIpAddresses"
        r"|xray:Put(TraceSegments|TelemetryRecords)|batch:(DescribeJobs|ListJobs)"
    )
    for name, statement in documents(planned(stack)):
        everything = statement.get("Resource") == ["*"] and statement["Effect"] == "Allow"
        if everything and "Principal" not in statement and "Condition" not in statement:
            assert all(resourceless.fullmatch(action) for action in statement["Action"]), name


@pytest.mark.parametrize("stack", ALL)
def test_services_take_a_role_only_for_this_account_and_ci_only_for_its_own_pipeline(
    planned: Callable[..., Plan], stack: str
) -> None:
    environment = stack.rpartition("-")[2]
    for role in of_type(planned(stack), "iam/role:Role"):
        (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        claims = statement.get("Condition", {}).get("StringEquals")
        if "Federated" in statement["Principal"]:
            host = "token.actions.githubusercontent.com"
            assert claims == {
                f"{host}:aud": "sts.amazonaws.com",
                f"{host}:sub": f"repo:example/mlops:environment:{environment}",
            }
        elif statement["Principal"]["Service"] in (["cloudtrail.amazonaws.com"], ["ecr.amazonaws.com"]):
            assert claims is None, "they don't say for which account they take it: they would be shut out"
        else:
            assert claims == {"aws:SourceAccount": json.loads(stated(stack)["mlops:aws"])["account_id"]}


def test_every_ci_system_is_believed_by_what_it_signs_alone(planned: Callable[..., Plan]) -> None:
    devops = {
        "organization": "acme",
        "organization_id": "01234567-89ab-cdef-0123-456789abcdef",
        "project": "ml",
        "service_connection": "aws-dev",
    }
    ci = json.dumps({"github": "acme/ml", "gitlab": "acme/group/ml", "azure_devops": devops})
    plan = planned(SAGEMAKER[0], **{"mlops:ci": ci})
    assert sorted(r.inputs["url"] for r in of_type(plan, "iam/openIdConnectProvider:OpenIdConnectProvider")) == [
        "https://gitlab.com",
        "https://token.actions.githubusercontent.com",
        f"https://vstoken.dev.azure.com/{devops['organization_id']}",
    ]
    subjects = [
        value
        for _, statement in documents(plan)
        for key, value in statement.get("Condition", {}).get("StringEquals", {}).items()
        if key.endswith(":sub")
    ]
    assert sorted(subjects) == [
        "project_path:acme/group/ml:ref_type:branch:ref:main",
        "repo:acme/ml:environment:dev",
        "sc://acme/ml/aws-dev",
    ]
    assert not of_type(plan, "iam/accessKey:AccessKey", "iam/user:User")


def test_the_examples_for_ci_take_the_roles_that_a_stack_makes(planned: Callable[..., Plan]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "aws.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]
    assert len(examples) == 3
    ci = json.dumps({"github": "acme/ml", "gitlab": "acme/ml"})
    plan = planned("aws-sagemaker-test", **{"mlops:ci": ci})
    account = json.loads(stated("aws-sagemaker-test")["mlops:aws"])["account_id"]
    made = {f"arn:aws:iam::{account}:role/{role.inputs['name']}" for role in of_type(plan, "iam/role:Role")}
    taken = set(re.findall(r"arn:aws:iam::\d+:role/[\w-]+", "".join(json.dumps(each) for each in examples)))
    assert len(taken) == 2
    assert taken <= made
    assert examples[0]["jobs"]["promote"]["environment"] == "test"  # the subject of GitHub's token
    providers = of_type(plan, "iam/openIdConnectProvider:OpenIdConnectProvider")
    audience = examples[1]["promote"]["id_tokens"]["AWS_TOKEN"]["aud"]
    assert [audience] in [provider.inputs["clientIdLists"] for provider in providers]


def test_the_next_environment_reads_releases_and_nothing_else(planned: Callable[..., Plan]) -> None:
    reader = "arn:aws:iam::444455556666:root"
    granted = [
        (name, action)
        for name, statement in documents(planned("aws-sagemaker-dev"))
        if statement.get("Principal") == {"AWS": reader}
        for action in statement["Action"]
    ]
    assert {name for name, _ in granted} == {"keys-data", "store-policy", "images-policy"}
    assert {action for _, action in granted} == {
        *("kms:Decrypt", "kms:DescribeKey", "s3:GetObject", "s3:ListBucket"),
        *("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"),
    }
    assert not [
        name
        for name, statement in documents(planned("aws-sagemaker-prod"))
        if "root" in json.dumps(statement.get("Principal", {})) and "123456789012" not in json.dumps(statement)
    ]


def test_ci_of_the_next_environment_may_borrow_just_that(planned: Callable[..., Plan]) -> None:
    """Between two accounts, both must allow it: the policies of what is lent, and that of the role which borrows."""

    def things(stack: str, name: str, sid: str) -> set[str]:
        return {
            resource
            for owner, statement in documents(planned(stack))
            if owner == name and statement["Sid"].startswith(sid)
            for resource in statement["Resource"]
        }

    lent = things("aws-sagemaker-dev", "store-policy", "PromotedFrom")
    borrowed = things("aws-sagemaker-test", "identity-ci-github-policy", "Previous")
    assert {arn for arn in borrowed if ":s3:" in arn} == lent
    assert "arn:aws:ecr:eu-west-1:111122223333:repository/mlops-aws-sagemaker-dev-image" in borrowed
    assert not things("aws-sagemaker-dev", "identity-ci-github-policy", "Previous")


@pytest.mark.parametrize("stack", ALL)
def test_whoever_starts_machines_with_encrypted_disks_may_lend_the_key_to_them(
    planned: Callable[..., Plan], stack: str
) -> None:
    """SageMaker's API reference: CreateEndpoint and CreateTrainingJob need kms:CreateGrant where a key is named."""
    starting = {"sagemaker:CreateEndpoint", "sagemaker:CreateTrainingJob"}
    allowed: dict[str, set[str]] = {}
    for name, statement in documents(planned(stack)):
        if statement["Effect"] == "Allow" and "Principal" not in statement:
            allowed.setdefault(name, set()).update(statement["Action"])
    starters = {name for name, actions in allowed.items() if starting & actions}
    assert bool(starters) is ("sagemaker" in stack)
    assert {name for name in starters if "kms:CreateGrant" in allowed[name]} == starters
