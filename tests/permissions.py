"""AWS's published list of actions and of what each is about, the Service Authorization Reference, by policy_sentry."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from policy_sentry.querying.actions import get_action_data

__all__ = ["formats", "problems"]


@cache
def formats(action: str) -> tuple[str, ...] | None:
    """The ARNs that an action can be about, `*` in place of what varies; `*` alone for any; None for no such action."""
    service, _, name = action.partition(":")
    known = get_action_data(service, name) or {}
    listed = [entry for entry in known.get(service, []) if entry["action"] == action]  # exactly so, in its case
    return tuple(re.sub(r"\$\{[^}]*\}", "*", entry["resource_arn_format"]) for entry in listed) or None


def problems(statement: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with what a statement allows: no such action, or a resource that the action is never about."""
    for action in _list(statement["Action"]):
        about = formats(action)
        if about is None:
            yield f"{action} is no action"
        elif "Resource" in statement and not any(_meet(r, f) for r in _list(statement["Resource"]) for f in about):
            yield f"{action} is about {' or '.join(about)}, never about {', '.join(_list(statement['Resource']))}"
    unused = [
        resource
        for resource in _list(statement.get("Resource", []))
        if not any(_meet(resource, f) for action in _list(statement["Action"]) for f in formats(action) or ())
    ]
    if unused:
        yield f"no action is about {', '.join(unused)}"


def _meet(resource: str, about: str) -> bool:
    """Whether a resource of a policy and a kind of resource have an ARN in common."""
    if about == "*":
        return True  # the action knows no resource, or can be about none
    return resource != "*" and _overlap(resource, about)  # `*`: it could be narrowed


@cache
def _overlap(one: str, other: str) -> bool:
    """Whether two patterns, `*` in them for anything, have a text in common."""
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(one, other[1:]) or _overlap(one[1:], other)
    return one[0] == other[0] and _overlap(one[1:], other[1:])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
