"""What people's clusters may be, and what the serverless work of jobs and endpoints is charged to."""

import json
from typing import Any

import pulumi

from infra.clouds.databricks._account import named, settings
from infra.clouds.databricks._sdk import databricks
from infra.config import StackConfig
from infra.naming import logical, tags

__all__ = ["budget_policy", "cluster_policy"]

IDLE_MINUTES = 30
WORKERS = {"small": 2, "medium": 8, "large": 16}
CLUSTERS_A_PERSON = 1


def cluster_policy(
    parent: pulumi.Resource, name: str, config: StackConfig, here: Any, usual: list[str], disks: dict[str, Any]
) -> pulumi.Output[str]:
    """One person's cluster, bounded in size, ended when idle, tagged.

    `usual` are the cloud's machines where the stack names none, and `disks` are in the cloud's words.
    """
    node_types = list(settings(config).node_types or usual)
    definition = {
        "spark_version": {"type": "fixed", "value": settings(config).spark_version},
        "data_security_mode": {"type": "fixed", "value": "SINGLE_USER"},
        "node_type_id": {"type": "allowlist", "values": node_types, "defaultValue": node_types[0]},
        "driver_node_type_id": {"type": "allowlist", "values": node_types, "defaultValue": node_types[0]},
        "num_workers": {"type": "range", "maxValue": WORKERS[config.environment.serving_size], "defaultValue": 1},
        "autotermination_minutes": {"type": "fixed", "value": IDLE_MINUTES},
        "enable_local_disk_encryption": {"type": "fixed", "value": True},
        **disks,
        **{f"custom_tags.{key}": {"type": "fixed", "value": value} for key, value in tags(config).items()},
    }
    policy = databricks.ClusterPolicy(
        logical(name, "cluster-policy"),
        name=named(config, "clusters"),
        description="Clusters of people: jobs and endpoints are serverless",
        definition=json.dumps(definition, sort_keys=True),
        max_clusters_per_user=CLUSTERS_A_PERSON,
        provider_config=here,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return policy.policy_id


def budget_policy(
    parent: pulumi.Resource, name: str, config: StackConfig, workspace_id: pulumi.Output[str]
) -> pulumi.Output[str]:
    """What is serverless has no machine that could be tagged: the policy tags its bill."""
    policy = databricks.BudgetPolicy(
        logical(name, "budget-policy"),
        policy_name=named(config, "serverless"),
        custom_tags=[{"key": key, "value": value} for key, value in tags(config).items()],
        binding_workspace_ids=[workspace_id.apply(int)],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return policy.policy_id
