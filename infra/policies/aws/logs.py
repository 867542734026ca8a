"""The record of what happened: who changed and read what, kept long enough, where nobody can alter it."""

from collections.abc import Iterator

from infra.policies.aws import _types as aws
from infra.policies.documents import statements
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

MOST_LOG_DAYS = 1096
AUDIT_DAYS = {"dev": 30, "test": 90, "prod": 365}


def _kept(group: Resource) -> Iterator[str]:
    days, needed = group.values.at("retentionInDays", 0), AUDIT_DAYS[group.environment]
    if not days:
        yield "logs are kept for ever"
    elif days < needed:
        yield f"logs are kept for {days} days, and {group.environment} needs {needed}"
    elif days > MOST_LOG_DAYS:
        yield f"logs, which say what people did, are kept for {days} days"


def _encrypted(group: Resource) -> Iterator[str]:
    if not group.values.has("kmsKeyId"):
        yield "logs are not encrypted with a key of the stack"


def _trail_there(stack: Stack) -> Iterator[str]:
    if stack.of(aws.BUCKET) and not stack.of(aws.TRAIL):
        yield "the stack has no audit trail"


def _trail_on(trail: Resource) -> Iterator[str]:
    if trail.values.at("isMultiRegionTrail") is not True:
        yield "the trail sees one region only"
    if trail.values.at("includeGlobalServiceEvents", True) is False:
        yield "the trail doesn't see changes of identities"
    if trail.values.at("enableLogging", True) is False:
        yield "the trail is switched off"


def _trail_proven(trail: Resource) -> Iterator[str]:
    if trail.values.at("enableLogFileValidation") is not True:
        yield "nobody can prove that the trail's files were not altered"


def _trail_encrypted(trail: Resource) -> Iterator[str]:
    if not trail.values.has("kmsKeyId"):
        yield "the trail is not encrypted with a key of the stack"


def _objects_recorded(trail: Resource) -> Iterator[str]:
    """Who read or wrote which object: of all objects, reading included."""
    for selector in trail.values.each("advancedEventSelectors"):
        fields = {each.at("field"): each for each in selector.each("fieldSelectors")}
        data = "eventCategory" in fields and "Data" in fields["eventCategory"].texts("equals")
        objects = "resources.type" in fields and "AWS::S3::Object" in fields["resources.type"].texts("equals")
        if data and objects and "readOnly" not in fields:
            return
    for selector in trail.values.each("eventSelectors"):
        objects = any(each.at("type") == "AWS::S3::Object" for each in selector.each("dataResources"))
        if objects and selector.at("readWriteType", "All") == "All":
            return
    yield "the trail doesn't record who reads and writes objects"


def _changes_recorded(trail: Resource) -> Iterator[str]:
    for selector in trail.values.each("advancedEventSelectors"):
        for each in selector.each("fieldSelectors"):
            if each.at("field") == "eventCategory" and "Management" in each.texts("equals"):
                return
    if trail.values.each("advancedEventSelectors"):
        yield "the trail doesn't record changes of the account"


def _acts(alarm: Resource) -> Iterator[str]:
    if not alarm.values.has("alarmActions"):
        yield "the alarm tells nobody"
    if alarm.values.at("actionsEnabled", True) is False:
        yield "the alarm's actions are switched off"


def _sealed(resource: Resource) -> Iterator[str]:
    if not resource.values.has("kmsMasterKeyId"):
        yield "messages are not encrypted with a key of the stack"


def _closed(resource: Resource) -> Iterator[str]:
    for statement in statements(resource, "policy"):
        if statement.allows and statement.is_for_everybody:
            yield f"everybody may {', '.join(statement.actions)}"


def _reaches(topic: Resource, stack: Stack) -> Iterator[str]:
    if topic.environment != "dev" and not stack.about(topic, aws.SUBSCRIPTION, "topic"):
        yield "nobody is told of what is sent to the topic"


def _secure_protocol(subscription: Resource) -> Iterator[str]:
    if subscription.values.at("protocol") == "http":
        yield "alerts are sent in clear text"


_AUDIT = ("164.312(b)", "164.308(a)(1)(ii)(D)")
_MESSAGES = (aws.TOPIC, aws.TOPIC_POLICY, aws.QUEUE, aws.QUEUE_POLICY)

RULES: tuple[Rule, ...] = (
    Rule(
        "logs-are-kept-as-long-as-needed",
        "Every log group keeps its logs for a year in PROD, 90 days in TEST, 30 in DEV, or longer, up to three years.",
        "Set retention_in_days with retention_days(environment.log_retention_days)",
        Controls(gdpr=("5(1)(e)", "32(1)(d)"), hipaa=_AUDIT, app=("11.1", "11.2")),
        (aws.LOG_GROUP,),
        _kept,
    ),
    Rule(
        "logs-are-encrypted",
        "Every log group is encrypted with a key of the stack.",
        "Set kms_key_id to the stack's key for operations",
        Controls(gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",)),
        (aws.LOG_GROUP,),
        _encrypted,
    ),
    Rule(
        "trail-is-there",
        "A stack that stores data has an audit trail.",
        "Add a cloudtrail.Trail",
        Controls(
            cis=("3.1",), fsbp=("CloudTrail.1", "CloudTrail.3"), gdpr=("5(2)", "33(1)"), hipaa=_AUDIT, app=("11.1",)
        ),
        check_stack=_trail_there,
    ),
    Rule(
        "trail-sees-all-regions",
        "The audit trail is on and sees every region and the global services.",
        "Set is_multi_region_trail and include_global_service_events to True, and leave enable_logging alone",
        Controls(cis=("3.1",), fsbp=("CloudTrail.1",), gdpr=("33(1)",), hipaa=_AUDIT, app=("11.1",)),
        (aws.TRAIL,),
        _trail_on,
    ),
    Rule(
        "trail-can-be-proven",
        "Every file of the audit trail is signed.",
        "Set enable_log_file_validation to True",
        Controls(cis=("3.2",), fsbp=("CloudTrail.4",), gdpr=("5(1)(f)",), hipaa=("164.312(c)(2)",), app=("11.1",)),
        (aws.TRAIL,),
        _trail_proven,
    ),
    Rule(
        "trail-is-encrypted",
        "The audit trail is encrypted with a key of the stack.",
        "Set kms_key_id to the stack's key for operations",
        Controls(cis=("3.5",), fsbp=("CloudTrail.2",), gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",)),
        (aws.TRAIL,),
        _trail_encrypted,
    ),
    Rule(
        "trail-records-objects",
        "The audit trail records who reads and who writes objects.",
        "Add an event selector of category Data for AWS::S3::Object, without readOnly",
        Controls(cis=("3.8", "3.9"), gdpr=("5(2)", "33(1)"), hipaa=_AUDIT, app=("11.1",)),
        (aws.TRAIL,),
        _objects_recorded,
    ),
    Rule(
        "trail-records-changes",
        "The audit trail records what is changed in the account.",
        "Add an event selector of category Management",
        Controls(cis=("3.1",), fsbp=("CloudTrail.1",), gdpr=("33(1)",), hipaa=_AUDIT, app=("11.1",)),
        (aws.TRAIL,),
        _changes_recorded,
    ),
    Rule(
        "alarm-tells-somebody",
        "Every alarm tells somebody.",
        "Set alarm_actions to the alert topic, and leave actions_enabled alone",
        Controls(gdpr=("32(1)(d)", "33(1)"), hipaa=("164.308(a)(6)(ii)",), app=("11.1",)),
        (aws.ALARM,),
        _acts,
    ),
    Rule(
        "alerts-reach-somebody",
        "Outside DEV every topic has a subscriber.",
        "Set mlops:alert_emails in the stack's file, or add a TopicSubscription",
        Controls(gdpr=("33(1)",), hipaa=("164.308(a)(6)(ii)",), app=("11.1",)),
        (aws.TOPIC,),
        check_among=_reaches,
    ),
    Rule(
        "messages-are-encrypted",
        "Topics and queues are encrypted with a key of the stack.",
        "Set kms_master_key_id to the stack's key for operations",
        Controls(
            fsbp=("SNS.1", "SQS.1"), gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)", "164.312(e)(2)(ii)"), app=("11.1",)
        ),
        (aws.TOPIC, aws.QUEUE),
        _sealed,
    ),
    Rule(
        "messages-are-not-public",
        "No topic or queue is open to everybody.",
        "Name the accounts or services as Principal, or add a condition on who asks",
        Controls(fsbp=("SNS.4",), gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",)),
        _MESSAGES,
        _closed,
    ),
    Rule(
        "alerts-travel-encrypted",
        "Alerts are sent over TLS.",
        "Use the protocol https, email or sqs",
        Controls(gdpr=("32(1)(a)",), hipaa=("164.312(e)(1)",), app=("11.1",)),
        (aws.SUBSCRIPTION,),
        _secure_protocol,
    ),
)
