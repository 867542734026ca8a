"""The table of prices: what a unit costs, what a month is assumed to use, and which resources cost nothing."""

from datetime import date
from functools import cache
from pathlib import Path

import msgspec
import yaml

from infra.config import StackConfig

__all__ = ["Assumption", "Price", "Table", "table", "table_of"]

HERE = Path(__file__).parent


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one unit costs; `checked` says whether it was seen in a public source, `seen` of which region."""

    usd: float
    unit: str
    checked: bool
    source: str
    seen: str | None = None


class Assumption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of something a month uses."""

    value: float
    what: str


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of it, as of `date`, for `region`; `free` gives the reason by resource type."""

    date: date
    region: str
    currency: str
    prices: dict[str, Price]
    use: dict[str, Assumption]
    free: dict[str, str]


def table_of(config: StackConfig) -> Table:
    """What a stack is charged by: its cloud's table, and its platform's where another company sends that bill."""
    cloud = table(config.cloud)
    if not (HERE / f"{config.platform}.yaml").exists():
        return cloud
    more = table(config.platform)
    return msgspec.structs.replace(
        cloud, prices=cloud.prices | more.prices, use=cloud.use | more.use, free=cloud.free | more.free
    )


@cache
def table(cloud: str) -> Table:
    """The table of a cloud or of a platform; FileNotFoundError where there is none."""
    return msgspec.convert(yaml.safe_load((HERE / f"{cloud}.yaml").read_text(encoding="utf-8")), Table)
