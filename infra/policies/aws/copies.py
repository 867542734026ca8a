"""What buckets copy, move and forget: copies are made and encrypted, data stay readable, nothing goes too soon."""

from collections.abc import Iterator

from infra.config import ENVIRONMENTS
from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule

__all__ = ["RULES"]

SLOW = ("GLACIER", "DEEP_ARCHIVE")  # hours until an object can be read
FEWEST_DAYS = 30  # that logged predictions wait for their labels
FEWEST_VERSION_DAYS = 7
LOGGED = ("predictions", "capture")


def _copied(replication: Resource) -> Iterator[str]:
    for rule in replication.values.each("rules"):
        called = rule.at("id", "")
        if rule.at("status") != "Enabled":
            yield f"the copy {called} is switched off"
        if not rule.has("destination.encryptionConfiguration.replicaKmsKeyId"):
            yield f"the copy {called} is not encrypted with a key of the stack"
        if rule.at("sourceSelectionCriteria.sseKmsEncryptedObjects.status") != "Enabled":
            yield f"the copy {called} leaves out what is encrypted with a key, which is everything"


def _known_sites(cors: Resource) -> Iterator[str]:
    for rule in cors.values.each("corsRules"):
        if "*" in rule.texts("allowedOrigins"):
            yield "scripts of every web site may ask the bucket"


def _readable(lifecycle: Resource) -> Iterator[str]:
    for rule in lifecycle.values.each("rules"):
        for kind in ("transitions", "noncurrentVersionTransitions"):
            if slow := [each.at("storageClass") for each in rule.each(kind) if each.at("storageClass") in SLOW]:
                yield f"objects go to {slow[0]}, where nobody can read them for hours"


def _stays_a_while(lifecycle: Resource) -> Iterator[str]:
    most = ENVIRONMENTS[lifecycle.environment].log_retention_days
    for rule in lifecycle.values.each("rules"):
        prefix, days = rule.at("filter.prefix", ""), rule.at("expiration.days")
        if prefix.startswith(LOGGED) and days and not min(FEWEST_DAYS, most) <= days <= most:
            yield f"what lies below {prefix} is kept for {days} days"


def _can_be_had_back(lifecycle: Resource) -> Iterator[str]:
    for rule in lifecycle.values.each("rules"):
        days = rule.at("noncurrentVersionExpiration.noncurrentDays")
        if days is not None and days < FEWEST_VERSION_DAYS:
            yield f"what was deleted by mistake can be had back for {days} days"


_RECOVERY = Controls(
    fsbp=("S3.7",), gdpr=("32(1)(c)",), hipaa=("164.308(a)(7)(ii)(A)", "164.312(a)(2)(iv)"), app=("11.1",)
)
_KEPT = Controls(gdpr=("5(1)(e)",), hipaa=("164.316(b)(2)(i)",), app=("11.2",))

RULES: tuple[Rule, ...] = (
    Rule(
        "copies-are-made-and-encrypted",
        "Where a bucket is copied, the copy is made, of encrypted objects too, and encrypted.",
        "Set status to Enabled, replica_kms_key_id, and sse_kms_encrypted_objects to Enabled",
        _RECOVERY,
        (aws.BUCKET_REPLICATION,),
        _copied,
    ),
    Rule(
        "bucket-is-asked-by-known-sites",
        "No bucket answers scripts of every web site.",
        "Name the sites in allowed_origins, or remove the configuration",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",)),
        (aws.BUCKET_CORS,),
        _known_sites,
    ),
    Rule(
        "objects-stay-readable",
        "Objects are never moved to where they can't be read at once.",
        "Remove the transition, or take GLACIER_IR",
        Controls(gdpr=("32(1)(c)",), hipaa=("164.308(a)(7)(ii)(B)",), app=("11.1",)),
        (aws.BUCKET_LIFECYCLE,),
        _readable,
    ),
    Rule(
        "logged-predictions-wait-for-labels",
        "Logged predictions are kept for 30 days at least, and no longer than the environment keeps logs.",
        "Set expiration days to log_retention_days (infra/config/environments.py)",
        _KEPT,
        (aws.BUCKET_LIFECYCLE,),
        _stays_a_while,
    ),
    Rule(
        "versions-can-be-had-back",
        "What was deleted or overwritten can be had back for a week at least.",
        "Set noncurrent_days to noncurrent_days of the environment",
        _RECOVERY,
        (aws.BUCKET_LIFECYCLE,),
        _can_be_had_back,
    ),
)
