"""Programs that keep and break the rules of: storage, keys and secrets, protection, retention."""

from infra.policies.aws import _types as aws
from tests.policy_cases.programs import (
    CAPTURED,
    COPY,
    FORGETS,
    KEY_ARN,
    LOCK,
    NEW_TLS,
    OPEN_BLOCK,
    PARTS,
    ROLE_ARN,
    STORE,
    TLS,
    Cases,
    allow,
    bucket,
    bucket_policy,
    capture,
    configuration,
    deny,
    doc,
    it,
    lifecycle,
    repository,
    role_policy,
    sse,
    trail,
    with_bucket,
)

__all__ = ["CASES"]

CASES: Cases = {
    "access-point-is-private": (
        [it(aws.ACCESS_POINT, publicAccessBlockConfiguration=OPEN_BLOCK)],
        [[it(aws.ACCESS_POINT, publicAccessBlockConfiguration=OPEN_BLOCK | {"blockPublicPolicy": False})]],
    ),
    "object-has-no-rights-of-its-own": ([it(aws.OBJECT, acl="private")], [[it(aws.OBJECT, acl="public-read")]]),
    # storage
    "bucket-blocks-public-access": (with_bucket(aws.BUCKET_ACCESS_BLOCK), [[bucket()]]),
    "bucket-blocks-all-public-access": (
        [it(aws.BUCKET_ACCESS_BLOCK, bucket="store", **OPEN_BLOCK)],
        [[it(aws.BUCKET_ACCESS_BLOCK, bucket="store", **OPEN_BLOCK | {key: False})] for key in OPEN_BLOCK],
    ),
    "bucket-is-encrypted": (with_bucket(aws.BUCKET_ENCRYPTION, rules=[]), [[bucket()]]),
    "bucket-uses-own-key": (
        sse(sseAlgorithm="aws:kms", kmsMasterKeyId=KEY_ARN),
        [sse(sseAlgorithm="AES256"), sse(sseAlgorithm="aws:kms")],
    ),
    "bucket-has-versioning": (with_bucket(aws.BUCKET_VERSIONING, versioningConfiguration={}), [[bucket()]]),
    "bucket-keeps-versions": (
        [it(aws.BUCKET_VERSIONING, bucket="store", versioningConfiguration={"status": "Enabled"})],
        [[it(aws.BUCKET_VERSIONING, bucket="store", versioningConfiguration={"status": "Suspended"})]],
    ),
    "bucket-refuses-clear-text": (
        bucket_policy(TLS),
        [
            [bucket()],
            bucket_policy(deny({"Bool": {"aws:SecureTransport": "true"}})),
            bucket_policy(deny({"Bool": {"aws:SecureTransport": "false"}}, (STORE,))),
            bucket_policy(TLS | {"Action": "s3:GetObject"}),
        ],
    ),
    "bucket-refuses-old-tls": (
        bucket_policy(NEW_TLS),
        [bucket_policy(TLS), bucket_policy(deny({"NumericLessThan": {"s3:TlsVersion": "1.1"}}))],
    ),
    "bucket-policy-is-not-public": (
        bucket_policy(allow("s3:GetObject", Principal="*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
        [bucket_policy(allow("s3:GetObject", Principal="*")), bucket_policy(allow("s3:Put*", Principal={"AWS": "*"}))],
    ),
    "bucket-policy-gives-others-no-power": (
        bucket_policy(allow("s3:GetObject", Principal={"AWS": ROLE_ARN})),
        [
            bucket_policy(allow(["s3:GetObject", "s3:DeleteObject"], Principal={"AWS": ROLE_ARN})),
            bucket_policy(allow("s3:*", Principal={"AWS": ROLE_ARN})),
        ],
    ),
    "bucket-has-no-access-list": (
        [it(aws.BUCKET_OWNERSHIP, bucket="store", rule={"objectOwnership": "BucketOwnerEnforced"})],
        [
            [it(aws.BUCKET_ACL, bucket="store", acl="public-read")],
            [it(aws.BUCKET_OWNERSHIP, bucket="store", rule={"objectOwnership": "ObjectWriter"})],
            [bucket(acl="private")],
        ],
    ),
    "bucket-is-no-website": ([bucket()], [[it(aws.BUCKET_WEBSITE, bucket="store")]]),
    # keys and secrets
    "key-is-rotated": (
        [it(aws.KEY, enableKeyRotation=True, rotationPeriodInDays=365)],
        [[it(aws.KEY)], [it(aws.KEY, enableKeyRotation=True, rotationPeriodInDays=1000)]],
    ),
    "key-can-be-had-back": (
        [it(aws.KEY, deletionWindowInDays=30), it(aws.KEY, "dev", "dev", deletionWindowInDays=7)],
        [[it(aws.KEY, deletionWindowInDays=7)]],
    ),
    "key-is-not-public": (
        [it(aws.KEY, policy=doc(allow("kms:Decrypt", "*", Principal={"AWS": ROLE_ARN})))],
        [[it(aws.KEY, policy=doc(allow("kms:Decrypt", "*", Principal="*")))]],
    ),
    "key-locks-nobody-out": (
        [it(aws.KEY)],
        [[it(aws.KEY, isEnabled=False)], [it(aws.KEY, bypassPolicyLockoutSafetyCheck=True)]],
    ),
    "policy-names-its-keys": (
        role_policy(
            allow("kms:Decrypt", KEY_ARN),
            allow("kms:Decrypt", "arn:aws:kms:eu-west-1:1:key/*", Condition={"StringEquals": {"kms:ViaService": "s3"}}),
        ),
        [
            role_policy(allow("kms:Decrypt", "*")),
            role_policy(allow("kms:*", "arn:aws:kms:eu-west-1:123456789012:key/*")),
        ],
    ),
    "secret-has-own-key-and-comes-back": (
        [it(aws.SECRET, kmsKeyId=KEY_ARN)],
        [[it(aws.SECRET)], [it(aws.SECRET, kmsKeyId=KEY_ARN, recoveryWindowInDays=0)]],
    ),
    # protection
    "what-keeps-is-protected": (
        [bucket(protect=True), it(aws.KEY, env="dev")],
        [[bucket()], [it(aws.KEY)], [it(aws.TRAIL)]],
    ),
    "what-keeps-is-not-forced": (
        [bucket(), it(aws.BUCKET, "scratch", "dev", forceDestroy=True)],
        [[bucket(forceDestroy=True)], [repository(forceDelete=True)]],
    ),
    "ledger-is-locked": (
        [bucket(), it(aws.BUCKET_LOCK, bucket="ledger", rule=LOCK)],
        [
            [bucket()],
            [
                bucket(),
                it(aws.BUCKET_LOCK, bucket="l", rule={"defaultRetention": {"mode": "GOVERNANCE", "days": 2555}}),
            ],
            [bucket(), it(aws.BUCKET_LOCK, bucket="l", rule={"defaultRetention": {"mode": "COMPLIANCE", "days": 30}})],
        ],
    ),
    "ledger-copy-forgets-nothing": (
        [it(aws.BUCKET_REPLICATION, bucket="store", role=ROLE_ARN, rules=[COPY])],
        [
            [
                it(
                    aws.BUCKET_REPLICATION,
                    bucket="store",
                    role=ROLE_ARN,
                    rules=[COPY | {"deleteMarkerReplication": {"status": "Enabled"}}],
                )
            ]
        ],
    ),
    # retention
    "versions-are-forgotten": (
        lifecycle(FORGETS),
        [
            [bucket()],
            lifecycle({"noncurrentVersionExpiration": {"noncurrentDays": 91}}),
            lifecycle(FORGETS | {"status": "Disabled"}),
            lifecycle(FORGETS | {"filter": {"prefix": "logs/"}}),
        ],
    ),
    "uploads-are-forgotten": (lifecycle(PARTS), [lifecycle(FORGETS)]),
    "captured-requests-are-forgotten": (
        [*lifecycle(CAPTURED), *configuration(dataCaptureConfig=capture())],
        [
            [*lifecycle(FORGETS), *configuration(dataCaptureConfig=capture())],
            [*lifecycle(CAPTURED), *configuration(dataCaptureConfig=capture(destinationS3Uri="s3://theirs/x"))],
        ],
    ),
    "evidence-stays": (
        lifecycle(CAPTURED),
        [lifecycle({"filter": {"prefix": "bundles/"}, "expiration": {"days": 30}})],
    ),
    "audit-trail-stays": (
        [*lifecycle({"expiration": {"days": 430}}), *trail()],
        [[*lifecycle({"expiration": {"days": 30}}), *trail()]],
    ),
}
