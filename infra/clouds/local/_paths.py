"""Where a local environment keeps its things, below its root."""

from pathlib import Path

import pulumi

from infra.config import StackConfig

__all__ = ["deployment_file", "root", "store_folder"]


def root(config: StackConfig) -> Path:
    """The environment's folder."""
    return config.local_root(Path(pulumi.runtime.get_root_directory()))


def store_folder(config: StackConfig) -> Path:
    """The object store's folder."""
    return root(config) / "store"


def deployment_file(config: StackConfig) -> Path:
    """The file that tells the model server which release to serve."""
    return root(config) / "serving" / "deployment.json"
