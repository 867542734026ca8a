"""AWS: one account an environment. Other clouds follow this package file by file."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pulumi

from infra.clouds.aws import databricks, sagemaker, serverless
from infra.contracts import AnIdentity, APlatform, Cloud

if TYPE_CHECKING:
    from infra.clouds.aws._platform import AwsPlatform
    from infra.config import StackConfig

__all__ = ["cloud"]

PLATFORMS: Final[Mapping[str, "Callable[[], AwsPlatform[Any, Any]]"]] = {
    "sagemaker": sagemaker.aws_platform,
    "serverless": serverless.aws_platform,
    "databricks": databricks.aws_platform,
}


def cloud(platform: str) -> Cloud[Any, Any]:
    """The components of AWS, with those of `platform` for training and serving."""
    return _with(PLATFORMS[platform]())


def _with(platform: "AwsPlatform[AnIdentity, APlatform]") -> Cloud[AnIdentity, APlatform]:
    from infra.clouds.aws import budget, images, keys, network, observability, storage

    return Cloud(
        store_uri=storage.store_uri,
        options=lambda config: pulumi.ResourceOptions(providers=[_in_the_account(config), *platform.providers(config)]),
        keys=keys.Keys,
        network=partial(network.Network, services=platform.services, buckets=platform.buckets),
        alerts=observability.Alerts,
        object_store=storage.ObjectStore,
        image_registry=partial(images.ImageRegistry, readers=platform.reads_images),
        identity=platform.identity,
        platform=platform.platform,
        tracking=platform.tracking,
        jobs=platform.jobs,
        endpoint=platform.endpoint,
        observability=partial(observability.Observability, observed=platform.observed),
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
