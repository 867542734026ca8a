"""A release on AWS under the real engine: proven in an S3 store, served by an endpoint, recorded in the ledger.

The account is simulated: what is made is in moto's server, where boto3 and the release's own code find it.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import s3fs
import yaml

from infra.engine.environ import PROJECT
from infra.simulation.faults import Faults
from infra.simulation.server import simulated_clouds
from ml.problem import Problem
from ml.release.keys import new_key
from ml.release.stage import Stage
from ml.runtime import Runtime
from pipelines._sandbox import Sandbox
from tests.stages import AUTHOR, release_into

STACK = "aws-sagemaker-dev"
REGION = "eu-west-1"
MOTOS_ACCOUNT = "123456789012"  # which boto3 is in with any credentials
IMAGE = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


@pytest.fixture(scope="module")
def account(project: Sandbox) -> Iterator[Sandbox]:
    """The shipped stack in an account of its own, with a key whose signature counts there."""
    keys = project.folder / "keys"
    with (
        pytest.MonkeyPatch.context() as patch,
        simulated_clouds(project.folder / "accounts", Faults([]), moto=True) as at,
    ):
        variables = at | {
            "AWS_ACCESS_KEY_ID": "simulated",
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_DEFAULT_REGION": REGION,
            "XDG_CONFIG_HOME": str(project.folder / "config"),
            "MLOPS_TRUSTED_KEYS": str(keys),
            "MLOPS_SIGN_AS": AUTHOR,
        }
        project.environment |= variables
        for name, value in variables.items():
            patch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # one from another test would ask that test's server
        new_key(AUTHOR, share_in=keys)
        shipped = yaml.safe_load((PROJECT / "stacks" / f"Pulumi.{STACK}.yaml").read_text())
        own = shipped["config"]["mlops:aws"] | {"account_id": MOTOS_ACCOUNT}
        project.configure(STACK, shipped["config"] | {"mlops:aws": own})
        project.pulumi("stack", "init", STACK)
        yield project


def test_a_release_in_s3_is_proven_served_and_recorded(
    account: Sandbox, candidate: Path, small_problem: Problem
) -> None:
    account.up(STACK)
    first = Runtime.model_validate(account.outputs(STACK))
    assert (first.endpoint_url, first.release, first.training_job) == (None, None, None)

    here = Stage.of(first, account.stack_file(STACK), account.folder)
    digest = release_into(here, candidate, small_problem)

    account.configure(STACK, {"mlops:release": digest})
    assert "no image to serve it with" in account.pulumi("preview", "--stack", STACK, fails=True)
    account.configure(STACK, {"mlops:image": IMAGE, "mlops:release": OTHER})
    assert OTHER in account.pulumi("preview", "--stack", STACK, fails=True)
    account.configure(STACK, {"mlops:release": digest})
    account.up(STACK)

    served = Runtime.model_validate(account.outputs(STACK))
    assert served.release == digest
    assert served.training_job is not None
    sagemaker = boto3.client("sagemaker", region_name=REGION)
    endpoint = sagemaker.describe_endpoint(EndpointName=served.endpoint_url.split("/")[-2])  # type: ignore[union-attr]
    (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])[
        "ProductionVariants"
    ]
    container = sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"]
    assert container["Image"].endswith(f"@{IMAGE}")
    assert container["Environment"] == {"MLOPS_STORE_URI": served.store_uri, "MLOPS_RELEASE": digest}
    assert [entry.event for entry in here.ledger.entries()][-1] == "deployed"
    assert "unchanged" in account.pulumi("preview", "--expect-no-changes", "--stack", STACK)


def test_what_the_monitor_is_told_lies_in_the_store(account: Sandbox) -> None:
    outputs = account.outputs(STACK)
    told = boto3.client("s3").get_object(Bucket=outputs["store_uri"].removeprefix("s3://"), Key="runtime/endpoint.json")
    assert Runtime.model_validate_json(told["Body"].read()).release == outputs["release"]


def test_a_store_with_data_is_not_destroyed(account: Sandbox) -> None:
    said = account.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK, fails=True)
    assert re.search("BucketNotEmpty|not empty", said)
