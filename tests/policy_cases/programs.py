"""Programs to try rules on, with properties as the engine gives them."""

import json
from collections.abc import Mapping
from typing import Any

from infra.policies.aws import _types as aws
from infra.policies.rule import Resource

__all__ = [
    "CAPTURED",
    "CHANGES",
    "CLAIMS",
    "COPY",
    "FEDERATED",
    "FORGETS",
    "IMAGE",
    "KEY_ARN",
    "LOCK",
    "NEW_TLS",
    "OBJECTS",
    "OIDC",
    "OPEN_BLOCK",
    "OURS",
    "PARTS",
    "RELEASE",
    "ROLE_ARN",
    "STORE",
    "TAGGED",
    "TAGS",
    "TLS",
    "VARIABLES",
    "Cases",
    "Program",
    "allow",
    "bucket",
    "bucket_policy",
    "budget",
    "capture",
    "configuration",
    "deny",
    "doc",
    "egress",
    "endpoint",
    "entry",
    "function",
    "ingress",
    "it",
    "job",
    "lifecycle",
    "model",
    "monitoring",
    "notebook",
    "pipeline",
    "provider",
    "repository",
    "role_policy",
    "selector",
    "sse",
    "stops",
    "subnet",
    "trail",
    "trains",
    "trust",
    "vpc",
    "with_bucket",
]

Program = list[Resource]
Cases = dict[str, tuple[Program, list[Program]]]  # rule → what keeps it, and what breaks it
STORE = "arn:aws:s3:::store"
KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/k"
ROLE_ARN = "arn:aws:iam::123456789012:role/r"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/mlops@sha256:" + "a" * 64
TAGGED = IMAGE.partition("@")[0] + ":latest"
RELEASE = "sha256:" + "b" * 64
OURS = {"StringEquals": {"aws:SourceAccount": "123456789012"}}


def it(type_: str, called: str = "it", /, env: str = "prod", protect: bool = False, **properties: Any) -> Resource:
    """A resource; a property written as `(name, value)` comes from another resource's output."""
    sources = {key: frozenset({value[0]}) for key, value in properties.items() if isinstance(value, tuple)}
    plain = {key: value[1] if isinstance(value, tuple) else value for key, value in properties.items()}
    return Resource(type_, called, plain, env, protect, sources, urn=f"urn:pulumi:s-{env}::mlops::{type_}::{called}")


def doc(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = STORE, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def deny(condition: Mapping[str, Any], resource: Any = (STORE, f"{STORE}/*")) -> dict[str, Any]:
    return {"Effect": "Deny", "Principal": "*", "Action": ["s3:*"], "Resource": list(resource), "Condition": condition}


def trust(principal: Any, condition: Any = None, action: str = "sts:AssumeRole") -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return doc(statement | ({"Condition": condition} if condition else {}))


def bucket(**more: Any) -> Resource:
    return it(aws.BUCKET, "store", bucket="store", **more)


def with_bucket(type_: str, env: str = "prod", **properties: Any) -> Program:
    return [bucket(env=env), it(type_, env=env, bucket=("store", "store"), **properties)]


def bucket_policy(*statements: Mapping[str, Any]) -> Program:
    return with_bucket(aws.BUCKET_POLICY, policy=doc(*statements))


def role_policy(*statements: Mapping[str, Any]) -> Program:
    return [it(aws.ROLE_POLICY, role="r", policy=doc(*statements))]


def lifecycle(*rules: Mapping[str, Any], env: str = "prod") -> Program:
    return with_bucket(aws.BUCKET_LIFECYCLE, env, rules=[{"id": "x", "status": "Enabled"} | rule for rule in rules])


def sse(**by_default: Any) -> Program:
    return [it(aws.BUCKET_ENCRYPTION, bucket="store", rules=[{"applyServerSideEncryptionByDefault": by_default}])]


def ingress(**properties: Any) -> Program:
    given = {"ipProtocol": "tcp", "fromPort": 443, "toPort": 443, "description": "HTTPS", "securityGroupId": "sg-1"}
    return [it(aws.INGRESS, **given | properties)]


def egress(**properties: Any) -> Program:
    given = {"ipProtocol": "tcp", "fromPort": 443, "toPort": 443, "description": "HTTPS", "securityGroupId": "sg-1"}
    return [it(aws.EGRESS, **given | properties)]


def vpc(*others: Resource) -> Program:
    return [it(aws.VPC, "vpc", cidrBlock="10.0.0.0/16"), *others]


def subnet(zone: str) -> Resource:
    return it(aws.SUBNET, zone, vpcId=("vpc", "vpc-1"), cidrBlock="10.0.0.0/24", availabilityZone=zone)


def entry(**properties: Any) -> Program:
    given = {"vpcId": "vpc-1", "serviceName": "com.amazonaws.eu-west-1.kms", "vpcEndpointType": "Interface"}
    return [it(aws.ENTRY, **given | properties)]


def trail(env: str = "prod", **properties: Any) -> Program:
    return [it(aws.TRAIL, env=env, **{"name": "audit", "s3BucketName": ("store", "store")} | properties)]


def selector(*fields: tuple[str, str]) -> dict[str, Any]:
    return {"fieldSelectors": [{"field": name, "equals": [value]} for name, value in fields]}


OBJECTS = selector(("eventCategory", "Data"), ("resources.type", "AWS::S3::Object"))
CHANGES = selector(("eventCategory", "Management"))


def model(**container: Any) -> Program:
    return [it(aws.MODEL, executionRoleArn=ROLE_ARN, primaryContainer={"image": IMAGE} | container)]


def configuration(env: str = "prod", **properties: Any) -> Program:
    variant = {"variantName": "champion", "modelName": "m", "instanceType": "ml.m5.large", "initialInstanceCount": 2}
    variants = [variant | properties.pop("variant", {})]
    return [it(aws.ENDPOINT_CONFIGURATION, env=env, productionVariants=variants, **properties)]


def capture(**properties: Any) -> dict[str, Any]:
    given = {"enableCapture": True, "initialSamplingPercentage": 100, "captureOptions": [{"captureMode": "Input"}]}
    return given | {"destinationS3Uri": "s3://store/capture", "kmsKeyId": KEY_ARN} | properties


def endpoint(kind: str | None = "CANARY", env: str = "prod", alarms: int = 1) -> Resource:
    routing = {"type": kind, "waitIntervalInSeconds": 60}
    rollout: dict[str, Any] = {"blueGreenUpdatePolicy": {"trafficRoutingConfiguration": routing}}
    rollback = {"autoRollbackConfiguration": {"alarms": [{"alarmName": "errors"}]}} if alarms else {}
    return it(aws.ENDPOINT, "endpoint", env, name="e", endpointConfigName="c", deploymentConfig=rollout | rollback)


def monitoring(name: str = "e", **changes: Any) -> Resource:
    job: dict[str, Any] = {
        "roleArn": ROLE_ARN,
        "monitoringAppSpecification": {"imageUri": IMAGE},
        "monitoringInputs": {"endpointInput": {"endpointName": name, "localPath": "/in"}},
        "monitoringOutputConfig": {"kmsKeyId": KEY_ARN},
        "monitoringResources": {"clusterConfig": {"instanceType": "ml.m5.large", "volumeKmsKeyId": KEY_ARN}},
        "networkConfig": {
            "enableInterContainerTrafficEncryption": True,
            "vpcConfig": {"subnets": ["subnet-1"], "securityGroupIds": ["sg-1"]},
        },
        "stoppingConditions": [{"maxRuntimeInSeconds": 1800}],
    }
    config = {"monitoringType": "DataQuality", "monitoringJobDefinition": job | changes}
    return it(aws.MONITORING, "monitoring", name="m", monitoringScheduleConfig=config)


def pipeline(env: str = "prod", **changes: Any) -> Program:
    job: dict[str, Any] = {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://store/training", "KmsKeyId": KEY_ARN},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeKmsKeyId": KEY_ARN},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    }
    steps = [{"Name": "Train", "Type": "Training", "Arguments": job | changes}]
    given = {"pipelineName": "p", "pipelineDisplayName": "p", "pipelineDefinition": json.dumps({"Steps": steps})}
    return [it(aws.PIPELINE, env=env, **given)]


def notebook(**properties: Any) -> Program:
    given = {"roleArn": ROLE_ARN, "instanceType": "ml.t3.medium", "directInternetAccess": "Disabled"}
    closed = {"rootAccess": "Disabled", "subnetId": "subnet-1", "kmsKeyId": KEY_ARN}
    return [it(aws.NOTEBOOK, **given | closed | properties)]


def repository(**properties: Any) -> Resource:
    return it(aws.REPOSITORY, "images", name="images", **properties)


def function(**properties: Any) -> Program:
    return [it(aws.FUNCTION, role=ROLE_ARN, **properties)]


def job(**container: Any) -> Program:
    return [it(aws.JOB_DEFINITION, type="container", containerProperties=json.dumps(container))]


def budget(*kinds: str, **properties: Any) -> Program:
    told = [{"notificationType": kind, "threshold": 80, "subscriberSnsTopicArns": ["arn:topic"]} for kind in kinds]
    given = {"budgetType": "COST", "timeUnit": "MONTHLY", "limitAmount": "3000", "limitUnit": "USD"}
    return [it(aws.BUDGET, notifications=told, **given | properties)]


def provider(tags: Mapping[str, str] | None = None, **properties: Any) -> Program:
    given = {"defaultTags": json.dumps({"tags": tags})} if tags is not None else {}
    return [it(aws.PROVIDER, region="eu-west-1", **given | properties)]


def stops(action: str, name: str, env: str = "dev") -> Resource:
    target = {"arn": f"arn:aws:scheduler:::aws-sdk:sagemaker:{action}", "input": json.dumps({"EndpointName": name})}
    return it(aws.SCHEDULE, "hours", env, scheduleExpression="cron(0 19 ? * * *)", target=target)


def trains(expression: str) -> Program:
    target = {"arn": "arn:pipeline", "sagemakerPipelineParameters": {"pipelineParameters": []}}
    return [it(aws.SCHEDULE, scheduleExpression=expression, target=target)]


TAGS = dict.fromkeys(("project", "stack", "owner", "cost-centre"), "x") | {
    "environment": "prod",
    "data-class": "personal",
}
TLS = deny({"Bool": {"aws:SecureTransport": "false"}})
NEW_TLS = deny({"NumericLessThan": {"s3:TlsVersion": "1.2"}})
CLAIMS = {"h:aud": "sts.amazonaws.com", "h:sub": "repo:a/b:environment:prod"}
FEDERATED = {"Federated": "arn:aws:iam::123456789012:oidc-provider/h"}
OIDC = "sts:AssumeRoleWithWebIdentity"
OPEN_BLOCK = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
FORGETS = {"noncurrentVersionExpiration": {"noncurrentDays": 90}}
PARTS = {"abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}}
CAPTURED = {"filter": {"prefix": "capture/"}, "expiration": {"days": 430}}
LOCK = {"defaultRetention": {"mode": "COMPLIANCE", "days": 2555}}
VARIABLES = {"variables": {"MODE": "drift"}}
COPY = {"status": "Enabled", "destination": {"bucket": "arn:aws:s3:::ledger"}, "filter": {"prefix": "ledger/"}}
