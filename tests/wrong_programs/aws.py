"""Wrong programs of AWS that were written without a look at the rules, and went through; what their author is told."""

import json
from collections.abc import Callable
from typing import Any

from tests.simulated import Cloud

__all__ = ["AWS"]

ALARM = {"comparisonOperator": "GreaterThanThreshold", "evaluationPeriods": 1, "threshold": 1}
METRIC = {"namespace": "mlops", "metricName": "errors", "statistic": "Sum", "period": 60}
VARIANT = {"modelName": "model", "variantName": "a"}


def role(aws: Cloud, service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return aws.create("iam/role:Role", service, name=service, assumeRolePolicy=trust)["arn"]


def bucket(aws: Cloud, setting: str, locked: bool = False, **given: Any) -> Any:
    """A bucket, and one setting of it."""
    aws.create("s3/bucket:Bucket", "store", bucket="mlops-store", objectLockEnabled=locked)
    return aws.create(f"s3/bucket{setting}:Bucket{setting}", "setting", bucket="mlops-store", **given)


def lifecycle(aws: Cloud, **rule: Any) -> Any:
    rules = [{"id": "old", "status": "Enabled", "filter": {}} | rule]
    return bucket(aws, "LifecycleConfiguration", rules=rules)


def locked_for(aws: Cloud, locked: bool, **given: Any) -> Any:
    rule = {"defaultRetention": {"mode": "GOVERNANCE"} | given}
    return bucket(aws, "ObjectLockConfiguration", locked, rule=rule)


def bucket_policy(aws: Cloud) -> Any:
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::other/*"}
    return bucket(aws, "Policy", policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def network(aws: Cloud) -> str:
    return aws.create("ec2/vpc:Vpc", "vpc", cidrBlock="10.0.0.0/16")["id"]


def subnet(aws: Cloud, vpc: str) -> str:
    return aws.create("ec2/subnet:Subnet", "subnet", vpcId=vpc, cidrBlock="10.0.0.0/24")["id"]


def ingress(aws: Cloud, **given: Any) -> Any:
    group = aws.create("ec2/securityGroup:SecurityGroup", "group", vpcId=network(aws), name="group")["id"]
    rule = {"securityGroupId": group, "cidrIpv4": "10.0.0.0/16", "ipProtocol": "tcp"} | given
    return aws.create("vpc/securityGroupIngressRule:SecurityGroupIngressRule", "rule", **rule)


def endpoint(aws: Cloud, service: str, **given: Any) -> Any:
    return aws.create("ec2/vpcEndpoint:VpcEndpoint", "e", vpcId=network(aws), serviceName=service, **given)


def gateway(aws: Cloud) -> Any:
    vpc = network(aws)
    given = {"vpcId": vpc, "vpcEndpointType": "Gateway", "subnetIds": [subnet(aws, vpc)]}
    return aws.create("ec2/vpcEndpoint:VpcEndpoint", "e", serviceName="com.amazonaws.eu-central-1.s3", **given)


def images(aws: Cloud, rule: dict[str, Any]) -> Any:
    aws.create("ecr/repository:Repository", "images", name="mlops")
    text = json.dumps({"rules": [rule | {"description": "x" * 100}]})
    return aws.create("ecr/lifecyclePolicy:LifecyclePolicy", "l", repository="mlops", policy=text)


EXPIRES = {"rulePriority": 1, "action": {"type": "expire"}}
KEEPS = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 5}


def model(aws: Cloud, service: str = "sagemaker.amazonaws.com") -> Any:
    container = {"image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/mlops:1"}
    given = {"name": "model", "executionRoleArn": role(aws, service), "primaryContainer": container}
    return aws.create("sagemaker/model:Model", "model", **given)


def variants(aws: Cloud, *listed: dict[str, Any]) -> Any:
    model(aws)
    variants = [VARIANT | each for each in listed]
    return aws.create(
        "sagemaker/endpointConfiguration:EndpointConfiguration", "c", name="c", productionVariants=variants
    )


def function(aws: Cloud, service: str = "lambda.amazonaws.com", **given: Any) -> Any:
    code = {"runtime": "python3.12", "handler": "a.b", "s3Bucket": "code", "s3Key": "code.zip"}
    return aws.create("lambda/function:Function", "f", name="f", role=role(aws, service), **code | given)


def without_group(aws: Cloud) -> Any:
    subnets = [subnet(aws, network(aws))]
    return function(aws, vpcConfig={"subnetIds": subnets, "securityGroupIds": []})


def alarm(aws: Cloud, **given: Any) -> Any:
    properties = {key: value for key, value in (ALARM | METRIC | given).items() if value is not None}
    return aws.create("cloudwatch/metricAlarm:MetricAlarm", "alarm", **properties)


def at(aws: Cloud, schedule: str) -> Any:
    return aws.create("cloudwatch/eventRule:EventRule", "r", name="nightly", scheduleExpression=schedule)


def subscribed(aws: Cloud, protocol: str, to: str) -> Any:
    topic = aws.create("sns/topic:Topic", "t", name="t")["arn"]
    return aws.create("sns/topicSubscription:TopicSubscription", "s", topic=topic, protocol=protocol, endpoint=to)


def scheduled(aws: Cloud) -> Any:
    target = {
        "arn": "arn:aws:scheduler:::aws-sdk:sagemaker:startPipelineExecution",
        "roleArn": role(aws, "scheduler.amazonaws.com"),
    }
    when = {"scheduleExpression": "rate(1 day)", "scheduleExpressionTimezone": "Berlin"}
    given = when | {"flexibleTimeWindow": {"mode": "OFF"}, "target": target}
    return aws.create("scheduler/schedule:Schedule", "s", name="s", **given)


def scaled(aws: Cloud) -> Any:
    named = {"resourceId": "endpoint/e/variant/a", "scalableDimension": "sagemaker:variant:DesiredInstanceCount"}
    bounds = {"serviceNamespace": "sagemaker", "minCapacity": 5, "maxCapacity": 2}
    return aws.create("appautoscaling/target:Target", "t", **named | bounds)


AWS: dict[str, tuple[Callable[[Cloud], Any], str]] = {
    "move to infrequent access too early": (
        lambda aws: lifecycle(aws, transitions=[{"days": 10, "storageClass": "STANDARD_IA"}]),
        r"rules\[0\].transitions\[0\].days: '10' is too early for this class",
    ),
    "gone before it is moved": (
        lambda aws: lifecycle(aws, expiration={"days": 10}, transitions=[{"days": 60, "storageClass": "GLACIER"}]),
        "60 is more than rules.0..expiration.days, which is 10",
    ),
    "lock without versions": (lambda aws: locked_for(aws, False, days=1), "object lock needs versioning on the bucket"),
    "lock for days and years": (lambda aws: locked_for(aws, True, days=1, years=1), "exclude each other"),
    "policy of another bucket": (bucket_policy, "speaks of 'arn:aws:s3:::other/.*may speak of 'mlops-store' alone"),
    "ports the wrong way round": (
        lambda aws: ingress(aws, fromPort=443, toPort=80),
        "fromPort: 443 is more than toPort, which is 80",
    ),
    "TCP without a port": (ingress, "fromPort: is needed for this protocol"),
    "protocol that is none": (
        lambda aws: ingress(aws, ipProtocol="https", fromPort=443, toPort=443),
        "'https' is no protocol: tcp, udp",
    ),
    "endpoint to no service": (
        lambda aws: endpoint(aws, "com.amazonaws.eu-central-1.sagemaker-runtime"),
        "is no service that an endpoint is known to lead to, such as",
    ),
    "endpoint of another region": (
        lambda aws: endpoint(aws, "com.amazonaws.us-east-1.s3"),
        "doesn't name eu-central-1, the region that it is used in",
    ),
    "gateway in a subnet": (gateway, "subnetIds: is not for an endpoint of the type Gateway"),
    "images' rule without a priority": (
        lambda aws: images(aws, {"selection": KEEPS, "action": {"type": "expire"}}),
        "policy.rules.0..rulePriority: is required and missing",
    ),
    "images' rule with a word of its own": (
        lambda aws: images(aws, EXPIRES | {"selection": KEEPS | {"tagStatus": "all"}}),
        "'all' is not one of tagged, untagged, any",
    ),
    "model with another service's role": (
        lambda aws: model(aws, "lambda.amazonaws.com"),
        "whose trust doesn't name sagemaker.amazonaws.com",
    ),
    "serverless memory": (
        lambda aws: variants(aws, {"serverlessConfig": {"maxConcurrency": 5, "memorySizeInMb": 1500}}),
        "1500 is no multiple of 1024",
    ),
    "serverless on an instance": (
        lambda aws: variants(
            aws, {"serverlessConfig": {"maxConcurrency": 5, "memorySizeInMb": 2048}, "instanceType": "ml.m5.large"}
        ),
        "instanceType: is not for a serverless variant",
    ),
    "two variants of one name": (
        lambda aws: variants(aws, *[{"instanceType": "ml.m5.large", "initialInstanceCount": 1}] * 2),
        "productionVariants: has 'a' more than once, and each needs another variantName",
    ),
    "variable that Lambda sets": (
        lambda aws: function(aws, environment={"variables": {"AWS_REGION": "x"}}),
        "the key 'AWS_REGION' is no name that a function may set",
    ),
    "variable's name": (
        lambda aws: function(aws, environment={"variables": {"1X": "x"}}),
        "the key '1X' is no name that a function may set",
    ),
    "subnets without a group": (without_group, "securityGroupIds.*: is needed where there are subnets"),
    "function with another service's role": (
        lambda aws: function(aws, "sagemaker.amazonaws.com"),
        "whose trust doesn't name lambda.amazonaws.com: the service can't act as it",
    ),
    "alarm every 45 seconds": (lambda aws: alarm(aws, period=45), "45 is no multiple of 60, nor one of 10, 20, 30"),
    "alarm with two statistics": (
        lambda aws: alarm(aws, extendedStatistic="p99"),
        "statistic and extendedStatistic exclude each other",
    ),
    "alarm without a threshold": (
        lambda aws: alarm(aws, threshold=None),
        "exactly one of threshold, thresholdMetricId is needed",
    ),
    "alarm without a namespace": (
        lambda aws: alarm(aws, namespace=None),
        "namespace: is needed by an alarm on one metric",
    ),
    "1 hours": (lambda aws: at(aws, "rate(1 hours)"), "is no schedule: rate.* 1 minute but 2 minutes"),
    "day of month and of week": (
        lambda aws: at(aws, "cron(0 3 * * * *)"),
        "a . for the day of the month or of the week",
    ),
    "FIFO topic's name": (
        lambda aws: aws.create("sns/topic:Topic", "t", name="alerts", fifoTopic=True),
        "'alerts' is no name for a FIFO topic: it ends with .fifo",
    ),
    "address of mail": (lambda aws: subscribed(aws, "email", "ops"), "'ops' is no address of electronic mail"),
    "capacity the wrong way round": (scaled, "minCapacity: 5 is more than maxCapacity, which is 2"),
    "time zone": (scheduled, "'Berlin' is no time zone, such as Europe/Berlin"),
    "days until a secret is gone": (
        lambda aws: aws.create("secretsmanager/secret:Secret", "s", name="s", recoveryWindowInDays=3),
        "recoveryWindowInDays: 3 is not one of 0, 7",
    ),
    "tag of Amazon's": (
        lambda aws: aws.create("s3/bucket:Bucket", "b", bucket="mlops-store", tags={"aws:owner": "me"}),
        "tags.aws:owner: the key 'aws:owner' is none that AWS takes",
    ),
    "too many tags": (
        lambda aws: aws.create("sns/topic:Topic", "t", name="t", tags={f"key-{i}": "v" for i in range(51)}),
        "tags: has 51 elements; 0 to 50 are allowed",
    ),
}
