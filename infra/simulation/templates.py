"""Texts with holes, as the rules write computed outputs: `arn:{partition}:sns:{region}:{account}:{name}`."""

import hashlib
import json
import re
import uuid
from collections.abc import Callable
from typing import Any

from infra.simulation.wire import UNKNOWN, is_unknown

__all__ = ["expand"]

HOLE = re.compile(r"(?<!\$)\{(?P<name>[A-Za-z_][\w.]*)(?::(?P<length>\d+))?(?:\|(?P<filter>\w+))?\}")
FILTERS: dict[str, Callable[[Any], Any]] = {
    "without_scheme": lambda text: text.partition("://")[2],
    "with_slash": lambda text: text if text.startswith("/") else f"/{text}",
    "pairs": lambda tags: [{"Key": key, "Value": value} for key, value in tags.items()] or None,
    "filled": lambda mapping: mapping or None,
    "parsed": json.loads,
    "variables": lambda environment: environment.get("variables"),
    "text": str,
    "first": lambda listed: listed[0] if listed else None,
    "selectors": lambda listed: _as_cloudtrail_names(listed),
    "location": lambda region: None if region == "us-east-1" else region,  # S3 wants none there
}


def _as_cloudtrail_names(value: Any) -> Any:
    """Selectors of events: `startsWiths` is StartsWith there."""
    if isinstance(value, list):
        return [_as_cloudtrail_names(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"Withs$", "With", key[0].upper() + key[1:]): _as_cloudtrail_names(each) for key, each in value.items()
    }


ALPHABETS = {
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "ALNUM": "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
    "digits": "0123456789",
}


def expand(template: Any, value_of: Callable[[str], Any], seed: str) -> Any:
    """The template with its holes filled; a template that is one hole keeps the value's type.

    `{hex:17}`, `{HEX:16}`, `{ALNUM:17}`, `{digits:15}` and `{uuid}` are made up from the seed. What isn't known yet
    stays unknown, and a text with a hole that has no value is no text.
    """
    if isinstance(template, list):
        return [expand(each, value_of, f"{seed}[{index}]") for index, each in enumerate(template)]
    if isinstance(template, dict):
        return {key: expand(each, value_of, f"{seed}.{key}") for key, each in template.items()}
    if not isinstance(template, str):
        return template
    values = [_value(match, value_of, seed) for match in HOLE.finditer(template)]
    if any(is_unknown(value) for value in values):
        return UNKNOWN
    if len(values) == 1 and HOLE.fullmatch(template):
        return values[0]
    if any(value is None for value in values):
        return None
    filled = iter(values)
    return HOLE.sub(lambda _: str(next(filled)), template)


def _value(match: re.Match[str], value_of: Callable[[str], Any], seed: str) -> Any:
    name, length = match["name"], match["length"]
    if name == "uuid":
        return str(uuid.uuid5(uuid.NAMESPACE_OID, seed))
    if length and name in ALPHABETS:
        alphabet = ALPHABETS[name]
        digest = hashlib.shake_256(seed.encode()).digest(int(length))
        return "".join(alphabet[byte % len(alphabet)] for byte in digest)
    value = value_of(name)
    return FILTERS[match["filter"]](value) if match["filter"] and value is not None and not is_unknown(value) else value
