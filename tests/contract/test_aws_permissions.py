"""What the stacks' own roles are allowed, and whoever deploys them, held to AWS's published list of actions."""

import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.config import StackConfig
from infra.config.platforms import TARGETS
from infra.permissions.command import permissions as command
from infra.permissions.policies import boundary, deploy_policies, permissions
from infra.simulation.iam import policy_problems
from tests.contract.conftest import GOLDEN, Plan, documents, of_type, stated
from tests.permissions import problems

# Every platform's, whoever adds it.
STACKS = sorted(file.name.split(".")[1] for file in (GOLDEN.parents[2] / "stacks").glob("Pulumi.aws-*.yaml"))
# As AWS writes the ARN of what the plan's double calls arn:aws:mock:::<name>.
ARNS = {
    "s3/bucket:Bucket": "arn:aws:s3:::{0}",
    "kms/key:Key": "arn:aws:kms:eu-west-1:111122223333:key/{0}",
    "ecr/repository:Repository": "arn:aws:ecr:eu-west-1:111122223333:repository/{0}",
    "cloudwatch/logGroup:LogGroup": "arn:aws:logs:eu-west-1:111122223333:log-group:{0}",
    "iam/role:Role": "arn:aws:iam::111122223333:role/{0}",
}
MOCK = "arn:aws:mock:::"


def real(plan: Plan, resource: str) -> str:
    """The resource of a policy with a real ARN's form."""
    found = re.fullmatch(rf"{MOCK}([\w-]+)(.*)", resource)
    if found is None:
        return resource
    (kind,) = [r.type.removeprefix("aws:") for r in plan.resources if r.name == found[1]]
    return ARNS[kind].format(found[1]) + found[2]


def allowed(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """The statements of roles' policies that allow something."""
    for name, statement in documents(plan):
        if statement["Effect"] == "Allow" and "Principal" not in statement:
            listed = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            yield name, statement | {"Resource": [real(plan, resource) for resource in listed]}


@pytest.mark.parametrize("stack", STACKS)
def test_roles_are_allowed_actions_that_exist_on_resources_that_they_are_about(
    planned: Callable[..., Plan],
    stack: str,
) -> None:
    found = [f"{name}/{s['Sid']}: {problem}" for name, s in allowed(planned(stack)) for problem in problems(s)]
    assert not found, "\n".join(found)


def test_the_list_is_able_to_object() -> None:
    wrong = {"Action": ["s3:GetObjekt"], "Resource": ["arn:aws:s3:::b/x"]}
    assert next(problems(wrong)) == "s3:GetObjekt is no action"
    pipeline = "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/p"
    (never, _) = problems({"Action": ["sagemaker:ListPipelineExecutionSteps"], "Resource": [pipeline]})
    assert "never about" in never
    assert not list(problems({"Action": ["sagemaker:StartPipelineExecution"], "Resource": [pipeline]}))


@pytest.mark.parametrize("stack", STACKS)
def test_whatever_a_stack_makes_is_allowed_to_be_made(stack: str) -> None:
    """A new type of resource has to be written into infra/permissions/aws.yaml."""
    golden = json.loads((GOLDEN / f"{stack}.json").read_text())
    made = {kind for resources in golden.values() for kind, *_ in resources if kind.startswith("aws:")}
    listed = {kind for each in permissions(stack.split("-")[1]) for kind in each.types}
    assert not {kind.removeprefix("aws:") for kind in made} - listed


@pytest.mark.parametrize("platform", [each.platform for each in TARGETS if each.cloud == "aws"])
def test_deploying_is_allowed_by_actions_that_exist_on_what_they_are_about(platform: str) -> None:
    found = [
        f"{statement['Sid']}: {problem}"
        for policy in deploy_policies(config_of(f"aws-{platform}-prod"))
        for statement in policy["Statement"]
        for problem in problems(statement)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("stack", STACKS)
def test_the_policies_fit_into_a_role_and_hold_no_wildcard_action(stack: str) -> None:
    policies = deploy_policies(config_of(stack))
    assert len(policies) < 10  # AWS attaches ten to a role
    for policy in [*policies, boundary(config_of(stack))]:
        assert len(re.sub(r"\s", "", json.dumps(policy))) <= 6144
        assert not list(policy_problems(policy, "identity"))
    actions = [action for policy in policies for statement in policy["Statement"] for action in statement["Action"]]
    assert not [action for action in actions if "*" in action]
    assert not {"iam:AttachRolePolicy", "iam:CreateUser", "iam:CreateAccessKey", "iam:CreatePolicyVersion"} & set(
        actions
    )


def test_no_role_can_be_made_or_changed_without_the_boundary() -> None:
    made = [
        statement
        for policy in deploy_policies(config_of("aws-sagemaker-dev"))
        for statement in policy["Statement"]
        if {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"} & set(statement["Action"])
    ]
    (statement,) = made
    arn = "arn:aws:iam::111122223333:policy/mlops-aws-sagemaker-dev-boundary"
    assert statement["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": arn}}


@pytest.mark.parametrize("stack", STACKS)
def test_the_boundary_lets_every_role_do_what_its_policy_says(planned: Callable[..., Plan], stack: str) -> None:
    within = [action for each in boundary(config_of(stack))["Statement"] for action in each["Action"]]
    beyond = {
        action
        for _, statement in allowed(planned(stack))
        for action in statement["Action"]
        if not any(fnmatch.fnmatchcase(action, pattern) for pattern in within)
    }
    assert not beyond
    assert not any(
        fnmatch.fnmatchcase(f"iam:{action}", p) for p in within for action in ("CreateUser", "PutRolePolicy")
    )


def test_a_bounded_stack_s_roles_have_the_boundary_and_another_s_none(planned: Callable[..., Plan]) -> None:
    account = json.loads(stated("aws-sagemaker-prod")["mlops:aws"])
    bounded = planned("aws-sagemaker-prod", **{"mlops:aws": json.dumps(account | {"roles_are_bounded": True})})
    arn = "arn:aws:iam::123456789012:policy/mlops-aws-sagemaker-prod-boundary"
    assert {role.inputs["permissionsBoundary"] for role in of_type(bounded, "iam/role:Role")} == {arn}
    roles = of_type(planned("aws-sagemaker-prod", **{"mlops:owner": "another"}), "iam/role:Role")
    assert roles
    assert not any("permissionsBoundary" in role.inputs for role in roles)


def test_the_command_writes_them_and_says_how_to_make_them(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        command, ["--stack", "aws-sagemaker-dev", "--into", str(tmp_path)], catch_exceptions=False
    )
    written = {file.stem: json.loads(file.read_text()) for file in tmp_path.iterdir()}
    assert written["boundary"] == boundary(config_of("aws-sagemaker-dev"))
    assert [written[f"deploy-{n}"] for n in range(1, len(written))] == deploy_policies(config_of("aws-sagemaker-dev"))
    assert done.stdout.count("aws iam create-policy --policy-name mlops-aws-sagemaker-dev-") == len(written)
    assert "roles_are_bounded: true" in done.stderr
    assert CliRunner().invoke(command, ["--stack", "local-dev"]).exit_code == 2


def config_of(stack: str) -> StackConfig:
    return StackConfig.parse(stack, stated(stack))
