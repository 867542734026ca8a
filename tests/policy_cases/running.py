"""Programs that keep and break the rules of: how releases, functions and jobs run, networks and what they cost."""

import json

from infra.policies.aws import _types as aws
from infra.policies.rule import Resource
from tests.policy_cases.programs import (
    IMAGE,
    RELEASE,
    ROLE_ARN,
    TAGS,
    Cases,
    Program,
    bucket,
    capture,
    configuration,
    endpoint,
    entry,
    function,
    it,
    provider,
    vpc,
)

__all__ = ["CASES"]

BUNDLE = f"s3://store/bundles/sha256/{RELEASE.partition(':')[2]}/"


def loads(uri: str) -> Program:
    sources = [{"s3Uri": uri, "s3DataType": "S3Prefix", "compressionType": "None"}]
    container = {"image": IMAGE, "environment": {"MLOPS_RELEASE": RELEASE}}
    container["modelDataSource"] = {"s3DataSources": sources}
    return [bucket(), it(aws.MODEL, executionRoleArn=ROLE_ARN, primaryContainer=container)]


def tried(seconds: int, kind: str = "CANARY") -> Program:
    routing = {"type": kind, "waitIntervalInSeconds": seconds}
    rollout = {"blueGreenUpdatePolicy": {"trafficRoutingConfiguration": routing}}
    return [it(aws.ENDPOINT, name="e", endpointConfigName="c", deploymentConfig=rollout)]


def kept(*modes: str, **more: object) -> Program:
    return configuration(dataCaptureConfig=capture(captureOptions=[{"captureMode": mode} for mode in modes], **more))


def scaled(resource: str) -> Program:
    target = {"resourceId": resource, "serviceNamespace": "sagemaker", "minCapacity": 1, "maxCapacity": 2}
    return [
        endpoint(),
        *configuration(),
        it(aws.SCALING_TARGET, "scaling", **target, scalableDimension="sagemaker:variant:DesiredInstanceCount"),
    ]


def server(env: str = "prod", **properties: object) -> Program:
    given = {"trackingServerName": "t", "roleArn": ROLE_ARN, "artifactStoreUri": "s3://store/tracking"}
    return [it(aws.TRACKING, env=env, **given | properties)]


def sized(vcpus: str, memory: str) -> Program:
    needs = [{"type": "VCPU", "value": vcpus}, {"type": "MEMORY", "value": memory}]
    container = json.dumps({"image": IMAGE, "resourceRequirements": needs})
    return [it(aws.JOB_DEFINITION, type="container", platformCapabilities=["FARGATE"], containerProperties=container)]


def alias(version: str) -> Program:
    return [it(aws.FUNCTION_ALIAS, functionName="f", functionVersion=version)]


def failures(**properties: object) -> Resource:
    return it(aws.FUNCTION_FAILURES, "failures", functionName=("it", "f"), **properties)


def waits(bucket: str, *, eventbridge: bool = True) -> Program:
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [bucket]}}}
    told = it(aws.BUCKET_NOTIFICATION, bucket="store", eventbridge=eventbridge)
    return [told, it(aws.EVENT_RULE, eventPattern=json.dumps(pattern))]


def warm(copies: int, env: str) -> Program:
    given = {"functionName": "f", "qualifier": "live", "provisionedConcurrentExecutions": copies}
    return [it(aws.FUNCTION_WARM, env=env, **given)]


def counts(stack: str) -> Program:
    counted = [{"name": "TagKeyValue", "values": [f"user:stack${stack}"]}]
    return [
        *provider(TAGS | {"stack": "s-prod"}),
        it(aws.BUDGET, budgetType="COST", timeUnit="MONTHLY", costFilters=counted),
    ]


CASES: Cases = {
    "event-rule-hears-its-bucket": (waits("store"), [waits("other"), waits("store", eventbridge=False)]),
    "model-is-loaded-from-its-release": (
        loads(BUNDLE),
        [loads("s3://store/bundles/sha256/another/"), loads(BUNDLE.replace("store", "theirs"))],
    ),
    "release-is-tried-long-enough": ([*tried(600), *tried(0, "ALL_AT_ONCE")], [tried(0), tried(30, "LINEAR")]),
    "requests-are-kept-in-full": (
        kept("Input", "Output"),
        [kept("Input"), kept("Input", "Output", initialSamplingPercentage=0)],
    ),
    "scaling-is-of-what-serves": (
        scaled("endpoint/e/variant/champion"),
        [scaled("endpoint/e/variant/champoin"), scaled("endpoint/other/variant/champion")],
    ),
    "models-are-registered-by-release": (
        server(automaticModelRegistration=False),
        [server(automaticModelRegistration=True)],
    ),
    "fargate-has-the-size": (
        [*sized("4", "16384"), *sized("0.25", "512"), *sized("16", "122880")],
        [sized("3", "8192"), sized("4", "2048"), sized("8", "17408")],
    ),
    "alias-serves-a-version": (alias("7"), [alias("$LATEST")]),
    "function-loses-no-event": (
        [*function(name="f"), failures(destinationConfig={"onFailure": {"destination": "arn:queue"}})],
        [function(name="f"), [*function(name="f"), failures(maximumRetryAttempts=2)]],
    ),
    "queue-keeps-over-a-weekend": (
        [it(aws.QUEUE), it(aws.QUEUE, "long", messageRetentionSeconds=1209600)],
        [[it(aws.QUEUE, messageRetentionSeconds=60)]],
    ),
    "function-is-traced": (
        function(tracingConfig={"mode": "Active"}),
        [function(), function(tracingConfig={"mode": "PassThrough"})],
    ),
    "functions-are-not-kept-warm": (warm(5, "prod"), [warm(1, "dev"), warm(100, "prod")]),
    "entry-point-answers-to-its-name": (
        [*entry(privateDnsEnabled=True), *entry(vpcEndpointType="Gateway")],
        [entry(), entry(privateDnsEnabled=False)],
    ),
    "network-resolves-names": (
        [it(aws.VPC, cidrBlock="10.0.0.0/16", enableDnsHostnames=True)],
        [vpc(), [it(aws.VPC, cidrBlock="10.0.0.0/16", enableDnsHostnames=True, enableDnsSupport=False)]],
    ),
    "network-stands-alone": (
        vpc(),
        [[it("aws:ec2/vpcPeeringConnection:VpcPeeringConnection", vpcId="vpc-1", peerVpcId="vpc-2")]],
    ),
    "budget-counts-the-stack": (counts("s-prod"), [counts("s-dev")]),
    "tracking-server-fits-the-environment": (
        [*server("dev"), *server("prod", trackingServerSize="Large")],
        [server("dev", trackingServerSize="Large"), server("test", trackingServerSize="Medium")],
    ),
    "machines-belong-to-services": (
        vpc(),
        [[it(aws.INSTANCE, ami="ami-1", instanceType="p4d.24xlarge")]],
    ),
}
