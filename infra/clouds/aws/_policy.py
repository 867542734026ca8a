"""Policy documents of IAM and of the services that have policies of their own."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

__all__ = ["Statement", "allow", "deny", "document", "pass_role", "trust"]

Statement = Mapping[str, Any]
Texts = Sequence[pulumi.Input[str]]


def allow(
    sid: str,
    actions: Sequence[str],
    resources: Texts,
    *,
    to: Mapping[str, Any] | None = None,
    when: Mapping[str, Mapping[str, Any]] | None = None,
) -> Statement:
    """Allow `actions` on `resources`; `to` names the principals in a resource's policy, `when` is its condition."""
    return _statement("Allow", sid, actions, resources, to, when)


def deny(
    sid: str,
    actions: Sequence[str],
    resources: Texts,
    *,
    to: Mapping[str, Any] | str = "*",
    when: Mapping[str, Mapping[str, Any]] | None = None,
) -> Statement:
    """Deny `actions` on `resources`, to everybody unless `to` says whom."""
    return _statement("Deny", sid, actions, resources, to, when)


def pass_role(role: pulumi.Input[str], service: str) -> Statement:
    """Let a workload hand a role to a service, and to no other."""
    return allow("Pass", ["iam:PassRole"], [role], when={"StringEquals": {"iam:PassedToService": service}})


def trust(service: str | Sequence[str], account_id: str | None) -> pulumi.Output[str]:
    """Let a service take a role, for resources of this account alone (no confused deputy).

    None for a service that doesn't say for which account it takes a role: the condition would shut it out.
    """
    services = [service] if isinstance(service, str) else list(service)
    ours = {"Condition": {"StringEquals": {"aws:SourceAccount": account_id}}} if account_id else {}
    statement = {
        "Sid": "Trust",
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": [f"{name}.amazonaws.com" for name in services]},
        **ours,
    }
    return document(statement)


def document(*statements: Statement) -> pulumi.Output[str]:
    """The policy as JSON."""
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _statement(
    effect: str,
    sid: str,
    actions: Sequence[str],
    resources: Texts,
    to: Mapping[str, Any] | str | None,
    when: Mapping[str, Mapping[str, Any]] | None,
) -> Statement:
    return {
        "Sid": sid,
        "Effect": effect,
        **({"Principal": to} if to else {}),
        "Action": list(actions),
        "Resource": list(resources),
        **({"Condition": when} if when else {}),
    }
