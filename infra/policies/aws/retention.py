"""What is forgotten, and when: a person's data go, the audit trail stays."""

from collections.abc import Iterator

from infra.config import ENVIRONMENTS
from infra.policies.aws import _types as aws
from infra.policies.aws.logs import AUDIT_DAYS
from infra.policies.rule import Controls, Resource, Rule, Stack, Values

__all__ = ["RULES"]

EVIDENCE = ("bundles", "signatures", "ledger", "releases")  # releases, and the proof of them


def _rules(bucket: Resource, stack: Stack) -> list[Values]:
    found = stack.about(bucket, aws.BUCKET_LIFECYCLE, "bucket")
    return [rule for each in found for rule in each.values.each("rules") if rule.at("status") == "Enabled"]


def _prefix(rule: Values) -> str:
    return rule.at("filter.prefix") or rule.at("prefix", "")


def _versions_go(bucket: Resource, stack: Stack) -> Iterator[str]:
    most = ENVIRONMENTS[bucket.environment].noncurrent_days
    whole = [rule for rule in _rules(bucket, stack) if not _prefix(rule)]
    days = [rule.at("noncurrentVersionExpiration.noncurrentDays") for rule in whole]
    stated = [each for each in days if each is not None]
    if not stated:
        yield "what was deleted or overwritten stays for ever as a version"
    elif min(stated) > most:
        yield f"what was deleted stays for {min(stated)} days, and {bucket.environment} has {most}"


def _uploads_go(bucket: Resource, stack: Stack) -> Iterator[str]:
    if not any(rule.at("abortIncompleteMultipartUpload.daysAfterInitiation") for rule in _rules(bucket, stack)):
        yield "unfinished uploads stay for ever, and nobody sees them"


def _capture_goes(configuration: Resource, stack: Stack) -> Iterator[str]:
    """Captured requests are personal data: they stay in the stack, and leave as the environment says."""
    most = ENVIRONMENTS[configuration.environment].log_retention_days
    uri = configuration.values.at("dataCaptureConfig.destinationS3Uri", "")
    name, _, prefix = uri.removeprefix("s3://").partition("/")
    buckets = [each for each in stack.of(aws.BUCKET) if each.properties.get("bucket") == name]
    if uri and not buckets:
        yield f"requests are captured into {uri}, which is no bucket of the stack"
    for bucket in buckets:
        below = [rule for rule in _rules(bucket, stack) if f"{prefix.rstrip('/')}/".startswith(_prefix(rule))]
        if not any(0 < rule.at("expiration.days", 0) <= most for rule in below):
            yield f"captured requests below {prefix} stay longer than {most} days"


def _evidence_stays(lifecycle: Resource) -> Iterator[str]:
    for rule in lifecycle.values.each("rules"):
        if rule.at("status") == "Enabled" and rule.at("expiration") and _prefix(rule).startswith(EVIDENCE):
            yield f"what lies below {_prefix(rule)} is deleted after {rule.at('expiration.days')} days"


def _trail_stays(trail: Resource, stack: Stack) -> Iterator[str]:
    needed = AUDIT_DAYS[trail.environment]
    for bucket in stack.of(aws.BUCKET):
        named = bucket.properties.get("bucket") == trail.properties.get("s3BucketName")
        if named or bucket.name in trail.sources.get("s3BucketName", frozenset()):
            days = [rule.at("expiration.days") for rule in _rules(bucket, stack)]
            if any(each and each < needed for each in days):
                yield f"the trail is deleted before {needed} days are over"


RULES: tuple[Rule, ...] = (
    Rule(
        "versions-are-forgotten",
        "What was deleted or overwritten goes after the days that the environment has.",
        "Give the bucket a lifecycle rule with noncurrent_version_expiration, or make it a PrivateBucket",
        Controls(fsbp=("S3.10", "S3.13"), gdpr=("5(1)(e)", "17(1)"), app=("11.2",)),
        (aws.BUCKET,),
        check_among=_versions_go,
    ),
    Rule(
        "uploads-are-forgotten",
        "Unfinished uploads go.",
        "Give the bucket a lifecycle rule with abort_incomplete_multipart_upload, or make it a PrivateBucket",
        Controls(fsbp=("S3.13",), gdpr=("5(1)(e)",), app=("11.2",)),
        (aws.BUCKET,),
        check_among=_uploads_go,
    ),
    Rule(
        "captured-requests-are-forgotten",
        "Captured requests stay in the stack's store, and go after log_retention_days of the environment.",
        "Capture into the stack's store, and give it a lifecycle rule with expiration for the capture's prefix",
        Controls(fsbp=("S3.13",), gdpr=("5(1)(e)", "17(1)"), app=("11.2",)),
        (aws.ENDPOINT_CONFIGURATION,),
        check_among=_capture_goes,
    ),
    Rule(
        "audit-trail-stays",
        "The audit trail is kept for a year in PROD, 90 days in TEST and 30 in DEV, or longer.",
        "Raise the expiration of the trail's bucket",
        Controls(gdpr=("5(2)", "33(5)"), hipaa=("164.312(b)", "164.308(a)(1)(ii)(D)"), app=("11.1",)),
        (aws.TRAIL,),
        check_among=_trail_stays,
    ),
    Rule(
        "evidence-stays",
        "No lifecycle rule deletes releases, their signatures or the ledger.",
        "Remove the rule; `mlops retire` says what is not used any more",
        Controls(gdpr=("5(2)",), hipaa=("164.312(c)(1)",), app=("11.1",)),
        (aws.BUCKET_LIFECYCLE,),
        _evidence_stays,
    ),
)
