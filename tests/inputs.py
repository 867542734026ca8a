"""Every input of a shipped stack's resources as a text that can be read in a review: `python -m tests.inputs --write`.

An id or ARN that the simulated account makes up stands as `<name.id>`, DEV and TEST as what differs from PROD, and what
all targets of a cloud have alike once, in the cloud's file.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from infra.config import ENVIRONMENTS
from infra.engine.environ import PROJECT
from infra.policies.rule import UNKNOWN
from infra.simulation.faults import Faults
from infra.simulation.world import World
from tests.planned import RUN, Planned, stated
from tests.plans import shared_plan

__all__ = ["FOLDER", "SHIPPED", "texts"]

FOLDER = Path(__file__).parent / "contract" / "golden" / "inputs"
STACKS = sorted(file.stem.removeprefix("Pulumi.") for file in (PROJECT / "stacks").glob("Pulumi.*-prod.yaml"))
SHIPPED = [stack.removesuffix("-prod") for stack in STACKS if not stack.startswith("local-")]
TARGETS = {cloud: list(targets) for cloud, targets in groupby(SHIPPED, lambda target: target.partition("-")[0])}
GONE = "(not there)"
MADE_UP = re.compile("[0-9a-f]{8,}")
DIGEST = re.compile(r"\b[0-9a-f]{64}\b")
HASHED = re.compile(r"(<target>-(?:dev|test|prod)[a-z-]*)-[0-9a-f]{6}\b")  # names that tell configurations apart


def texts() -> dict[str, str]:
    """File name → text: of each cloud what is alike in all its targets, of each target what is its own."""
    found: dict[str, str] = {}
    for cloud, targets in TARGETS.items():
        contents = {target: _content(target) for target in targets}
        common = {
            part: {
                name: value
                for name, value in resources.items()
                if all(each[part].get(name) == value for each in contents.values())
            }
            for part, resources in next(iter(contents.values())).items()
        }
        own = {
            target: {
                part: {name: value for name, value in resources.items() if name not in common[part]}
                for part, resources in content.items()
            }
            for target, content in contents.items()
        }
        for name, content in {cloud: common, **own}.items():
            found[f"{name}.yaml"] = yaml.dump(content, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
    return found


def _content(target: str) -> dict[str, dict[str, Any]]:
    """All three environments of a target."""
    prod, *others = (_resources(target, environment) for environment in reversed(ENVIRONMENTS))
    content = {"prod": prod}
    for environment, resources in zip([*reversed(ENVIRONMENTS)][1:], others, strict=True):
        content[f"{environment}, where it differs from prod"] = dict(_differences(prod, resources, environment))
    return content


def _resources(target: str, environment: str) -> dict[str, Any]:
    """By name and type: the inputs, with policy documents opened."""
    planned = shared_plan(f"{target}-{environment}")
    masks = [(str(PROJECT), "<checkout>"), (target, "<target>"), *_accounts(target, environment)]
    made_up = [*_made_up(planned), *masks]
    found: dict[str, Any] = {}
    for each in sorted(planned.resources, key=lambda each: (each.name, each.type)):
        marks = {"(protected)": True} if each.is_protected else {}
        found[f"{each.name} ({each.type})"] = _opened(each.properties, made_up) | marks
    return found


def _accounts(target: str, environment: str) -> Iterator[tuple[str, str]]:
    for each in ENVIRONMENTS:
        account = json.loads(stated(f"{target}-{each}")[f"mlops:{target.partition('-')[0]}"])["account_id"]
        yield account, "<account>" if each == environment else f"<account of {each}>"


def _made_up(planned: Planned) -> list[tuple[str, str]]:
    """Ids and ARNs, the longest first: a part of a text may be another thing's id."""
    things = World(planned.account, Faults([])).account(planned.stack, RUN).things()
    named = [
        (value, f"<{thing.urn.rpartition('::')[2]}.{output}>")
        for thing in things
        for output, value in {"id": thing.id, "arn": thing.outputs.get("arn")}.items()
        if isinstance(value, str) and MADE_UP.search(value.replace(thing.account, ""))
    ]
    return sorted(dict(reversed(named)).items(), key=lambda each: -len(each[0]))


def _opened(value: Any, made_up: Sequence[tuple[str, str]]) -> Any:
    if isinstance(value, Mapping):
        return {_named(key, made_up): _opened(value[key], made_up) for key in sorted(value)}
    if isinstance(value, list):
        return [_opened(each, made_up) for each in value]
    if isinstance(value, str) and re.match(r"[\[{]", value):
        try:
            return _opened(json.loads(value), made_up)
        except ValueError:
            pass
    return _named(value, made_up) if isinstance(value, str) else "(known later)" if value is UNKNOWN else value


def _named(text: str, made_up: Sequence[tuple[str, str]]) -> str:
    for value, label in made_up:
        text = text.replace(value, label)
    return DIGEST.sub("<sha256>", HASHED.sub(r"\1-######", text))


def _differences(prod: Any, other: Any, environment: str) -> Iterator[tuple[str, Any]]:
    """(path, the other's value); the environment's own name in a text is no difference."""
    if isinstance(prod, Mapping) and isinstance(other, Mapping):
        for key in [*prod, *(key for key in other if key not in prod)]:
            if key not in other or key not in prod:
                yield str(key), other.get(key, GONE)
            else:
                for path, value in _differences(prod[key], other[key], environment):
                    yield f"{key} / {path}" if path else str(key), value
    elif _neutral(prod, "prod") != _neutral(other, environment):
        yield "", other


def _neutral(value: Any, environment: str) -> str:
    return re.sub(rf"\b{environment}\b", "<environment>", json.dumps(value, sort_keys=True), flags=re.IGNORECASE)


class _Plain(yaml.CSafeDumper):
    """No anchors: what is said twice is read twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


if __name__ == "__main__":
    for name, text in texts().items():
        if "--write" in sys.argv:
            (FOLDER / name).write_text(text, encoding="utf-8")
        else:
            print(f"# {name}\n{text}")
