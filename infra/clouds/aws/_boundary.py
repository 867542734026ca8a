"""What no role of a stack can go beyond, whichever component makes it."""

import pulumi

from infra.clouds.aws._account import in_every_region
from infra.config import StackConfig

__all__ = ["bound_roles"]

ROLE = "aws:iam/role:Role"


def bound_roles(config: StackConfig) -> None:
    """Give every role the boundary that `mlops permissions` prints: whoever deploys may make no role without it."""
    arn = in_every_region(config, "iam", f"policy/mlops-{config.stack}-boundary")

    def bound(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != ROLE:
            return None
        return pulumi.ResourceTransformationResult({**args.props, "permissions_boundary": arn}, args.opts)

    pulumi.runtime.register_stack_transformation(bound)
