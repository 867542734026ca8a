"""A cloud stack's whole life under the real engine on a simulated cloud; its tests build on each other.

A file of each target takes these tests, so that targets run side by side: it says `STACK`, and what `served` means. One
environment of a target is enough here: what is planned, changed and replaced in each is told by tests/contract, and a
release's way through all three by test_aws_life.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3

from infra.config import ENVIRONMENTS
from infra.policies import PACK
from infra.simulation.faults import Fault
from ml.problem import Problem, load_problem
from ml.release.approve import approve
from ml.release.promote import promote
from ml.release.stage import Stage
from ml.runtime import Runtime
from tests.simulated_engine import Simulation
from tests.stages import APPROVER, AUTHOR, release_into
from tests.stages import stage as local_stage

Served = Callable[[str, str], None]  # (stack, release): fails where the account doesn't serve it
IMAGE = "sha256:" + "1" * 64
FIRST_FAILURE = 20  # the n-th creation fails


def stage(clouds: Simulation, stack: str) -> Stage:
    """The environment as releases see it, opened anew."""
    file = clouds.inside / "stacks" / f"Pulumi.{stack}.yaml"
    return Stage.of(Runtime.model_validate(clouds.outputs(stack)), file, clouds.inside)


def client(clouds: Simulation, stack: str, service: str) -> Any:
    """A client of the stack's account in moto's server."""
    thing = next(each for each in clouds.things(stack) if each["type"].startswith("aws:"))
    endpoint = clouds.environment["AWS_ENDPOINT_URL"]
    keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    sts = boto3.client("sts", endpoint_url=endpoint, region_name="us-east-1", **keys)
    role = f"arn:aws:iam::{thing['account']}:role/auditor"
    assumed = sts.assume_role(RoleArn=role, RoleSessionName="audit")["Credentials"]
    session = boto3.Session(assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
    region = next(each["region"] for each in clouds.things(stack) if each["type"] == "aws:ec2/vpc:Vpc")
    return session.client(service, endpoint_url=endpoint, region_name=region)


def changes(output: str) -> dict[str, int]:
    """What the engine said at the end of an update: what it did → to how many."""
    return {what: int(count) for count, what in re.findall(r"^ +[-+~]+ (\d+) (\w+)$", output, re.MULTILINE)}


def standing(clouds: Simulation, stack: str) -> set[tuple[str, str]]:
    """What exists, by name and id: an account's settings have the account's number for an id, one in each region."""
    return {(thing["urn"], thing["id"]) for thing in clouds.things(stack)}


def test_preview_creates_all_and_keeps_nothing(clouds: Simulation, stack: str) -> None:
    clouds.pulumi("stack", "init", stack=stack)
    planned = clouds.steps(stack)
    assert planned.keys() == {"create"}
    assert clouds.things(stack) == []


def test_an_up_that_fails_half_way_is_resumed(clouds: Simulation, stack: str) -> None:
    clouds.fail(Fault("fails", at=FIRST_FAILURE, message="LimitExceededException: no more today"))
    output = clouds.pulumi("up", "--yes", "--skip-preview", stack=stack, fails=True)
    assert "LimitExceededException: no more today" in output
    made = standing(clouds, stack)
    assert len(made) >= FIRST_FAILURE - 1
    clouds.fail(Fault("throttled", at=5, times=2))
    clouds.pulumi("up", "--yes", "--skip-preview", stack=stack)
    assert made < standing(clouds, stack)


def test_then_nothing_changes_and_a_refresh_finds_nothing(clouds: Simulation, stack: str) -> None:
    clouds.pulumi("preview", "--expect-no-changes", stack=stack)
    clouds.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", stack=stack)


def test_other_clients_see_the_store_as_it_would_stand_in_an_account(clouds: Simulation, stack: str) -> None:
    s3 = client(clouds, stack, "s3")
    names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    here = {thing["id"] for thing in clouds.things(stack) if thing["type"] == "aws:s3/bucket:Bucket"}
    assert names == here
    for name in names:
        assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
        assert all(s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"].values())
        assert s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]


def test_a_release_is_promoted_to_the_environment_and_served_there(
    clouds: Simulation, stack: str, candidate: Path, small_problem: Problem, served: Served, tmp_path: Path
) -> None:
    here = stage(clouds, stack)
    if stack.endswith("-dev"):
        released = release_into(here, candidate, small_problem)
    else:
        before = local_stage(tmp_path, ENVIRONMENTS[stack.rpartition("-")[2]].previous or "")
        released = release_into(before, candidate, small_problem)
        promote(before, here, released, small_problem, here.signer(AUTHOR), lambda _: None)
    clouds.configure(stack, release=released, image=IMAGE)
    if stack.endswith("-prod"):
        assert "is not approved for prod" in clouds.pulumi("preview", stack=stack, fails=True)
        approve(here, released, 14, here.signer(APPROVER), load_problem())
    clouds.pulumi("up", "--yes", "--skip-preview", "--policy-pack", str(PACK), stack=stack)
    assert clouds.outputs(stack)["release"] == released
    assert [entry.event for entry in stage(clouds, stack).ledger.entries()][-1] == "deployed"
    served(stack, released)


def test_what_is_changed_by_hand_is_seen_and_mended(clouds: Simulation, stack: str) -> None:
    name = next(thing["id"] for thing in clouds.things(stack) if thing["type"].endswith(":BucketVersioning"))
    s3 = client(clouds, stack, "s3")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Suspended"})
    output = clouds.pulumi("up", "--yes", "--skip-preview", "--refresh", stack=stack)
    assert changes(output) == {"updated": 1}, "and nothing since the release was deployed"
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"


def test_destroy_is_refused_where_it_is_protected_and_leaves_nothing_of_an_emptied_store(
    clouds: Simulation, stack: str
) -> None:
    if stack.endswith("-prod"):
        before = clouds.things(stack)
        output = clouds.pulumi("destroy", "--yes", "--skip-preview", stack=stack, fails=True)
        assert "protect" in output
        kept = {thing["id"] for thing in clouds.things(stack)}
        assert {thing["id"] for thing in before if thing["type"] == "aws:s3/bucket:Bucket"} <= kept
        clouds.pulumi("state", "unprotect", "--all", "--yes", stack=stack)
    else:  # nothing is protected, and yet data are not lost
        assert "BucketNotEmpty" in clouds.pulumi("destroy", "--yes", "--skip-preview", stack=stack, fails=True)
    s3 = client(clouds, stack, "s3")
    for bucket in s3.list_buckets()["Buckets"]:
        # moto can't delete versions in a bucket that keeps none any more, as a half-way destroy leaves it
        s3.put_bucket_versioning(Bucket=bucket["Name"], VersioningConfiguration={"Status": "Enabled"})
        listed = s3.list_object_versions(Bucket=bucket["Name"])
        for version in [*listed.get("DeleteMarkers", []), *listed.get("Versions", [])]:
            s3.delete_object(Bucket=bucket["Name"], Key=version["Key"], VersionId=version["VersionId"])
    clouds.pulumi("destroy", "--yes", "--skip-preview", stack=stack)
    assert clouds.things(stack) == []
    assert s3.list_buckets()["Buckets"] == []
