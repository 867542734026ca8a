"""Programs that keep and break the rules of: models and endpoints, image registries, functions and batch jobs."""

from infra.policies.aws import _types as aws
from tests.policy_cases.programs import (
    IMAGE,
    KEY_ARN,
    RELEASE,
    ROLE_ARN,
    TAGGED,
    VARIABLES,
    Cases,
    allow,
    capture,
    configuration,
    doc,
    endpoint,
    function,
    it,
    job,
    model,
    monitoring,
    notebook,
    pipeline,
    repository,
)

__all__ = ["CASES"]

CASES: Cases = {
    "registry-scans-what-arrives": (
        [it(aws.REGISTRY_SCANNING, rules=[{"scanFrequency": "SCAN_ON_PUSH"}])],
        [[it(aws.REGISTRY_SCANNING, rules=[])], [it(aws.REGISTRY_SCANNING, rules=[{"scanFrequency": "MANUAL"}])]],
    ),
    # models and endpoints
    "model-image-is-pinned": (
        model(),
        [model(image=TAGGED), model(image=""), [monitoring(monitoringAppSpecification={"imageUri": TAGGED})]],
    ),
    "model-is-a-release": (
        model(environment={"MLOPS_RELEASE": RELEASE}),
        [model(), model(environment={"MLOPS_RELEASE": "latest"})],
    ),
    "model-is-in-the-network": (
        [it(aws.MODEL, executionRoleArn=ROLE_ARN, vpcConfig={"subnets": ["a"], "securityGroupIds": ["b"]})],
        [model()],
    ),
    "endpoint-disk-is-encrypted": (configuration(kmsKeyArn=KEY_ARN), [configuration()]),
    "endpoint-keeps-what-it-answers": (
        configuration(dataCaptureConfig=capture()),
        [
            configuration(),
            configuration(dataCaptureConfig=capture(enableCapture=False)),
            configuration(dataCaptureConfig=capture(kmsKeyId=None)),
        ],
    ),
    "endpoint-has-two-servers": (
        [*configuration(), *configuration("dev", variant={"initialInstanceCount": 1})],
        [configuration(variant={"initialInstanceCount": 1})],
    ),
    "endpoint-takes-bad-releases-back": ([endpoint()], [[endpoint(alarms=0)]]),
    "endpoint-tries-releases-first": ([endpoint(), endpoint("ALL_AT_ONCE", "dev")], [[endpoint("ALL_AT_ONCE")]]),
    "endpoint-is-watched": ([endpoint(), monitoring()], [[endpoint()], [endpoint(), monitoring("another")]]),
    "monitoring-is-private-and-bounded": (
        [monitoring()],
        [
            [monitoring(networkConfig={"enableInterContainerTrafficEncryption": True})],
            [monitoring(networkConfig={"vpcConfig": {"subnets": ["a"], "securityGroupIds": ["b"]}})],
            [monitoring(monitoringResources={"clusterConfig": {"instanceType": "ml.m5.large"}})],
            [monitoring(monitoringOutputConfig={})],
            [monitoring(stoppingConditions=[])],
        ],
    ),
    "training-is-private": (
        pipeline(),
        [
            pipeline(VpcConfig=None),
            pipeline(ResourceConfig={"InstanceType": "ml.m5.large"}),
            pipeline(OutputDataConfig={"S3OutputPath": "s3://store"}),
            pipeline(EnableInterContainerTrafficEncryption=False),
        ],
    ),
    "training-is-pinned-and-bounded": (
        pipeline(),
        [pipeline(StoppingCondition={}), pipeline(AlgorithmSpecification={"TrainingImage": TAGGED})],
    ),
    "notebook-is-closed": (
        notebook(),
        [
            notebook(directInternetAccess="Enabled"),
            notebook(rootAccess=None),
            notebook(subnetId=None),
            notebook(kmsKeyId=None),
        ],
    ),
    # image registries
    "image-tags-never-move": ([repository(imageTagMutability="IMMUTABLE")], [[repository()]]),
    "images-are-scanned": ([repository(imageScanningConfiguration={"scanOnPush": True})], [[repository()]]),
    "images-are-encrypted": (
        [repository(encryptionConfigurations=[{"encryptionType": "KMS", "kmsKey": KEY_ARN}])],
        [[repository()], [repository(encryptionConfigurations=[{"encryptionType": "KMS"}])]],
    ),
    "images-are-forgotten": (
        [repository(), it(aws.REPOSITORY_LIFECYCLE, repository=("images", "images"), policy="{}")],
        [[repository()]],
    ),
    "images-are-not-for-everybody": (
        [
            it(
                aws.REPOSITORY_POLICY,
                repository="r",
                policy=doc(allow("ecr:BatchGetImage", Principal={"AWS": ROLE_ARN})),
            )
        ],
        [[it(aws.REPOSITORY_POLICY, repository="r", policy=doc(allow("ecr:BatchGetImage", Principal="*")))]],
    ),
    "images-are-not-published": ([repository()], [[it("aws:ecrpublic/repository:Repository", repositoryName="r")]]),
    # functions and batch jobs
    "variables-hold-no-secret": (
        function(environment={"variables": {"TOKEN_ARN": "arn:aws:secretsmanager:x", "MODE": "a"}}),
        [
            function(environment={"variables": {"DB_PASSWORD": "hunter2"}}),
            function(environment={"variables": {"X": "AKIAIOSFODNN7EXAMPLE"}}),
            job(image=IMAGE, environment=[{"name": "API_KEY", "value": "abc"}]),
            model(environment={"GITHUB_TOKEN": "x"}),
        ],
    ),
    "function-image-is-pinned": (function(imageUri=IMAGE), [function(imageUri=TAGGED), job(image=TAGGED)]),
    "function-is-in-the-network": (
        function(vpcConfig={"subnetIds": ["a"], "securityGroupIds": ["b"]}),
        [function()],
    ),
    "function-variables-are-encrypted": (
        function(environment=VARIABLES, kmsKeyArn=KEY_ARN),
        [function(environment=VARIABLES)],
    ),
    "function-url-asks-who": (
        [it(aws.FUNCTION_URL, functionName="f", authorizationType="AWS_IAM")],
        [[it(aws.FUNCTION_URL, functionName="f", authorizationType="NONE")]],
    ),
    "function-is-called-by-known-callers": (
        [it(aws.FUNCTION_PERMISSION, principal="events.amazonaws.com", sourceArn="arn:rule", function="f")],
        [
            [it(aws.FUNCTION_PERMISSION, principal="*", function="f")],
            [it(aws.FUNCTION_PERMISSION, principal="events.amazonaws.com", function="f")],
        ],
    ),
    "batch-job-is-unprivileged": (
        job(image=IMAGE),
        [job(image=IMAGE, privileged=True), job(networkConfiguration={"assignPublicIp": "ENABLED"})],
    ),
    "batch-job-ends": (
        [it(aws.JOB_DEFINITION, type="container", timeout={"attemptDurationSeconds": 3600})],
        [job(image=IMAGE)],
    ),
}
