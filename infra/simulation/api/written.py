"""A property that is JSON text in the operation's own words: its names and types are checked, which no SDK does."""

import difflib
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from infra.simulation.schema import Problem

if TYPE_CHECKING:
    from infra.simulation.api.contract import Contract

__all__ = ["written_problems"]

KINDS: dict[str, tuple[type, ...]] = {
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
}
Check = Callable[[Any, "Contract", str, str], Iterator[Problem]]


def written_problems(text: Any, contract: "Contract", operation: str, path: str, check: Check) -> Iterator[Problem]:
    """Unknown names and wrong types, then what `check` says of the values; a text that is no JSON others refuse."""
    try:
        value = json.loads(text)
    except (TypeError, json.JSONDecodeError):
        return
    found = list(_problems(value, contract, path))
    yield from found or check(value, contract, operation, path)


def _is(value: Any, kinds: tuple[type, ...] | None) -> bool:
    return kinds is None or (isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)))


def _problems(value: Any, contract: "Contract", path: str) -> Iterator[Problem]:
    if not _is(value, KINDS.get(contract.kind)):
        yield Problem(path, f"must be a {contract.kind}, not {value!r}")
    elif contract.kind == "structure":
        for name, each in value.items():
            if name in contract.members:
                yield from _problems(each, contract.members[name], f"{path}.{name}")
            else:
                near = difflib.get_close_matches(name, contract.members, 1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                yield Problem(f"{path}.{name}", f"there is no such property{meant}")
    elif contract.kind in ("list", "map"):
        pairs = enumerate(value) if contract.kind == "list" else value.items()
        for key, each in pairs:
            place = f"{path}[{key}]" if contract.kind == "list" else f"{path}.{key}"
            yield from _problems(each, contract.of[0], place)
