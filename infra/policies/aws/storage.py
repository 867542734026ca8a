"""Buckets: never public, encrypted with our key, versioned, reached over new TLS alone."""

from collections.abc import Iterable, Iterator

from infra.policies.aws import _types as aws
from infra.policies.documents import Statement, statements
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
PRIVATE = ("private", "bucket-owner-full-control", "bucket-owner-read")
OLDEST_TLS = 1.2
DESTROYING = ("s3:DeleteObject",)
ADMINISTERING = (
    "s3:DeleteBucket",
    "s3:PutBucket",
    "s3:PutLifecycle",
    "s3:PutEncryption",
    "s3:PutObjectAcl",
    "s3:Bypass",
)


def _blocked(bucket: Resource, stack: Stack) -> Iterator[str]:
    if not stack.about(bucket, aws.BUCKET_ACCESS_BLOCK, "bucket"):
        yield "the bucket has no block of public access"


def _wholly_blocked(block: Resource) -> Iterator[str]:
    if off := [name for name in BLOCKS if block.values.at(name) is not True]:
        yield f"public access is blocked without {', '.join(off)}"


def _point_blocked(point: Resource) -> Iterator[str]:
    if off := [name for name in BLOCKS if point.values.at(f"publicAccessBlockConfiguration.{name}", True) is not True]:
        yield f"the access point blocks public access without {', '.join(off)}"


def _no_list_of_rights(thing: Resource) -> Iterator[str]:
    if (given := thing.values.at("acl", "private")) not in PRIVATE:
        yield f"the object's list of rights is {given}"


def _has_encryption(bucket: Resource, stack: Stack) -> Iterator[str]:
    if not stack.about(bucket, aws.BUCKET_ENCRYPTION, "bucket"):
        yield "the bucket has no encryption of its own"


def _own_key(encryption: Resource) -> Iterator[str]:
    for rule in encryption.values.each("rules"):
        algorithm = rule.at("applyServerSideEncryptionByDefault.sseAlgorithm")
        if algorithm not in ("aws:kms", "aws:kms:dsse"):
            yield f"objects are encrypted with {algorithm}, not with a key of the stack"
        elif not rule.has("applyServerSideEncryptionByDefault.kmsMasterKeyId"):
            yield "objects are encrypted with AWS's key for S3, whose use nobody here can refuse"


def _has_versions(bucket: Resource, stack: Stack) -> Iterator[str]:
    if not stack.about(bucket, aws.BUCKET_VERSIONING, "bucket"):
        yield "the bucket keeps no versions"


def _versions_on(versioning: Resource) -> Iterator[str]:
    status = versioning.values.at("versioningConfiguration.status")
    if status != "Enabled":
        yield f"versioning is {status}: what is overwritten or deleted by mistake is gone"


def _refusals(bucket: Resource, stack: Stack) -> Iterator[Statement]:
    for policy in stack.about(bucket, aws.BUCKET_POLICY, "bucket"):
        yield from (each for each in statements(policy, "policy") if each.effect == "Deny")


def _for_all(statement: Statement) -> bool:
    covers = any(each.endswith("/*") for each in statement.resources) and ("AWS", "*") in statement.principals
    return covers and any(action in ("s3:*", "*") for action in statement.actions)


def _tls_only(bucket: Resource, stack: Stack) -> Iterator[str]:
    claims = [
        str(value).lower()
        for statement in _refusals(bucket, stack)
        if _for_all(statement)
        for _, _, value in statement.conditions_on("aws:SecureTransport")
    ]
    if "false" not in claims:
        yield "no statement of the bucket's policy refuses requests without TLS"


def _new_tls(bucket: Resource, stack: Stack) -> Iterator[str]:
    versions = [
        float(value)
        for statement in _refusals(bucket, stack)
        if _for_all(statement)
        for operator, _, value in statement.conditions_on("s3:TlsVersion")
        if operator == "NumericLessThan"
    ]
    if not versions or max(versions) < OLDEST_TLS:
        yield f"TLS older than {OLDEST_TLS} is not refused by the bucket's policy"


def _not_public(policy: Resource) -> Iterator[str]:
    for statement in statements(policy, "policy"):
        if statement.allows and statement.is_for_everybody:
            yield f"everybody may {', '.join(statement.actions)}"


def _bound(statement: Statement) -> bool:
    """Whether it says on whose behalf: a service that other customers use as well must prove that it acts for us."""
    return any(key.startswith("aws:PrincipalTag/") for claims in statement.condition.values() for key in claims)


def _others_only_read(policy: Resource) -> Iterator[str]:
    for statement in statements(policy, "policy"):
        given = statement.allows and any(kind == "AWS" for kind, _ in statement.principals)
        refused = ADMINISTERING if _bound(statement) else (*ADMINISTERING, *DESTROYING)
        broad = [each for each in statement.actions if each in ("*", "s3:*") or each.startswith(refused)]
        if given and broad:
            yield f"another identity may {', '.join(broad)}"


def _no_lists(resource: Resource) -> Iterator[str]:
    if acl := resource.values.at("acl") or resource.values.at("accessControlPolicy"):
        yield f"an access control list ({acl if isinstance(acl, str) else 'of its own'}) says who may read"
    ownership = resource.values.at("rule.objectOwnership", "BucketOwnerEnforced")
    if ownership != "BucketOwnerEnforced":
        yield f"object ownership is {ownership}, which lets access control lists work"


def _no_website(resource: Resource) -> Iterable[str]:
    return ["the bucket is a web site"]


_AT_REST = Controls(fsbp=("S3.17",), gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",))
_PRIVATE = Controls(
    cis=("2.1.4",), fsbp=("S3.1", "S3.8"), gdpr=("25(2)", "32(1)(b)"), hipaa=("164.312(a)(1)",), app=("11.1", "6")
)
_PUBLIC = Controls(fsbp=("S3.2", "S3.3"), gdpr=("25(2)", "32(1)(b)"), hipaa=("164.312(a)(1)",), app=("11.1", "6"))
_TRANSIT = Controls(cis=("2.1.1",), fsbp=("S3.5",), gdpr=("32(1)(a)",), hipaa=("164.312(e)(1)",), app=("11.1",))
_RECOVERY = Controls(
    fsbp=("S3.14",), gdpr=("32(1)(c)",), hipaa=("164.308(a)(7)(ii)(A)", "164.312(c)(1)"), app=("11.1",)
)

RULES: tuple[Rule, ...] = (
    Rule(
        "access-point-is-private",
        "An access point blocks public access as its bucket does.",
        "Leave public_access_block_configuration out, or set all four to True",
        _PUBLIC,
        (aws.ACCESS_POINT,),
        _point_blocked,
    ),
    Rule(
        "object-has-no-rights-of-its-own",
        "No object gives rights that its bucket's policy doesn't.",
        "Leave acl out",
        _PUBLIC,
        (aws.OBJECT,),
        _no_list_of_rights,
    ),
    Rule(
        "bucket-blocks-public-access",
        "Every bucket has a block of public access.",
        "Give it a BucketPublicAccessBlock with all four switches on, or make it a PrivateBucket",
        _PRIVATE,
        (aws.BUCKET,),
        check_among=_blocked,
    ),
    Rule(
        "bucket-blocks-all-public-access",
        "A block of public access blocks lists and policies, those to come and those that are there.",
        "Set block_public_acls, block_public_policy, ignore_public_acls and restrict_public_buckets to True",
        _PRIVATE,
        (aws.BUCKET_ACCESS_BLOCK,),
        _wholly_blocked,
    ),
    Rule(
        "bucket-is-encrypted",
        "Every bucket says how it is encrypted.",
        "Give it a BucketServerSideEncryptionConfiguration with the stack's key, or make it a PrivateBucket",
        _AT_REST,
        (aws.BUCKET,),
        check_among=_has_encryption,
    ),
    Rule(
        "bucket-uses-own-key",
        "Objects are encrypted with a key of the stack.",
        "Set sse_algorithm to aws:kms and kms_master_key_id to a key of the stack",
        _AT_REST,
        (aws.BUCKET_ENCRYPTION,),
        _own_key,
    ),
    Rule(
        "bucket-has-versioning",
        "Every bucket says that it keeps versions.",
        "Give it a BucketVersioning with status Enabled, or make it a PrivateBucket",
        _RECOVERY,
        (aws.BUCKET,),
        check_among=_has_versions,
    ),
    Rule(
        "bucket-keeps-versions",
        "Versioning is switched on.",
        "Set versioning_configuration.status to Enabled",
        _RECOVERY,
        (aws.BUCKET_VERSIONING,),
        _versions_on,
    ),
    Rule(
        "bucket-refuses-clear-text",
        "Every bucket's policy refuses requests without TLS, for the bucket and all its objects.",
        "Add a Deny of s3:* for * on the bucket and its objects where aws:SecureTransport is false",
        _TRANSIT,
        (aws.BUCKET,),
        check_among=_tls_only,
    ),
    Rule(
        "bucket-refuses-old-tls",
        "Every bucket's policy refuses TLS older than 1.2.",
        "Add a Deny of s3:* for * on the bucket and its objects with NumericLessThan s3:TlsVersion 1.2",
        _TRANSIT,
        (aws.BUCKET,),
        check_among=_new_tls,
    ),
    Rule(
        "bucket-policy-is-not-public",
        "No bucket's policy gives anything to everybody.",
        "Name the accounts or services as Principal, or add a condition on who asks (aws:PrincipalOrgID, …)",
        _PUBLIC,
        (aws.BUCKET_POLICY,),
        _not_public,
    ),
    Rule(
        "bucket-policy-gives-others-no-power",
        "A bucket's policy lets no other identity change settings or do everything, nor delete unless it acts for us.",
        "Name the few actions that are needed, such as s3:GetObject; administration belongs to the stack's own roles",
        Controls(fsbp=("S3.6",), gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)", "164.312(c)(1)"), app=("11.1", "8")),
        (aws.BUCKET_POLICY,),
        _others_only_read,
    ),
    Rule(
        "bucket-has-no-access-list",
        "Access is given by policies, never by access control lists.",
        "Remove the list; a bucket without one belongs wholly to its owner",
        Controls(fsbp=("S3.12",), gdpr=("25(2)",), hipaa=("164.312(a)(1)",), app=("11.1",)),
        (aws.BUCKET, aws.BUCKET_ACL, aws.BUCKET_OWNERSHIP),
        _no_lists,
    ),
    Rule(
        "bucket-is-no-website",
        "No bucket is a web site.",
        "Remove the BucketWebsiteConfiguration: a bucket's web site has no TLS and asks nobody who they are",
        _PUBLIC,
        (aws.BUCKET_WEBSITE,),
        _no_website,
    ),
)
