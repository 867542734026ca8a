"""`mlops cost`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from infra.engine.environ import PROJECT

if TYPE_CHECKING:
    from infra.config import StackConfig
    from infra.prices.estimate import Estimate, Line
    from infra.prices.table import Table

__all__ = ["as_row", "cost", "of_stack"]

BAR = 30  # characters of the longest


@click.command(epilog="Example: mlops cost --stack aws-sagemaker-prod --use requests=20000000")
@click.option("--stack", required=True, help="A stack on AWS; it need not be deployed, and no account is asked.")
@click.option("--use", "uses", multiple=True, metavar="NAME=NUMBER", help="Another volume a month; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print the estimate as JSON.")
def cost(stack: str, uses: tuple[str, ...], as_json: bool) -> None:
    """Estimate what a stack costs a month, before it is deployed.

    An estimate from list prices in infra/prices/*.yaml: without taxes, discounts, free tiers and transfer. The stack
    is planned with a release, whether it has one or not.
    """
    from infra.config import ConfigInvalid
    from infra.prices.table import table_of

    try:
        config = _config(stack)
        prices = table_of(config)
        volume = _volume(prices, uses)
        found = _estimate(config, prices, volume)
    except (ConfigInvalid, ValueError) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        told = {"always_usd": found.always_usd, "used_usd": found.used_usd, "usd": found.usd}
        click.echo(json.dumps(asdict(found) | told | {"prices_of": prices.date.isoformat(), "use": volume}, indent=2))
    else:
        click.echo(_as_text(found, prices, volume))


def of_stack(stack: str, volume: Mapping[str, float] | None = None) -> "Estimate":
    """The estimate of a shipped stack, of the assumed volume unless another is given.

    ConfigInvalid, or ValueError where there are no prices for its cloud.
    """
    from infra.prices.table import table_of

    config = _config(stack)
    prices = table_of(config)
    return _estimate(config, prices, {**_volume(prices, ()), **(volume or {})})


def _config(stack: str) -> "StackConfig":
    from infra.engine.secrets import read_config

    file = PROJECT / "stacks" / f"Pulumi.{stack}.yaml"
    if not file.exists():
        raise ValueError(f"There is no stack file {file.name} in stacks/.")
    config = read_config(stack, file)
    if config.aws is None or config.cloud != "aws":
        raise ValueError(f"There are prices for stacks on AWS alone, and {stack} is on {config.cloud}.")
    return config


def _estimate(config: "StackConfig", prices: "Table", volume: Mapping[str, float]) -> "Estimate":
    from infra.prices.estimate import estimate
    from infra.prices.planned import planned

    return estimate(config, planned(config), prices, volume)


def as_row(found: "Estimate") -> str:
    """The estimate as a row of a table in Markdown."""
    share = f"{found.usd / found.budget_usd:.0%}"
    return f"| `{found.stack}` | {found.always_usd:,.0f} | {found.used_usd:,.0f} | {found.usd:,.0f} | {share} |"


def _volume(prices: "Table", uses: tuple[str, ...]) -> dict[str, float]:
    volume = {name: assumed.value for name, assumed in prices.use.items()}
    for given in uses:
        name, _, number = given.partition("=")
        if name not in volume:
            raise ValueError(f"--use {given}: there is no {name!r}; there are {', '.join(volume)}.")
        try:
            volume[name] = float(number)
        except ValueError as error:
            raise ValueError(f"--use {given}: {number!r} is no number.") from error
        if not 0 <= volume[name] < float("inf"):
            raise ValueError(f"--use {given}: a month can't use that much.")
    return volume


def _as_text(found: "Estimate", prices: "Table", volume: Mapping[str, float]) -> str:
    longest = max((line.usd for line in found.lines), default=0) or 1
    lines = [f"{found.stack}: an estimate of a month, in {prices.currency}, from list prices of {prices.date}", ""]
    for title, always in (("By the hour, whether anybody asks or not", True), ("By use", False)):
        chosen = [line for line in found.lines if line.always is always]
        lines += [f"{title}: {sum(line.usd for line in chosen):,.2f}", *(_row(line, longest) for line in chosen), ""]
    lines.append(f"Together {found.usd:,.2f}, of the stack's budget of {found.budget_usd:,} ({_share(found)}).")
    lines.append("Assumed: " + ", ".join(f"{_number(volume[n])} {a.what}" for n, a in prices.use.items()) + ".")
    if unsure := [line for line in found.lines if not line.checked]:
        lines.append(f"* {len(unsure)} of {len(found.lines)} prices were not checked against their source.")
    if found.region != prices.region:
        lines.append(f"The prices are those of {prices.region}; the stack is in {found.region}.")
    if found.unpriced:
        lines.append("Not in it, because there is no price: " + ", ".join(found.unpriced) + ".")
    lines.append("Not in it at all: taxes, discounts, free tiers, support, and transfer between zones and regions.")
    return "\n".join(lines)


def _row(line: "Line", longest: float) -> str:
    bar = "█" * round(BAR * line.usd / longest)
    mark = " " if line.checked else "*"
    of = f"{line.type.rpartition(':')[2]} ({line.price})"
    return f"  {line.usd:>10,.2f}{mark} {line.resources:>3} x {of:<52}{bar}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def _share(found: "Estimate") -> str:
    return f"{found.usd / found.budget_usd:.0%}"
