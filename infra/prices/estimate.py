"""Multiply what is planned by what it costs: an estimate, which names what it leaves out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.config import StackConfig
from infra.prices import aws, databricks
from infra.prices.planned import Resource
from infra.prices.table import Price, Table

__all__ = ["Estimate", "Line", "estimate"]

USES = {**aws.USES, **databricks.USES}


@dataclass(frozen=True)
class Line:
    """One price of one type of resource: how much of it `resources` use, and what that costs a month in USD."""

    type: str
    price: str
    resources: int
    amount: float
    usd: float
    always: bool
    checked: bool


@dataclass(frozen=True)
class Estimate:
    """A month of a stack; `unpriced` are the types of resource that are neither priced nor known to be free."""

    stack: str
    region: str
    lines: tuple[Line, ...]
    unpriced: tuple[str, ...]
    budget_usd: int

    @property
    def always_usd(self) -> float:
        """What is paid whether anybody asks or not."""
        return sum(line.usd for line in self.lines if line.always)

    @property
    def used_usd(self) -> float:
        """What the assumed use costs."""
        return sum(line.usd for line in self.lines if not line.always)

    @property
    def usd(self) -> float:
        """Both."""
        return self.always_usd + self.used_usd


def estimate(
    config: StackConfig, resources: Sequence[Resource], prices: Table, volume: Mapping[str, float]
) -> Estimate:
    """The estimate; a type without a price is named, and so is a price that the table lacks (KeyError)."""
    amounts: dict[tuple[str, str, bool], list[float]] = defaultdict(list)
    unpriced: set[str] = set()
    for resource in resources:
        if resource.type not in USES:
            unpriced |= {resource.type} - prices.free.keys()
            continue
        for use in USES[resource.type](resource, config, volume):
            if use.price not in prices.prices:
                unpriced.add(f"{resource.type} ({use.price})")
            else:
                amounts[resource.type, use.price, use.always].append(use.amount)
    lines = [_line(*key, found, prices.prices[key[1]]) for key, found in amounts.items()]
    return Estimate(
        stack=config.stack,
        region=config.aws.region if config.aws else prices.region,
        lines=tuple(sorted(lines, key=lambda line: -line.usd)),
        unpriced=tuple(sorted(unpriced)),
        budget_usd=config.environment.monthly_budget_usd,
    )


def _line(type_: str, name: str, always: bool, amounts: list[float], price: Price) -> Line:
    amount = sum(amounts)
    return Line(type_, name, len(amounts), amount, amount * price.usd, always, price.checked)
