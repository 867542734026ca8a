"""The account that a stack lives in, and the names of things in it."""

from infra.config import StackConfig
from infra.config.aws import PARTITIONS, AwsSettings
from infra.naming import physical

__all__ = ["arn", "bucket_arn", "bucket_name", "bucket_of", "in_every_region", "partition", "partition_of", "settings"]

LONGEST_BUCKET_NAME = 63


def settings(config: StackConfig) -> AwsSettings:
    """What the stack's configuration says of its account; it can't be missing where this package is loaded."""
    if config.aws is None:
        raise LookupError(f"{config.stack} has no settings for aws")
    return config.aws


def partition(config: StackConfig) -> str:
    """The first word of an ARN: China and the US government have AWSs of their own."""
    return partition_of(settings(config).region)


def partition_of(region: str) -> str:
    """The partition of a region."""
    return next((name for prefix, name in PARTITIONS.items() if region.startswith(f"{prefix}-")), "aws")


def arn(config: StackConfig, service: str, resource: str, *, region: str | None = None) -> str:
    """The ARN of a thing of a region of this account, also before the thing is there."""
    account = settings(config)
    return f"arn:{partition(config)}:{service}:{region or account.region}:{account.account_id}:{resource}"


def in_every_region(config: StackConfig, service: str, resource: str, *, account_id: str | None = None) -> str:
    """The ARN of a thing that an account, this one by default, has once, whatever the region."""
    return f"arn:{partition(config)}:{service}::{account_id or settings(config).account_id}:{resource}"


def bucket_arn(config: StackConfig, name: str) -> str:
    """The ARN of a bucket."""
    return f"arn:{partition(config)}:s3:::{name}"


def bucket_name(config: StackConfig, role: str) -> str:
    """Buckets share one namespace with the whole world."""
    account = settings(config)
    return bucket_of(config.stack, role, account.account_id, account.region)


def bucket_of(stack: str, role: str, account_id: str, region: str) -> str:
    """The name of a bucket of any stack, in whatever account."""
    return physical(stack, role, maximum_length=LONGEST_BUCKET_NAME, unique_in=f"{account_id}/{region}")
