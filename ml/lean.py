"""Keep pandas out of a server: pyarrow imports it at its first array, where it is installed, and never needs it."""

import importlib.abc
import sys
from types import ModuleType
from typing import Any

import pyarrow as pa

__all__ = ["keep_pandas_out"]


class _NoPandas(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> None:
        if fullname == "pandas":
            raise ImportError("pyarrow does without pandas here")


def keep_pandas_out() -> None:
    """Have pyarrow look for pandas now, once, in vain: that saves a second and 60 MB. Who imports it himself has it."""
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)
