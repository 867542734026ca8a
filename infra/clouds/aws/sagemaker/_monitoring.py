"""The monitor on a schedule: the project's own, in its own image, as SageMaker's monitoring job."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pulumi
from pulumi_aws import sagemaker

from infra.clouds.aws._names import LONGEST_NAME
from infra.clouds.aws._runtime import pinned_image, runtime
from infra.config import StackConfig
from infra.contracts import EndpointArgs
from infra.naming import logical, physical

__all__ = ["monitor"]

INSTANCE_TYPE = "ml.m5.large"
VOLUME_GB = 30
LONGEST_RUN_S = 1800  # SageMaker allows less than an hour between two runs
LOCAL = "/opt/ml/processing"
# The report first; then, where it says that it is time, a request for training, which starts the pipeline.
COMMAND = "mlops monitor run && mlops retrain --check --request"


def monitor(parent: pulumi.Resource, name: str, args: EndpointArgs, endpoint: pulumi.Output[str]) -> None:
    """Reads the prediction log in the store, writes the report into it."""
    config, base = args.config, args.foundation
    sagemaker.MonitoringSchedule(
        logical(name, "monitoring"),
        name=physical(config.stack, "monitoring", maximum_length=LONGEST_NAME),
        monitoring_schedule_config={
            "monitoring_type": "DataQuality",
            "schedule_config": {"schedule_expression": f"cron(0 {_hours(config)} ? * * *)"},
            "monitoring_job_definition": {
                "role_arn": base.identity.monitoring,
                "environment": {"MLOPS_RUNTIME": runtime(parent, name, base, args.tracking, args.release)},
                "monitoring_app_specification": {
                    "image_uri": pinned_image(base),
                    "container_entrypoints": ["/bin/sh", "-c"],
                    "container_arguments": [COMMAND],
                },
                "monitoring_inputs": {
                    "endpoint_input": {"endpoint_name": endpoint, "local_path": f"{LOCAL}/input/captured"}
                },
                "monitoring_output_config": {
                    "kms_key_id": base.keys.data,
                    "monitoring_outputs": {
                        "s3_output": {
                            "s3_uri": pulumi.Output.concat(base.store.uri, "/monitoring/jobs"),
                            "local_path": f"{LOCAL}/output",
                        }
                    },
                },
                "monitoring_resources": {
                    "cluster_config": {
                        "instance_count": 1,
                        "instance_type": INSTANCE_TYPE,
                        "volume_size_in_gb": VOLUME_GB,
                        "volume_kms_key_id": base.keys.data,
                    }
                },
                "network_config": {
                    "enable_inter_container_traffic_encryption": True,
                    "vpc_config": {"subnets": base.network.subnets, "security_group_ids": [base.network.guard]},
                },
                "stopping_conditions": [{"max_runtime_in_seconds": LONGEST_RUN_S}],
            },
        },
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _hours(config: StackConfig) -> str:
    """At which hours of UTC; once a day at noon where the endpoint is deleted at night, for one that is gone can't run.

    SageMaker knows no time zone; noon is far enough from the office hours' ends for summer time not to matter.
    """
    if config.environment.stops_off_hours:
        noon = datetime(2026, 1, 15, 12, tzinfo=ZoneInfo(config.time_zone))
        return str(noon.astimezone(UTC).hour)
    every = config.environment.monitors_every_h
    return "*" if every == 1 else f"0/{every}"
