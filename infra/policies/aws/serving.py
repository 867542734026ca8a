"""Models and what serves, trains and watches them: pinned, private, encrypted, redundant, taken back by alarms."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule, Stack, Values

__all__ = ["RULES"]

PINNED = re.compile(r"@sha256:[0-9a-f]{64}$")
RELEASE = re.compile(r"sha256:[0-9a-f]{64}")


def _containers(model: Resource) -> list[Values]:
    return model.values.each("primaryContainer") + model.values.each("containers")


def _pinned_images(resource: Resource) -> Iterator[str]:
    if resource.type == aws.MODEL:
        images = [each.at("image", "") for each in _containers(resource)]
    else:
        specification = "monitoringScheduleConfig.monitoringJobDefinition.monitoringAppSpecification"
        images = resource.values.texts(f"{specification}.imageUri")
    yield from (f"the image {image or '(none)'} is not pinned" for image in images if not PINNED.search(image))


def _states_release(model: Resource) -> Iterator[str]:
    for container in _containers(model):
        if not RELEASE.fullmatch(str(container.at("environment.MLOPS_RELEASE", ""))):
            yield "the model doesn't say which release it is"


def _in_network(model: Resource) -> Iterator[str]:
    if not model.values.has("vpcConfig.subnets") or not model.values.has("vpcConfig.securityGroupIds"):
        yield "the model is served outside the private network"


def _volume_sealed(configuration: Resource) -> Iterator[str]:
    if not configuration.values.has("kmsKeyArn"):
        yield "the servers' disks are not encrypted with a key of the stack"


def _captures(configuration: Resource) -> Iterator[str]:
    if configuration.values.at("dataCaptureConfig.enableCapture") is not True:
        yield "requests and answers are not kept, so nobody sees drift"
    elif not configuration.values.has("dataCaptureConfig.kmsKeyId"):
        yield "captured requests are not encrypted with a key of the stack"


def _redundant(configuration: Resource) -> Iterator[str]:
    for variant in configuration.values.each("productionVariants"):
        weight, servers = variant.at("initialVariantWeight", 1), variant.at("initialInstanceCount", 1)
        serverless = variant.at("serverlessConfig")
        if configuration.environment != "dev" and weight > 0.5 and servers < 2 and not serverless:
            yield f"the variant {variant.at('variantName', '')} has one server: when it fails nobody answers"


def _taken_back(endpoint: Resource) -> Iterator[str]:
    if not endpoint.values.each("deploymentConfig.autoRollbackConfiguration.alarms"):
        yield "no alarm takes a bad release back"


def _canary(endpoint: Resource) -> Iterator[str]:
    routing = "deploymentConfig.blueGreenUpdatePolicy.trafficRoutingConfiguration.type"
    kind = endpoint.values.at(routing) or (
        "ROLLING" if endpoint.values.at("deploymentConfig.rollingUpdatePolicy") else None
    )
    if endpoint.environment != "dev" and kind not in ("CANARY", "LINEAR", "ROLLING"):
        yield "a new release gets all requests at once"


def _watched(endpoint: Resource, stack: Stack) -> Iterator[str]:
    watched = "monitoringScheduleConfig.monitoringJobDefinition.monitoringInputs.endpointInput.endpointName"
    if not stack.about(endpoint, aws.MONITORING, watched):
        yield "nothing watches the endpoint for drift"


def _private_job(schedule: Resource) -> Iterator[str]:
    job = "monitoringScheduleConfig.monitoringJobDefinition"
    if not schedule.values.has(f"{job}.networkConfig.vpcConfig.subnets"):
        yield "the monitoring job runs outside the private network"
    if schedule.values.at(f"{job}.networkConfig.enableInterContainerTrafficEncryption") is not True:
        yield "traffic between the job's containers is not encrypted"
    if not schedule.values.has(f"{job}.monitoringResources.clusterConfig.volumeKmsKeyId"):
        yield "the monitoring job's disk is not encrypted with a key of the stack"
    if not schedule.values.has(f"{job}.monitoringOutputConfig.kmsKeyId"):
        yield "the monitoring job's report is not encrypted with a key of the stack"
    if not schedule.values.has(f"{job}.stoppingConditions"):
        yield "nothing ends a monitoring job that hangs"


def _jobs(pipeline: Resource) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, CreateTrainingJob or CreateProcessingJob request) of the pipeline's steps."""
    try:
        definition: Any = json.loads(pipeline.values.at("pipelineDefinition", "{}"))
    except ValueError:
        return  # the cloud itself says that it is no JSON
    for step in definition.get("Steps", []):
        if step.get("Type") in ("Training", "Processing"):
            yield step.get("Name", ""), step.get("Arguments", {})


def _private_training(pipeline: Resource) -> Iterator[str]:
    for name, job in _jobs(pipeline):
        given = Values(job)
        if not (given.at("VpcConfig.Subnets") or given.at("NetworkConfig.VpcConfig.Subnets")):
            yield f"step {name} runs outside the private network"
        cluster = given.at("ResourceConfig") or given.at("ProcessingResources.ClusterConfig", {})
        if not cluster.get("VolumeKmsKeyId"):
            yield f"the disk of step {name} is not encrypted with a key of the stack"
        if "OutputDataConfig" in job and not given.at("OutputDataConfig.KmsKeyId"):
            yield f"the result of step {name} is not encrypted with a key of the stack"
        if given.at("EnableInterContainerTrafficEncryption") is False:
            yield f"traffic between the containers of step {name} is not encrypted"


def _bounded_training(pipeline: Resource) -> Iterator[str]:
    for name, job in _jobs(pipeline):
        given = Values(job)
        if not given.at("StoppingCondition.MaxRuntimeInSeconds"):
            yield f"nothing ends step {name} when it hangs"
        image = given.at("AlgorithmSpecification.TrainingImage") or given.at("AppSpecification.ImageUri", "")
        if not PINNED.search(str(image)):
            yield f"the image of step {name} is not pinned"


def _closed_notebook(notebook: Resource) -> Iterator[str]:
    if notebook.values.at("directInternetAccess", "Enabled") != "Disabled":
        yield "the notebook reaches the internet"
    if not notebook.values.has("subnetId"):
        yield "the notebook runs outside the private network"
    if notebook.values.at("rootAccess", "Enabled") != "Disabled":
        yield "whoever uses the notebook is root on it"
    if not notebook.values.has("kmsKeyId"):
        yield "the notebook's disk is not encrypted with a key of the stack"


_PINNING = Controls(gdpr=("5(1)(f)", "32(1)(b)"), hipaa=("164.312(c)(1)",), app=("10.2", "11.1"))
_SEALING = Controls(gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",))
_NETWORK = Controls(fsbp=("SageMaker.5",), gdpr=("32(1)(b)",), hipaa=("164.312(e)(1)",), app=("11.1",))
_QUALITY = Controls(gdpr=("5(1)(d)", "32(1)(d)"), hipaa=("164.308(a)(8)",), app=("10.2",))
_JOB = Controls(gdpr=("32(1)(a)", "32(1)(b)"), hipaa=("164.312(a)(2)(iv)", "164.312(e)(1)"), app=("11.1",))

RULES: tuple[Rule, ...] = (
    Rule(
        "model-image-is-pinned",
        "What serves and what monitors is an image by its digest.",
        "Pin it: mlops:image: sha256:…, which makes repository@sha256:…",
        _PINNING,
        (aws.MODEL, aws.MONITORING),
        _pinned_images,
    ),
    Rule(
        "model-is-a-release",
        "Every model says by digest which release it is.",
        "Set MLOPS_RELEASE in the container's environment to the pinned digest",
        _PINNING,
        (aws.MODEL,),
        _states_release,
    ),
    Rule(
        "model-is-in-the-network",
        "Every model is served inside the private network.",
        "Set vpc_config to the stack's private subnets and its group of workloads",
        _NETWORK,
        (aws.MODEL,),
        _in_network,
    ),
    Rule(
        "endpoint-disk-is-encrypted",
        "Disks of model servers are encrypted with a key of the stack.",
        "Set kms_key_arn to the stack's key for data",
        _SEALING,
        (aws.ENDPOINT_CONFIGURATION,),
        _volume_sealed,
    ),
    Rule(
        "endpoint-keeps-what-it-answers",
        "Requests and answers are captured, encrypted with a key of the stack.",
        "Set data_capture_config with enable_capture and kms_key_id",
        Controls(gdpr=("5(2)", "32(1)(a)"), hipaa=("164.312(b)", "164.312(a)(2)(iv)"), app=("10.2", "11.1")),
        (aws.ENDPOINT_CONFIGURATION,),
        _captures,
    ),
    Rule(
        "endpoint-has-two-servers",
        "Outside DEV whatever answers most requests has at least two servers.",
        "Set initial_instance_count to servers_minimum of the environment",
        Controls(fsbp=("SageMaker.4",), gdpr=("32(1)(b)",), hipaa=("164.308(a)(7)(i)",), app=("11.1",)),
        (aws.ENDPOINT_CONFIGURATION,),
        _redundant,
    ),
    Rule(
        "endpoint-takes-bad-releases-back",
        "Alarms take a bad release back without a person.",
        "Set deployment_config.auto_rollback_configuration.alarms to the endpoint's alarms",
        _QUALITY,
        (aws.ENDPOINT,),
        _taken_back,
    ),
    Rule(
        "endpoint-tries-releases-first",
        "Outside DEV a new release is tried on a part of the requests first.",
        "Set the traffic routing's type to CANARY or LINEAR",
        _QUALITY,
        (aws.ENDPOINT,),
        _canary,
    ),
    Rule(
        "endpoint-is-watched",
        "Every endpoint has a monitoring schedule.",
        "Add a MonitoringSchedule whose endpoint_input is the endpoint",
        _QUALITY,
        (aws.ENDPOINT,),
        check_among=_watched,
    ),
    Rule(
        "monitoring-is-private-and-bounded",
        "Monitoring jobs run inside the private network, encrypt what they write and end.",
        "Set network_config, volume_kms_key_id, the output's kms_key_id and stopping_conditions",
        _JOB,
        (aws.MONITORING,),
        _private_job,
    ),
    Rule(
        "training-is-private",
        "Steps of a pipeline run inside the private network and encrypt what they write.",
        "Set VpcConfig, VolumeKmsKeyId, OutputDataConfig.KmsKeyId and EnableInterContainerTrafficEncryption",
        _JOB,
        (aws.PIPELINE,),
        _private_training,
    ),
    Rule(
        "training-is-pinned-and-bounded",
        "Steps of a pipeline run an image by its digest and end.",
        "Set StoppingCondition.MaxRuntimeInSeconds, and the image to repository@sha256:…",
        _PINNING,
        (aws.PIPELINE,),
        _bounded_training,
    ),
    Rule(
        "notebook-is-closed",
        "Notebooks are inside the private network, encrypted, without internet and without root.",
        "Set direct_internet_access and root_access to Disabled, subnet_id and kms_key_id",
        Controls(
            fsbp=("SageMaker.1", "SageMaker.2", "SageMaker.3"),
            gdpr=("32(1)(b)",),
            hipaa=("164.312(a)(1)", "164.312(e)(1)"),
            app=("11.1",),
        ),
        (aws.NOTEBOOK,),
        _closed_notebook,
    ),
)
