"""Models, and the endpoint configuration that says which of them answers what share of the requests."""

from typing import Any

import pulumi
from pulumi_aws import sagemaker

from infra.clouds.aws._names import CHALLENGER, CHAMPION, LONGEST_NAME
from infra.clouds.aws._runtime import pinned_image
from infra.contracts import EndpointArgs
from infra.naming import logical, physical

__all__ = ["configuration"]

INSTANCE_TYPES = {"small": "ml.m5.large", "medium": "ml.m5.xlarge", "large": "ml.m5.2xlarge"}
CAPTURED_PERCENT = 100
START_TIMEOUT_S = 300


def configuration(parent: pulumi.Resource, name: str, args: EndpointArgs) -> sagemaker.EndpointConfiguration:
    """SageMaker changes neither a model nor a configuration: a new one has a new name, made of what it holds."""
    config, base = args.config, args.foundation
    challenger = config.challenger
    share = challenger.weight if challenger and challenger.mode == "canary" else 0.0
    champion = _variant(CHAMPION, args, _model(parent, name, CHAMPION, args, args.release), 1 - share)
    serving, shadows = [champion], list[Any]()
    if challenger:
        model = _model(parent, name, CHALLENGER, args, challenger.release)
        to = shadows if challenger.mode == "shadow" else serving
        to.append(_variant(CHALLENGER, args, model, challenger.weight))
    held = f"{args.release} {config.image} {config.environment!r} {challenger!r}"
    return sagemaker.EndpointConfiguration(
        logical(name, "configuration"),
        name=physical(config.stack, "endpoint", maximum_length=LONGEST_NAME, unique_in=held),
        production_variants=serving,
        shadow_production_variants=shadows or None,
        kms_key_arn=base.keys.data,
        data_capture_config={
            "enable_capture": True,
            "initial_sampling_percentage": CAPTURED_PERCENT,
            "destination_s3_uri": pulumi.Output.concat(base.store.uri, "/capture"),
            "kms_key_id": base.keys.data,
            "capture_options": [{"capture_mode": "Input"}, {"capture_mode": "Output"}],
            "capture_content_type_header": {"json_content_types": ["application/json", "application/jsonlines"]},
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _model(parent: pulumi.Resource, name: str, role: str, args: EndpointArgs, release: str) -> sagemaker.Model:
    """The image with one release: SageMaker lays the bundle into the container, which verifies it before it serves."""
    config, base = args.config, args.foundation
    hexadecimal = release.removeprefix("sha256:")
    bundle = pulumi.Output.concat(base.store.uri, f"/bundles/sha256/{hexadecimal}/")
    return sagemaker.Model(
        logical(name, role),
        name=physical(config.stack, role, maximum_length=LONGEST_NAME, unique_in=f"{release} {config.image}"),
        execution_role_arn=base.identity.serving,
        primary_container={
            "image": pinned_image(base),
            "model_data_source": {
                "s3_data_sources": [{"s3_uri": bundle, "s3_data_type": "S3Prefix", "compression_type": "None"}]
            },
            "environment": {"MLOPS_STORE_URI": base.store.uri, "MLOPS_RELEASE": release},
        },
        vpc_config={"subnets": base.network.subnets, "security_group_ids": [base.network.guard]},
        tags={"release": release},
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _variant(role: str, args: EndpointArgs, model: sagemaker.Model, weight: float) -> Any:  # both kinds of variant
    environment = args.config.environment
    return {
        "variant_name": role,
        "model_name": model.name,
        "instance_type": INSTANCE_TYPES[environment.serving_size],
        "initial_instance_count": environment.servers_minimum,  # a rollout's canary may be half of a variant at most
        "initial_variant_weight": round(weight, 6),
        "container_startup_health_check_timeout_in_seconds": START_TIMEOUT_S,
    }
