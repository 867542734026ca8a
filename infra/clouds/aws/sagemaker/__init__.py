"""The platform `sagemaker`: managed training, tracking and serving."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.clouds.aws._platform import AwsPlatform
    from infra.clouds.aws.sagemaker.identity import Identity
    from infra.clouds.aws.sagemaker.platform import Platform

__all__ = ["aws_platform"]


def aws_platform() -> "AwsPlatform[Identity, Platform]":
    """What it is made of; its SDK is imported here, and for no other platform's stack."""
    from infra.clouds.aws._platform import AwsPlatform
    from infra.clouds.aws.sagemaker import endpoint, identity, jobs, observed, platform, tracking

    return AwsPlatform(
        identity=identity.Identity,
        platform=platform.Platform,
        tracking=tracking.Tracking,
        jobs=jobs.Jobs,
        endpoint=endpoint.Endpoint,
        observed=observed,
        services=("sagemaker.api", "sagemaker.runtime", "sagemaker.experiments"),
    )
