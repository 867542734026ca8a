"""What the simulated AWS really makes in moto's server: seen, changed and ended by other clients of the same API."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.simulation.mirror import Moto
from infra.simulation.server import moto_server
from tests.simulated import Cloud, Refused, cloud


def trust(service: str) -> str:
    """The policy of a role that a service takes."""
    allowed = {"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


OPEN_TO_CLOUDTRAIL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "cloudtrail.amazonaws.com"},
                "Action": "s3:*",
                "Resource": "arn:aws:s3:::trail-of-calls/*",
            }
        ],
    }
)
IMAGE = f"123456789012.dkr.ecr.eu-central-1.amazonaws.com/mlops@sha256:{'a' * 64}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("accounts")


@pytest.fixture(scope="module")
def moto(folder: Path) -> Iterator[Moto]:
    with moto_server(folder) as server:
        yield server


@pytest.fixture
def aws(moto: Moto, folder: Path, request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A stack a test."""
    with cloud(folder, moto=moto, stack=f"aws-{abs(hash(request.node.name)) % 10**6}-dev") as opened:
        yield opened


def client(moto: Moto, service: str) -> Any:
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    return boto3.client(service, region_name="eu-central-1", endpoint_url=moto.endpoint, **keys)


def test_a_bucket_and_its_settings_are_there(aws: Cloud, moto: Moto) -> None:
    key = aws.create("kms/key:Key", "key", enableKeyRotation=True, tags={"owner": "ml"})
    aws.create("s3/bucket:Bucket", "b", bucket="store-a", tags={"owner": "ml"})
    aws.create(
        "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "e",
        bucket="store-a",
        rules=[{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key["arn"]}}],
    )
    s3, kms = client(moto, "s3"), client(moto, "kms")
    assert s3.get_bucket_tagging(Bucket="store-a")["TagSet"] == [{"Key": "owner", "Value": "ml"}]
    rule = s3.get_bucket_encryption(Bucket="store-a")["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == key["arn"]
    assert kms.get_key_rotation_status(KeyId=key["id"])["KeyRotationEnabled"]


def test_a_model_and_its_endpoint_are_there(aws: Cloud, moto: Moto) -> None:
    role = aws.create("iam/role:Role", "r", name="runtime", assumeRolePolicy=trust("sagemaker"))
    container = {"image": IMAGE, "environment": {"MLOPS_RELEASE": "sha256:1"}}
    aws.create("sagemaker/model:Model", "m", name="income", executionRoleArn=role["arn"], primaryContainer=container)
    variant = {"variantName": "main", "modelName": "income", "instanceType": "ml.m5.large", "initialInstanceCount": 1}
    for name in ("blue", "green"):
        config = "sagemaker/endpointConfiguration:EndpointConfiguration"
        aws.create(config, name, name=name, productionVariants=[variant])
    aws.create("sagemaker/endpoint:Endpoint", "e", name="income", endpointConfigName="blue")
    sagemaker = client(moto, "sagemaker")
    described = sagemaker.describe_model(ModelName="income")
    assert described["PrimaryContainer"]["Environment"] == {"MLOPS_RELEASE": "sha256:1"}
    assert sagemaker.describe_endpoint(EndpointName="income")["EndpointConfigName"] == "blue"
    aws.update("sagemaker/endpoint:Endpoint", "e", "income", name="income", endpointConfigName="green")
    assert sagemaker.describe_endpoint(EndpointName="income")["EndpointConfigName"] == "green"


def test_a_change_made_by_another_client_is_seen(aws: Cloud, moto: Moto) -> None:
    aws.create("s3/bucket:Bucket", "b", bucket="store-b")
    versioning = "s3/bucketVersioning:BucketVersioning"
    aws.create(versioning, "v", bucket="store-b", versioningConfiguration={"status": "Enabled"})
    client(moto, "s3").put_bucket_versioning(Bucket="store-b", VersioningConfiguration={"Status": "Suspended"})
    seen = aws.read(versioning, "v", "store-b")
    assert seen
    assert seen["versioningConfiguration"] == {"status": "Suspended"}


def test_what_another_client_deletes_is_gone(aws: Cloud, moto: Moto) -> None:
    aws.create("cloudwatch/logGroup:LogGroup", "l", name="/mlops/gone", retentionInDays=30)
    assert aws.read("cloudwatch/logGroup:LogGroup", "l", "/mlops/gone")
    client(moto, "logs").delete_log_group(logGroupName="/mlops/gone")
    assert aws.read("cloudwatch/logGroup:LogGroup", "l", "/mlops/gone") is None


def test_a_bucket_with_objects_stays_unless_it_may_be_emptied(aws: Cloud, moto: Moto) -> None:
    for name, force in (("store-c", False), ("store-d", True)):
        aws.create("s3/bucket:Bucket", name, bucket=name, forceDestroy=force)
        client(moto, "s3").put_object(Bucket=name, Key="a", Body=b"b")
    with pytest.raises(Refused, match="BucketNotEmpty"):
        aws.delete("s3/bucket:Bucket", "store-c", "store-c")
    aws.delete("s3/bucket:Bucket", "store-d", "store-d")
    assert "store-d" not in [bucket["Name"] for bucket in client(moto, "s3").list_buckets()["Buckets"]]


@pytest.mark.parametrize("versioned", ["Enabled", "Suspended"])
def test_versions_and_delete_markers_are_emptied_too(aws: Cloud, moto: Moto, versioned: str) -> None:
    """A destroy ends the versioning first, as the bucket can't go before it."""
    name, s3 = f"versions-{versioned.lower()}", client(moto, "s3")
    aws.create("s3/bucket:Bucket", "b", bucket=name, forceDestroy=True)
    s3.put_object(Bucket=name, Key="before", Body=b"0")  # has no version of its own
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for key in ("kept", "deleted", "deleted"):
        s3.put_object(Bucket=name, Key=key, Body=b"1")
    for _ in range(2):
        s3.delete_object(Bucket=name, Key="deleted")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": versioned})
    listed = s3.list_object_versions(Bucket=name)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (4, 2)
    aws.delete("s3/bucket:Bucket", "b", name)
    assert name not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


def test_an_auditor_sees_flow_logs_the_trail_s_selectors_and_the_registry_s_copies(aws: Cloud, moto: Moto) -> None:
    vpc = aws.create("ec2/vpc:Vpc", "v", cidrBlock="10.0.0.0/16")
    group = aws.create("cloudwatch/logGroup:LogGroup", "l", name="/mlops/flows")
    role = aws.create(
        "iam/role:Role",
        "r",
        name="flows",
        assumeRolePolicy=trust("vpc-flow-logs"),
    )
    flow = {"vpcId": vpc["id"], "trafficType": "ALL", "logDestination": group["arn"], "iamRoleArn": role["arn"]}
    made = aws.create("ec2/flowLog:FlowLog", "f", **flow)
    ec2 = client(moto, "ec2")
    (seen,) = ec2.describe_flow_logs(FlowLogIds=[made["id"]])["FlowLogs"]
    assert (seen["ResourceId"], seen["TrafficType"]) == (vpc["id"], "ALL")
    ec2.delete_flow_logs(FlowLogIds=[made["id"]])
    assert aws.read("ec2/flowLog:FlowLog", "f", made["id"]) is None

    aws.create("s3/bucket:Bucket", "b", bucket="trail-of-calls")
    aws.create("s3/bucketPolicy:BucketPolicy", "p", bucket="trail-of-calls", policy=OPEN_TO_CLOUDTRAIL)
    objects = [
        {"field": "eventCategory", "equals": ["Data"]},
        {"field": "resources.ARN", "startsWiths": ["arn:aws:s3"]},
    ]
    selectors = [{"name": "objects", "fieldSelectors": objects}]
    aws.create(
        "cloudtrail/trail:Trail", "t", name="calls", s3BucketName="trail-of-calls", advancedEventSelectors=selectors
    )
    (kept,) = client(moto, "cloudtrail").get_event_selectors(TrailName="calls")["AdvancedEventSelectors"]
    assert kept["FieldSelectors"][1] == {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3"]}

    key = aws.create("kms/key:Key", "key", description="images")
    sealed = [{"encryptionType": "KMS", "kmsKey": key["arn"]}]
    aws.create("ecr/repository:Repository", "i", name="images", encryptionConfigurations=sealed)
    rule = {"destinations": [{"region": "eu-west-1", "registryId": "123456789012"}]}
    copies = {"rules": [rule | {"repositoryFilters": [{"filter": "images", "filterType": "PREFIX_MATCH"}]}]}
    aws.create("ecr/replicationConfiguration:ReplicationConfiguration", "c", replicationConfiguration=copies)
    ecr = client(moto, "ecr")
    assert (
        ecr.describe_repositories(repositoryNames=["images"])["repositories"][0]["encryptionConfiguration"] == sealed[0]
    )
    assert ecr.describe_registry()["replicationConfiguration"] == copies


def test_an_auditor_sees_doors_that_are_open_no_wider_than_the_rules(aws: Cloud, moto: Moto) -> None:
    vpc = aws.create("ec2/vpc:Vpc", "v", cidrBlock="10.0.0.0/16")
    usual = aws.create("ec2/defaultSecurityGroup:DefaultSecurityGroup", "d", vpcId=vpc["id"])
    group = aws.create("ec2/securityGroup:SecurityGroup", "g", name="jobs", description="jobs", vpcId=vpc["id"])
    other = aws.create("ec2/securityGroup:SecurityGroup", "o", name="doors", description="doors", vpcId=vpc["id"])
    https = {"ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
    out = {"securityGroupId": group["id"], "cidrIpv4": "10.0.0.0/16", "description": "services"} | https
    made = aws.create("vpc/securityGroupEgressRule:SecurityGroupEgressRule", "e", **out)
    into = {"securityGroupId": other["id"], "referencedSecurityGroupId": group["id"]} | https
    aws.create("vpc/securityGroupIngressRule:SecurityGroupIngressRule", "i", **into)

    def seen(which: str) -> tuple[list[Any], list[Any]]:
        (found,) = client(moto, "ec2").describe_security_groups(GroupIds=[which])["SecurityGroups"]
        return found["IpPermissions"], found["IpPermissionsEgress"]

    assert seen(usual["id"]) == ([], [])
    assert seen(group["id"])[0] == []
    (allowed,) = seen(group["id"])[1]
    assert (allowed["FromPort"], allowed["IpRanges"]) == (443, [{"CidrIp": "10.0.0.0/16", "Description": "services"}])
    (entry,) = seen(other["id"])[0]
    assert [pair["GroupId"] for pair in entry["UserIdGroupPairs"]] == [group["id"]]
    aws.delete("vpc/securityGroupEgressRule:SecurityGroupEgressRule", "e", made["id"])
    assert seen(group["id"]) == ([], [])


def test_an_auditor_sees_that_lists_of_rights_are_off_and_images_are_scanned(aws: Cloud, moto: Moto) -> None:
    aws.create("s3/bucket:Bucket", "b", bucket="store-of-one")
    owned = client(moto, "s3").get_bucket_ownership_controls(Bucket="store-of-one")["OwnershipControls"]
    assert owned["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rule = {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}
    scanning = {"scanType": "BASIC", "rules": [rule]}
    aws.create("ecr/registryScanningConfiguration:RegistryScanningConfiguration", "s", **scanning)
    assert client(moto, "ecr").get_registry_scanning_configuration()["scanningConfiguration"] == scanning


def test_a_stack_of_another_account_is_made_in_that_account(aws: Cloud, moto: Moto) -> None:
    aws.configure({"region": "eu-central-1", "allowedAccountIds": json.dumps(["210987654321"])})
    assert "210987654321" in aws.create("sns/topic:Topic", "t", name="elsewhere")["arn"]
    arns = [topic["TopicArn"] for topic in client(moto, "sns").list_topics()["Topics"]]
    assert not [arn for arn in arns if arn.endswith("elsewhere")]


def test_batch_finds_its_network_and_its_queue(aws: Cloud, moto: Moto) -> None:
    role = aws.create("iam/role:Role", "r", name="batch", assumeRolePolicy=trust("sagemaker"))
    vpc = aws.create("ec2/vpc:Vpc", "v", cidrBlock="10.0.0.0/16")
    subnet = aws.create("ec2/subnet:Subnet", "s", vpcId=vpc["id"], cidrBlock="10.0.0.0/24")
    group = aws.create("ec2/securityGroup:SecurityGroup", "g", name="batch", vpcId=vpc["id"])
    compute = {"type": "FARGATE", "maxVcpus": 4, "subnets": [subnet["id"]], "securityGroupIds": [group["id"]]}
    environment = aws.create(
        "batch/computeEnvironment:ComputeEnvironment",
        "c",
        name="scoring",
        type="MANAGED",
        serviceRole=role["arn"],
        computeResources=compute,
    )
    order = [{"order": 1, "computeEnvironment": environment["arn"]}]
    queue = {"name": "scoring", "state": "ENABLED", "priority": 1, "computeEnvironmentOrders": order}
    made = aws.create("batch/jobQueue:JobQueue", "q", **queue)
    batch = client(moto, "batch")
    assert batch.describe_job_queues(jobQueues=["scoring"])["jobQueues"][0]["jobQueueArn"] == made["arn"]
    aws.delete("batch/jobQueue:JobQueue", "q", made["id"])
    assert not batch.describe_job_queues(jobQueues=["scoring"])["jobQueues"]


def test_the_next_server_has_the_same_things_with_the_same_ids(aws: Cloud, moto: Moto, folder: Path) -> None:
    key = aws.create("kms/key:Key", "key", description="kept")
    vpc = aws.create("ec2/vpc:Vpc", "v", cidrBlock="10.0.0.0/16")
    again = Moto(moto.endpoint)
    again.reset()
    for file in folder.glob("*.json"):
        from infra.simulation.account import Account

        again.restore(Account(file).things())
    assert client(moto, "kms").describe_key(KeyId=key["id"])["KeyMetadata"]["Description"] == "kept"
    assert client(moto, "ec2").describe_vpcs(VpcIds=[vpc["id"]])["Vpcs"][0]["CidrBlock"] == "10.0.0.0/16"


def test_moto_answers_to_this_machine_s_names_alone(moto: Moto) -> None:
    """A page could have its browser ask in the simulated accounts, by a name of its own or from its own site."""
    port = int(moto.endpoint.rpartition(":")[2])

    def status(**headers: str) -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            connection.request("GET", "/moto-api/", headers=headers)
            return connection.getresponse().status

    own: tuple[dict[str, str], ...] = ({}, {"Host": f"localhost:{port}"}, {"Origin": f"http://127.0.0.1:{port}"})
    assert [status(**said) for said in own] == [200] * 3
    for strange in ("page.example", f"10.page.example:{port}", "bucket.s3.amazonaws.com", ""):
        assert status(Host=strange) == 403
    for origin in ("http://page.example", "null"):
        assert status(Origin=origin) == 403
