"""What some providers make by themselves, without a service: random values, keys and certificates, real ones."""

from typing import Any

from infra.simulation.made import _random, _tls
from infra.simulation.made._refused import NotMade

__all__ = ["NotMade", "make", "makers"]


def makers() -> dict[str, Any]:
    """The functions that a rule can name; each takes a resource's properties and gives its outputs."""
    return {**_random.MAKERS, **_tls.MAKERS}


def make(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The outputs of one new resource; NotMade says what is wrong with the inputs."""
    return makers()[name](inputs)
