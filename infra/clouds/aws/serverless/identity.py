"""The roles of what runs on Batch and Lambda."""

from infra.clouds.aws import identity
from infra.clouds.aws.serverless import permissions

__all__ = ["Identity"]


class Identity(identity.RoleIdentity):
    """A role for each workload."""

    permissions = permissions
