"""What the components of a workspace know of it, whichever cloud it is on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi

from infra.clouds.databricks.identity import Principal
from infra.contracts import Platform

__all__ = ["Workspace", "WorkspacePlatform"]


@dataclass(frozen=True)
class Workspace:
    """`id` and `url` are known once Unity Catalog is attached: what needs either waits for that.

    `reach` is the credential by which a workload reads and writes the store, by workload.
    """

    id: pulumi.Output[str]
    url: pulumi.Output[str]
    principals: Mapping[str, Principal]
    reach: Mapping[str, pulumi.Output[str]]
    location: pulumi.Output[str]  # the external location's URL: the store
    policy: pulumi.Output[str]  # the cluster policy
    budget_policy: pulumi.Output[str]  # what serverless jobs and endpoints are charged to
    catalog: pulumi.Output[str]
    schema: pulumi.Output[str]
    wheels: pulumi.Output[str]  # the volume's path

    @property
    def here(self) -> Any:
        """`provider_config` of a resource in this workspace."""
        return {"workspace_id": self.id}


class WorkspacePlatform(Platform, Protocol):
    """The platform `databricks` of any cloud."""

    workspace: Workspace
