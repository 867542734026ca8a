"""What every cloud's components take and give: the blueprint knows these and no cloud."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.config import StackConfig

__all__ = [
    "Cloud",
    "Endpoint",
    "EndpointArgs",
    "Network",
    "NetworkArgs",
    "ObjectStore",
    "ObjectStoreArgs",
    "Observability",
    "ObservabilityArgs",
    "Platform",
    "PlatformArgs",
    "Tracking",
    "TrackingArgs",
]


@dataclass(frozen=True)
class NetworkArgs:
    """Where the environment's services talk to each other."""

    config: StackConfig


class Network(Protocol):
    """`host` is where the environment's services listen."""

    host: pulumi.Output[str]


@dataclass(frozen=True)
class ObjectStoreArgs:
    """The store for data, bundles, logs and evidence."""

    config: StackConfig
    network: Network


class ObjectStore(Protocol):
    """`uri` is an fsspec URL."""

    uri: pulumi.Output[str]


@dataclass(frozen=True)
class PlatformArgs:
    """What trains and serves: the compute that jobs, tracking and endpoints run on."""

    config: StackConfig
    network: Network


class Platform(Protocol):
    """`identifier` names the compute; what runs on it depends on it."""

    identifier: pulumi.Output[str]


@dataclass(frozen=True)
class TrackingArgs:
    """The MLflow tracking server and model registry."""

    config: StackConfig
    network: Network
    platform: Platform


class Tracking(Protocol):
    """`uri` is what MLflow clients are given."""

    uri: pulumi.Output[str]


@dataclass(frozen=True)
class EndpointArgs:
    """One release, served: `release` is the digest of a bundle in the store."""

    config: StackConfig
    network: Network
    platform: Platform
    store_uri: pulumi.Input[str]
    release: pulumi.Input[str]


class Endpoint(Protocol):
    """`url` answers requests; `release` is the digest that it was seen to serve."""

    url: pulumi.Output[str]
    release: pulumi.Output[str]


@dataclass(frozen=True)
class ObservabilityArgs:
    """What watches the environment; `endpoint_url` is None before the first release."""

    config: StackConfig
    network: Network
    platform: Platform
    store_uri: pulumi.Input[str]
    endpoint_url: pulumi.Input[str] | None


class Observability(Protocol):
    """`monitor_url` is the monitor's page, `metrics_url` Prometheus, None where there is none."""

    monitor_url: pulumi.Output[str]
    metrics_url: pulumi.Output[str] | None


@dataclass(frozen=True)
class Cloud:
    """What the package of a cloud offers; the endpoint, tracking and platform are those of the stack's platform."""

    store_uri: Callable[[StackConfig], str]  # known before anything is planned: physical names are deterministic
    network: Callable[[str, NetworkArgs], Network]
    object_store: Callable[[str, ObjectStoreArgs], ObjectStore]
    platform: Callable[[str, PlatformArgs], Platform]
    tracking: Callable[[str, TrackingArgs], Tracking]
    endpoint: Callable[[str, EndpointArgs], Endpoint]
    observability: Callable[[str, ObservabilityArgs], Observability]


Outputs = Mapping[str, pulumi.Input[str | int | None]]
