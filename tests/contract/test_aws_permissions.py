"""What the stacks' own roles are allowed, held to AWS's published list of actions."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.conftest import Plan
from tests.contract.test_aws import STACKS, documents, planned  # noqa: F401 # a fixture
from tests.permissions import problems

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
    planned: Callable[..., Plan],  # noqa: F811
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
