"""An engine's plan of a stack, read for a picture: which component holds what, and which needs which."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Component", "components_of"]

STACK = "pulumi:pulumi:Stack"
PROVIDER = "pulumi:providers:"
# The engine's steps, and what a person calls them.
ACTIONS = {
    "create": "create",
    "update": "update",
    "delete": "delete",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "replace": "replace",
    "same": "same",
}


@dataclass(frozen=True)
class Component:
    """What stands directly below the stack, with all that is in it."""

    name: str
    type: str
    resources: Mapping[tuple[str, str], int]  # (action, type) → how many
    needs: frozenset[str]  # names of components


def components_of(plan: Path) -> list[Component]:
    """The components of a plan that `pulumi preview --save-plan` wrote."""
    planned: dict[str, Any] = json.loads(plan.read_text(encoding="utf-8"))["resourcePlans"]
    goals = {urn: each.get("goal") or {} for urn, each in planned.items()}
    real = [urn for urn in goals if not _type(urn).startswith((STACK, PROVIDER))]
    top = {urn: _top(urn, goals) for urn in real}
    found: list[Component] = []
    for head in dict.fromkeys(top.values()):
        members = [urn for urn in real if top[urn] == head]
        counted = Counter((_action(planned[urn]["steps"]), _type(urn)) for urn in members if goals[urn].get("custom"))
        needed = {top[each] for urn in members for each in _needs(goals[urn]) if each in top} - {head}
        names = frozenset(_name(each) for each in needed)
        found.append(Component(_name(head), _type(head), dict(sorted(counted.items())), names))
    return sorted(found, key=lambda component: component.name)


def _needs(goal: Mapping[str, Any]) -> set[str]:
    by_property = (goal.get("propertyDependencies") or {}).values()
    return {*(goal.get("dependencies") or []), *(urn for urns in by_property for urn in urns or [])}


def _top(urn: str, goals: Mapping[str, Any]) -> str:
    """The ancestor that stands directly below the stack."""
    parent = (goals.get(urn) or {}).get("parent") or ""
    return urn if parent not in goals or _type(parent) == STACK else _top(parent, goals)


def _action(steps: list[str]) -> str:
    actions = {ACTIONS.get(step, step) for step in steps}
    return next((action for action in ("replace", "create", "delete", "update") if action in actions), "same")


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]
