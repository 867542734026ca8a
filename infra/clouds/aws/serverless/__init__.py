"""The platform `serverless`: Batch trains and scores in bulk, Lambda serves and watches; no server waits for work."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.clouds.aws._platform import AwsPlatform
    from infra.clouds.aws.serverless.identity import Identity
    from infra.clouds.aws.serverless.platform import Platform

__all__ = ["aws_platform"]


def aws_platform() -> "AwsPlatform[Identity, Platform]":
    """What it is made of; its SDK is imported here, and for no other platform's stack."""
    from infra.clouds.aws import tracking
    from infra.clouds.aws._platform import AwsPlatform
    from infra.clouds.aws.serverless import endpoint, identity, jobs, observed, permissions, platform

    return AwsPlatform(
        identity=identity.Identity,
        platform=platform.Platform,
        tracking=tracking.Tracking,
        jobs=jobs.Jobs,
        endpoint=endpoint.Endpoint,
        observed=observed,
        services=("batch", "sagemaker.experiments"),
        reads_images=permissions.reads_images,
    )
