"""What every cloud's components take and give: the blueprint knows these and no cloud.

What a cloud doesn't have (a laptop has no registry and no budget) it fulfils with an object that makes nothing, so
that neither the blueprint nor another component asks which cloud it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

import pulumi
from typing_extensions import TypeVar  # with defaults, before Python 3.13

from infra.config import StackConfig

__all__ = [
    "Alerts",
    "AlertsArgs",
    "Budget",
    "BudgetArgs",
    "Cloud",
    "Endpoint",
    "EndpointArgs",
    "Foundation",
    "Identity",
    "IdentityArgs",
    "ImageRegistry",
    "ImageRegistryArgs",
    "Jobs",
    "JobsArgs",
    "Keys",
    "KeysArgs",
    "Network",
    "NetworkArgs",
    "ObjectStore",
    "ObjectStoreArgs",
    "Observability",
    "ObservabilityArgs",
    "Outputs",
    "Platform",
    "PlatformArgs",
    "Tracking",
    "TrackingArgs",
]


@dataclass(frozen=True)
class KeysArgs:
    """The keys that encrypt the environment at rest."""

    config: StackConfig


class Keys(Protocol):
    """`data` encrypts data, models and images; `operations` encrypts logs, alarms and the audit trail."""

    data: pulumi.Output[str]
    operations: pulumi.Output[str]


@dataclass(frozen=True)
class NetworkArgs:
    """Where the environment's services talk to each other."""

    config: StackConfig
    keys: Keys


class Network(Protocol):
    """`host` is where the environment's services listen: an address, or the name of a private network.

    Jobs and servers get addresses in `subnets`, and `guard` says whom they may talk to.
    """

    host: pulumi.Output[str]
    subnets: Sequence[pulumi.Output[str]]
    guard: pulumi.Output[str]


@dataclass(frozen=True)
class AlertsArgs:
    """Where alarms go."""

    config: StackConfig
    keys: Keys


class Alerts(Protocol):
    """`channel` takes alarms and tells people."""

    channel: pulumi.Output[str]


@dataclass(frozen=True)
class ObjectStoreArgs:
    """The store for data, bundles, logs and evidence."""

    config: StackConfig
    network: Network
    keys: Keys


class ObjectStore(Protocol):
    """`uri` is an fsspec URL; `identifier` names the store in policies."""

    uri: pulumi.Output[str]
    identifier: pulumi.Output[str]


@dataclass(frozen=True)
class ImageRegistryArgs:
    """The registry of the one container image."""

    config: StackConfig
    keys: Keys


class ImageRegistry(Protocol):
    """`image` names the pinned image by digest, None before one is pinned; `identifier` is the registry in policies.

    `repository` is where the image is pushed, None where there is nowhere.
    """

    image: pulumi.Output[str] | None
    repository: pulumi.Output[str] | None
    identifier: pulumi.Output[str]


@dataclass(frozen=True)
class IdentityArgs:
    """Who may do what: an identity for each workload, none that may do everything."""

    config: StackConfig
    network: Network
    keys: Keys
    store: ObjectStore
    images: ImageRegistry


class Identity(Protocol):
    """The identities' names as the cloud's services are given them."""

    training: pulumi.Output[str]
    scoring: pulumi.Output[str] | None  # None where the platform has no jobs that score
    serving: pulumi.Output[str]
    monitoring: pulumi.Output[str]
    tracking: pulumi.Output[str]
    orchestrating: pulumi.Output[str]  # runs a pipeline's steps
    scheduling: pulumi.Output[str]  # starts pipelines, on a schedule and on events


# A platform's own components may know more of the identity and the platform than every cloud's have.
AnIdentity = TypeVar("AnIdentity", bound=Identity, default=Identity, infer_variance=True)


@dataclass(frozen=True)
class Foundation(Generic[AnIdentity]):
    """What every platform stands on."""

    config: StackConfig
    keys: Keys
    network: Network
    alerts: Alerts
    store: ObjectStore
    images: ImageRegistry
    identity: AnIdentity


@dataclass(frozen=True)
class PlatformArgs(Generic[AnIdentity]):
    """What trains and serves: the compute that jobs, tracking and endpoints run on."""

    config: StackConfig
    foundation: Foundation[AnIdentity]


class Platform(Protocol):
    """`identifier` names the compute; what runs on it depends on it."""

    identifier: pulumi.Output[str]


APlatform = TypeVar("APlatform", bound=Platform, default=Platform, infer_variance=True)


@dataclass(frozen=True)
class TrackingArgs(Generic[APlatform]):
    """The MLflow tracking server and model registry."""

    config: StackConfig
    foundation: Foundation
    platform: APlatform


class Tracking(Protocol):
    """`uri` is what MLflow clients are given.

    `models` is the platform's own registry of releases, None where the store is enough.
    """

    uri: pulumi.Output[str]
    models: pulumi.Output[str] | None


@dataclass(frozen=True)
class JobsArgs(Generic[APlatform]):
    """What runs without a person: training on a schedule and when the monitor asks for it."""

    config: StackConfig
    foundation: Foundation
    platform: APlatform
    tracking: Tracking


class Jobs(Protocol):
    """`training` and `scoring` are what `mlops train` and `mlops score` start, in `queue` where the platform has one.

    None where the command itself does the work.
    """

    training: pulumi.Output[str] | None
    scoring: pulumi.Output[str] | None
    queue: pulumi.Output[str] | None


@dataclass(frozen=True)
class EndpointArgs(Generic[APlatform]):
    """One release, served: `release` is the digest of a bundle in the store."""

    config: StackConfig
    foundation: Foundation
    platform: APlatform
    tracking: Tracking
    release: str


class Endpoint(Protocol):
    """`url` answers requests; `release` is the digest that it was seen to serve."""

    url: pulumi.Output[str]
    release: pulumi.Output[str]


@dataclass(frozen=True)
class ObservabilityArgs:
    """What watches the environment; there is no endpoint before the first release."""

    config: StackConfig
    foundation: Foundation
    platform: Platform
    tracking: Tracking
    endpoint: Endpoint | None


class Observability(Protocol):
    """`monitor_url` is the page to look at, `metrics_url` Prometheus, None where there is none."""

    monitor_url: pulumi.Output[str]
    metrics_url: pulumi.Output[str] | None


@dataclass(frozen=True)
class BudgetArgs:
    """What the environment may cost, and who is told before it does."""

    config: StackConfig
    alerts: Alerts


class Budget(Protocol):
    """`identifier` names the budget."""

    identifier: pulumi.Output[str]


Args = TypeVar("Args", infer_variance=True)
Made = TypeVar("Made", infer_variance=True)
Maker = Callable[[str, Args, pulumi.ResourceOptions | None], Made]


@dataclass(frozen=True)
class Cloud(Generic[AnIdentity, APlatform]):
    """What the package of a cloud offers; platform, tracking, jobs and endpoint are those of the stack's platform.

    `options` says where components are made: by which provider, in which account and region.
    """

    store_uri: Callable[[StackConfig], str]  # known before anything is planned: physical names are deterministic
    options: Callable[[StackConfig], pulumi.ResourceOptions | None]
    keys: Maker[KeysArgs, Keys]
    network: Maker[NetworkArgs, Network]
    alerts: Maker[AlertsArgs, Alerts]
    object_store: Maker[ObjectStoreArgs, ObjectStore]
    image_registry: Maker[ImageRegistryArgs, ImageRegistry]
    identity: Maker[IdentityArgs, AnIdentity]
    platform: Maker[PlatformArgs[AnIdentity], APlatform]
    tracking: Maker[TrackingArgs[APlatform], Tracking]
    jobs: Maker[JobsArgs[APlatform], Jobs]
    endpoint: Maker[EndpointArgs[APlatform], Endpoint]
    observability: Maker[ObservabilityArgs, Observability]
    budget: Maker[BudgetArgs, Budget]


Outputs = Mapping[str, pulumi.Input[str | int | None]]
