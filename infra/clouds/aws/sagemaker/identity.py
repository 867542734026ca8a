"""The roles of what runs on SageMaker."""

from infra.clouds.aws import identity
from infra.clouds.aws.sagemaker import permissions

__all__ = ["Identity"]


class Identity(identity.RoleIdentity):
    """A role for each workload."""

    permissions = permissions
