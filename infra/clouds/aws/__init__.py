"""AWS: one account an environment. Other clouds follow this package file by file."""

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pulumi

from infra.contracts import Cloud

if TYPE_CHECKING:
    from infra.config import StackConfig

__all__ = ["cloud"]


def cloud(platform: str) -> Cloud:
    """The components of AWS, with those of `platform` for training and serving."""
    from infra.clouds.aws import budget, identity, images, keys, network, observability, storage

    chosen = importlib.import_module(f"infra.clouds.aws.{platform}")
    providers: Callable[[StackConfig], list[pulumi.ProviderResource]] = getattr(chosen, "providers", lambda _: [])
    return Cloud(
        store_uri=storage.store_uri,
        options=lambda config: pulumi.ResourceOptions(providers=[_in_the_account(config), *providers(config)]),
        keys=keys.Keys,
        network=network.Network,
        alerts=observability.Alerts,
        object_store=storage.ObjectStore,
        image_registry=images.ImageRegistry,
        identity=getattr(chosen, "Identity", identity.Identity),
        platform=chosen.Platform,
        tracking=chosen.Tracking,
        jobs=chosen.Jobs,
        endpoint=chosen.Endpoint,
        observability=observability.Observability,
        budget=budget.Budget,
    )


def _in_the_account(config: "StackConfig") -> pulumi.ProviderResource:
    """A provider that refuses another account than the stack's, and tags whatever it makes."""
    import pulumi_aws as aws

    from infra.clouds.aws._account import settings
    from infra.clouds.aws._boundary import bound_roles
    from infra.naming import tags

    account = settings(config)
    if account.roles_are_bounded:
        bound_roles(config)
    return aws.Provider(
        "aws",
        region=account.region,  # pyright: ignore[reportArgumentType] # a plain string, checked by the configuration
        allowed_account_ids=[account.account_id],
        default_tags={"tags": tags(config)},
    )
