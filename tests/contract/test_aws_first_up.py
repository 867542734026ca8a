"""Whether `mlops permissions` allows each call that a first `up` makes, about the very thing that it makes."""

import fnmatch
from collections.abc import Iterator
from typing import Any

import pytest

from infra.config import StackConfig
from infra.permissions.policies import deploy_policies
from infra.simulation.account import Thing
from infra.simulation.faults import Faults
from infra.simulation.rules import Call, rule_for
from infra.simulation.world import World
from tests.contract.test_aws_permissions import STACKS
from tests.permissions import formats
from tests.planned import RUN, stated
from tests.plans import shared_plan

# Where an action of IAM isn't called as the operation of the API that it allows (Service Authorization Reference).
ACTIONS = {
    "budgets:CreateBudget": "budgets:ModifyBudget",
    "budgets:DescribeBudget": "budgets:ViewBudget",
    "iam:EnsureRole": "iam:CreateServiceLinkedRole",  # the role that Batch makes for itself
    "s3:GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "s3:GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "s3:GetBucketReplication": "s3:GetReplicationConfiguration",
    "s3:GetObjectLockConfiguration": "s3:GetBucketObjectLockConfiguration",
    "s3:GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "s3:PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "s3:PutBucketNotificationConfiguration": "s3:PutBucketNotification",
    "s3:PutBucketReplication": "s3:PutReplicationConfiguration",
    "s3:PutObjectLockConfiguration": "s3:PutBucketObjectLockConfiguration",
    "s3:PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
}


def calls(thing: Thing) -> Iterator[str]:
    """The actions that making and then reading the thing needs, from what the simulated cloud knows of its API."""
    rule = rule_for(thing.type)
    assert rule, thing.type
    api = [f"{rule.api.service}:{rule.api.create}"] if rule.api else []
    made: list[Call] = []
    if rule.mirror:
        made = [*rule.mirror.create, *([rule.mirror.read] if rule.mirror.read else [])]
    service = rule.api.service if rule.api else ""
    called = [f"{call.service or service}:{call.operation}" for call in made if _is_made(call, thing)]
    for each in dict.fromkeys([*api, *called]):
        yield ACTIONS.get(each, each)


def _is_made(call: Call, thing: Thing) -> bool:
    named = call.when or (call.each or "").partition("[")[0]
    return not named or bool(thing.get(named))


def about(thing: Thing, action: str) -> str | None:
    """The thing's ARN; None where the action is about none that is known before."""
    arn = thing.get("arn") or thing.get("id")
    if thing.type.startswith("aws:s3/"):
        key = f"/{thing.get('key')}" if action.endswith("Object") else ""
        return f"arn:aws:s3:::{thing.get('bucket')}{key}"
    known = isinstance(arn, str) and arn.startswith("arn:")
    return (
        arn if known and any(fnmatch.fnmatchcase(arn, each) for each in formats(action) or () if each != "*") else None
    )


def allowed(policies: list[dict[str, Any]], action: str, arn: str | None, region: str) -> bool:
    for policy in policies:
        for statement in policy["Statement"]:
            within = statement.get("Condition", {}).get("StringEquals", {}).get("aws:RequestedRegion", region)
            fits = arn is None or any(fnmatch.fnmatchcase(arn, each) for each in statement["Resource"])
            if action in statement["Action"] and fits and region in within:
                return True
    return False


@pytest.mark.parametrize("stack", STACKS)
def test_each_call_of_a_first_up_is_allowed_about_what_it_makes(stack: str) -> None:
    planned = shared_plan(stack)
    policies = deploy_policies(StackConfig.parse(stack, stated(stack)))
    things = [t for t in World(planned.account, Faults([])).account(stack, RUN).things() if t.type.startswith("aws:")]
    assert len(things) > 80
    refused = {
        f"{thing.type}: {action} on {about(thing, action)}"
        for thing in things
        for action in calls(thing)
        if not allowed(policies, action, about(thing, action), thing.region)
    }
    assert not refused, "\n".join(sorted(refused))


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_allowed_on_everything_that_could_be_narrowed(stack: str) -> None:
    """An action on `*` knows no resource, or has none with a name before it is made: then a condition narrows it."""
    open_ = [
        f"{statement['Sid']}: {action}"
        for policy in deploy_policies(StackConfig.parse(stack, stated(stack)))
        for statement in policy["Statement"]
        if "*" in statement["Resource"] and "Condition" not in statement
        for action in statement["Action"]
        if "*" in action or set(formats(action) or ()) != {"*"}
    ]
    assert not open_, "\n".join(open_)


def test_the_judge_is_able_to_refuse() -> None:
    policies = deploy_policies(StackConfig.parse("aws-sagemaker-dev", stated("aws-sagemaker-dev")))
    mine, other = "arn:aws:s3:::mlops-aws-sagemaker-dev-store-1", "arn:aws:s3:::somebody-elses"
    assert allowed(policies, "s3:CreateBucket", mine, "eu-west-1")
    assert not allowed(policies, "s3:CreateBucket", other, "eu-west-1")
    assert not allowed(policies, "s3:PutBucketAcl", mine, "eu-west-1")
    assert not allowed(policies, "ec2:CreateVpc", None, "us-east-1")
