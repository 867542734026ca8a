"""What a platform brings to an AWS account: what it is made of, and what it asks of the parts that all have."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import pulumi

from infra.clouds.aws._charts import Chart
from infra.clouds.aws._policy import Statement
from infra.config import StackConfig
from infra.contracts import (
    AnIdentity,
    APlatform,
    Endpoint,
    EndpointArgs,
    IdentityArgs,
    Jobs,
    JobsArgs,
    Maker,
    PlatformArgs,
    Tracking,
    TrackingArgs,
)

__all__ = ["AwsPlatform", "Observed", "Permissions"]


class Permissions(Protocol):
    """What the roles of workloads and of CI may do on the platform, beside reading and writing the store."""

    @property
    def SERVICES(self) -> Mapping[str, str]:  # noqa: N802 # a constant of the module that is one
        """Which service takes the role of a workload; only platforms with jobs that score name `scoring`."""
        ...

    def runs(self, args: IdentityArgs, workload: str, /) -> Sequence[Statement]:
        """What a workload's container needs."""
        ...

    def orchestrates(self, args: IdentityArgs, training: pulumi.Output[str], /) -> Sequence[Statement]:
        """What starts and runs a training needs."""
        ...

    def schedules(self, args: IdentityArgs, /) -> Sequence[Statement]:
        """What schedules and events need."""
        ...

    def trains(self, config: StackConfig, /) -> Sequence[Statement]:
        """What CI needs to start jobs and to follow them."""
        ...


class Observed(Protocol):
    """What people are shown and told of the platform."""

    @property
    def BUCKETS(self) -> Sequence[str]:  # noqa: N802 # a constant of the module that is one
        """The roles of the buckets that it has besides the store."""
        ...

    def charts(self, config: StackConfig, /) -> list[Chart]:
        """Those of the dashboard."""
        ...

    def failures(self, config: StackConfig, /) -> Mapping[str, Any]:
        """The pattern of the events that people are told of."""
        ...


def _none(_config: StackConfig) -> Sequence[pulumi.ProviderResource]:
    return ()


@dataclass(frozen=True)
class AwsPlatform(Generic[AnIdentity, APlatform]):
    """Every platform of AWS is one of these; `infra/clouds/aws/__init__.py` has a row for each.

    `services` are those of AWS whose entry points the network has for it. `buckets` are read through the network's
    gateway, by name with `{region}`, besides the account's own. `reads_images` says who fetches the image, beside the
    account's roles.
    """

    identity: Maker[IdentityArgs, AnIdentity]
    platform: Maker[PlatformArgs[AnIdentity], APlatform]
    tracking: Maker[TrackingArgs[APlatform], Tracking]
    jobs: Maker[JobsArgs[APlatform], Jobs]
    endpoint: Maker[EndpointArgs[APlatform], Endpoint]
    observed: Observed
    providers: Callable[[StackConfig], Sequence[pulumi.ProviderResource]] = _none
    services: Sequence[str] = ()
    buckets: Sequence[str] = ()
    reads_images: Callable[[StackConfig], Sequence[Statement]] = lambda _: ()
