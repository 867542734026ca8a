"""The grammar of IAM documents, checked without an account (IAM user guide, "Grammar of the JSON policy language")."""

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["policy_problems", "policy_size", "principal_arns"]

TOP_LEVEL = {"Version", "Id", "Statement"}
STATEMENT = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}
VERSIONS = ("2012-10-17", "2008-10-17")
PRINCIPALS = ("AWS", "Service", "Federated", "CanonicalUser")
ACTION = re.compile(r"\*|[a-z0-9-]+:[A-Za-z0-9*?]+")
RESOURCE = re.compile(r"\*|arn:[^:\s]+:[^:\s]+:[^:\s]*:[^:\s]*:\S+")
AWS_PRINCIPAL = re.compile(r"\*|\d{12}|arn:[a-z-]+:(iam|sts)::(\d{12}|cloudfront):\S+|A[A-Z]{3}[A-Z2-7]{16,17}")
SERVICE_PRINCIPAL = re.compile(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.internal)")
OPERATORS = {
    *(
        f"String{kind}"
        for kind in ("Equals", "NotEquals", "EqualsIgnoreCase", "NotEqualsIgnoreCase", "Like", "NotLike")
    ),
    *(
        f"{type_}{kind}"
        for type_ in ("Numeric", "Date")
        for kind in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
    ),
    *(f"Arn{kind}" for kind in ("Equals", "NotEquals", "Like", "NotLike")),
    *("Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "Null"),
}
# The longest document of each kind, without white space (IAM and STS quotas; S3's for a bucket's policy; KMS's for a
# key's). A role's inline policies have their 10,240 together: `together` in rules/aws/iam.yaml.
OF_IDENTITIES = ("identity", "inline")  # a managed policy, and one that is part of a role
LONGEST = {"identity": 6144, "inline": 10240, "trust": 2048, "resource": 20480, "repository": 10240, "key": 32768}


def policy_problems(document: Any, kind: str) -> Iterator[str]:
    """Why the document of a kind (`identity`, `trust` …) would be refused; nothing when it is accepted."""
    if not isinstance(document, Mapping):
        yield "is no policy: it is not a JSON object"
        return
    if unknown := sorted(document.keys() - TOP_LEVEL):
        yield f"has {', '.join(unknown)}, which no policy has; there are {', '.join(sorted(TOP_LEVEL))}"
    if (version := document.get("Version", VERSIONS[1])) not in VERSIONS:
        yield f"has Version {version!r}; there are {' and '.join(VERSIONS)}"
    statements = document.get("Statement")
    listed = statements if isinstance(statements, list) else [statements] if statements else []
    if not listed:
        yield "has no Statement"
    for index, statement in enumerate(listed):
        where = f"Statement[{index}]"
        if isinstance(statement, Mapping):
            yield from (f"{where} {reason}" for reason in _statement_problems(statement, kind))
        else:
            yield f"{where} is not an object"
    sids = [each["Sid"] for each in listed if isinstance(each, Mapping) and each.get("Sid")]
    if repeated := {sid for sid in sids if sids.count(sid) > 1}:
        yield f"has more than one statement with the Sid {', '.join(sorted(repeated))}"
    if kind == "key" and listed and not any(_keeps_open(each) for each in listed):
        yield "lets nobody of AWS change it again: allow kms:* (or kms:PutKeyPolicy) to the account's root or a role"
    if (size := policy_size(document)) > LONGEST[kind]:
        yield f"has {size} characters without white space; {LONGEST[kind]} are allowed"


def _keeps_open(statement: Any) -> bool:
    """Whether somebody may change the key's policy again, without which KMS takes none."""
    if not isinstance(statement, Mapping) or statement.get("Effect") != "Allow":
        return False
    principal = statement.get("Principal")
    somebody = principal == "*" or (isinstance(principal, Mapping) and "AWS" in principal)
    return somebody and any(
        fnmatch.fnmatchcase("kms:putkeypolicy", str(each).lower()) for each in _list(statement.get("Action"))
    )


def policy_size(document: Any) -> int:
    """The characters of a document, text or parsed, as IAM counts them: without white space."""
    return len(re.sub(r"\s", "", document if isinstance(document, str) else json.dumps(document)))


def principal_arns(document: Any) -> Iterator[str]:
    """The ARNs of the users and roles that the document names: IAM refuses those that don't exist."""
    statements = document.get("Statement") if isinstance(document, Mapping) else None
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal") if isinstance(statement, Mapping) else None
        if isinstance(principal, Mapping):
            yield from (
                name
                for kind in ("AWS", "Federated")
                for name in _list(principal.get(kind))
                if isinstance(name, str) and name.startswith("arn:")
            )


def _statement_problems(statement: Mapping[str, Any], kind: str) -> Iterator[str]:
    if unknown := sorted(statement.keys() - STATEMENT):
        yield f"has {', '.join(unknown)}, which no statement has; there are {', '.join(sorted(STATEMENT))}"
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield f"has Effect {statement.get('Effect')!r}; it must be Allow or Deny"
    sid = statement.get("Sid")
    if kind in OF_IDENTITIES and sid and not re.fullmatch(r"[A-Za-z0-9]*", str(sid)):
        yield f"has Sid {sid!r}; letters and digits only"
    yield from _one_of(statement, "Action", "NotAction")
    yield from _targets(statement, kind)
    for key in ("Action", "NotAction"):
        for action in _list(statement.get(key)):
            if not isinstance(action, str) or not ACTION.fullmatch(action):
                yield f"has {key} {action!r}; an action is <service>:<name>, as in s3:GetObject"
    for key in ("Resource", "NotResource"):
        for resource in _list(statement.get(key)):
            if not isinstance(resource, str) or not RESOURCE.fullmatch(resource):
                yield f"has {key} {resource!r}; a resource is an ARN or *"
    yield from _condition_problems(statement.get("Condition"))


def _targets(statement: Mapping[str, Any], kind: str) -> Iterator[str]:
    if kind == "trust":
        if {"Resource", "NotResource"} & statement.keys():
            yield "has a Resource, which a role's trust policy can't have"
        if others := [each for each in _list(statement.get("Action")) if not str(each).startswith("sts:")]:
            yield f"has Action {others[0]!r}; a role's trust policy says who may take it, by actions of sts alone"
    elif kind != "repository":  # an image repository's policy speaks of that repository alone
        yield from _one_of(statement, "Resource", "NotResource")
    if kind in OF_IDENTITIES:
        if {"Principal", "NotPrincipal"} & statement.keys():
            yield "has a Principal, which a policy of an identity can't have"
    else:
        yield from _one_of(statement, "Principal", "NotPrincipal")
        for key in ("Principal", "NotPrincipal"):
            if key in statement:
                yield from _principal_problems(statement[key])


def _principal_problems(principal: Any) -> Iterator[str]:
    if principal == "*":
        return
    if not isinstance(principal, Mapping) or not principal:
        yield f"has Principal {principal!r}; it must be * or an object with {', '.join(PRINCIPALS)}"
        return
    for kind, names in principal.items():
        if kind not in PRINCIPALS:
            yield f"has the kind of principal {kind!r}; there are {', '.join(PRINCIPALS)}"
        pattern = {"AWS": AWS_PRINCIPAL, "Service": SERVICE_PRINCIPAL}.get(kind)
        for name in _list(names):
            if pattern and (not isinstance(name, str) or not pattern.fullmatch(name)):
                yield f"has {kind} principal {name!r}, which can't be one"


def _condition_problems(condition: Any) -> Iterator[str]:
    if condition is None:
        return
    if not isinstance(condition, Mapping):
        yield "has a Condition that is not an object"
        return
    for operator, tests in condition.items():
        name = re.sub(r"^For(All|Any)Values?:|^ForAnyValue:", "", str(operator)).removesuffix("IfExists")
        if name not in OPERATORS:
            yield f"has the condition operator {operator!r}, which doesn't exist"
        elif not isinstance(tests, Mapping) or not tests:
            yield f"has a condition {operator} without a key"


def _one_of(statement: Mapping[str, Any], *keys: str) -> Iterator[str]:
    given = [key for key in keys if key in statement]
    if len(given) != 1 or statement[given[0]] in ([], ""):
        yield f"needs exactly one of {' and '.join(keys)}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
