"""What a stack may set otherwise than its environment's table has it, and what it may not: what protects PROD."""

from typing import Annotated, Final, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from infra.config.environments import Environment

__all__ = ["FIXED", "Adjusted"]

# The same for every stack of an environment; the network and the ports have settings of their own.
FIXED: Final = ("is_protected", "approvals_required", "previous", "first_port", "network_cidr")
NOT_SHORTER: Final = ("log_retention_days", "noncurrent_days", "ledger_lock_days", "key_deletion_days")

Days = Annotated[int, Field(ge=1, le=3653)]
Servers = Annotated[int, Field(ge=1, le=100)]


class Adjusted(BaseModel):
    """Values of a stack in place of its environment's, which validation is given as its context."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    log_retention_days: Days | None = Field(default=None, description="How long predictions and logs are kept")
    probe_interval_s: Annotated[float, Field(gt=0, le=3600)] | None = Field(
        default=None, description="How often the local monitor asks the endpoint"
    )
    is_redundant: bool | None = Field(default=None, description="Entry points and servers in every zone")
    uses_spot: bool | None = Field(default=None, description="Jobs run on capacity that may be taken back")
    stops_off_hours: bool | None = Field(default=None, description="Servers run on weekdays, 7 to 19 o'clock")
    scales_to_zero: bool | None = Field(default=None, description="Where nobody asks, no server")
    serving_size: Literal["small", "medium", "large"] | None = Field(default=None, description="Of one server")
    servers_minimum: Servers | None = Field(default=None, description="Servers when few ask")
    servers_maximum: Servers | None = Field(default=None, description="Servers when many ask")
    canary_wait_s: Annotated[int, Field(ge=0, le=3600)] | None = Field(
        default=None, description="How long a new release has half of the traffic or less"
    )
    endpoint_latency_ms: Annotated[int, Field(ge=1, le=60_000)] | None = Field(
        default=None, description="The slowest hundredth of requests; slower for long raises an alarm"
    )
    monitors_every_h: Annotated[int, Field(ge=1, le=24)] | None = Field(
        default=None, description="A divisor of 24: the monitor runs at the same hours each day"
    )
    retrains_every_days: Annotated[int, Field(ge=1, le=365)] | None = Field(
        default=None, description="No model is older"
    )
    monthly_budget_usd: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, description="What the stack may cost before people are told"
    )
    noncurrent_days: Days | None = Field(default=None, description="How long what was deleted can be had back")
    ledger_lock_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        default=None, description="How long nobody can delete the ledger's copy"
    )
    key_deletion_days: Annotated[int, Field(ge=7, le=30)] | None = Field(
        default=None, description="How long a deleted key can be had back"
    )

    @model_validator(mode="after")
    def _weakens_nothing(self, info: ValidationInfo) -> Self:
        usual = _usual(info)
        for name in NOT_SHORTER if usual.is_protected else ():
            given, least = getattr(self, name), getattr(usual, name)
            if given is not None and least is not None and given < least:
                raise ValueError(f"{name} is {given}, and {usual.name} keeps at least {least}; remove it, or set more")
        if usual.is_protected and usual.is_redundant and self.is_redundant is False:
            raise ValueError(f"is_redundant can't be false in {usual.name}, which outlives a zone; remove it")
        if usual.is_protected and usual.canary_wait_s and self.canary_wait_s == 0:
            raise ValueError(f"canary_wait_s can't be 0 in {usual.name}, where each release is tried first; set more")
        return self

    @model_validator(mode="after")
    def _makes_sense(self, info: ValidationInfo) -> Self:
        made = self.of(_usual(info))
        if 24 % made.monitors_every_h:
            raise ValueError(
                f"monitors_every_h is {made.monitors_every_h}; set a divisor of 24: 1, 2, 3, 4, 6, 8, 12, 24"
            )
        if made.servers_minimum > made.servers_maximum:
            raise ValueError(
                f"servers_minimum is {made.servers_minimum} and servers_maximum {made.servers_maximum}; set both, the "
                "first not above the second"
            )
        return self

    def of(self, usual: Environment) -> Environment:
        """The environment as this stack has it."""
        return usual.model_copy(update=self.model_dump(exclude_none=True))


def _usual(info: ValidationInfo) -> Environment:
    return cast(Environment, info.context)
