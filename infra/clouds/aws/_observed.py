"""What a platform has to observe: each platform's module `observed`."""

import importlib
from types import ModuleType

from infra.config import StackConfig

__all__ = ["observed"]


def observed(config: StackConfig) -> ModuleType:
    """`BUCKETS`, `charts` and `failures` of the stack's platform."""
    return importlib.import_module(f"infra.clouds.aws.{config.platform}.observed")
