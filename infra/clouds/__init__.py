"""The one place that chooses a cloud; only the chosen cloud's SDK is imported."""

import importlib

from infra.config import StackConfig
from infra.contracts import Cloud

__all__ = ["load"]


def load(config: StackConfig) -> Cloud:
    """The components of the stack's cloud and platform."""
    return importlib.import_module(f"infra.clouds.{config.cloud}").cloud(config.platform)
