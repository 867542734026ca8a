"""The workspace in our network and under our key, its Unity Catalog, and what bounds its compute."""

import pulumi

from infra.clouds.aws._account import settings
from infra.clouds.aws.databricks import _network, _storage
from infra.clouds.aws.databricks._machines import machines_role
from infra.clouds.aws.databricks._reach import CATALOG_PREFIX, catalog_location, workload_credentials
from infra.clouds.aws.databricks.identity import Identity
from infra.clouds.databricks import _account as account
from infra.clouds.databricks._sdk import databricks
from infra.clouds.databricks.catalog import Catalog
from infra.clouds.databricks.compute import budget_policy, cluster_policy
from infra.clouds.databricks.workspace import Workspace
from infra.contracts import PlatformArgs
from infra.naming import logical, tags

__all__ = ["Platform"]

# Graviton: the least per hour. What there is: https://docs.databricks.com/aws/en/compute/flexible-node-type-instances
NODE_TYPES = {
    "small": ["m7g.large", "m7g.xlarge"],
    "medium": ["m7g.xlarge", "m7g.2xlarge"],
    "large": ["m7g.2xlarge", "m7g.4xlarge"],
}
DISKS = {
    "aws_attributes.ebs_volume_type": {"type": "fixed", "value": "GENERAL_PURPOSE_SSD"},
    "aws_attributes.ebs_volume_count": {"type": "fixed", "value": 1},
    "aws_attributes.ebs_volume_size": {"type": "range", "maxValue": 200, "defaultValue": 64},
}


class Platform(pulumi.ComponentResource):
    """`workspace` is what the other components of Databricks build on."""

    identifier: pulumi.Output[str]
    workspace: Workspace

    def __init__(self, name: str, args: PlatformArgs[Identity], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Platform", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        principals = args.foundation.identity.principals
        made = self._made()
        workspace_id = self._attached(made)
        here = {"workspace_id": workspace_id}
        for workload, principal in principals.items():
            databricks.MwsPermissionAssignment(
                logical(name, f"{workload}-member"),
                workspace_id=workspace_id,
                principal_id=principal.number,
                permissions=["USER"],
                opts=self._child,
            )
        location = catalog_location(self, name, args, here)
        catalog = Catalog(
            logical(name, "catalog"),
            args.config,
            pulumi.Output.concat(location, f"/{CATALOG_PREFIX}"),
            here,
            principals,
            self._child,
        )
        self.workspace = Workspace(
            id=workspace_id,
            url=made.workspace_url,
            principals=principals,
            reach=workload_credentials(self, name, args, here, principals),
            location=location,
            policy=cluster_policy(
                self, name, args.config, here, NODE_TYPES[args.config.environment.serving_size], DISKS
            ),
            budget_policy=budget_policy(self, name, args.config, workspace_id),
            catalog=catalog.name,
            schema=catalog.schema,
            wheels=catalog.wheels,
        )
        self.identifier = workspace_id
        self.register_outputs({"identifier": self.identifier})

    def _made(self) -> databricks.MwsWorkspaces:
        config, name, args = self._args.config, self._name, self._args
        key = _storage.own_key(self, name, args)
        machines = machines_role(self, name, args, key.arn)
        account_id = account.settings(config).account_id
        credentials = databricks.MwsCredentials(
            logical(name, "credentials"),
            account_id=account_id,
            credentials_name=account.named(config, "machines"),
            role_arn=machines.arn,
            opts=self._child,
        )
        storage = _storage.registered(self, name, args, key)
        network = _network.register(self, name, args)
        return databricks.MwsWorkspaces(
            logical(name, "workspace"),
            account_id=account_id,
            workspace_name=account.named(config, "workspace"),
            aws_region=settings(config).region,
            credentials_id=credentials.credentials_id,
            storage_configuration_id=storage.bucket,
            managed_services_customer_managed_key_id=storage.key,
            storage_customer_managed_key_id=storage.key,
            network_id=network.network,
            private_access_settings_id=network.access,
            pricing_tier="ENTERPRISE",  # keys and private entry points of one's own need it
            custom_tags=tags(config),
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )

    def _attached(self, made: databricks.MwsWorkspaces) -> pulumi.Output[str]:
        """The workspace's id, once it has Unity Catalog."""
        assignment = databricks.MetastoreAssignment(
            logical(self._name, "metastore"),
            metastore_id=account.settings(self._args.config).metastore_id,
            workspace_id=made.workspace_id,
            opts=self._child,
        )
        return pulumi.Output.all(made.workspace_id, assignment.id).apply(lambda both: str(both[0]))
