"""As many servers as the requests need, between the environment's bounds."""

import pulumi
from pulumi_aws import appautoscaling

from infra.clouds.aws._names import CHAMPION
from infra.config import StackConfig
from infra.naming import logical, physical

__all__ = ["scale"]

REQUESTS_A_MINUTE = 3000.0  # of one server: half of what the scorer was measured to answer, so that a canary fits
SCALE_OUT_WAIT_S = 60
SCALE_IN_WAIT_S = 300


def scale(parent: pulumi.Resource, name: str, config: StackConfig, endpoint: pulumi.Output[str]) -> None:
    """Nothing where the environment has a fixed number of servers."""
    environment = config.environment
    if environment.servers_maximum == environment.servers_minimum:
        return
    target = appautoscaling.Target(
        logical(name, "scaling"),
        service_namespace="sagemaker",
        scalable_dimension="sagemaker:variant:DesiredInstanceCount",
        resource_id=pulumi.Output.concat("endpoint/", endpoint, f"/variant/{CHAMPION}"),
        min_capacity=environment.servers_minimum,
        max_capacity=environment.servers_maximum,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    appautoscaling.Policy(
        logical(name, "scaling-by-requests"),
        name=physical(config.stack, "requests", maximum_length=255),
        policy_type="TargetTrackingScaling",
        service_namespace=target.service_namespace,
        scalable_dimension=target.scalable_dimension,
        resource_id=target.resource_id,
        target_tracking_scaling_policy_configuration={
            "target_value": REQUESTS_A_MINUTE,
            "scale_out_cooldown": SCALE_OUT_WAIT_S,
            "scale_in_cooldown": SCALE_IN_WAIT_S,
            "predefined_metric_specification": {"predefined_metric_type": "SageMakerVariantInvocationsPerInstance"},
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )
