"""What CI may do on AWS for this platform beside reaching the store: nothing, for it trains and serves elsewhere."""

from collections.abc import Sequence

from infra.clouds.aws._policy import Statement
from infra.config import StackConfig

__all__ = ["trains"]


def trains(_config: StackConfig) -> Sequence[Statement]:
    """Jobs are started at Databricks, by its own service principal."""
    return []
