"""The workspace's own bucket and key: of notebooks, results, disks of machines. Data are in the store."""

from dataclasses import dataclass

import pulumi
from pulumi_aws import kms

from infra.clouds.aws._account import bucket_arn, bucket_name, settings
from infra.clouds.aws._bucket import BucketConfig, PrivateBucket
from infra.clouds.aws._policy import allow, document
from infra.clouds.aws.databricks._makers import principal
from infra.clouds.aws.keys import ROTATION_DAYS, for_the_account
from infra.clouds.databricks import _account as account
from infra.clouds.databricks._sdk import databricks
from infra.contracts import PlatformArgs
from infra.naming import logical, physical

__all__ = ["Storage", "own_key", "registered"]

ROOT = "workspace"  # the role in the bucket's name
USE = (
    *("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey"),
    *("kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"),
)
OBJECTS = ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject")


@dataclass(frozen=True)
class Storage:
    """As Databricks knows them: the bucket's configuration, and the key's."""

    bucket: pulumi.Output[str]
    key: pulumi.Output[str]


def own_key(parent: pulumi.Resource, name: str, args: PlatformArgs) -> kms.Key:
    """A key that Databricks may use, for this Databricks account alone."""
    config, environment = args.config, args.config.environment
    key = kms.Key(
        logical(name, "key"),
        description=f"The Databricks workspace of {config.stack}",
        enable_key_rotation=True,
        rotation_period_in_days=ROTATION_DAYS,
        deletion_window_in_days=environment.key_deletion_days,
        policy=document(
            for_the_account(config), allow("Databricks", USE, ["*"], to=principal(config, "root"), when=_ours(args))
        ),
        opts=pulumi.ResourceOptions(parent=parent, protect=environment.is_protected),
    )
    kms.Alias(
        logical(name, "key-alias"),
        name=f"alias/{physical(config.stack, ROOT, maximum_length=250)}",
        target_key_id=key.key_id,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return key


def registered(parent: pulumi.Resource, name: str, args: PlatformArgs, key: kms.Key) -> Storage:
    """The bucket, and both made known to Databricks."""
    config, environment = args.config, args.config.environment
    bucket = bucket_arn(config, bucket_name(config, ROOT))
    databricks_root, ours = principal(config, "root"), _ours(args)
    root = PrivateBucket(
        logical(name, "root"),
        BucketConfig(
            bucket_name(config, ROOT),
            settings(config).region,
            environment.is_protected,
            environment.noncurrent_days,
        ),
        key.arn,
        [
            allow("DatabricksObjects", OBJECTS, [f"{bucket}/*"], to=databricks_root, when=ours),
            allow(
                "DatabricksLists", ["s3:ListBucket", "s3:GetBucketLocation"], [bucket], to=databricks_root, when=ours
            ),
        ],
        pulumi.ResourceOptions(parent=parent),
    )
    child = pulumi.ResourceOptions(parent=parent)
    account_id = account.settings(config).account_id
    kept = databricks.MwsStorageConfigurations(
        logical(name, "storage"),
        account_id=account_id,
        storage_configuration_name=account.named(config, "storage"),
        bucket_name=root.usable_name,
        opts=child,
    )
    used = databricks.MwsCustomerManagedKeys(
        logical(name, "customer-key"),
        account_id=account_id,
        aws_key_info={"key_arn": key.arn},
        use_cases=["MANAGED_SERVICES", "STORAGE"],
        opts=child,
    )
    return Storage(kept.storage_configuration_id, used.customer_managed_key_id)


def _ours(args: PlatformArgs) -> dict[str, dict[str, str]]:
    """Databricks says for which of its accounts it acts."""
    return {"StringEquals": {"aws:PrincipalTag/DatabricksAccountId": account.settings(args.config).account_id}}
