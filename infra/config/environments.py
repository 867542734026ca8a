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
        ),
        Environment(
            name="test",
            previous="dev",
            is_protected=False,
            approvals_required=0,
            log_retention_days=90,
            probe_interval_s=5,
            first_port=18100,
        ),
        Environment(
            name="prod",
            previous="test",
            is_protected=True,
            approvals_required=1,
            log_retention_days=430,
            probe_interval_s=2,
            first_port=18200,
        ),
    )
}
