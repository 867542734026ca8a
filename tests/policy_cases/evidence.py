"""Programs that keep and break the rules of: the trail that is read, copies, keys and accounts of others, images."""

import json

from infra.policies.aws import _types as aws
from infra.policies.rule import Resource
from tests.policy_cases.programs import (
    CHANGES,
    CLAIMS,
    KEY_ARN,
    OBJECTS,
    Cases,
    Program,
    allow,
    bucket,
    doc,
    it,
    lifecycle,
    provider,
    repository,
    selector,
    trail,
    trust,
    with_bucket,
)

__all__ = ["CASES"]

LOG = "arn:aws:logs:eu-west-1:123456789012:log-group:/audit:*"
OURS, OTHER = "arn:aws:iam::123456789012:root", "arn:aws:iam::999988887777:root"
HOME = {"allowedAccountIds": '["123456789012"]'}


def logged(**properties: str) -> Program:
    return trail(cloudWatchLogsGroupArn=LOG, cloudWatchLogsRoleArn="arn:role", **properties)


def found(metric: str = "sign-ins", log: str = "/audit") -> Resource:
    place = {"namespace": "mlops", "name": metric, "value": "1"}
    return it(aws.LOG_FILTER, "filter", logGroupName=log, pattern="{ $.x = 1 }", metricTransformation=place)


def told(metric: str = "sign-ins") -> Resource:
    given = {"namespace": "mlops", "metricName": metric, "comparisonOperator": "x", "evaluationPeriods": 1}
    return it(aws.ALARM, "alarm", **given)


def recorded(*arns: str, **more: object) -> Program:
    fields = [*OBJECTS["fieldSelectors"], {"field": "resources.ARN", "startsWiths": list(arns)}]
    return trail(advancedEventSelectors=[{"fieldSelectors": fields}], **more)


def measures(**dimensions: str) -> Program:
    return [
        it(aws.ENDPOINT, "endpoint", name="e", endpointConfigName="c"),
        it(aws.ALARM, comparisonOperator="x", evaluationPeriods=1, dimensions=dimensions),
    ]


def copied(**changes: object) -> Program:
    rule = {
        "id": "replica",
        "status": "Enabled",
        "destination": {"bucket": "arn:aws:s3:::copy", "encryptionConfiguration": {"replicaKmsKeyId": KEY_ARN}},
        "sourceSelectionCriteria": {"sseKmsEncryptedObjects": {"status": "Enabled"}},
    }
    return with_bucket(aws.BUCKET_REPLICATION, role="r", rules=[rule | changes])


def key(*statements: dict[str, object]) -> Program:
    return [*provider(**HOME), it(aws.KEY, policy=doc(*statements))]


def images_copied(account: str = "123456789012", region: str = "eu-central-1", *more: Resource) -> Program:
    rule = {"destinations": [{"registryId": account, "region": region}]}
    return [*provider(**HOME), it(aws.REPOSITORY_COPIES, replicationConfiguration={"rules": [rule]}), *more]


def template(**properties: object) -> Resource:
    given = {"prefix": "ROOT", "appliedFors": ["REPLICATION"], "region": "eu-central-1"}
    return it(aws.REPOSITORY_TEMPLATE, "template", **given | properties)


def forgets(status: str) -> str:
    return json.dumps({"rules": [{"selection": {"tagStatus": status}, "action": {"type": "expire"}}]})


ACCOUNT = allow(["kms:PutKeyPolicy", "kms:Decrypt"], "*", Principal={"AWS": OURS})

CASES: Cases = {
    "trail-goes-to-a-log": (logged(), [trail(), trail(cloudWatchLogsGroupArn=LOG)]),
    "trail-raises-alarms": (
        [*logged(), found(), told()],
        [logged(), [*logged(), found(log="/other"), told()], [*logged(), found(), told("others")]],
    ),
    "trail-records-every-bucket": (
        [bucket(), *recorded("arn:aws:s3:::store/")],
        [
            [bucket(), *recorded("arn:aws:s3:::other/")],
            [bucket(), *recorded("arn:aws:s3:::store/releases/")],
            [bucket(), *trail(advancedEventSelectors=[CHANGES])],
        ],
    ),
    "trail-has-a-bucket-of-its-own": (
        recorded("arn:aws:s3:::data/", s3BucketName="audit"),
        [recorded("arn:aws:s3:::audit/", s3BucketName="audit")],
    ),
    "trail-records-what-is-read": (
        trail(advancedEventSelectors=[OBJECTS, CHANGES]),
        [trail(advancedEventSelectors=[selector(("eventCategory", "Management"), ("readOnly", "false"))])],
    ),
    "alarm-watches-what-is-there": (measures(EndpointName="e"), [measures(EndpointName="another")]),
    "copies-are-made-and-encrypted": (
        copied(),
        [
            copied(status="Disabled"),
            copied(destination={"bucket": "arn:aws:s3:::copy"}),
            copied(sourceSelectionCriteria=None),
        ],
    ),
    "bucket-is-asked-by-known-sites": (
        with_bucket(aws.BUCKET_CORS, corsRules=[{"allowedMethods": ["GET"], "allowedOrigins": ["https://a.example"]}]),
        [with_bucket(aws.BUCKET_CORS, corsRules=[{"allowedMethods": ["GET"], "allowedOrigins": ["*"]}])],
    ),
    "objects-stay-readable": (
        lifecycle({"transitions": [{"days": 30, "storageClass": "GLACIER_IR"}]}),
        [
            lifecycle({"transitions": [{"days": 30, "storageClass": "GLACIER"}]}),
            lifecycle({"noncurrentVersionTransitions": [{"noncurrentDays": 1, "storageClass": "DEEP_ARCHIVE"}]}),
        ],
    ),
    "logged-predictions-wait-for-labels": (
        lifecycle({"filter": {"prefix": "predictions/"}, "expiration": {"days": 430}}),
        [
            lifecycle({"filter": {"prefix": "predictions/"}, "expiration": {"days": 5}}),
            lifecycle({"filter": {"prefix": "capture/"}, "expiration": {"days": 3650}}),
        ],
    ),
    "versions-can-be-had-back": (
        lifecycle({"noncurrentVersionExpiration": {"noncurrentDays": 7}}),
        [lifecycle({"noncurrentVersionExpiration": {"noncurrentDays": 1}})],
    ),
    "key-gives-others-no-power": (
        key(ACCOUNT, allow(["kms:Decrypt", "kms:DescribeKey"], "*", Principal={"AWS": OTHER})),
        [
            key(allow("kms:*", "*", Principal={"AWS": OTHER})),
            key(allow(["kms:Encrypt"], "*", Principal={"AWS": OTHER})),
            key(allow(["kms:PutKeyPolicy"], "*", Principal={"AWS": OTHER}, Condition={"Bool": {"a:b": "true"}})),
        ],
    ),
    "key-obeys-its-account": (key(ACCOUNT), [key(allow("kms:*", "*", Principal={"AWS": OTHER}))]),
    "parameter-holds-no-secret-in-clear": (
        [it(aws.PARAMETER, name="/mlops/token", type="SecureString", value="x"), it(aws.PARAMETER, type="String")],
        [
            [it(aws.PARAMETER, name="/mlops/token", type="String", value="hunter2")],
            [it(aws.PARAMETER, name="/mlops/x", type="String", value="dapi00112233445566778899aabbccddeeff")],
        ],
    ),
    "role-binds-other-accounts": (
        [
            *provider(**HOME),
            it(
                aws.ROLE,
                assumeRolePolicy=trust({"AWS": OTHER}, {"StringEquals": {"sts:ExternalId": "x"}}),
            ),
            it(aws.ROLE, "ours", assumeRolePolicy=trust({"AWS": OURS})),
        ],
        [[*provider(**HOME), it(aws.ROLE, assumeRolePolicy=trust({"AWS": OTHER}, {"StringEquals": CLAIMS}))]],
    ),
    "images-come-from-here-alone": (
        [it(aws.REPOSITORY_POLICY, repository="images", policy=doc(allow(["ecr:BatchGetImage"])))],
        [[it(aws.REPOSITORY_POLICY, repository="images", policy=doc(allow(["ecr:BatchGetImage", "ecr:PutImage"])))]],
    ),
    "images-with-tags-stay": (
        [
            repository(),
            it(aws.REPOSITORY_LIFECYCLE, repository="images", policy=forgets("untagged")),
            template(lifecyclePolicy=forgets("untagged")),
        ],
        [
            [it(aws.REPOSITORY_LIFECYCLE, repository="images", policy=forgets("any"))],
            [template(lifecyclePolicy=forgets("tagged"))],
        ],
    ),
    "images-are-copied-as-they-lie": (
        images_copied("123456789012", "eu-central-1", template()),
        [
            images_copied(),
            images_copied("999988887777", "eu-central-1", template()),
            images_copied("123456789012", "eu-west-1", template(region="eu-west-1")),
        ],
    ),
}
