"""What each resource of AWS uses in a month: pure functions of what is planned and of the volume that is assumed."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from infra.config import StackConfig
from infra.prices.planned import Resource

__all__ = ["HOURS", "USES", "Counter", "Use", "Volume"]

HOURS, OFFICE_HOURS = 730.0, 261.0  # of a month; the latter on weekdays, 12 a day


class Use(NamedTuple):
    """So much of something that has a price; `always` is paid whether anybody asks or not."""

    price: str
    amount: float
    always: bool


Volume = Mapping[str, float]
Counter = Callable[[Resource, StackConfig, Volume], Iterator[Use]]


def _entry(resource: Resource, _config: StackConfig, _volume: Volume) -> Iterator[Use]:
    if resource.inputs.get("vpcEndpointType") == "Interface":
        yield Use("endpoint-hour", HOURS * len(resource.inputs["subnetIds"]), always=True)


def _network(_resource: Resource, _config: StackConfig, volume: Volume) -> Iterator[Use]:
    yield Use("endpoint-gb", volume["endpoint_gb"], always=False)


def _server_hours(config: StackConfig) -> float:
    return OFFICE_HOURS if config.environment.stops_off_hours else HOURS


def _tracking(resource: Resource, config: StackConfig, _volume: Volume) -> Iterator[Use]:
    size = str(resource.inputs.get("trackingServerSize", "Small")).lower()
    yield Use(f"mlflow-{size}-hour", _server_hours(config), always=True)


def _endpoint(resource: Resource, config: StackConfig, _volume: Volume) -> Iterator[Use]:
    variants = [
        *(resource.inputs.get("productionVariants") or []),
        *(resource.inputs.get("shadowProductionVariants") or []),
    ]
    for variant in variants:
        servers = int(variant["initialInstanceCount"])
        yield Use(f"{variant['instanceType']}-hour", servers * _server_hours(config), always=True)


def _monitoring(resource: Resource, config: StackConfig, volume: Volume) -> Iterator[Use]:
    definition = resource.inputs["monitoringScheduleConfig"]["monitoringJobDefinition"]
    machine = definition["monitoringResources"]["clusterConfig"]["instanceType"]
    runs = HOURS / config.environment.monitors_every_h
    yield Use(f"{machine}-hour", runs * volume["minutes_a_monitoring"] / 60, always=True)


def _pipeline(resource: Resource, _config: StackConfig, volume: Volume) -> Iterator[Use]:
    steps = json.loads(resource.inputs["pipelineDefinition"])["Steps"]
    for step in steps:
        machine = step["Arguments"]["ResourceConfig"]["InstanceType"]
        yield Use(f"{machine}-hour", volume["trainings"] * volume["hours_a_training"], always=False)


def _job(resource: Resource, _config: StackConfig, volume: Volume) -> Iterator[Use]:
    """A Spot price is no list price: a job on Spot is counted in full."""
    container = json.loads(resource.inputs["containerProperties"])
    size = {each["type"]: float(each["value"]) for each in container["resourceRequirements"]}
    trains = container["command"][0] == "train"
    hours = volume["trainings"] * volume["hours_a_training"] if trains else volume["scoring_hours"]
    yield Use("fargate-vcpu-hour", hours * size["VCPU"], always=False)
    yield Use("fargate-gb-hour", hours * size["MEMORY"] / 1024, always=False)


def _function(resource: Resource, config: StackConfig, volume: Volume) -> Iterator[Use]:
    watches = "watch" in resource.inputs["imageConfig"]["commands"]
    calls = HOURS / config.environment.monitors_every_h if watches else volume["requests"]
    seconds = volume["minutes_a_monitoring"] * 60 if watches else volume["seconds_a_request"]
    gigabytes = resource.inputs["memorySize"] / 1024
    yield Use("lambda-request", calls, always=watches)
    yield Use("lambda-gb-second", calls * seconds * gigabytes, always=watches)


def _alarm(resource: Resource, _config: StackConfig, _volume: Volume) -> Iterator[Use]:
    metrics = [query for query in resource.inputs.get("metricQueries") or [] if "metric" in query]
    yield Use("alarm-month", max(len(metrics), 1), always=True)


def _one(price: str) -> Counter:
    def use(_resource: Resource, _config: StackConfig, _volume: Volume) -> Iterator[Use]:
        yield Use(price, 1, always=True)

    return use


def _volume_of(price: str, name: str) -> Counter:
    def use(_resource: Resource, _config: StackConfig, volume: Volume) -> Iterator[Use]:
        yield Use(price, volume[name], always=False)

    return use


USES: Mapping[str, Counter] = {
    "batch/jobDefinition:JobDefinition": _job,
    "cloudtrail/trail:Trail": _volume_of("data-events", "data_events"),
    "cloudwatch/dashboard:Dashboard": _one("dashboard-month"),
    "cloudwatch/logGroup:LogGroup": _volume_of("logs-gb", "logs_gb"),
    "cloudwatch/logMetricFilter:LogMetricFilter": _one("metric-month"),
    "cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "ec2/vpc:Vpc": _network,
    "ec2/vpcEndpoint:VpcEndpoint": _entry,
    "ecr/repository:Repository": _volume_of("image-gb-month", "image_gb"),
    "kms/key:Key": _one("kms-key-month"),
    "lambda/function:Function": _function,
    "s3/bucket:Bucket": _volume_of("store-gb-month", "store_gb"),
    "sagemaker/endpointConfiguration:EndpointConfiguration": _endpoint,
    "sagemaker/mlflowTrackingServer:MlflowTrackingServer": _tracking,
    "sagemaker/monitoringSchedule:MonitoringSchedule": _monitoring,
    "sagemaker/pipeline:Pipeline": _pipeline,
}
