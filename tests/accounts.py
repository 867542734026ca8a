"""Who may do what in simulated AWS accounts, for requests to moto's S3: the policies are the stacks' own.

moto itself knows neither conditions nor the policies of buckets and keys between accounts. What is here is the rule of
AWS's own page on evaluation (docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html), for
what these stacks use: a Deny anywhere wins; in one account the role's policy or the bucket's must allow, and a key's
policy and the role's; between two accounts the role's policy and the thing's. No session policies, boundaries, SCPs,
grants or ACLs. A condition that it doesn't know is an error, never a yes.
Only sessions of roles that a stack has made are judged; whoever else asks is the operator of the simulation.
"""

import json
import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import unescape

import boto3
import pytest
import s3fs
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import s3_backends
from moto.s3.responses import S3Response
from moto.sts.models import sts_backends

__all__ = ["Guard", "acting_as", "guard"]

CONTEXT = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}  # what moto's plain HTTP stands for
READS, WRITES = ("GET", "HEAD"), ("PUT", "POST")


@dataclass(frozen=True)
class Session:
    """A role in use."""

    account: str
    role: str
    policies: tuple[dict[str, Any], ...]


class Guard:
    """The requests that it refused, as (role, action, resource)."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str, str]] = []
        self.allowed: set[tuple[str, str]] = set()

    def check(self, response: Any, bucket: str | None, key: str | None) -> None:
        """Raise S3AccessDeniedError when the request's role may not do it."""
        session = _session(response.headers.get("Authorization", ""))
        if session is None or bucket is None:
            return
        owner = s3_backends.bucket_accounts.get(bucket)
        held = s3_backends[owner[1]]["aws"].get_bucket(bucket) if owner else None
        if held is None:
            return
        action, resources = _asked(response, bucket, key)
        context = CONTEXT | {"s3:prefix": response.querystring.get("prefix", [""])[0]}
        policy = json.loads(held.policy) if held.policy else {"Statement": []}
        needed = [(action, resource, policy, held.account_id, False) for resource in resources]
        if key is not None and (arn := _key_of(held)):
            used = "kms:Decrypt" if action == "s3:GetObject" else "kms:GenerateDataKey"
            _, _, _, region, account, name = arn.split(":")
            key_policy = json.loads(kms_backends[account][region].keys[name.removeprefix("key/")].policy)
            needed.append((used, arn, key_policy, account, True))
            context |= {"kms:ViaService": f"s3.{region}.amazonaws.com"}
        for each, on, document, account, is_key in needed:
            if not _may(session, each, on, document, account, context, is_key=is_key):
                self.refused.append((session.role, each, on))
                raise S3AccessDeniedError
            self.allowed.add((session.role, each))


def _asked(response: Any, bucket: str, key: str | None) -> tuple[str, list[str]]:
    """The action, and the things that it is done to: a request that deletes many is judged for each."""
    arn = f"arn:aws:s3:::{bucket}"
    if key is None and response.method == "POST":
        named = re.findall(rb"<Key>(.*?)</Key>", response.body)
        return "s3:DeleteObject", [f"{arn}/{unescape(each.decode())}" for each in named]
    if key is None:
        return "s3:ListBucket", [arn]
    verb = "Get" if response.method in READS else "Put" if response.method in WRITES else "Delete"
    return f"s3:{verb}Object", [f"{arn}/{key}"]


def _key_of(bucket: Any) -> str | None:
    rules = (bucket.encryption or {}).get("Rule", [])
    rule: Any = rules[0] if isinstance(rules, list) and rules else rules
    return rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID") if rule else None


def _session(authorization: str) -> Session | None:
    found = re.search(r"Credential=([^/]+)/", authorization)
    for account, backends in sts_backends.items():
        for assumed in backends["aws"].assumed_roles:
            if found is None or assumed.access_key_id != found[1]:
                continue
            name = assumed.role_arn.rpartition("/")[2]
            iam = iam_backends[account]["aws"]
            role = next((role for role in iam.roles.values() if role.name == name), None)
            if role is None:
                return None
            return Session(account, role.arn, tuple(_document(text) for text in role.policies.values()))
    return None


def _document(text: Any) -> dict[str, Any]:
    return json.loads(text) if isinstance(text, str) else text


def _may(
    session: Session, action: str, resource: str, policy: Any, owner: str, context: Mapping[str, str], *, is_key: bool
) -> bool:
    of_role = {_effect(s, action, resource, context) for document in session.policies for s in _statements(document)}
    on_it = [s for s in _statements(policy) if _names(s.get("Principal"), session)]
    of_thing = {_effect(s, action, "*" if is_key else resource, context) for s in on_it}
    if "Deny" in of_role | of_thing:
        return False
    if session.account != owner or is_key:
        return "Allow" in of_role and "Allow" in of_thing
    return "Allow" in of_role or "Allow" in of_thing


def _effect(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> str | None:
    applies = _matches(statement["Action"], action) and _matches(statement["Resource"], resource)
    return statement["Effect"] if applies and _holds(statement.get("Condition", {}), context) else None


def _holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    for operator, tests in condition.items():
        for name, wanted in tests.items():
            value = context.get(name)
            if value is None:
                return False
            if operator in ("StringEquals", "Bool"):
                held = value in _list(wanted)
            elif operator == "StringLike":
                held = _matches(wanted, value)
            elif operator == "NumericLessThan":
                held = float(value) < float(wanted)
            else:
                raise NotImplementedError(f"the condition {operator}")
            if not held:
                return False
    return True


def _names(principal: Any, session: Session) -> bool:
    """Whether a statement is about the session; an account's root stands for whoever is in it."""
    if principal == "*":
        return True
    accounts = _list((principal or {}).get("AWS", []))
    return bool({session.role, f"arn:aws:iam::{session.account}:root", "*"} & set(accounts))


def _matches(patterns: Any, value: str) -> bool:
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value) for pattern in _list(patterns)
    )


def _statements(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _list(document["Statement"])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@contextmanager
def guard() -> Generator[Guard]:
    """Judge every request to the S3 of moto's server, which must be one of this process."""
    made = Guard()

    def judged(self: Any, bucket_name: str | None = None, key_name: str | None = None) -> None:
        made.check(self, bucket_name, key_name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Response, "_authenticate_and_authorize_s3_action", judged)
        yield made


@contextmanager
def acting_as(role: str, endpoint: str) -> Generator[dict[str, str]]:
    """Have this process's clients take a role, as CI does with a token; the variables, for other processes."""
    sts = boto3.Session("x", "x").client("sts", endpoint_url=endpoint, region_name="us-east-1")
    taken = sts.assume_role_with_web_identity(RoleArn=role, RoleSessionName="test", WebIdentityToken="token" * 4)
    keys = taken["Credentials"]
    variables = {
        "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
        "AWS_SESSION_TOKEN": keys["SessionToken"],
    }
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            _forget_clients()
            yield os.environ | variables
    finally:
        _forget_clients()


def _forget_clients() -> None:
    """One that is remembered would ask as somebody else."""
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.DEFAULT_SESSION = None
