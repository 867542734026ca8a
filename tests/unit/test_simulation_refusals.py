"""Wrong programs, each refused with the sentence that its author needs."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulated import UNKNOWN, Cloud, Refused, cloud
from tests.wrong_programs.aws import AWS

Wrong = Callable[[Cloud], Any]
ACCOUNT = "123456789012"
IMAGE = f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/mlops@sha256:{'a' * 64}"
SERVICES = ["batch.amazonaws.com", "lambda.amazonaws.com", "sagemaker.amazonaws.com"]
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": SERVICES}, "Action": "sts:AssumeRole"}],
    }
)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Cloud]:
    with cloud(tmp_path) as opened:
        yield opened


def policy(**changes: Any) -> str:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"} | changes
    return json.dumps({"Version": "2012-10-17", "Statement": [{k: v for k, v in statement.items() if v is not None}]})


def bucket(aws: Cloud, name: str = "mlops-store") -> dict[str, Any]:
    return aws.create("s3/bucket:Bucket", name, bucket=f"{name}-{aws.stack}")


def role(aws: Cloud, **inputs: Any) -> dict[str, Any]:
    return aws.create("iam/role:Role", "role", **{"name": "runtime", "assumeRolePolicy": TRUST} | inputs)


def vpc(aws: Cloud, block: str = "10.0.0.0/16") -> str:
    return aws.create("ec2/vpc:Vpc", "vpc", cidrBlock=block)["id"]


def subnet(aws: Cloud, network: str, block: str, name: str = "subnet", **inputs: Any) -> dict[str, Any]:
    return aws.create("ec2/subnet:Subnet", name, vpcId=network, cidrBlock=block, **inputs)


def model(aws: Cloud, **inputs: Any) -> dict[str, Any]:
    given = {"executionRoleArn": role(aws)["arn"], "primaryContainer": {"image": IMAGE}, "name": "income"}
    return aws.create("sagemaker/model:Model", "model", **given | inputs)


def variants(aws: Cloud, **inputs: Any) -> dict[str, Any]:
    variant = {"modelName": "income", "instanceType": "ml.m5.large", "initialInstanceCount": 1} | inputs
    return aws.create("sagemaker/endpointConfiguration:EndpointConfiguration", "config", productionVariants=[variant])


def with_policy(aws: Cloud, document: Any) -> Any:
    return aws.create("iam/policy:Policy", "policy", name="reads", policy=document)


def bucket_policy(aws: Cloud, **changes: Any) -> Any:
    name = bucket(aws)["id"]
    given = {"Principal": "*", "Resource": f"arn:aws:s3:::{name}/*"} | changes
    return aws.create("s3/bucketPolicy:BucketPolicy", "policy", bucket=name, policy=policy(**given))


def alarm(aws: Cloud, **inputs: Any) -> Any:
    metric = {"namespace": "mlops", "metricName": "errors", "statistic": "Sum", "period": 60, "threshold": 1}
    given = {"name": "errors", "comparisonOperator": "GreaterThanThreshold", "evaluationPeriods": 1} | metric | inputs
    return aws.create("cloudwatch/metricAlarm:MetricAlarm", "alarm", **given)


def function(aws: Cloud, **inputs: Any) -> Any:
    given = {"name": "drift", "role": role(aws)["arn"], "packageType": "Image", "imageUri": IMAGE} | inputs
    return aws.create("lambda/function:Function", "function", **{k: v for k, v in given.items() if v is not None})


def capacity(aws: Cloud, **inputs: Any) -> Any:
    network = vpc(aws)
    group = aws.create("ec2/securityGroup:SecurityGroup", "jobs", name="jobs", description="jobs", vpcId=network)
    fargate = {"type": "FARGATE", "maxVcpus": 4, "subnets": [subnet(aws, network, "10.0.1.0/24")["id"]]}
    resources = fargate | {"securityGroupIds": [group["id"]]} | inputs
    given = {key: value for key, value in resources.items() if value is not None}
    return aws.create(
        "batch/computeEnvironment:ComputeEnvironment", "capacity", name="jobs", type="MANAGED", computeResources=given
    )


def queue(aws: Cloud, environment: str, **inputs: Any) -> Any:
    orders = [{"order": 1, "computeEnvironment": environment}]
    given = {"name": "jobs", "state": "ENABLED", "priority": 1, "computeEnvironmentOrders": orders} | inputs
    return aws.create("batch/jobQueue:JobQueue", "queue", **given)


def capacity_with_queue(aws: Cloud) -> str:
    made = capacity(aws)
    queue(aws, made["arn"])
    return made["id"]


def job(aws: Cloud, retryStrategy: Any = None, timeout: Any = None, **container: Any) -> Any:  # noqa: N803 # the SDK's
    size = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}]
    given = {"image": IMAGE, "executionRoleArn": role(aws)["arn"], "resourceRequirements": size} | container
    more = {key: value for key, value in (("retryStrategy", retryStrategy), ("timeout", timeout)) if value}
    return aws.create(
        "batch/jobDefinition:JobDefinition",
        "job",
        name="train",
        type="container",
        platformCapabilities=["FARGATE"],
        containerProperties=json.dumps({key: value for key, value in given.items() if value is not None}),
        **more,
    )


def alias(aws: Cloud, **inputs: Any) -> Any:
    given = {"name": "live", "functionName": function(aws, publish=True)["name"], "functionVersion": "1"} | inputs
    return aws.create("lambda/alias:Alias", "alias", **given)


def function_with_alias(aws: Cloud) -> str:
    return alias(aws)["functionName"]


def url(aws: Cloud, **inputs: Any) -> Any:
    given = {"functionName": function(aws)["name"], "authorizationType": "AWS_IAM"} | inputs
    return aws.create("lambda/functionUrl:FunctionUrl", "url", **given)


def twice(make: Wrong) -> Wrong:
    """Two programs' resources, or two names for one thing."""

    def run(aws: Cloud) -> Any:
        make(aws)
        first, second = aws.urn, lambda type_, name: f"{first(type_, name)}-again"
        aws.urn = second  # type: ignore[method-assign]
        return make(aws)

    return run


def used(thing: str, id_: Callable[[Cloud], str]) -> Wrong:
    return lambda aws: aws.delete(thing, thing.rpartition(":")[2].lower(), id_(aws))


def vpc_with_subnet(aws: Cloud) -> str:
    network = vpc(aws)
    subnet(aws, network, "10.0.1.0/24")
    return network


def role_with_policy(aws: Cloud) -> str:
    name = role(aws)["id"]
    aws.create("iam/rolePolicy:RolePolicy", "inline", name="inline", role=name, policy=policy())
    return name


def inline(aws: Cloud, name: str, whose: str) -> None:
    """More than half of what a role's own policies may come to; the first of each role is accepted."""
    if name == "a":
        role(aws, name=whose)
    long = policy(Resource=["arn:aws:s3:::bucket"] * 250)
    aws.create("iam/rolePolicy:RolePolicy", f"{whose}-{name}", name=name, role=whose, policy=long)


def subnet_with_endpoint(aws: Cloud) -> str:
    network = vpc(aws)
    inside = subnet(aws, network, "10.0.1.0/24")["id"]
    aws.create(
        "ec2/vpcEndpoint:VpcEndpoint",
        "endpoint",
        vpcId=network,
        serviceName="com.amazonaws.eu-central-1.sagemaker.api",
        vpcEndpointType="Interface",
        subnetIds=[inside],
    )
    return inside


WRONG: dict[str, tuple[Wrong, str]] = {
    # what the SDK's own types say
    "misspelt property": (
        lambda aws: aws.create("s3/bucket:Bucket", "b", bukcet="x"),
        "bukcet: there is no such property; did you mean 'bucket'",
    ),
    "misspelt nested property": (
        lambda aws: aws.create(
            "s3/bucketVersioning:BucketVersioning", "v", bucket="x", versioningConfiguration={"state": "Enabled"}
        ),
        r"versioningConfiguration.state: there is no such property",
    ),
    "python name in a nested property": (
        lambda aws: variants(aws, instance_typ="ml.m5.large"),
        r"productionVariants\[0\].instance_typ: there is no such property; did you mean 'instance_type'",
    ),
    "missing property": (
        lambda aws: aws.create("sagemaker/model:Model", "m", name="m"),
        "executionRoleArn: is required and missing",
    ),
    "text for a number": (lambda aws: function(aws, memorySize="much"), "memorySize: must be an integer, not 'much'"),
    "text for true or false": (
        lambda aws: aws.create("s3/bucket:Bucket", "b", forceDestroy="perhaps"),
        "forceDestroy: must be true or false",
    ),
    "fraction for an integer": (lambda aws: function(aws, timeout=1.5), "timeout: must be an integer, not 1.5"),
    "one for a list": (
        lambda aws: aws.create(
            "iam/openIdConnectProvider:OpenIdConnectProvider", "o", url="https://a.b", clientIdLists="x"
        ),
        "clientIdLists: must be a list, not 'x'",
    ),
    "list for a mapping": (lambda aws: aws.create("s3/bucket:Bucket", "b", tags=["a"]), "tags: must be a mapping"),
    "wrong enum in the SDK": (lambda aws: function(aws, runtime="python2.6"), "runtime: 'python2.6' is not one of"),
    "unknown resource type": (lambda aws: aws.create("s3/pail:Pail", "p"), "no installed SDK has a resource type"),
    "type without a rule": (
        lambda aws: aws.create("chime/voiceConnector:VoiceConnector", "v"),
        "has no rule for aws:chime/voiceConnector:VoiceConnector",
    ),
    "unknown function": (lambda aws: aws.invoke("index/getWeather:getWeather"), "has no function"),
    "function without an answer": (
        lambda aws: aws.invoke("index/getIpRanges:getIpRanges", services=["s3"]),
        "no answer to",
    ),
    "wrong argument of a function": (
        lambda aws: aws.invoke("s3/getBucket:getBucket", bukcet="x"),
        "bukcet: there is no such property",
    ),
    "function that finds nothing": (
        lambda aws: aws.invoke("s3/getBucket:getBucket", bucket="x"),
        "there is no s3/bucket",
    ),
    # what the services' published contracts say
    "wrong enum in the contract": (
        lambda aws: aws.create(
            "s3/bucketVersioning:BucketVersioning", "v", bucket="x", versioningConfiguration={"status": "enabled"}
        ),
        r"versioningConfiguration.status: 'enabled' is not one of Enabled, Suspended",
    ),
    "instance type that doesn't exist": (
        lambda aws: variants(aws, instanceType="ml.m5.hugest"),
        "'ml.m5.hugest' is not one of",
    ),
    "comparison that doesn't exist": (lambda aws: alarm(aws, comparisonOperator="More"), "'More' is not one of"),
    "log retention that isn't offered": (
        lambda aws: aws.create("cloudwatch/logGroup:LogGroup", "l", name="l", retentionInDays=42),
        "retentionInDays: 42 is not one of",
    ),
    "model's name with an underscore": (lambda aws: model(aws, name="in_come"), "name: 'in_come' doesn't match"),
    "endpoint's name too long": (
        lambda aws: aws.create("sagemaker/endpoint:Endpoint", "e", name="e" * 64, endpointConfigName="c"),
        "name: has 64 characters; 63 are allowed",
    ),
    "role's name too long": (lambda aws: role(aws, name="r" * 65), "name: has 65 characters; 64 are allowed"),
    "role's name with a space": (lambda aws: role(aws, name="my role"), r"name: 'my role' doesn't match"),
    "too long a tag": (lambda aws: role(aws, tags={"a": "x" * 257}), "tags.a: has 257 characters; 256 are allowed"),
    "repository in capitals": (
        lambda aws: aws.create("ecr/repository:Repository", "r", name="MLOps"),
        "name: 'MLOps' doesn't match",
    ),
    "key for an unknown use": (lambda aws: aws.create("kms/key:Key", "k", keyUsage="GUESS"), "'GUESS' is not one of"),
    "no evaluation period": (lambda aws: alarm(aws, evaluationPeriods=0), "evaluationPeriods: 0 is less than 1"),
    "unknown unit of a budget's time": (
        lambda aws: aws.create(
            "budgets/budget:Budget", "b", budgetType="COST", timeUnit="WEEKLY", limitAmount="1", limitUnit="USD"
        ),
        "timeUnit: 'WEEKLY' is not one of",
    ),
    "pipeline without a role": (
        lambda aws: aws.create(
            "sagemaker/pipeline:Pipeline", "p", pipelineName="p", pipelineDisplayName="p", pipelineDefinition="{}"
        ),
        "roleArn: is required",
    ),
    # names, ranges and alternatives
    "bucket in capitals": (
        lambda aws: aws.create("s3/bucket:Bucket", "b", bucket="Store"),
        "'Store' is no name for a bucket",
    ),
    "bucket's name too long": (
        lambda aws: aws.create("s3/bucket:Bucket", "b", bucket="b" * 64),
        "no name for a bucket",
    ),
    "bucket like an address": (
        lambda aws: aws.create("s3/bucket:Bucket", "b", bucket="10.0.0.1"),
        "no name for a bucket",
    ),
    "alias without its beginning": (
        lambda aws: aws.create("kms/alias:Alias", "a", name="store", targetKeyId=aws.create("kms/key:Key", "k")["id"]),
        "begins with alias/",
    ),
    "alias of AWS itself": (
        lambda aws: aws.create("kms/alias:Alias", "a", name="alias/aws/s3", targetKeyId="x"),
        "not with alias/aws/",
    ),
    "topic with a dot": (lambda aws: aws.create("sns/topic:Topic", "t", name="a.b"), "'a.b' is no name for a topic"),
    "too little memory": (lambda aws: function(aws, memorySize=64), "memorySize: 64 is not between 128 and 10240"),
    "too long a timeout": (lambda aws: function(aws, timeout=901), "timeout: 901 is not between 1 and 900"),
    "too short a deletion window": (
        lambda aws: aws.create("kms/key:Key", "k", deletionWindowInDays=1),
        "deletionWindowInDays: 1 is not between 7 and 30",
    ),
    "function without code": (
        lambda aws: function(aws, imageUri=None),
        "exactly one of code, imageUri, s3Bucket is needed, 0",
    ),
    "function with two codes": (lambda aws: function(aws, s3Bucket="x", s3Key="y"), "exactly one of .* 2 are given"),
    "rule that never fires": (
        lambda aws: aws.create("cloudwatch/eventRule:EventRule", "r", name="r"),
        "scheduleExpression or eventPattern is needed",
    ),
    "schedule with five fields": (
        lambda aws: aws.create("cloudwatch/eventRule:EventRule", "r", name="r", scheduleExpression="cron(0 3 * * *)"),
        "is no schedule: .* with six fields",
    ),
    "event pattern that is no JSON": (
        lambda aws: aws.create("cloudwatch/eventRule:EventRule", "r", name="r", eventPattern="{source: aws.s3}"),
        "eventPattern: is not JSON",
    ),
    "dashboard that is no JSON": (
        lambda aws: aws.create("cloudwatch/dashboard:Dashboard", "d", dashboardName="d", dashboardBody="{"),
        "dashboardBody: is not JSON",
    ),
    "issuer without https": (
        lambda aws: aws.create(
            "iam/openIdConnectProvider:OpenIdConnectProvider", "o", url="token.actions", clientIdLists=["a"]
        ),
        "begins with https://",
    ),
    "subscription to an unknown protocol": (
        lambda aws: aws.create(
            "sns/topicSubscription:TopicSubscription",
            "s",
            topic=aws.create("sns/topic:Topic", "t", name="t")["arn"],
            protocol="pigeon",
            endpoint="x",
        ),
        "'pigeon' is no protocol",
    ),
    # what else there is in the account
    "bucket's name taken": (
        twice(bucket),
        "is taken: there is aws:s3/bucket:Bucket 'mlops-store' in the world already",
    ),
    "role's name taken": (twice(role), "'runtime' is taken: .* in this account already"),
    "second policy for one bucket": (
        lambda aws: (
            name := bucket(aws)["id"],
            aws.create(
                "s3/bucketVersioning:BucketVersioning", "a", bucket=name, versioningConfiguration={"status": "Enabled"}
            ),
            aws.create(
                "s3/bucketVersioning:BucketVersioning", "b", bucket=name, versioningConfiguration={"status": "Enabled"}
            ),
        ),
        "is taken",
    ),
    "setting of a bucket that isn't there": (
        lambda aws: aws.create("s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "p", bucket="nowhere"),
        "bucket refers to 'nowhere', but there is no such s3/bucket:Bucket",
    ),
    "subnet in no network": (lambda aws: subnet(aws, "vpc-0123456789abcdef0", "10.0.0.0/24"), "no such ec2/vpc:Vpc"),
    "model with a role that isn't there": (
        lambda aws: model(aws, executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/nobody"),
        "executionRoleArn refers to .*role/nobody.*no such iam/role:Role",
    ),
    "role that is a bucket": (
        lambda aws: model(aws, executionRoleArn=bucket(aws)["arn"]),
        "executionRoleArn: .* doesn't match arn:aws",
    ),
    "endpoint configuration of no model": (variants, "refers to 'income', but there is no such sagemaker/model:Model"),
    "endpoint without configuration": (
        lambda aws: aws.create("sagemaker/endpoint:Endpoint", "e", name="e", endpointConfigName="gone"),
        "refers to 'gone'",
    ),
    "alarm to no topic": (
        lambda aws: alarm(aws, alarmActions=[f"arn:aws:sns:eu-central-1:{ACCOUNT}:nobody"]),
        r"alarmActions\[0\] refers to",
    ),
    "topic with a key that isn't there": (
        lambda aws: aws.create("sns/topic:Topic", "t", name="t", kmsMasterKeyId="alias/none"),
        "kmsMasterKeyId refers to 'alias/none'",
    ),
    "ARN in an environment variable that leads nowhere": (
        lambda aws: function(aws, environment={"variables": {"QUEUE": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:none"}}),
        r"environment.variables.QUEUE refers to .* nothing in this account has that ARN",
    ),
    "id of nothing": (
        lambda aws: function(aws, vpcConfig={"subnetIds": ["subnet-0123456789abcdef0"], "securityGroupIds": ["sg-1"]}),
        "no such ec2/subnet:Subnet",
    ),
    "attached policy that isn't there": (
        lambda aws: aws.create(
            "iam/rolePolicyAttachment:RolePolicyAttachment",
            "a",
            role=role(aws)["id"],
            policyArn=f"arn:aws:iam::{ACCOUNT}:policy/none",
        ),
        "no such iam/policy:Policy",
    ),
    "managed policy that AWS doesn't have": (
        lambda aws: aws.create(
            "iam/rolePolicyAttachment:RolePolicyAttachment",
            "a",
            role=role(aws)["id"],
            policyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAcess",
        ),
        "AWS has no managed policy .*AmazonSageMakerFullAcess.*did you mean .*AmazonSageMakerFullAccess",
    ),
    "scaling of nothing": (
        lambda aws: aws.create(
            "appautoscaling/policy:Policy",
            "p",
            resourceId="endpoint/none/variant/a",
            scalableDimension="sagemaker:variant:DesiredInstanceCount",
            serviceNamespace="sagemaker",
        ),
        "no such appautoscaling/target:Target",
    ),
    "replication without versions": (
        lambda aws: aws.create(
            "s3/bucketReplicationConfig:BucketReplicationConfig",
            "r",
            bucket=bucket(aws)["id"],
            role=role(aws)["arn"],
            rules=[{"status": "Enabled", "destination": {"bucket": bucket(aws, "copy")["arn"]}}],
        ),
        "replication needs versioning on the source bucket first",
    ),
    "trail into a bucket that doesn't let it": (
        lambda aws: aws.create("cloudtrail/trail:Trail", "t", name="trail", s3BucketName=bucket(aws)["id"]),
        "without a policy that lets it",
    ),
    # networks
    "block that is none": (lambda aws: vpc(aws, "10.0.0.0/33"), "is no block of IPv4 addresses"),
    "block with host bits": (lambda aws: vpc(aws, "10.0.0.1/16"), "has host bits set"),
    "network too large": (lambda aws: vpc(aws, "10.0.0.0/8"), "has the prefix /8; /16 to /28 are allowed"),
    "subnet outside its network": (
        lambda aws: subnet(aws, vpc(aws), "10.1.0.0/24"),
        "10.1.0.0/24 is not inside 10.0.0.0/16, the block of aws:ec2/vpc:Vpc 'vpc'",
    ),
    "subnet larger than its network": (
        lambda aws: subnet(aws, vpc(aws, "10.0.0.0/24"), "10.0.0.0/16"),
        "is not inside",
    ),
    "overlapping subnets": (
        lambda aws: (
            network := vpc(aws),
            subnet(aws, network, "10.0.0.0/23", "a"),
            subnet(aws, network, "10.0.1.0/24", "b"),
        ),
        "10.0.1.0/24 overlaps 10.0.0.0/23, the block of aws:ec2/subnet:Subnet 'a'",
    ),
    "zone of another region": (
        lambda aws: subnet(aws, vpc(aws), "10.0.0.0/24", availabilityZone="us-east-1a"),
        "'us-east-1a' is no zone of eu-central-1",
    ),
    "region that doesn't exist": (
        lambda aws: aws.create("s3/bucket:Bucket", "b", bucket="x-y-z", region="eu-middle-1"),
        "region: 'eu-middle-1' is not a region",
    ),
    "provider without a region": (lambda aws: aws.configure({}), "region: no region is configured: set aws:region"),
    "open to two things at once": (
        lambda aws: aws.create(
            "vpc/securityGroupIngressRule:SecurityGroupIngressRule",
            "r",
            securityGroupId="sg-0123456789abcdef0",
            ipProtocol="tcp",
            cidrIpv4="10.0.0.0/16",
            cidrIpv6="::/0",
        ),
        "exactly one of cidrIpv4, cidrIpv6",
    ),
    # IAM documents
    "policy that is no JSON": (lambda aws: with_policy(aws, "{'Version': 1}"), "policy: is not JSON"),
    "policy of another version": (
        lambda aws: with_policy(aws, json.dumps({"Version": "2024-01-01", "Statement": []})),
        "has Version '2024-01-01'",
    ),
    "policy without a statement": (
        lambda aws: with_policy(aws, json.dumps({"Version": "2012-10-17"})),
        "has no Statement",
    ),
    "misspelt key of a statement": (
        lambda aws: with_policy(aws, policy(Actions="s3:*")),
        "has Actions, which no statement has",
    ),
    "effect that is none": (
        lambda aws: with_policy(aws, policy(Effect="allow")),
        "Effect 'allow'; it must be Allow or Deny",
    ),
    "action without a service": (
        lambda aws: with_policy(aws, policy(Action="GetObject")),
        "an action is <service>:<name>",
    ),
    "no action": (lambda aws: with_policy(aws, policy(Action=None)), "needs exactly one of Action and NotAction"),
    "no resource": (
        lambda aws: with_policy(aws, policy(Resource=None)),
        "needs exactly one of Resource and NotResource",
    ),
    "resource that is no ARN": (lambda aws: with_policy(aws, policy(Resource="store/*")), "a resource is an ARN or *"),
    "too long a policy inside a role": (
        lambda aws: aws.create(
            "iam/rolePolicy:RolePolicy", "p", role=role(aws)["id"], policy=policy(Resource=["arn:aws:s3:::b"] * 700)
        ),
        "10240 are allowed",
    ),
    "too long policies inside a role together": (
        lambda aws: [inline(aws, name, whose) for name in ("a", "b") for whose in ("one", "two")],
        "comes to 1[0-9]{4} characters with the others of role 'one'.*10240 are allowed",
    ),
    "principal in a policy of an identity": (lambda aws: with_policy(aws, policy(Principal="*")), "can't have"),
    "condition operator that doesn't exist": (
        lambda aws: with_policy(aws, policy(Condition={"StringEqual": {"aws:x": "y"}})),
        "condition operator 'StringEqual', which doesn't exist",
    ),
    "policy too long": (
        lambda aws: with_policy(aws, policy(Action=[f"s3:Get{'x' * 60}{n}" for n in range(100)])),
        "6144 are allowed",
    ),
    "trust without a principal": (
        lambda aws: role(aws, assumeRolePolicy=policy(Action="sts:AssumeRole", Resource=None)),
        "needs exactly one of Principal and NotPrincipal",
    ),
    "trust with a resource": (
        lambda aws: role(aws, assumeRolePolicy=policy(Action="sts:AssumeRole", Principal="*")),
        "has a Resource, which a role's trust policy can't have",
    ),
    "trust in a service that can't be one": (
        lambda aws: role(
            aws, assumeRolePolicy=policy(Action="sts:AssumeRole", Resource=None, Principal={"Service": "sagemaker"})
        ),
        "Service principal 'sagemaker', which can't be one",
    ),
    "trust in a role that isn't there": (
        lambda aws: role(
            aws,
            assumeRolePolicy=policy(
                Action="sts:AssumeRole", Resource=None, Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/none"}
            ),
        ),
        "has the principal .*role/none.*nothing in this account has that ARN",
    ),
    "bucket policy for a kind of principal that isn't one": (
        lambda aws: bucket_policy(aws, Principal={"Role": "x"}),
        "has the kind of principal 'Role'",
    ),
    # batch
    "instances on Fargate": (
        lambda aws: capacity(aws, instanceTypes=["c5.large"]),
        "computeResources.instanceTypes: is not for Fargate, which has no instances",
    ),
    "Fargate without a security group": (
        lambda aws: capacity(aws, securityGroupIds=None),
        r"securityGroupIds\[\]: is needed on Fargate",
    ),
    "kind of capacity that doesn't exist": (lambda aws: capacity(aws, type="FARGATE_CHEAP"), "is not one of EC2, SPOT"),
    "capacity in a subnet that isn't there": (
        lambda aws: capacity(aws, subnets=["subnet-0123456789abcdef0"]),
        "subnet-0123456789abcdef0",
    ),
    "managed capacity without any": (
        lambda aws: aws.create("batch/computeEnvironment:ComputeEnvironment", "c", name="c", type="MANAGED"),
        "computeResources: is needed by a managed compute environment",
    ),
    "capacity's name with a dot": (
        lambda aws: aws.create("batch/computeEnvironment:ComputeEnvironment", "c", name="a.b", type="UNMANAGED"),
        "'a.b' is no name for it",
    ),
    "queue on capacity that isn't there": (
        lambda aws: queue(aws, "arn:aws:batch:eu-central-1:123456789012:compute-environment/none"),
        "there is no such batch/computeEnvironment:ComputeEnvironment",
    ),
    "queue without capacity": (
        lambda aws: aws.create("batch/jobQueue:JobQueue", "q", name="q", state="ENABLED", priority=1),
        "computeEnvironmentOrders",
    ),
    "queue in use": (
        used("batch/computeEnvironment:ComputeEnvironment", capacity_with_queue),
        "used by aws:batch/jobQueue:JobQueue",
    ),
    "queue with an impossible priority": (
        lambda aws: queue(aws, capacity(aws)["arn"], priority=5000),
        "5000 is not between 0 and 1000",
    ),
    "misspelt word in a job's container": (
        lambda aws: job(aws, comand=["train"]),
        "containerProperties.comand: there is no such property; did you mean 'command'",
    ),
    "text for a list in a job's container": (
        lambda aws: job(aws, command="train"),
        "containerProperties.command: must be a list, not 'train'",
    ),
    "job that says how much of nothing": (
        lambda aws: job(aws, resourceRequirements=[{"type": "CPU", "value": "1"}]),
        r"resourceRequirements\[0\].type: 'CPU' is not one of GPU, VCPU, MEMORY",
    ),
    "number for a text in a job's container": (
        lambda aws: job(aws, resourceRequirements=[{"type": "VCPU", "value": 1}]),
        r"resourceRequirements\[0\].value: must be a string, not 1",
    ),
    "job as nobody": (
        lambda aws: job(aws, jobRoleArn=f"arn:aws:iam::{ACCOUNT}:role/nobody"),
        "containerProperties.jobRoleArn.*there is no such iam/role:Role",
    ),
    "job on Fargate whose agent is nobody": (
        lambda aws: job(aws, executionRoleArn=None),
        "executionRoleArn: is needed on Fargate",
    ),
    "privileged job on Fargate": (lambda aws: job(aws, privileged=True), "containerProperties.privileged: is not for"),
    "job that may never end": (
        lambda aws: job(aws, timeout={"attemptDurationSeconds": 5}),
        "5 is not between 60 and 31536000",
    ),
    "job tried too often": (lambda aws: job(aws, retryStrategy={"attempts": 50}), "50 is not between 1 and 10"),
    "container that is no JSON": (
        lambda aws: aws.create(
            "batch/jobDefinition:JobDefinition", "j", name="j", type="container", containerProperties="{"
        ),
        "containerProperties: is not JSON",
    ),
    # functions
    "function from an image that says a handler too": (
        lambda aws: function(aws, handler="app.handler", runtime="python3.12"),
        "handler: is not for a function from an image",
    ),
    "function from an image that is none": (
        lambda aws: function(aws, imageUri=None, s3Bucket="code"),
        "imageUri: is needed where the package is an image",
    ),
    "function from a public image": (
        lambda aws: function(aws, imageUri="docker.io/library/python:3.11"),
        "is no image that Lambda can start",
    ),
    "function that may never end": (lambda aws: function(aws, timeout=3600), "timeout: 3600 is not between 1 and 900"),
    "function traced in a way that doesn't exist": (
        lambda aws: function(aws, tracingConfig={"mode": "Always"}),
        "tracingConfig.mode: 'Always' is not one of Active, PassThrough",
    ),
    "function's failures to a queue that isn't there": (
        lambda aws: function(aws, deadLetterConfig={"targetArn": f"arn:aws:sqs:eu-central-1:{ACCOUNT}:none"}),
        "deadLetterConfig.targetArn.*there is no such sqs/queue:Queue",
    ),
    "alias of no function": (lambda aws: alias(aws, functionName="none"), "there is no such lambda/function:Function"),
    "alias of a version that is none": (lambda aws: alias(aws, functionVersion="newest"), "'newest' is no version"),
    "canary beside what is not published": (
        lambda aws: alias(aws, functionVersion="$LATEST", routingConfig={"additionalVersionWeights": {"2": 0.1}}),
        "routingConfig: is only for an alias of a published version",
    ),
    "canary with more than everything": (
        lambda aws: alias(aws, routingConfig={"additionalVersionWeights": {"2": 1.5}}),
        "1.5 is more than 1",
    ),
    "address that asks for a password": (
        lambda aws: url(aws, authorizationType="PASSWORD"),
        "authorizationType: 'PASSWORD' is not one of AWS_IAM, NONE",
    ),
    "address of an alias that isn't there": (lambda aws: url(aws, qualifier="live"), "no such lambda/alias:Alias"),
    "function in use": (used("lambda/function:Function", function_with_alias), "used by aws:lambda/alias:Alias"),
    "events that are tried too often": (
        lambda aws: aws.create(
            "lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
            "events",
            functionName=function(aws)["name"],
            maximumRetryAttempts=5,
        ),
        "5 is not between 0 and 2",
    ),
    # deletion
    "network in use": (
        used("ec2/vpc:Vpc", vpc_with_subnet),
        "can't be deleted: it is used by aws:ec2/subnet:Subnet 'subnet'",
    ),
    "role in use": (used("iam/role:Role", role_with_policy), "used by aws:iam/rolePolicy:RolePolicy 'inline'"),
    "subnet in use": (used("ec2/subnet:Subnet", subnet_with_endpoint), "used by aws:ec2/vpcEndpoint:VpcEndpoint"),
    "change of what is gone": (
        lambda aws: aws.update("s3/bucket:Bucket", "b", "gone", bucket="gone"),
        "doesn't exist any more; run a refresh",
    ),
}


assert not WRONG.keys() & AWS.keys()
WRONG |= AWS


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_program_is_refused_and_told_why(aws: Cloud, case: str) -> None:
    do, sentence = WRONG[case]
    with pytest.raises(Refused) as refused:
        do(aws)
    assert re.search(sentence, str(refused.value), re.DOTALL), str(refused.value)


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 160


def test_what_is_not_known_yet_is_not_held_to_be_missing(aws: Cloud) -> None:
    """A first preview knows no role, and so not the text that names it."""
    fargate = {"platformCapabilities": ["FARGATE"], "containerProperties": UNKNOWN}
    aws.plan("batch/jobDefinition:JobDefinition", "job", name="train", type="container", **fargate)
    later = {"type": "FARGATE", "maxVcpus": 4, "subnets": UNKNOWN, "securityGroupIds": UNKNOWN}
    aws.plan("batch/computeEnvironment:ComputeEnvironment", "c", name="c", type="MANAGED", computeResources=later)


def test_the_policy_of_a_key_may_be_longer_than_a_bucket_s(aws: Cloud) -> None:
    """KMS takes 32,768 bytes, S3 20,480 ("Quotas" of both)."""

    def of(characters: int) -> str:
        return policy(Principal="*", Action=["kms:*"] + ["kms:Decrypt"] * (characters // len('"kms:Decrypt",')))

    aws.create("kms/key:Key", "long", policy=of(32_000))
    with pytest.raises(Refused, match="32768 are allowed"):
        aws.create("kms/key:Key", "longer", policy=of(34_000))
    with pytest.raises(Refused, match="20480 are allowed"):
        bucket_policy(aws, Action=["s3:GetObject"] * 2000)
