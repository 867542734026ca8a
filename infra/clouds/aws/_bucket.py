"""A private bucket: versioned, encrypted with a key of ours, never public, reached over TLS alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_aws import s3

from infra.clouds.aws._account import partition_of
from infra.clouds.aws._policy import Statement, deny, document
from infra.naming import logical

__all__ = ["BucketConfig", "PrivateBucket"]

OLDEST_TLS = "1.2"
UNFINISHED_UPLOAD_DAYS = 7


@dataclass(frozen=True)
class BucketConfig:
    """What differs between buckets; days are counted by S3, at midnight UTC."""

    name: str
    region: str
    is_protected: bool
    noncurrent_days: int
    expires_days: Mapping[str, int] = field(default_factory=dict[str, int])  # by prefix
    lock_days: int | None = None  # nobody, the account's owner included, can delete a version for so long

    @property
    def arn(self) -> str:
        """The bucket's ARN, known before the bucket is there."""
        return f"arn:{partition_of(self.region)}:s3:::{self.name}"


class PrivateBucket(pulumi.ComponentResource):
    """The bucket with everything that belongs to it; `statements` are added to its policy."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    usable_name: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        config: BucketConfig,
        key_arn: pulumi.Input[str],
        statements: Sequence[Statement] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("mlops:aws:PrivateBucket", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._config = config
        self.bucket = s3.Bucket(
            logical(name, "bucket"),
            bucket=config.name,
            region=config.region,
            object_lock_enabled=config.lock_days is not None,
            force_destroy=False,
            opts=pulumi.ResourceOptions(parent=self, protect=config.is_protected),
        )
        self.versioning = s3.BucketVersioning(
            logical(name, "versioning"),
            bucket=self.bucket.bucket,
            region=config.region,
            versioning_configuration={"status": "Enabled"},
            opts=self._child,
        )
        self.name = self.bucket.bucket
        # Known before the bucket is there, unlike its own output: a preview shows the policy, and rules can judge it.
        self.arn = self.name.apply(lambda _: config.arn)
        self._encrypt(name, key_arn)
        policy = self._close(name, statements)
        # Whoever is given this name may rely on what the policy lets it do.
        self.usable_name = pulumi.Output.all(self.name, policy.id).apply(lambda both: both[0])
        self._expire(name)
        if config.lock_days:
            self._lock(name, config.lock_days)
        self.register_outputs({"name": self.name, "arn": self.arn})

    def _encrypt(self, name: str, key_arn: pulumi.Input[str]) -> None:
        s3.BucketServerSideEncryptionConfiguration(
            logical(name, "encryption"),
            bucket=self.bucket.bucket,
            region=self._config.region,
            rules=[
                {
                    "bucket_key_enabled": True,
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key_arn,
                    },
                }
            ],
            opts=self._child,
        )

    def _close(self, name: str, statements: Sequence[Statement]) -> s3.BucketPolicy:
        closed = s3.BucketPublicAccessBlock(
            logical(name, "private"),
            bucket=self.bucket.bucket,
            region=self._config.region,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child,
        )
        everything = [self.arn, pulumi.Output.concat(self.arn, "/*")]
        return s3.BucketPolicy(
            logical(name, "policy"),
            bucket=self.bucket.bucket,
            region=self._config.region,
            policy=document(
                deny("OnlyTls", ["s3:*"], everything, when={"Bool": {"aws:SecureTransport": "false"}}),
                deny("OnlyNewTls", ["s3:*"], everything, when={"NumericLessThan": {"s3:TlsVersion": OLDEST_TLS}}),
                *statements,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )

    def _expire(self, name: str) -> None:
        kept: s3.BucketLifecycleConfigurationRuleArgsDict = {
            "id": "noncurrent",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": self._config.noncurrent_days},
            "abort_incomplete_multipart_upload": {"days_after_initiation": UNFINISHED_UPLOAD_DAYS},
        }
        expired: list[s3.BucketLifecycleConfigurationRuleArgsDict] = [
            {
                "id": prefix.strip("/") or "all",
                "status": "Enabled",
                "filter": {"prefix": prefix},
                "expiration": {"days": days},
            }
            for prefix, days in self._config.expires_days.items()
        ]
        s3.BucketLifecycleConfiguration(
            logical(name, "lifecycle"),
            bucket=self.bucket.bucket,
            region=self._config.region,
            rules=[kept, *expired],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.versioning]),
        )

    def _lock(self, name: str, days: int) -> None:
        s3.BucketObjectLockConfiguration(
            logical(name, "lock"),
            bucket=self.bucket.bucket,
            region=self._config.region,
            rule={"default_retention": {"mode": "COMPLIANCE", "days": days}},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.versioning]),
        )
