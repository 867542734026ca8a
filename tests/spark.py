"""A real Spark on this machine, two threads wide."""

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["local_spark"]


@contextmanager
def local_spark(scratch: Path, **more: str) -> "Generator[SparkSession]":
    """Two executors' worth of threads; every Python worker is a process of its own."""
    if shutil.which("java") is None:
        pytest.fail("Spark needs Java 17, such as Debian's openjdk-17-jre-headless.")
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        settings = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.local.dir": str(scratch),
            "spark.sql.warehouse.dir": str(scratch),
            "spark.driver.memory": "512m",
            **more,
        }
        made = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
        yield made
        made.stop()
