"""Programs of their own under the real engine: wrong ones stop at preview, with the sentence their author needs."""

from pathlib import Path

import pytest

from tests.simulated_engine import simulation

HEAD = """\
import json
import pulumi_aws as aws

vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16")
bucket = aws.s3.Bucket("store", bucket="mlops-store")
"""
WRONG = {
    "misspelt nested property": (
        'aws.s3.BucketVersioning("v", bucket=bucket.bucket, versioning_configuration={"statsu": "Enabled"})',
        ["there is no such property; did you mean 'status'?"],
    ),
    "subnet outside a network that is only planned yet": (
        'aws.ec2.Subnet("a", vpc_id=vpc.id, cidr_block="10.1.0.0/24")',
        ["10.1.0.0/24 is not inside 10.0.0.0/16, the block of aws:ec2/vpc:Vpc 'vpc'"],
    ),
    "policy that doesn't parse": (
        'statement = {"Effect": "Alow", "Action": "s3:GetObject", "Resource": "*"}\n'
        'aws.iam.Policy("p", policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))',
        ["Statement[0] has Effect 'Alow'; it must be Allow or Deny"],
    ),
    "one name for two things": (
        'aws.s3.Bucket("other", bucket="mlops-store")',
        ["'mlops-store' is taken: there is aws:s3/bucket:Bucket"],
    ),
    "a type without a rule": (
        'aws.chime.VoiceConnector("v", require_encryption=True)',
        ["the simulated cloud has no rule for aws:chime/voiceConnector:VoiceConnector"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_program_stops_at_preview(case: str, tmp_path: Path) -> None:
    wrong, sentences = WRONG[case]
    with simulation(tmp_path, program=f"{HEAD}{wrong}\n", moto=False) as clouds:
        clouds.pulumi("stack", "init", stack="dev")
        clouds.pulumi("config", "set", "aws:region", "eu-central-1", stack="dev")
        output = clouds.pulumi("preview", stack="dev", fails=True)
    for sentence in sentences:
        assert sentence in output
    assert "Traceback" not in output


def test_what_is_protected_and_what_is_in_use_stay(tmp_path: Path) -> None:
    program = (
        "import pulumi, pulumi_aws as aws\n"
        'vpc = aws.ec2.Vpc("vpc", cidr_block="10.0.0.0/16")\n'
        'aws.ec2.Subnet("subnet", vpc_id=vpc.id, cidr_block="10.0.0.0/24")\n'
        'aws.s3.Bucket("store", bucket="mlops-kept", opts=pulumi.ResourceOptions(protect=True))\n'
    )
    with simulation(tmp_path, program=program, moto=False) as clouds:
        clouds.pulumi("stack", "init", stack="dev")
        clouds.pulumi("config", "set", "aws:region", "eu-central-1", stack="dev")
        clouds.pulumi("up", "--yes", "--skip-preview", stack="dev")
        urn = next(thing["urn"] for thing in clouds.things("dev") if thing["type"] == "aws:ec2/subnet:Subnet")
        clouds.pulumi("state", "delete", urn, "--yes", stack="dev")  # the engine forgets it; the cloud doesn't
        output = clouds.pulumi("destroy", "--yes", "--skip-preview", "--exclude-protected", stack="dev", fails=True)
        assert "can't be deleted: it is used by aws:ec2/subnet:Subnet 'subnet'" in output
        assert {thing["type"] for thing in clouds.things("dev")} == {
            "aws:ec2/vpc:Vpc",
            "aws:ec2/subnet:Subnet",
            "aws:s3/bucket:Bucket",
        }


def test_a_change_is_made_in_place_or_by_a_new_resource_and_a_protected_one_is_not_replaced(tmp_path: Path) -> None:
    program = (
        "import pulumi, pulumi_aws as aws\n"
        "said = pulumi.Config('mlops')\n"
        "kept = pulumi.ResourceOptions(protect=said.get_bool('protect'))\n"
        'aws.ec2.Vpc("vpc", cidr_block=said.require("block"), tags={"owner": said.require("owner")}, opts=kept)\n'
    )
    with simulation(tmp_path, program=program, moto=False) as clouds:

        def say(**values: str) -> None:
            words = [f"--plaintext={key.replace('__', ':')}={value}" for key, value in values.items()]
            clouds.pulumi("config", "set-all", *words, stack="dev")

        clouds.pulumi("stack", "init", stack="dev")
        say(aws__region="eu-central-1", mlops__block="10.0.0.0/16", mlops__owner="team")
        clouds.pulumi("up", "--yes", "--skip-preview", stack="dev")
        say(mlops__owner="another-team")
        assert clouds.steps("dev")["update"] == {"vpc"}
        say(mlops__block="10.200.0.0/16")
        assert clouds.steps("dev")["replace"] == {"vpc"}
        say(mlops__block="10.0.0.0/16", mlops__protect="true")
        clouds.pulumi("up", "--yes", "--skip-preview", stack="dev")
        say(mlops__block="10.200.0.0/16")
        assert "unable to replace resource" in clouds.pulumi("preview", stack="dev", fails=True)


def test_each_provider_of_a_program_has_an_account_and_a_region_of_its_own(tmp_path: Path) -> None:
    program = (
        "import pulumi, pulumi_aws as aws\n"
        'for number, region in (("111111111111", "eu-west-1"), ("222222222222", "us-east-1")):\n'
        '    provider = aws.Provider(f"in-{region}", region=region, allowed_account_ids=[number])\n'
        "    options = pulumi.ResourceOptions(provider=provider)\n"
        '    pulumi.export(region, aws.sns.Topic(f"topic-{region}", name="alerts", opts=options).arn)\n'
    )
    with simulation(tmp_path, program=program, moto=False) as clouds:
        clouds.pulumi("stack", "init", stack="dev")
        output = clouds.pulumi("up", "--yes", "--skip-preview", stack="dev")
        assert "arn:aws:sns:eu-west-1:111111111111:alerts" in output
        assert "arn:aws:sns:us-east-1:222222222222:alerts" in output
        said = clouds.pulumi("preview", "--expect-no-changes", "--logtostderr", "-v=7", stack="dev")
    assert "ensurePluginsAreInstalled" in said
    assert "downloading" not in said, "the simulated providers are all there is"
