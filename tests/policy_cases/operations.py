"""Programs that keep and break the rules of: logs and alerts, cost, tags and accounts."""

from infra.policies.aws import _types as aws
from tests.policy_cases.programs import (
    CHANGES,
    KEY_ARN,
    OBJECTS,
    OURS,
    TAGS,
    Cases,
    allow,
    bucket,
    budget,
    configuration,
    doc,
    endpoint,
    it,
    pipeline,
    provider,
    selector,
    stops,
    trail,
    trains,
)

__all__ = ["CASES"]

CASES: Cases = {
    # logs and alerts
    "logs-are-kept-as-long-as-needed": (
        [it(aws.LOG_GROUP, retentionInDays=545), it(aws.LOG_GROUP, "dev", "dev", retentionInDays=30)],
        [[it(aws.LOG_GROUP)], [it(aws.LOG_GROUP, retentionInDays=90)], [it(aws.LOG_GROUP, retentionInDays=3653)]],
    ),
    "logs-are-encrypted": ([it(aws.LOG_GROUP, kmsKeyId=KEY_ARN)], [[it(aws.LOG_GROUP)]]),
    "trail-is-there": ([bucket(), *trail()], [[bucket()]]),
    "trail-sees-all-regions": (
        trail(isMultiRegionTrail=True),
        [trail(), trail(isMultiRegionTrail=True, enableLogging=False)],
    ),
    "trail-can-be-proven": (trail(enableLogFileValidation=True), [trail()]),
    "trail-is-encrypted": (trail(kmsKeyId=KEY_ARN), [trail()]),
    "trail-records-objects": (
        trail(advancedEventSelectors=[OBJECTS, CHANGES]),
        [
            trail(),
            trail(advancedEventSelectors=[CHANGES]),
            trail(
                advancedEventSelectors=[
                    selector(("eventCategory", "Data"), ("resources.type", "AWS::S3::Object"), ("readOnly", "false"))
                ]
            ),
        ],
    ),
    "trail-records-changes": (
        trail(advancedEventSelectors=[OBJECTS, CHANGES]),
        [trail(advancedEventSelectors=[OBJECTS])],
    ),
    "alarm-tells-somebody": (
        [it(aws.ALARM, comparisonOperator="x", evaluationPeriods=1, alarmActions=["arn:topic"])],
        [
            [it(aws.ALARM, comparisonOperator="x", evaluationPeriods=1)],
            [it(aws.ALARM, evaluationPeriods=1, alarmActions=["arn:topic"], actionsEnabled=False)],
        ],
    ),
    "alerts-reach-somebody": (
        [it(aws.TOPIC, "t"), it(aws.SUBSCRIPTION, topic=("t", "arn:t"), protocol="email", endpoint="a@b.c")],
        [[it(aws.TOPIC, "t")]],
    ),
    "messages-are-encrypted": (
        [it(aws.TOPIC, kmsMasterKeyId=KEY_ARN), it(aws.QUEUE, kmsMasterKeyId=KEY_ARN)],
        [[it(aws.TOPIC)], [it(aws.QUEUE)]],
    ),
    "messages-are-not-public": (
        [it(aws.TOPIC_POLICY, arn="arn:t", policy=doc(allow("sns:Publish", "arn:t", Principal="*", Condition=OURS)))],
        [[it(aws.QUEUE_POLICY, queueUrl="u", policy=doc(allow("sqs:SendMessage", "arn:q", Principal="*")))]],
    ),
    "alerts-travel-encrypted": (
        [it(aws.SUBSCRIPTION, topic="arn:t", protocol="https", endpoint="https://a.b")],
        [[it(aws.SUBSCRIPTION, topic="arn:t", protocol="http", endpoint="http://a.b")]],
    ),
    # cost
    "budget-is-there": ([bucket(), *budget()], [[bucket()]]),
    "budget-tells-somebody": (
        budget("ACTUAL", "FORECASTED"),
        [
            budget("ACTUAL"),
            budget(),
            [
                it(
                    aws.BUDGET,
                    notifications=[
                        {"notificationType": kind, "threshold": 1000, "subscriberSnsTopicArns": ["arn:topic"]}
                        for kind in ("ACTUAL", "FORECASTED")
                    ],
                )
            ],
        ],
    ),
    "budget-fits-the-environment": (
        budget(),
        [budget(limitAmount="3001"), budget(timeUnit="ANNUALLY"), budget(limitUnit="EUR")],
    ),
    "servers-fit-the-environment": (
        [*configuration(), *configuration("dev")],
        [
            configuration(variant={"instanceType": "ml.m5.24xlarge"}),
            configuration("dev", variant={"instanceType": "ml.g5.xlarge"}),
            pipeline("dev", ResourceConfig={"InstanceType": "ml.m5.4xlarge"}),
        ],
    ),
    "servers-are-few": (
        configuration(),
        [
            configuration("dev", variant={"initialInstanceCount": 3}),
            [it(aws.SCALING_TARGET, minCapacity=1, maxCapacity=50)],
            [it(aws.SCALING_TARGET, minCapacity=5, maxCapacity=4)],
        ],
    ),
    "batch-is-bounded": (
        [it(aws.COMPUTE_ENVIRONMENT, type="MANAGED", computeResources={"maxVcpus": 64})],
        [
            [it(aws.COMPUTE_ENVIRONMENT, env="dev", type="MANAGED", computeResources={"maxVcpus": 64})],
            [it(aws.COMPUTE_ENVIRONMENT, type="MANAGED", computeResources={"maxVcpus": 64, "minVcpus": 8})],
        ],
    ),
    "training-is-seldom": (
        trains("rate(7 days)"),
        [trains("rate(1 hour)"), trains("rate(5 minutes)"), trains("cron(* * * * ? *)")],
    ),
    "servers-sleep-off-hours": (
        [endpoint(env="dev"), stops("deleteEndpoint", "e")],
        [[endpoint(env="dev")], [endpoint(env="test"), stops("deleteEndpoint", "another", "test")]],
    ),
    # tags and accounts
    "everything-is-tagged": (
        provider(TAGS),
        [
            provider(),
            provider(TAGS | {"owner": ""}),
            provider(TAGS | {"environment": "dev"}),
            provider(TAGS | {"data-class": "x"}),
        ],
    ),
    "nothing-overrides-the-tags": ([bucket(tags={"Name": "x"})], [[bucket(tags={"environment": "dev"})]]),
    "provider-stays-in-its-account": (
        provider(TAGS, allowedAccountIds='["123456789012"]'),
        [provider(TAGS), provider(TAGS, allowedAccountIds='["123456789012"]', accessKey="AKIA")],
    ),
}
