"""How Unity Catalog and the workloads reach the store: roles of AWS that Databricks takes for one credential each."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_aws import iam

from infra.clouds.aws import _actions as actions
from infra.clouds.aws._account import in_every_region
from infra.clouds.aws._policy import Statement, allow, document
from infra.clouds.aws.databricks._makers import CATALOG_ROLE, principal
from infra.clouds.aws.identity import SESSION_S, store_access
from infra.clouds.databricks import _account as account
from infra.clouds.databricks._sdk import databricks
from infra.clouds.databricks.catalog import granted
from infra.clouds.databricks.identity import Principal
from infra.contracts import PlatformArgs
from infra.naming import logical, physical

__all__ = ["CATALOG_PREFIX", "catalog_location", "workload_credentials"]

CATALOG_PREFIX = "unity"  # of the store: the catalog's tables, models and volumes
WATCHED = "retraining"  # files that arrive here start a job
REACHING = {"training": "training", "scoring": "scoring", "monitoring": "logging"}  # and what each may do there


def catalog_location(parent: pulumi.Resource, name: str, args: PlatformArgs, here: Any) -> pulumi.Output[str]:
    """The store as an external location, by a credential of its own; its URL, once it may be used."""
    config, store = args.config, args.foundation.store
    arn, role_name = _role_arn(args, "catalog")
    credential = databricks.StorageCredential(
        logical(name, "catalog-credential"),
        name=account.named(config, "catalog"),
        comment=f"The store of {config.stack}, for Unity Catalog",
        aws_iam_role={"role_arn": arn},
        isolation_mode="ISOLATION_MODE_ISOLATED",
        skip_validation=True,  # the role needs the credential's external id: it comes next
        provider_config=here,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    held = [pulumi.Output.concat(store.identifier, f"/{CATALOG_PREFIX}/*")]
    below = {"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in (CATALOG_PREFIX, WATCHED)]}}
    policy = _role(
        parent,
        name,
        "catalog",
        role_name,
        args,
        credential.aws_iam_role.apply(_external_id),
        [
            allow("List", ["s3:ListBucket"], [store.identifier], when=below),
            allow("Locate", ["s3:GetBucketLocation"], [store.identifier]),
            allow("Keep", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], held),
            allow("Watch", ["s3:GetObject"], [pulumi.Output.concat(store.identifier, f"/{WATCHED}/*")]),
            allow("Encrypted", actions.USE_KEY, [args.foundation.keys.data]),
        ],
    )
    location = databricks.ExternalLocation(
        logical(name, "location"),
        name=account.named(config, "store"),
        url=store.uri,
        credential_name=credential.name,
        comment=f"The store of {config.stack}",
        isolation_mode="ISOLATION_MODE_ISOLATED",
        provider_config=here,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[policy], protect=config.environment.is_protected),
    )
    return location.url


def workload_credentials(
    parent: pulumi.Resource, name: str, args: PlatformArgs, here: Any, principals: Mapping[str, Principal]
) -> dict[str, pulumi.Output[str]]:
    """A service credential for each workload, that it alone may use, for what it reads and writes of the store."""
    made: dict[str, pulumi.Output[str]] = {}
    for workload, access in REACHING.items():
        arn, role_name = _role_arn(args, workload)
        credential = databricks.Credential(
            logical(name, f"{workload}-credential"),
            name=account.workload_name(args.config, workload),
            purpose="SERVICE",
            comment=f"What {workload} reads and writes of the store",
            aws_iam_role={"role_arn": arn},
            isolation_mode="ISOLATION_MODE_ISOLATED",
            skip_validation=True,
            provider_config=here,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        external_id = credential.aws_iam_role.apply(_external_id)
        allowed = store_access(access, args.foundation.store, args.foundation.keys)
        policy = _role(parent, name, workload, role_name, args, external_id, allowed)
        grants = databricks.Grants(
            logical(name, f"{workload}-credential-grants"),
            credential=credential.name,
            grants=granted(principals, {workload: ("ACCESS",)}),
            provider_config=here,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        # Whoever is given the credential may rely on it.
        made[workload] = pulumi.Output.all(credential.name, policy.id, grants.id).apply(lambda all_: all_[0])
    return made


def _external_id(role: Any) -> str | None:
    return role.external_id if role else None


def _role_arn(args: PlatformArgs, role: str) -> tuple[str, str]:
    """The role's ARN before it is there, and its name."""
    role_name = physical(args.config.stack, f"databricks-{role}", maximum_length=64)
    return in_every_region(args.config, "iam", f"role/{role_name}"), role_name


def _role(
    parent: pulumi.Resource,
    name: str,
    role: str,
    role_name: str,
    args: PlatformArgs,
    external_id: pulumi.Input[Any],
    statements: Sequence[Statement],
) -> iam.RolePolicy:
    """Databricks demands that such a role may take itself."""
    config, (arn, _) = args.config, _role_arn(args, role)
    known = {"StringEquals": {"sts:ExternalId": external_id}}
    taken = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    root = {"AWS": in_every_region(config, "iam", "root")}
    made = iam.Role(
        logical(name, f"{role}-role"),
        name=role_name,
        max_session_duration=SESSION_S,
        assume_role_policy=document(
            taken | {"Sid": "UnityCatalog", "Principal": principal(config, CATALOG_ROLE), "Condition": known},
            taken | {"Sid": "Itself", "Principal": root, "Condition": known | {"ArnLike": {"aws:PrincipalArn": arn}}},
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return iam.RolePolicy(
        logical(name, f"{role}-role-policy"),
        role=made.name,
        policy=document(*statements, allow("Itself", ["sts:AssumeRole"], [arn])),
        opts=pulumi.ResourceOptions(parent=parent),
    )
