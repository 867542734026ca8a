"""The object store of an environment, its copy in another region, and the copy of the ledger that nobody can delete."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam, s3

from infra.clouds.aws._account import bucket_arn, bucket_name, in_every_region, settings
from infra.clouds.aws._bucket import BucketConfig, PrivateBucket
from infra.clouds.aws._names import STORE
from infra.clouds.aws._policy import Statement, allow, document, trust
from infra.clouds.aws._promotion import PROMOTED, PROMOTED_PREFIXES
from infra.clouds.aws.keys import replica_key
from infra.config import StackConfig
from infra.contracts import ObjectStoreArgs
from infra.naming import logical, physical

__all__ = ["ObjectStore", "copied_to", "store_uri"]

LEDGER = "ledger/"
LOCKED, REPLICA = "ledger", "replica"  # the roles in the names of the copies' buckets


def store_uri(config: StackConfig) -> str:
    """The store's URI, before it is made."""
    return f"s3://{bucket_name(config, STORE)}"


def copied_to(config: StackConfig) -> list[str]:
    """The roles of the buckets that the store, or a part of it, is copied to."""
    roles = [LOCKED] if config.environment.ledger_lock_days else []
    return [*roles, REPLICA] if settings(config).replica_region else roles


class ObjectStore(pulumi.ComponentResource):
    """The store; logs leave it as the environment says, and what was deleted can be had back for some days."""

    uri: pulumi.Output[str]
    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: ObjectStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:ObjectStore", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        environment, account = args.config.environment, settings(args.config)
        kept = environment.log_retention_days
        self.store = self._bucket(
            name,
            STORE,
            account.region,
            args.keys.data,
            expires_days={"predictions/": kept, "capture/": kept},
            statements=_next_account(args),
        )
        self.identifier = self.store.arn
        s3.BucketNotification(logical(name, "events"), bucket=self.store.name, eventbridge=True, opts=self._child)
        copies: list[_Copy] = []
        if environment.ledger_lock_days:
            locked = self._bucket(name, LOCKED, account.region, args.keys.data, lock_days=environment.ledger_lock_days)
            copies.append(_Copy(LOCKED, LEDGER, locked.arn, args.keys.data))
        if account.replica_region:
            what = f"The copy of the store of {args.config.stack}"
            key = replica_key(self, logical(name, "replica-key"), args.config, account.replica_region, what)
            replica = self._bucket(name, REPLICA, account.replica_region, key)
            copies.append(_Copy(REPLICA, "", replica.arn, key))
        if copies:
            self._replicate(name, copies)
        self.uri = pulumi.Output.concat("s3://", self.store.name)
        self.register_outputs({"uri": self.uri})

    def _bucket(
        self,
        name: str,
        role: str,
        region: str,
        key: pulumi.Input[str],
        *,
        expires_days: dict[str, int] | None = None,
        lock_days: int | None = None,
        statements: Sequence[Statement] = (),
    ) -> PrivateBucket:
        environment = self._args.config.environment
        config = BucketConfig(
            bucket_name(self._args.config, role),
            region,
            environment.is_protected,
            environment.noncurrent_days,
            expires_days or {},
            lock_days,
        )
        child = name if role == STORE else logical(name, role)
        return PrivateBucket(child, config, key, statements, pulumi.ResourceOptions(parent=self))

    def _replicate(self, name: str, copies: Sequence["_Copy"]) -> None:
        config = self._args.config
        role = iam.Role(
            logical(name, "replication-role"),
            name=physical(config.stack, "replication", maximum_length=64),
            assume_role_policy=trust("s3", settings(config).account_id),
            opts=self._child,
        )
        policy = iam.RolePolicy(
            logical(name, "replication-policy"),
            role=role.name,
            policy=document(
                allow("Source", ["s3:GetReplicationConfiguration", "s3:ListBucket"], [self.identifier]),
                allow(
                    "Read",
                    ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"],
                    [pulumi.Output.concat(self.identifier, "/*")],
                ),
                allow(
                    "Copy",
                    ["s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"],
                    [pulumi.Output.concat(copy.bucket_arn, "/*") for copy in copies],
                ),
                allow("Decrypt", ["kms:Decrypt"], [self._args.keys.data]),
                allow("Encrypt", ["kms:Encrypt", "kms:GenerateDataKey"], [copy.key_arn for copy in copies]),
            ),
            opts=self._child,
        )
        s3.BucketReplicationConfig(
            logical(name, "replication"),
            bucket=self.store.name,
            role=role.arn,
            rules=[copy.rule(priority) for priority, copy in enumerate(copies, start=1)],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.store.versioning, policy]),
        )


@dataclass(frozen=True)
class _Copy:
    """What lies below `prefix` is copied to another bucket, encrypted there with that bucket's key."""

    role: str
    prefix: str
    bucket_arn: pulumi.Output[str]
    key_arn: pulumi.Input[str]

    def rule(self, priority: int) -> s3.BucketReplicationConfigRuleArgsDict:
        """Deletions are copied too, for a copy has to forget what the store forgets; but never those of the ledger."""
        return {
            "id": self.role,
            "status": "Enabled",
            "priority": priority,
            "filter": {"prefix": self.prefix},
            "delete_marker_replication": {"status": "Disabled" if self.prefix == LEDGER else "Enabled"},
            "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
            "destination": {
                "bucket": self.bucket_arn,
                "encryption_configuration": {"replica_kms_key_id": self.key_arn},
            },
        }


def _next_account(args: ObjectStoreArgs) -> list[Statement]:
    """The next environment reads bundles and their evidence, to be promoted to it, and nothing else."""
    account = settings(args.config)
    if account.next_account_id is None:
        return []
    bucket = bucket_arn(args.config, bucket_name(args.config, STORE))
    reader = {"AWS": in_every_region(args.config, "iam", "root", account_id=account.next_account_id)}
    promoted = {"StringLike": {"s3:prefix": list(PROMOTED_PREFIXES)}}
    return [
        allow("PromotedFrom", ["s3:GetObject"], [f"{bucket}/{prefix}" for prefix in PROMOTED], to=reader),
        allow("PromotedFromList", ["s3:ListBucket"], [bucket], to=reader, when=promoted),
    ]
