"""pandera without Spark: it imports PySpark wherever that is installed, for frames that nothing here makes."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["without_spark"]


@contextmanager
def without_spark() -> Generator[None]:
    """PySpark is not found within the block, unless it is loaded already: that saves half a second and a warning."""
    if "pyspark" in sys.modules:
        yield
        return
    sys.modules["pyspark"] = None  # pyright: ignore[reportArgumentType] # documented: importing it then fails
    try:
        yield
    finally:
        del sys.modules["pyspark"]
