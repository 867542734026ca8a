"""A release in SageMaker's registry of models, as moto's server has it; requests are held to SageMaker's own contract.

moto keeps no client token: that two at once make one version is the service's part and not seen here.
"""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import regex
from botocore.model import Shape
from click.testing import CliRunner

from ml.bundle.bundle import MANIFEST_FILE, key_of, read_manifest
from ml.cli import mlops
from ml.errors import InputRefused, MlopsError, ReleaseRefused
from ml.problem import Problem
from ml.release import lifecycle_command
from ml.release.registry import follow_ledger, hand_over
from ml.release.stackfile import pinned
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.trust.keys import new_key
from tests.aws import aws
from tests.stages import APPROVER, AUTHOR, release_into

REGION, GROUP = "eu-west-1", "mlops-aws-sagemaker-{}-models"
IMAGE, REPOSITORY = "sha256:" + "1" * 64, "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mlops-image"
REASON = "the labels of 2015 were wrong"


class Account:
    """The stacks of DEV, TEST and PROD, in one account of moto's here, and the command line on them."""

    def __init__(self, root: Path, problem: Problem) -> None:
        self.root, self.problem = root, problem
        for environment in ("dev", "test", "prod"):
            where: Any = {"LocationConstraint": REGION}
            boto3.client("s3").create_bucket(Bucket=f"store-of-{environment}", CreateBucketConfiguration=where)
            boto3.client("sagemaker").create_model_package_group(ModelPackageGroupName=GROUP.format(environment))
            self.file(environment).write_text(f"config:\n  mlops:image: {IMAGE}\n")

    def file(self, environment: str) -> Path:
        return self.root / f"Pulumi.aws-sagemaker-{environment}.yaml"

    def stage(self, stack: str) -> Stage:
        environment = stack.rpartition("-")[2]
        group = f"arn:aws:sagemaker:{REGION}:123456789012:model-package-group/{GROUP.format(environment)}"
        runtime = Runtime(
            stack=f"aws-sagemaker-{environment}",
            cloud="aws",
            platform="sagemaker",
            environment=environment,
            store_uri=f"s3://store-of-{environment}",
            tracking_uri="unused",
            monitor_url="",
            model_registry=group,
            image_repository=REPOSITORY,
            approvals_required=1 if environment == "prod" else 0,
        )
        return Stage.of(runtime, self.file(environment), self.root)

    def run(self, *words: str, exit_code: int = 0) -> str:
        result = CliRunner().invoke(mlops, list(words), catch_exceptions=bool(exit_code))
        assert result.exit_code == exit_code, result.output
        return result.output

    def versions(self, environment: str) -> list[dict[str, Any]]:
        sagemaker: Any = boto3.client("sagemaker")
        listed = sagemaker.list_model_packages(ModelPackageGroupName=GROUP.format(environment))
        arns = [each["ModelPackageArn"] for each in listed["ModelPackageSummaryList"]]
        return [sagemaker.describe_model_package(ModelPackageName=arn) for arn in sorted(arns)]

    def standing(self, environment: str) -> tuple[str, str]:
        (version,) = self.versions(environment)
        return version["ModelApprovalStatus"], version["ApprovalDescription"]


@pytest.fixture
def account(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_problem: Problem,
    set_problem: Callable[[Problem], None],
    demanding: None,
) -> Iterator[Account]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("MLOPS_TRUSTED_KEYS", str(tmp_path / "keys"))
    for name in (AUTHOR, APPROVER):
        new_key(name, tmp_path / "keys")
    with aws(monkeypatch, REGION):
        made = Account(tmp_path, small_problem)
        monkeypatch.setattr(lifecycle_command.Stage, "load", made.stage)
        monkeypatch.setattr(Runtime, "load", lambda stack: made.stage(stack).runtime)
        monkeypatch.setattr("ml.release.hand_over_command.stack_file", lambda stack: made.stage(stack).file)
        set_problem(small_problem)
        yield made


@pytest.fixture
def demanding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts have the lengths and the form that SageMaker's model demands, which boto3 leaves to the service."""
    from botocore.client import BaseClient

    asked: Any = BaseClient._make_api_call  # pyright: ignore[reportPrivateUsage]

    def make_api_call(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if "ModelPackage" in operation:
            _hold(parameters, self.meta.service_model.operation_model(operation).input_shape, operation)
        return asked(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", make_api_call)


def _hold(value: Any, shape: Shape, at: str) -> None:
    given: Any = shape
    if shape.type_name == "structure":
        for name, member in value.items():
            _hold(member, given.members[name], f"{at}.{name}")
    elif shape.type_name == "map":
        for key, member in value.items():
            _hold(key, given.key, f"{at}[{key}]")
            _hold(member, given.value, f"{at}[{key}]")
    elif shape.type_name == "list":
        for member in value:
            _hold(member, given.member, at)
    else:
        limits: Any = shape.metadata
        assert limits.get("min", 0) <= len(value) <= limits.get("max", 10**6), f"{at}: {value}"
        # `${1,256}` is SageMaker's own slip: nothing can be demanded after the end.
        pattern = limits.get("pattern", "(?s:.*)").partition("${")[0]
        assert regex.fullmatch(pattern, value), f"{at}: {value}"
        assert value in limits.get("enum", [value])


def say(_: str) -> None:
    pass


def test_a_release_is_registered_once_as_what_would_be_served(account: Account, candidate: Path) -> None:
    dev = account.stage("aws-sagemaker-dev")
    digest = release_into(dev, candidate, account.problem)
    said: list[str] = []
    names = {hand_over(account.stage("aws-sagemaker-dev"), digest, said.append) for _ in range(2)}
    (version,) = account.versions("dev")
    assert names == {version["ModelPackageArn"]}
    assert said[-1] == f"It is there already: {version['ModelPackageArn']}"
    (container,) = version["InferenceSpecification"]["Containers"]
    assert container["Image"] == f"{REPOSITORY}@{IMAGE}"
    assert container["Environment"] == {"MLOPS_STORE_URI": "s3://store-of-dev", "MLOPS_RELEASE": digest}
    bundle = f"s3://store-of-dev/{key_of(digest)}"
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == f"{bundle}/"
    statistics = version["ModelMetrics"]["ModelQuality"]["Statistics"]
    assert statistics["S3Uri"] == f"{bundle}/{MANIFEST_FILE}"
    assert statistics["ContentDigest"] == digest
    properties = version["CustomerMetadataProperties"]
    manifest = read_manifest(dev.store, digest)
    assert (properties["release"], properties["version"]) == (digest, "1")
    assert {f"metric.{each.name}": f"{each.value:.6g}" for each in manifest.metrics}.items() <= properties.items()
    assert account.standing("dev") == ("Approved", "May be deployed to aws-sagemaker-dev, as its ledger says")


def test_another_release_and_another_image_are_versions_of_their_own(
    account: Account, candidate: Path, tmp_path: Path, make_candidate: Callable[..., None]
) -> None:
    dev = account.stage("aws-sagemaker-dev")
    first = release_into(dev, candidate, account.problem)
    make_candidate(tmp_path / "other", account.problem, seed=7)
    second = release_into(dev, tmp_path / "other", account.problem, version="2")
    registered = [hand_over(dev, digest, say) for digest in (first, second, first)]
    assert registered[0] == registered[2] != registered[1]
    account.file("dev").write_text(f"config:\n  mlops:image: {IMAGE.replace('1', '2')}\n")
    registered.append(hand_over(dev, first, say))
    assert len(set(registered)) == 3
    assert [each["CustomerMetadataProperties"]["release"] for each in account.versions("dev")] == [first, second, first]


def test_the_registry_follows_the_ledger_to_prod_and_out_of_use(account: Account, candidate: Path) -> None:
    digest = release_into(account.stage("aws-sagemaker-dev"), candidate, account.problem)
    stacks = [f"aws-sagemaker-{environment}" for environment in ("dev", "test", "prod")]
    for source, target in itertools.pairwise(stacks):
        account.run("promote", "--from", source, "--to", target, "--release", digest)
        assert pinned(account.stage(target).file) == digest
        account.run("hand-over", "--stack", target)
    assert account.standing("test")[0] == "Approved"
    status, why = account.standing("prod")
    assert status == "PendingManualApproval"
    assert f"mlops approve --stack aws-sagemaker-prod --release {digest}" in why
    account.run("approve", "--yes", "--stack", stacks[2], "--release", digest, exit_code=1)  # by its author
    assert account.standing("prod")[0] == "PendingManualApproval"
    account.run("approve", "--yes", "--stack", stacks[2], "--release", digest, "--as", APPROVER)
    assert account.standing("prod")[0] == "Approved"

    account.file("prod").write_text(f"config:\n  mlops:image: {IMAGE}\n")
    account.run("retire", digest, "--stack", stacks[2], "--reason", REASON)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert account.standing("prod") == ("Rejected", f"Retired on {today} by {AUTHOR}: {REASON}")
    assert account.standing("test")[0] == "Approved"  # a ledger speaks of its own environment


def test_an_altered_release_is_not_registered_and_no_longer_approved(account: Account, candidate: Path) -> None:
    dev = account.stage("aws-sagemaker-dev")
    digest = release_into(dev, candidate, account.problem)
    key = next(key for key in dev.store.list(key_of(digest)) if key.endswith("MLmodel"))
    whole = dev.store.read(key)
    dev.store.write(key, whole + b"\n")
    with pytest.raises(ReleaseRefused):
        hand_over(dev, digest, say)
    assert account.versions("dev") == []
    dev.store.write(key, whole)
    hand_over(dev, digest, say)
    dev.store.write(key, whole + b"\n")
    follow_ledger(dev, digest)
    assert account.standing("dev")[0] == "PendingManualApproval"


def test_a_registration_that_was_cut_short_is_completed(
    account: Account, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = account.stage("aws-sagemaker-dev")
    digest = release_into(dev, candidate, account.problem)
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("ml.platforms.sagemaker.model_packages.ModelPackages._say_standing", killed)
        with pytest.raises(KeyboardInterrupt):
            hand_over(dev, digest, say)
    hand_over(dev, digest, say)
    assert account.standing("dev")[0] == "Approved"


def test_what_is_missing_is_said(account: Account, candidate: Path) -> None:
    dev = account.stage("aws-sagemaker-dev")
    digest = release_into(dev, candidate, account.problem)
    account.file("dev").write_text("config:\n  mlops:owner: ml-platform\n")
    with pytest.raises(InputRefused, match=r"pins no image, and a release .* `pulumi config set mlops:image"):
        hand_over(dev, digest, say)


def test_a_registry_that_does_not_answer_leaves_the_ledger_s_word_and_says_so(
    account: Account, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = account.stage("aws-sagemaker-dev")
    digest = release_into(dev, candidate, account.problem)
    hand_over(dev, digest, say)
    with monkeypatch.context() as patch:
        patch.setattr("ml.platforms.sagemaker.model_packages.client", _unreachable)
        with pytest.raises(MlopsError, match=r"in the ledger of aws-sagemaker-dev, which counts, but not in the"):
            account.run("retire", digest, "--stack", "aws-sagemaker-dev", "--reason", REASON)
    assert account.standing("dev")[0] == "Approved"
    account.run("hand-over", "--stack", "aws-sagemaker-dev", "--release", digest)
    assert account.standing("dev")[0] == "Rejected"


def _unreachable(service: str, region: str) -> Any:
    from botocore.config import Config

    fast = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    return boto3.client(service, region_name=region, endpoint_url="http://127.0.0.1:9", config=fast)  # pyright: ignore[reportArgumentType]
