"""The audit trail: every call of the account and every access to its data, kept unaltered, and read by alarms."""

from collections.abc import Sequence

import pulumi
from pulumi_aws import cloudtrail, cloudwatch, iam

from infra.clouds.aws._account import arn, bucket_arn, bucket_name, settings
from infra.clouds.aws._audited import AUDITED, Audited
from infra.clouds.aws._bucket import BucketConfig, PrivateBucket
from infra.clouds.aws._logs import log_group
from infra.clouds.aws._policy import Statement, allow, document, trust
from infra.clouds.aws.storage import copied_to
from infra.config import StackConfig
from infra.contracts import ObservabilityArgs
from infra.naming import logical, physical

__all__ = ["audit_trail"]

AUDIT = "audit"  # the role in the names of the trail, of its bucket and of its log
PERIOD_S = 300


def audit_trail(parent: pulumi.Resource, name: str, args: ObservabilityArgs, buckets: Sequence[str]) -> None:
    """The trail in a bucket of its own, and in a log whose filters raise alarms.

    `buckets` are the roles of those that the platform has besides the store: who touches them is recorded too.
    """
    config, base = args.config, args.foundation
    environment, child = config.environment, pulumi.ResourceOptions(parent=parent)
    trail_name = physical(config.stack, AUDIT, maximum_length=128)
    audit = PrivateBucket(
        logical(name, "audit"),
        BucketConfig(
            bucket_name(config, AUDIT),
            settings(config).region,
            environment.is_protected,
            environment.noncurrent_days,
            {"": environment.log_retention_days},
        ),
        base.keys.operations,
        _trail_writes(config, trail_name),
        child,
    )
    group = log_group(parent, name, "audit-log", _group_name(config), base)
    role, may_write = _log_role(parent, name, config)
    for audited in AUDITED:
        _alarm(parent, name, config, group, audited, base.alerts.channel)
    cloudtrail.Trail(
        logical(name, "trail"),
        name=trail_name,
        s3_bucket_name=audit.usable_name,
        kms_key_id=base.keys.operations,
        is_multi_region_trail=True,
        include_global_service_events=True,
        enable_log_file_validation=True,
        cloud_watch_logs_group_arn=group.apply(lambda called: arn(config, "logs", f"log-group:{called}:*")),
        cloud_watch_logs_role_arn=role.arn,
        advanced_event_selectors=_selectors(config, base.store.identifier, buckets),
        opts=pulumi.ResourceOptions(parent=parent, protect=environment.is_protected, depends_on=[may_write]),
    )


def _selectors(
    config: StackConfig, store: pulumi.Output[str], buckets: Sequence[str]
) -> list[cloudtrail.TrailAdvancedEventSelectorArgsDict]:
    """Of its own bucket the trail doesn't record what it writes itself, for each record would make another one."""
    # Of the other buckets only the names are known here.
    others = [bucket_arn(config, bucket_name(config, role)) for role in (*copied_to(config), *buckets)]
    objects: list[cloudtrail.TrailAdvancedEventSelectorFieldSelectorArgsDict] = [
        {"field": "eventCategory", "equals": ["Data"]},
        {"field": "resources.type", "equals": ["AWS::S3::Object"]},
    ]
    audit = f"{bucket_arn(config, bucket_name(config, AUDIT))}/"
    return [
        {
            "name": "Who touched the data",
            "field_selectors": [
                *objects,
                {
                    "field": "resources.ARN",
                    "starts_withs": [pulumi.Output.concat(bucket, "/") for bucket in (store, *others)],
                },
            ],
        },
        {
            "name": "Management events selector",  # as the console names it, and audits look for it
            "field_selectors": [{"field": "eventCategory", "equals": ["Management"]}],
        },
        {
            "name": "Who touched the trail",
            "field_selectors": [
                *objects,
                {"field": "eventName", "not_equals": ["PutObject"]},
                {"field": "resources.ARN", "starts_withs": [audit]},
            ],
        },
    ]


def _trail_writes(config: StackConfig, trail_name: str) -> list[Statement]:
    """CloudTrail may write for this one trail, and look whether it may."""
    bucket, account = bucket_arn(config, bucket_name(config, AUDIT)), settings(config).account_id
    trail = {"StringEquals": {"aws:SourceArn": arn(config, "cloudtrail", f"trail/{trail_name}")}}
    service = {"Service": "cloudtrail.amazonaws.com"}
    return [
        allow("TrailLooks", ["s3:GetBucketAcl"], [bucket], to=service, when=trail),
        allow("TrailWrites", ["s3:PutObject"], [f"{bucket}/AWSLogs/{account}/*"], to=service, when=trail),
    ]


def _group_name(config: StackConfig) -> str:
    return f"/{physical(config.stack, AUDIT, maximum_length=127)}"


def _log_role(parent: pulumi.Resource, name: str, config: StackConfig) -> tuple[iam.Role, iam.RolePolicy]:
    """What CloudTrail writes its log as: into the streams that it names after account and region, nothing else."""
    account = settings(config)
    role = iam.Role(
        logical(name, "audit-log-role"),
        name=physical(config.stack, "audit-log", maximum_length=64),
        assume_role_policy=trust("cloudtrail", None),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    stream = f"log-stream:{account.account_id}_CloudTrail_{account.region}*"
    policy = iam.RolePolicy(
        logical(name, "audit-log-policy"),
        role=role.name,
        policy=document(
            allow(
                "Write",
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                [arn(config, "logs", f"log-group:{_group_name(config)}:{stream}")],
            )
        ),
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return role, policy


def _alarm(
    parent: pulumi.Resource,
    name: str,
    config: StackConfig,
    group: pulumi.Input[str],
    audited: Audited,
    channel: pulumi.Input[str],
) -> None:
    called, child = physical(config.stack, audited.name, maximum_length=255), pulumi.ResourceOptions(parent=parent)
    namespace = f"mlops/{config.stack}"
    cloudwatch.LogMetricFilter(
        logical(name, audited.name),
        name=called,
        log_group_name=group,
        pattern=audited.pattern,
        metric_transformation={"namespace": namespace, "name": audited.name, "value": "1"},
        opts=child,
    )
    cloudwatch.MetricAlarm(
        logical(name, f"{audited.name}-told"),
        name=called,
        alarm_description=f"{config.stack}: {audited.what}",
        namespace=namespace,
        metric_name=audited.name,
        statistic="Sum",
        period=PERIOD_S,
        comparison_operator="GreaterThanOrEqualToThreshold",
        threshold=audited.least,
        evaluation_periods=1,
        treat_missing_data="notBreaching",
        alarm_actions=[channel],
        opts=child,
    )
