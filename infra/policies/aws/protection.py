"""What can't be destroyed by mistake, and what nobody can destroy at all."""

from collections.abc import Iterator

from infra.config import ENVIRONMENTS
from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

KEEPS = (  # data, evidence, keys to them, and names that others rely on
    *(aws.BUCKET, aws.KEY, aws.REPOSITORY, aws.TRAIL, aws.VPC, aws.ENDPOINT, aws.TRACKING, aws.MODEL_GROUP, aws.SECRET),
)
FORCES = {
    aws.BUCKET: "forceDestroy",
    aws.REPOSITORY: "forceDelete",
}


def _protected(resource: Resource) -> Iterator[str]:
    if ENVIRONMENTS[resource.environment].is_protected and not resource.is_protected:
        yield "one `pulumi destroy` or a changed name would delete it"


def _not_forced(resource: Resource) -> Iterator[str]:
    if resource.values.at(FORCES[resource.type]) is True and resource.environment != "dev":
        yield "it would be deleted with all that is in it"


def _locked(stack: Stack) -> Iterator[str]:
    days = ENVIRONMENTS[stack.environment].ledger_lock_days
    if not days or not stack.of(aws.BUCKET):
        return
    kept = [each.values for each in stack.of(aws.BUCKET_LOCK)]
    if not kept:
        yield "no copy of the ledger is safe from deletion"
    for lock in kept:
        mode, locked = lock.at("rule.defaultRetention.mode"), lock.at("rule.defaultRetention.days", 0)
        locked = locked or 365 * lock.at("rule.defaultRetention.years", 0)
        if mode != "COMPLIANCE":
            yield f"the ledger's lock is {mode}: who may bypass it can delete the ledger"
        elif locked < days:
            yield f"the ledger is locked for {locked} days, and {stack.environment} needs {days}"


def _keeps_ledger(replication: Resource) -> Iterator[str]:
    for rule in replication.values.each("rules"):
        prefix = rule.at("filter.prefix") or rule.at("prefix", "")
        if prefix.startswith("ledger") and rule.at("deleteMarkerReplication.status", "Disabled") != "Disabled":
            yield "what is deleted in the ledger is deleted in its copy as well"


RULES: tuple[Rule, ...] = (
    Rule(
        "what-keeps-is-protected",
        "In PROD whatever keeps data, evidence, keys or names is protected.",
        "Set opts=ResourceOptions(protect=config.environment.is_protected)",
        Controls(fsbp=("KMS.3",), gdpr=("32(1)(b)", "32(1)(c)"), hipaa=("164.308(a)(7)(ii)(A)",), app=("11.1",)),
        KEEPS,
        _protected,
    ),
    Rule(
        "what-keeps-is-not-forced",
        "Outside DEV nothing that holds data is deleted with its content.",
        "Set force_destroy or force_delete to False; empty it by hand before it goes",
        Controls(gdpr=("32(1)(c)",), hipaa=("164.308(a)(7)(ii)(A)", "164.312(c)(1)"), app=("11.1",)),
        tuple(FORCES),
        _not_forced,
    ),
    Rule(
        "ledger-is-locked",
        "In PROD a copy of the ledger can't be deleted by anybody for as long as the environment says.",
        "Add a bucket with object lock, mode COMPLIANCE, days ledger_lock_days (infra/config/environments.py)",
        Controls(fsbp=("S3.15",), gdpr=("5(2)",), hipaa=("164.312(c)(1)", "164.312(b)"), app=("11.1",)),
        check_stack=_locked,
    ),
    Rule(
        "ledger-copy-forgets-nothing",
        "A copy of the ledger keeps what is deleted in the ledger.",
        "Set delete_marker_replication.status to Disabled for the ledger's prefix",
        Controls(gdpr=("5(2)",), hipaa=("164.312(c)(1)",), app=("11.1",)),
        (aws.BUCKET_REPLICATION,),
        _keeps_ledger,
    ),
)
