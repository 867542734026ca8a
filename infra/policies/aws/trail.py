"""The audit trail is read: by alarms at once, and of every bucket it says who touched it."""

from collections.abc import Iterator

from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule, Stack, Values

__all__ = ["RULES"]

MEASURED = {  # dimension of a metric → type of what it measures, and what that is called by
    "EndpointName": (aws.ENDPOINT, "name"),
    "FunctionName": (aws.FUNCTION, "name"),
    "QueueName": (aws.QUEUE, "name"),
}


def _into_log(trail: Resource) -> Iterator[str]:
    if not (trail.values.has("cloudWatchLogsGroupArn") and trail.values.has("cloudWatchLogsRoleArn")):
        yield "the trail goes to no log, so that nothing can raise an alarm at once"


def _raises_alarms(trail: Resource, stack: Stack) -> Iterator[str]:
    alarms = {(each.values.at("namespace"), each.values.at("metricName")) for each in stack.of(aws.ALARM)}
    log = str(trail.values.known("cloudWatchLogsGroupArn", ""))
    filters = [each for each in stack.of(aws.LOG_FILTER) if _reads(each, trail, log)]
    if log and not filters:
        yield "nothing reads the trail's log"
    for each in filters:
        place = each.values.each("metricTransformation")[0]
        if (place.at("namespace"), place.at("name")) not in alarms:
            yield f"no alarm tells of what {each.name} finds in the trail"


def _reads(log_filter: Resource, trail: Resource, log: str) -> bool:
    by_source = log_filter.sources.get("logGroupName", frozenset()) & trail.sources.get(
        "cloudWatchLogsGroupArn", frozenset()
    )
    return bool(by_source) or f":log-group:{log_filter.values.known('logGroupName', '')}:" in log


def _selected(trail: Resource) -> Iterator[dict[str, Values]]:
    """The fields of each selector for objects."""
    for selector in trail.values.each("advancedEventSelectors"):
        fields = {str(each.at("field")): each for each in selector.each("fieldSelectors")}
        if "resources.type" in fields and "AWS::S3::Object" in fields["resources.type"].texts("equals"):
            yield fields


def _covers(fields: dict[str, Values], bucket: str) -> bool:
    arns = fields.get("resources.ARN")
    begins = arns.texts("startsWiths") if arns else [""]
    return any(f":::{bucket}/".endswith(each.partition(":s3")[2]) or each == "" for each in begins)


def _each_bucket(bucket: Resource, stack: Stack) -> Iterator[str]:
    """By the trail or by S3's own access log."""
    trails = stack.of(aws.TRAIL)
    if not trails or any(each.values.each("eventSelectors") for each in trails):
        return  # another rule demands a trail; a plain selector names all buckets or is judged there
    name = str(bucket.values.at("bucket", ""))
    recorded = any(_covers(fields, name) for trail in trails for fields in _selected(trail))
    if not recorded and not stack.about(bucket, aws.BUCKET_LOGGING, "bucket"):
        yield "nobody records who reads and writes the bucket's objects"


def _own_bucket(trail: Resource) -> Iterator[str]:
    name = str(trail.values.at("s3BucketName", ""))
    for fields in _selected(trail):
        own = "eventName" in fields and "PutObject" in fields["eventName"].texts("notEquals")
        reads = "readOnly" in fields and fields["readOnly"].texts("equals") == ["true"]
        if _covers(fields, name) and not own and not reads:
            yield f"the trail writes into {name} and records what is written there: each record makes another one"


def _reads_recorded(trail: Resource) -> Iterator[str]:
    for selector in trail.values.each("advancedEventSelectors"):
        fields = {str(each.at("field")): each for each in selector.each("fieldSelectors")}
        management = "eventCategory" in fields and "Management" in fields["eventCategory"].texts("equals")
        if management and "readOnly" in fields:
            yield "the trail records only a part of what is asked of the account"


def _measures(alarm: Resource, stack: Stack) -> Iterator[str]:
    queries = [each.at("metric.dimensions", {}) for each in alarm.values.each("metricQueries") if each.has("metric")]
    for dimensions in (alarm.values.at("dimensions", {}), *queries):
        for name, (kind, key) in MEASURED.items():
            things = stack.of(kind)
            if name in dimensions and things and dimensions[name] not in [each.values.at(key) for each in things]:
                yield f"the alarm watches {dimensions[name]}, which is nothing of the stack: it never rings"


_AUDIT = ("164.312(b)", "164.308(a)(1)(ii)(D)")

RULES: tuple[Rule, ...] = (
    Rule(
        "trail-goes-to-a-log",
        "The audit trail goes to CloudWatch Logs as well.",
        "Set cloud_watch_logs_group_arn and cloud_watch_logs_role_arn",
        Controls(fsbp=("CloudTrail.5",), gdpr=("33(1)",), hipaa=_AUDIT, app=("11.1",)),
        (aws.TRAIL,),
        _into_log,
    ),
    Rule(
        "trail-raises-alarms",
        "Filters read the trail's log, and an alarm tells of what each finds.",
        "Add a LogMetricFilter on the trail's log group and a MetricAlarm on its metric (infra/clouds/aws/_audited.py)",
        Controls(
            cis=tuple(f"4.{number}" for number in range(1, 15)),
            gdpr=("33(1)",),
            hipaa=("164.308(a)(6)(ii)",),
            app=("11.1",),
        ),
        (aws.TRAIL,),
        check_among=_raises_alarms,
    ),
    Rule(
        "trail-records-every-bucket",
        "Of every bucket it is recorded who reads and writes its objects.",
        "Name the bucket's ARN with a / in an event selector of the trail",
        Controls(cis=("3.8", "3.9"), fsbp=("S3.9",), gdpr=("5(2)", "33(1)"), hipaa=_AUDIT, app=("11.1",)),
        (aws.BUCKET,),
        check_among=_each_bucket,
    ),
    Rule(
        "trail-has-a-bucket-of-its-own",
        "The trail doesn't record what it writes itself.",
        "Give the trail a bucket of its own, with a selector that leaves out PutObject",
        Controls(gdpr=("5(1)(f)",), hipaa=("164.312(c)(2)",), app=("11.1",)),
        (aws.TRAIL,),
        _own_bucket,
    ),
    Rule(
        "trail-records-what-is-read",
        "The trail records calls that read as well as those that change.",
        "Leave readOnly out of the selector of category Management",
        Controls(cis=("3.1",), fsbp=("CloudTrail.1",), gdpr=("33(1)",), hipaa=_AUDIT, app=("11.1",)),
        (aws.TRAIL,),
        _reads_recorded,
    ),
    Rule(
        "alarm-watches-what-is-there",
        "An alarm on an endpoint, a function or a queue names one of the stack.",
        "Take the name from the resource itself",
        Controls(gdpr=("32(1)(d)",), hipaa=("164.308(a)(6)(ii)",), app=("11.1",)),
        (aws.ALARM,),
        check_among=_measures,
    ),
)
