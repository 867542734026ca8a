"""The keys that encrypt the environment at rest."""

from collections.abc import Sequence

import pulumi
from pulumi_aws import kms

from infra.clouds.aws._account import arn, in_every_region, settings
from infra.clouds.aws._policy import Statement, allow, document
from infra.config import StackConfig
from infra.contracts import KeysArgs
from infra.naming import logical, physical

__all__ = ["Keys", "for_the_account", "replica_key"]

ROTATION_DAYS = 365
THIS_KEY = ["*"]  # in a key's own policy: the key itself, nothing else
USE = ("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey")
DATA_KEYS = ("kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext")
ADMINISTER = (
    *("kms:CreateAlias", "kms:DeleteAlias", "kms:UpdateAlias", "kms:ListAliases", "kms:UpdateKeyDescription"),
    *("kms:EnableKey", "kms:DisableKey", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"),
    *("kms:EnableKeyRotation", "kms:DisableKeyRotation", "kms:GetKeyRotationStatus", "kms:ListKeyRotations"),
    *("kms:GetKeyPolicy", "kms:PutKeyPolicy", "kms:ListKeyPolicies"),
    *("kms:TagResource", "kms:UntagResource", "kms:ListResourceTags"),
    *("kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant", "kms:RetireGrant"),
)


class Keys(pulumi.ComponentResource):
    """Two keys, rotated every year: whoever reads logs need not read data."""

    data: pulumi.Output[str]
    operations: pulumi.Output[str]

    def __init__(self, name: str, args: KeysArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Keys", name, None, opts)
        self._args = args
        self.data = self._key(name, "data", "Data, models and images", _next_account(args))
        self.operations = self._key(name, "operations", "Logs, alarms and the audit trail", _operations(args))
        self.register_outputs({"data": self.data, "operations": self.operations})

    def _key(self, name: str, role: str, what: str, statements: Sequence[Statement]) -> pulumi.Output[str]:
        environment, config = self._args.config.environment, self._args.config
        key = kms.Key(
            logical(name, role),
            description=f"{what} of {config.stack}",
            enable_key_rotation=True,
            rotation_period_in_days=ROTATION_DAYS,
            deletion_window_in_days=environment.key_deletion_days,
            policy=document(for_the_account(config), *statements),
            opts=pulumi.ResourceOptions(parent=self, protect=environment.is_protected),
        )
        kms.Alias(
            logical(name, f"{role}-alias"),
            name=f"alias/{physical(config.stack, role, maximum_length=250)}",
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return key.arn


def for_the_account(config: StackConfig) -> Statement:
    """Leave to the account's own policies who may use and administer a key, without which nobody could."""
    account = {"AWS": in_every_region(config, "iam", "root")}
    return allow("Account", [*ADMINISTER, *USE, *DATA_KEYS], THIS_KEY, to=account)


def replica_key(parent: pulumi.Resource, name: str, config: StackConfig, region: str, what: str) -> pulumi.Output[str]:
    """A key of the other region: a copy that needs a key of the lost region would be lost with it."""
    return kms.Key(
        name,
        region=region,
        description=what,
        enable_key_rotation=True,
        rotation_period_in_days=ROTATION_DAYS,
        deletion_window_in_days=config.environment.key_deletion_days,
        policy=document(for_the_account(config)),
        opts=pulumi.ResourceOptions(parent=parent, protect=config.environment.is_protected),
    ).arn


def _next_account(args: KeysArgs) -> list[Statement]:
    """The next environment reads what is promoted to it."""
    if (reader := settings(args.config).next_account_id) is None:
        return []
    root = {"AWS": in_every_region(args.config, "iam", "root", account_id=reader)}
    return [allow("NextEnvironment", ["kms:Decrypt", "kms:DescribeKey"], THIS_KEY, to=root)]


def _operations(args: KeysArgs) -> list[Statement]:
    """The services that write logs and send alarms, each only for this account."""
    config, account = args.config, settings(args.config)
    logs = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arn(config, "logs", "*")}}
    trails = {"StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": arn(config, "cloudtrail", "trail/*")}}
    ours = {"StringEquals": {"aws:SourceAccount": account.account_id}}
    senders = ["cloudwatch.amazonaws.com", "events.amazonaws.com", "budgets.amazonaws.com", "costalerts.amazonaws.com"]
    return [
        allow("Logs", [*USE, *DATA_KEYS], THIS_KEY, to={"Service": f"logs.{account.region}.amazonaws.com"}, when=logs),
        allow("Trail", DATA_KEYS, THIS_KEY, to={"Service": "cloudtrail.amazonaws.com"}, when=trails),
        allow("TrailChecks", ["kms:DescribeKey"], THIS_KEY, to={"Service": "cloudtrail.amazonaws.com"}),
        allow("Alarms", ["kms:Decrypt", *DATA_KEYS], THIS_KEY, to={"Service": senders}, when=ours),
    ]
