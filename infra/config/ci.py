"""Who may act for a stack without a person: CI systems, known by what they sign and never by a stored key."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AzureDevOps", "Ci"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AzureDevOps(_Frozen):
    """A service connection of Azure DevOps."""

    organization: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,48}$")
    organization_id: str = Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    project: str = Field(pattern=r"^[^/*?]{1,64}$")
    service_connection: str = Field(pattern=r"^[^/*?]{1,64}$")


class Ci(_Frozen):
    """The repositories whose pipelines may act, only those of the stack's environment where the CI system knows it."""

    github: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$", description="owner/repository")
    gitlab: str | None = Field(default=None, pattern=r"^[\w.-]+(/[\w.-]+)+$", description="group/project on gitlab.com")
    azure_devops: AzureDevOps | None = None
