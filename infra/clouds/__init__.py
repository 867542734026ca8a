"""The one place that chooses a cloud; only the chosen cloud's SDK is imported."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from infra.clouds import aws, local
from infra.config import StackConfig
from infra.contracts import Cloud

__all__ = ["CLOUDS", "load"]

CLOUDS: Final[Mapping[str, Callable[[str], Cloud[Any, Any]]]] = {"aws": aws.cloud, "local": local.cloud}


def load(config: StackConfig) -> Cloud[Any, Any]:
    """The components of the stack's cloud and platform."""
    return CLOUDS[config.cloud](config.platform)
