"""A rule, what it looks at, and what it says when it is broken."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

__all__ = ["UNKNOWN", "Controls", "NotKnownYet", "Resource", "Rule", "Stack", "Values", "Violation"]


class _Mark(Enum):
    UNKNOWN = "known after it is made"


UNKNOWN = _Mark.UNKNOWN  # stands where a preview can't know the value yet


class NotKnownYet(Exception):
    """A rule asked for a value that only an `up` knows: it judges then, before the resource is made."""


class Values:
    """Properties as the engine gives them, read by path."""

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self.properties = properties

    def at(self, path: str, default: Any = None) -> Any:
        """The value at `a.b.c`, or the default where there is none; NotKnownYet where it isn't known."""
        value: Any = self.properties
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
            if value is UNKNOWN:
                raise NotKnownYet(path)
        return default if value is None else value

    def has(self, path: str) -> bool:
        """Whether anything is there, known already or not."""
        try:
            return self.at(path) not in (None, "", [], {})
        except NotKnownYet:
            return True

    def known(self, path: str, default: Any = None) -> Any:
        """The value at `path`, or the default where there is none or it isn't known yet."""
        try:
            return self.at(path, default)
        except NotKnownYet:
            return default

    def each(self, path: str) -> list["Values"]:
        """The mappings of a list at `path`; a single mapping counts as a list of one."""
        value = self.at(path, [])
        found = [value] if isinstance(value, Mapping) else list(value)
        if any(each is UNKNOWN for each in found):
            raise NotKnownYet(path)
        return [Values(each) for each in found]

    def texts(self, path: str) -> list[str]:
        """The texts of a list at `path`; one text counts as a list of one."""
        value = self.at(path, [])
        found = [value] if isinstance(value, str) else list(value)
        if any(each is UNKNOWN for each in found):
            raise NotKnownYet(path)
        return [str(each) for each in found]


@dataclass(frozen=True)
class Resource:
    """One resource of a stack; `sources` are the names of the resources that a property's value comes from."""

    type: str
    name: str
    properties: Mapping[str, Any]
    environment: str = "prod"
    is_protected: bool = False
    sources: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    urn: str = ""

    @property
    def values(self) -> Values:
        """Its properties, read by path."""
        return Values(self.properties)


class Stack:
    """All resources of a stack."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self.resources: Sequence[Resource] = list(resources)
        self._places: dict[str, list[int]] = {}
        for place, resource in enumerate(self.resources):
            self._places.setdefault(resource.type, []).append(place)

    @property
    def environment(self) -> str:
        """dev, test or prod."""
        return self.resources[0].environment if self.resources else "prod"

    def of(self, *types: str) -> list[Resource]:
        """The resources of these types, in the stack's order."""
        return [self.resources[place] for place in sorted(p for each in {*types} for p in self._places.get(each, ()))]

    def about(self, subject: Resource, type_: str, path: str) -> list[Resource]:
        """The resources of a type whose property names the subject, by its output or by the same text."""
        return [each for each in self.of(type_) if _names(each, path, subject)]


def _names(resource: Resource, path: str, subject: Resource) -> bool:
    if subject.name in resource.sources.get(path.partition(".")[0], frozenset()):
        return True
    try:
        value = resource.values.at(path)
    except NotKnownYet:
        return False
    known = [subject.properties.get(name) for name in ("id", "arn", "name", "bucket", "keyId")]
    return value is not None and value in [each for each in known if isinstance(each, str)]


@dataclass(frozen=True)
class Controls:
    """What a rule serves: controls by their numbers, and the duties of privacy laws that it helps to fulfil."""

    cis: tuple[str, ...] = ()  # CIS AWS Foundations Benchmark 5.0
    fsbp: tuple[str, ...] = ()  # AWS Foundational Security Best Practices, by Security Hub's control ids
    gdpr: tuple[str, ...] = ()  # articles
    hipaa: tuple[str, ...] = ()  # 45 CFR
    app: tuple[str, ...] = ()  # Australian Privacy Principles


@dataclass(frozen=True)
class Rule:
    """One demand, with a check that yields a fact for each place where it is broken.

    `check` looks at a resource of `types` alone, before it is made; `check_among` at one with all others of the stack;
    `check_stack` at the stack where no resource is to blame.
    """

    name: str
    demand: str  # one sentence
    remedy: str  # one sentence: what to do
    controls: Controls
    types: tuple[str, ...] = ()
    check: Callable[[Resource], Iterable[str]] | None = None
    check_among: Callable[[Resource, Stack], Iterable[str]] | None = None
    check_stack: Callable[[Stack], Iterable[str]] | None = None


@dataclass(frozen=True)
class Violation:
    """A rule that is broken, where, and what to do."""

    rule: Rule
    fact: str
    resource: Resource | None

    @property
    def message(self) -> str:
        """What is wrong and what to do."""
        return f"{self.fact[:1].upper()}{self.fact[1:]}. {self.rule.remedy}."

    def __str__(self) -> str:
        where = f"{self.resource.type} {self.resource.name!r}" if self.resource else "the stack"
        return f"{self.rule.name}, {where}: {self.message}"
