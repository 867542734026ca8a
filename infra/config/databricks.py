"""What only the platform `databricks` has: its account, and what of it other teams look after."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["DatabricksSettings", "PrivateLink"]

Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
NodeType = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{1,59}$")]
Service = Annotated[str, Field(pattern=r"^vpce-svc-[0-9a-f]{17}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PrivateLink(_Frozen):
    """The two services by which clusters reach Databricks, as its documentation lists them for each region of AWS."""

    workspace: Service = Field(description="The workspace's REST API")
    relay: Service = Field(description="The relay of secure cluster connectivity")


class DatabricksSettings(_Frozen):
    """One Databricks account has the workspaces of all environments; each is a workspace and a catalog of its own."""

    account_id: Uuid = Field(description="The Databricks account")
    metastore_id: Uuid = Field(description="The account's Unity Catalog metastore of the stack's region")
    deployer: Uuid = Field(description="The application id of the service principal that runs `pulumi up`")
    private_link: PrivateLink = Field(description="The only way that clusters have to Databricks")
    node_types: tuple[NodeType, ...] | None = Field(
        default=None,
        min_length=1,
        description="Machines of people's clusters, the usual one first; by default those of the environment's size",
    )
    # Both as of 2026-11; supported until 22 October 2028 and 13 August 2028. Version 5 of the environment is there too.
    # https://docs.databricks.com/aws/en/release-notes/runtime/ and .../release-notes/serverless/environment-version/
    spark_version: str = Field(
        default="17.3.x-scala2.13",
        pattern=r"^[0-9]+\.[0-9]+\.x-[a-z0-9_.-]+$",
        description="The runtime of people's clusters, with long-term support",
    )
    environment_version: str = Field(
        default="4",
        pattern=r"^[1-9][0-9]?$",
        description="The serverless environment of jobs: 4 and 5 have Python 3.12",
    )
