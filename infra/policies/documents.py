"""Policy documents of IAM, read for rules."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from infra.policies.rule import Resource

__all__ = ["Statement", "statements"]

# Conditions on who asks: with one of these, a principal of * is not everybody.
NARROWING = (
    *("aws:sourceaccount", "aws:sourcearn", "aws:principalaccount", "aws:principalarn", "aws:principalorgid"),
    *("aws:resourceaccount", "aws:sourceorgid", "aws:sourcevpce", "aws:sourcevpc", "kms:calleraccount"),
)


@dataclass(frozen=True)
class Statement:
    """One statement, with its alternatives made equal: lists where there may be one or many."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principals: tuple[tuple[str, str], ...]  # (kind, who)
    condition: Mapping[str, Mapping[str, Any]]
    negated: tuple[str, ...]  # NotAction, NotResource, NotPrincipal

    @property
    def allows(self) -> bool:
        """Whether it gives something."""
        return self.effect == "Allow"

    @property
    def is_for_everybody(self) -> bool:
        """Whether anybody, of any account, is meant."""
        return ("AWS", "*") in self.principals and not self.conditions_on(*NARROWING)

    def conditions_on(self, *keys: str) -> list[tuple[str, str, Any]]:
        """(operator, key, value) of each condition on one of these keys, whatever their case."""
        wanted = {key.lower() for key in keys}
        return [
            (operator, key, value)
            for operator, claims in self.condition.items()
            for key, value in claims.items()
            if key.lower() in wanted
        ]


def statements(resource: Resource, path: str) -> Sequence[Statement]:
    """The statements of the document at `path`; none of what is no document, which the cloud itself refuses."""
    document = resource.values.at(path)
    return _written(document) if isinstance(document, str) else _stated(document)


@lru_cache(maxsize=1024)  # each of some thirty rules reads the same texts
def _written(text: str) -> Sequence[Statement]:
    try:
        document = json.loads(text)
    except ValueError:
        return ()
    return _stated(document)


def _stated(document: Any) -> Sequence[Statement]:
    given: Any = document.get("Statement", []) if isinstance(document, Mapping) else []
    several = [given] if isinstance(given, Mapping) else given
    return tuple(_statement(each) for each in several if isinstance(each, Mapping))


def _statement(given: Mapping[str, Any]) -> Statement:
    return Statement(
        effect=str(given.get("Effect", "")),
        actions=_many(given.get("Action")),
        resources=_many(given.get("Resource")),
        principals=tuple(_principals(given.get("Principal"))),
        condition=given.get("Condition") or {},
        negated=tuple(key for key in ("NotAction", "NotResource", "NotPrincipal") if key in given),
    )


def _many(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(each) for each in value)


def _principals(value: Any) -> Iterator[tuple[str, str]]:
    if value == "*":
        yield "AWS", "*"
    elif isinstance(value, Mapping):
        for kind, who in value.items():
            yield from ((str(kind), each) for each in _many(who))
