"""The training pipeline as SageMaker reads it.

https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/ describes the document.
"""

from typing import Any

import pulumi

from infra.config import Environment
from infra.contracts import JobsArgs

__all__ = ["REASON", "definition"]

REASON = "Reason"  # the parameter that says why a run was started
INSTANCE_TYPES = {"small": "ml.m5.xlarge", "medium": "ml.m5.2xlarge", "large": "ml.m5.4xlarge"}
VOLUME_GB = 50
LONGEST_RUN_S = 6 * 3600
LONGEST_WAIT_S = 2 * 3600  # for spare capacity
RETRIED = ["SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"]


def definition(args: JobsArgs, image: pulumi.Output[str], runtime: pulumi.Output[str]) -> dict[str, Any]:
    """One step: `mlops-container train` below /opt/ml; a job that could not get a machine is tried again."""
    return {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [{"Name": REASON, "Type": "String", "DefaultValue": "person"}],
        "Steps": [
            {
                "Name": "Train",
                "Type": "Training",
                "Arguments": _job(args, image, runtime),
                "RetryPolicies": [
                    {"ExceptionType": RETRIED, "IntervalSeconds": 60, "BackoffRate": 2.0, "MaxAttempts": 5}
                ],
            }
        ],
    }


def _job(args: JobsArgs, image: pulumi.Output[str], runtime: pulumi.Output[str]) -> dict[str, Any]:
    """A CreateTrainingJob request without its name."""
    base, config = args.foundation, args.config
    data = {
        "S3DataType": "S3Prefix",
        "S3Uri": _in(base.store.uri, "datasets/"),
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "RoleArn": base.identity.training,
        "AlgorithmSpecification": {"TrainingImage": image, "TrainingInputMode": "File"},
        "InputDataConfig": [{"ChannelName": "data", "DataSource": {"S3DataSource": data}}],
        "OutputDataConfig": {"S3OutputPath": _in(base.store.uri, "training/"), "KmsKeyId": base.keys.data},
        "ResourceConfig": {
            "InstanceType": INSTANCE_TYPES[config.environment.serving_size],
            "InstanceCount": 1,
            "VolumeSizeInGB": VOLUME_GB,
            "VolumeKmsKeyId": base.keys.data,
        },
        **_capacity(config.environment),
        "VpcConfig": {"Subnets": base.network.subnets, "SecurityGroupIds": [base.network.guard]},
        "EnableInterContainerTrafficEncryption": True,
        "Environment": {
            "MLOPS_RUNTIME": runtime,
            "MLOPS_TRAINING_REASON": {"Get": f"Parameters.{REASON}"},
        },
    }


def _capacity(environment: Environment) -> dict[str, Any]:
    """How long it may run; on spare capacity, which may be taken back, it waits for that and begins again."""
    longest = {"MaxRuntimeInSeconds": LONGEST_RUN_S}
    if not environment.uses_spot:
        return {"StoppingCondition": longest}
    waits = {"MaxWaitTimeInSeconds": LONGEST_RUN_S + LONGEST_WAIT_S}
    return {"EnableManagedSpotTraining": True, "StoppingCondition": longest | waits}


def _in(uri: pulumi.Output[str], prefix: str) -> pulumi.Output[str]:
    return pulumi.Output.concat(uri, "/", prefix)
