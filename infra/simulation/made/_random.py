"""Random values, drawn as the provider `random` draws them."""

import base64
import random
import secrets
import string
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from infra.simulation.made._refused import NotMade

__all__ = ["MAKERS"]

Properties = dict[str, Any]
SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
ADJECTIVES = [
    "able",
    "brave",
    "calm",
    "deft",
    "eager",
    "fair",
    "glad",
    "keen",
    "kind",
    "lively",
    "merry",
    "neat",
    "polite",
    "quick",
    "ready",
    "sunny",
    "tidy",
    "warm",
]
ADVERBS = [
    "boldly",
    "calmly",
    "deeply",
    "eagerly",
    "fairly",
    "gladly",
    "keenly",
    "kindly",
    "neatly",
    "quickly",
    "readily",
    "truly",
    "warmly",
    "wisely",
]
ANIMALS = [
    "badger",
    "beetle",
    "crane",
    "dolphin",
    "eagle",
    "ferret",
    "gecko",
    "heron",
    "ibex",
    "kestrel",
    "lynx",
    "marten",
    "otter",
    "panda",
    "raven",
    "tapir",
]


def _of_bytes(raw: bytes) -> Properties:
    return {"hex": raw.hex(), "base64": base64.b64encode(raw).decode()}


def _id(inputs: Properties) -> Properties:
    raw, prefix = secrets.token_bytes(int(inputs["byteLength"])), str(inputs.get("prefix") or "")
    made = {
        "b64Std": base64.b64encode(raw).decode(),
        "b64Url": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "hex": raw.hex(),
        "dec": str(int.from_bytes(raw, "big")),
    }
    return {name: prefix + value for name, value in made.items()}


def _bytes(inputs: Properties) -> Properties:
    return _of_bytes(secrets.token_bytes(int(inputs["length"])))


def _text(inputs: Properties) -> Properties:
    """Of the alphabets that are on, as many of each as are asked for at least."""
    special = inputs.get("overrideSpecial") or SPECIAL
    alphabets = {"Upper": string.ascii_uppercase, "Lower": string.ascii_lowercase, "Numeric": string.digits}
    alphabets |= {"Special": special}
    on = {name: signs for name, signs in alphabets.items() if inputs.get(name.lower(), True)}
    if not on:
        raise NotMade("upper, lower, numeric and special are all false, so there is nothing to draw from")
    length, least = int(inputs["length"]), {name: int(inputs.get(f"min{name}") or 0) for name in alphabets}
    if sum(least.values()) > length:
        parts = ", ".join(f"min_{name.lower()} {number}" for name, number in least.items() if number)
        raise NotMade(f"length {length} is less than {parts} together")
    drawn = [secrets.choice(alphabets[name]) for name, number in least.items() for _ in range(number)]
    drawn += [secrets.choice("".join(on.values())) for _ in range(length - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    return {"result": "".join(drawn)}


def _integer(inputs: Properties) -> Properties:
    return {"result": _source(inputs).randint(int(inputs["min"]), int(inputs["max"]))}


def _shuffle(inputs: Properties) -> Properties:
    listed = list(inputs["inputs"])
    count, source = int(inputs.get("resultCount") or len(listed)), _source(inputs)
    drawn: list[Any] = []
    while listed and len(drawn) < count:
        drawn += source.sample(listed, len(listed))
    return {"results": drawn[:count]}


def _source(inputs: Properties) -> random.Random:
    """The same seed gives the same results."""
    return random.Random(inputs["seed"]) if inputs.get("seed") else secrets.SystemRandom()  # noqa: S311


def _uuid(inputs: Properties) -> Properties:
    return {"result": str(uuid.uuid4())}


def _pet(inputs: Properties) -> Properties:
    length = int(inputs.get("length") or 2)
    words = [secrets.choice(ADVERBS) for _ in range(length - 2)]
    words += [secrets.choice(ADJECTIVES)] * (length > 1) + [secrets.choice(ANIMALS)]
    separator = inputs.get("separator")
    prefix = [str(inputs["prefix"])] if inputs.get("prefix") else []
    return {"pet": ("-" if separator is None else str(separator)).join(prefix + words)}


MAKERS: Mapping[str, Callable[[Properties], Properties]] = MappingProxyType(
    {
        "random_id": _id,
        "random_bytes": _bytes,
        "random_text": _text,
        "random_integer": _integer,
        "random_shuffle": _shuffle,
        "random_uuid": _uuid,
        "random_pet": _pet,
    }
)
