"""Where AWS keeps policy documents: (type, path of the document)."""

import json

from infra.policies.aws import _types as aws
from infra.policies.rule import Stack

__all__ = ["DOCUMENTS", "IDENTITY", "SHARED", "is_ours", "own_accounts"]

IDENTITY = {aws.ROLE_POLICY: "policy", aws.POLICY: "policy"}  # what an identity may do
SHARED = {  # who may use a thing
    aws.BUCKET_POLICY: "policy",
    aws.KEY: "policy",
    aws.TOPIC_POLICY: "policy",
    aws.TOPIC: "policy",
    aws.QUEUE_POLICY: "policy",
    aws.QUEUE: "policy",
    aws.REPOSITORY_POLICY: "policy",
    aws.SECRET: "policy",
}
DOCUMENTS = IDENTITY | SHARED | {aws.ENTRY: "policy", aws.ROLE: "assumeRolePolicy"}


def own_accounts(stack: Stack) -> set[str]:
    """The accounts that the stack's providers may work in; none where they don't say."""
    given = [each.values.at("allowedAccountIds", "[]") for each in stack.of(aws.PROVIDER)]
    return {account for each in given for account in (json.loads(each) if isinstance(each, str) else each)}


def is_ours(principal: str, accounts: set[str]) -> bool:
    """Whether an AWS principal is of one of these accounts."""
    return any(account in principal for account in accounts)
