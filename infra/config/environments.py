"""What differs between DEV, TEST and PROD: one table."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["ENVIRONMENTS", "Environment", "EnvironmentName"]

EnvironmentName = Literal["dev", "test", "prod"]


class Environment(BaseModel):
    """The defaults of one environment."""

    model_config = ConfigDict(frozen=True)

    name: EnvironmentName
    previous: EnvironmentName | None  # where a release must have passed before
    is_protected: bool  # stateful components can't be destroyed by mistake
    approvals_required: int
    log_retention_days: int
    probe_interval_s: float  # how often the monitor asks the endpoint
    first_port: int  # of the local cloud
    network_cidr: str  # of a cloud; three that can be peered
    is_redundant: bool  # entry points and servers in every zone, not in one
    uses_spot: bool  # jobs run on capacity that may be taken back, and go on elsewhere
    stops_off_hours: bool  # servers run on weekdays, 7 to 19 o'clock in the stack's time zone
    scales_to_zero: bool  # where nobody asks, no server; the first request waits for one
    serving_size: Literal["small", "medium", "large"]  # of one server; each cloud says what it is there
    servers_minimum: int
    servers_maximum: int
    canary_wait_s: int  # how long a new release has half of the traffic or less; 0: it takes over at once
    endpoint_latency_ms: int  # the slowest hundredth of requests; slower for long raises an alarm, and rolls back
    monitors_every_h: int
    retrains_every_days: int
    monthly_budget_usd: int
    noncurrent_days: int  # how long what was deleted or overwritten in the store can be had back
    ledger_lock_days: int | None  # nobody can delete the ledger's copy for so long; None: there is no such copy
    key_deletion_days: int  # how long a deleted key can be had back


ENVIRONMENTS: dict[str, Environment] = {
    environment.name: environment
    for environment in (
        Environment(
            name="dev",
            previous=None,
            is_protected=False,
            approvals_required=0,
            log_retention_days=30,
            probe_interval_s=5,
            first_port=18000,
            network_cidr="10.16.0.0/16",
            is_redundant=False,
            uses_spot=True,
            stops_off_hours=True,
            scales_to_zero=True,
            serving_size="small",
            servers_minimum=1,
            servers_maximum=1,
            canary_wait_s=0,
            endpoint_latency_ms=500,
            monitors_every_h=24,
            retrains_every_days=7,
            monthly_budget_usd=500,
            noncurrent_days=7,
            ledger_lock_days=None,
            key_deletion_days=7,
        ),
        Environment(
            name="test",
            previous="dev",
            is_protected=False,
            approvals_required=0,
            log_retention_days=90,
            probe_interval_s=5,
            first_port=18100,
            network_cidr="10.17.0.0/16",
            is_redundant=False,
            uses_spot=False,
            stops_off_hours=True,
            scales_to_zero=False,
            serving_size="medium",
            servers_minimum=2,
            servers_maximum=2,
            canary_wait_s=120,
            endpoint_latency_ms=250,
            monitors_every_h=24,
            retrains_every_days=30,
            monthly_budget_usd=1000,
            noncurrent_days=30,
            ledger_lock_days=None,
            key_deletion_days=7,
        ),
        Environment(
            name="prod",
            previous="test",
            is_protected=True,
            approvals_required=1,
            log_retention_days=430,
            probe_interval_s=2,
            first_port=18200,
            network_cidr="10.18.0.0/16",
            is_redundant=True,
            uses_spot=False,
            stops_off_hours=False,
            scales_to_zero=False,
            serving_size="medium",
            servers_minimum=2,
            servers_maximum=6,
            canary_wait_s=600,
            endpoint_latency_ms=250,
            monitors_every_h=1,
            retrains_every_days=30,
            monthly_budget_usd=3000,
            noncurrent_days=90,
            ledger_lock_days=2555,
            key_deletion_days=30,
        ),
    )
}
