"""What only the stacks have that train and serve without a server: jobs of Batch, functions of Lambda."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from infra.clouds.aws.serverless import endpoint
from infra.config import ENVIRONMENTS, ConfigInvalid, StackConfig
from infra.release import PinRefused
from ml.container.command import COMMANDS
from ml.runtime import Runtime
from tests.contract.conftest import DIGEST, Plan, documents, of_type, stated

STACKS = [f"aws-serverless-{environment}" for environment in ENVIRONMENTS]
CHALLENGER = "sha256:" + "b" * 64
Planned = Callable[..., Plan]


def container(plan: Plan, job: str) -> dict[str, Any]:
    return json.loads(plan.named(f"jobs-{job}").inputs["containerProperties"])


@pytest.mark.parametrize("stack", STACKS)
def test_a_first_up_makes_a_queue_and_nothing_that_waits_for_an_image(planned: Planned, stack: str) -> None:
    plan = planned(stack, released=False)
    runtime = Runtime.model_validate(plan.outputs)
    assert (runtime.endpoint_url, runtime.release, runtime.training_job, runtime.scoring_job) == (None,) * 4
    assert runtime.job_queue
    assert not of_type(plan, "lambda/function:Function", "batch/jobDefinition:JobDefinition")


@pytest.mark.parametrize("stack", STACKS)
def test_jobs_run_commands_that_the_image_has_as_roles_of_their_own(planned: Planned, stack: str) -> None:
    plan = planned(stack)
    train, score = container(plan, "train"), container(plan, "score")
    assert train["command"][0] in COMMANDS
    assert score["command"][0] == "score"
    assert train["jobRoleArn"] != score["jobRoleArn"]
    assert {job["executionRoleArn"] for job in (train, score)}.isdisjoint({train["jobRoleArn"], score["jobRoleArn"]})
    for job in (train, score):
        assert job["image"].endswith(f"@{DIGEST}")
        assert job["networkConfiguration"] == {"assignPublicIp": "DISABLED"}
        assert job["logConfiguration"]["options"]["awslogs-group"]
    for definition in of_type(plan, "batch/jobDefinition:JobDefinition"):
        assert definition.inputs["retryStrategy"]["attempts"] > 1
        refused = {each["onExitCode"] for each in definition.inputs["retryStrategy"]["evaluateOnExits"][:2]}
        assert refused == {"2", "3"}  # what `mlops` refuses is refused again
        assert definition.inputs["timeout"]["attemptDurationSeconds"] >= 3600


@pytest.mark.parametrize("stack", STACKS)
def test_a_job_that_trains_is_told_of_no_job_and_the_monitor_of_both(planned: Planned, stack: str) -> None:
    """A training that knew a job would start it instead of training."""
    plan = planned(stack)
    files = {name: json.loads(plan.named(f"{name}-runtime").inputs["content"]) for name in ("jobs", "jobs-watch")}
    assert Runtime.parse(files["jobs"], "the file").training_job is None
    watch = Runtime.parse(files["jobs-watch"], "the file")
    assert (watch.release, watch.training_job) == (DIGEST, plan.outputs["training_job"])
    assert watch.job_queue == plan.outputs["job_queue"]
    function = plan.named("jobs-watch-function").inputs
    assert function["imageConfig"]["commands"] == ["lambda", "watch"]
    assert function["environment"]["variables"]["MLOPS_RUNTIME"].endswith(
        plan.named("jobs-watch-runtime").inputs["key"]
    )


@pytest.mark.parametrize("stack", STACKS)
def test_the_function_that_is_called_is_a_version_of_the_pinned_image(planned: Planned, stack: str) -> None:
    plan = planned(stack)
    function, alias = plan.named("endpoint-serving-function").inputs, plan.named("endpoint-alias").inputs
    assert (function["packageType"], function["publish"]) == ("Image", True)
    assert function["imageUri"].endswith(f"@{DIGEST}")
    assert function["environment"]["variables"]["MLOPS_RELEASE"] == DIGEST
    assert function["vpcConfig"]["subnetIds"]
    assert function["kmsKeyArn"]
    assert function["tracingConfig"] == {"mode": "Active"}
    assert alias.get("routingConfig") is None
    assert plan.named("endpoint-url").inputs["authorizationType"] == "AWS_IAM"
    for role in ("endpoint-serving", "jobs-watch"):
        kept = plan.named(f"{role}-failures").inputs["destinationConfig"]["onFailure"]["destination"]
        assert kept == "arn:aws:mock:::platform-failed"
    told = {name: plan.named(name).inputs["alarmActions"] for name in ("endpoint-errors", "endpoint-throttles")}
    assert all(told.values())


def test_a_canary_is_a_share_of_the_newest_version_and_the_champion_keeps_its_own(planned: Planned) -> None:
    challenger = json.dumps({"release": CHALLENGER, "mode": "canary", "weight": 0.2})
    plan = planned("aws-serverless-prod", **{"mlops:challenger": challenger})
    alias = plan.named("endpoint-alias").inputs
    assert alias["functionVersion"] == "7"  # what the alias led to before
    assert alias["description"] == DIGEST
    assert list(alias["routingConfig"]["additionalVersionWeights"].values()) == [0.2]
    function = plan.named("endpoint-serving-function").inputs
    assert function["environment"]["variables"]["MLOPS_RELEASE"] == CHALLENGER
    assert plan.outputs["release"] == DIGEST


@pytest.mark.parametrize("served", [None, CHALLENGER])
def test_a_canary_without_the_pinned_release_to_weigh_it_against_is_refused(
    monkeypatch: pytest.MonkeyPatch, served: str | None
) -> None:
    def alias(**_: Any) -> Any:
        if served is None:
            raise Exception("invoke of aws:lambda/getAlias:getAlias failed: there is none")  # the SDK's
        return SimpleNamespace(description=served, function_version="7")

    monkeypatch.setattr(endpoint.lambda_, "get_alias", alias)
    config = StackConfig.parse("aws-serverless-dev", stated("aws-serverless-dev"))
    with pytest.raises(PinRefused, match=rf"serves {served or 'nothing'}\. Remove mlops:challenger"):
        endpoint.champions_version(config, DIGEST, pulumi.InvokeOptions())


def test_a_shadow_is_refused_with_what_to_do() -> None:
    values = stated("aws-serverless-dev") | {"mlops:release": DIGEST, "mlops:image": DIGEST}
    with pytest.raises(ConfigInvalid, match=r"serverless has no shadow.*canary"):
        StackConfig.parse("aws-serverless-dev", values | {"mlops:challenger": json.dumps({"release": CHALLENGER})})


def test_dev_takes_capacity_that_may_be_taken_back_and_prod_none(planned: Planned) -> None:
    kinds = [planned(stack).named("platform-capacity").inputs["computeResources"]["type"] for stack in STACKS]
    assert kinds == ["FARGATE_SPOT", "FARGATE", "FARGATE"]


@pytest.mark.parametrize("stack", STACKS)
def test_lambda_fetches_the_image_and_only_for_this_account(planned: Planned, stack: str) -> None:
    (statement,) = [s for n, s in documents(planned(stack)) if n == "images-policy" and s["Sid"] == "Functions"]
    account = json.loads(stated(stack)["mlops:aws"])["account_id"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Condition"]["ArnLike"]["aws:SourceArn"] == f"arn:aws:lambda:eu-west-1:{account}:function:*"


@pytest.mark.parametrize("stack", STACKS)
def test_only_the_monitor_and_the_schedule_and_ci_may_submit_and_only_to_the_own_queue(
    planned: Planned, stack: str
) -> None:
    found = {
        name: statement["Resource"]
        for name, statement in documents(planned(stack))
        if "batch:SubmitJob" in statement["Action"] and name.startswith("identity-")
    }
    assert set(found) == {f"identity-{who}-policy" for who in ("monitoring", "scheduling", "ci-github")}
    for name, resources in found.items():
        assert all(f"-{stack.rpartition('-')[2]}-" in resource for resource in resources), name
        assert any(":job-queue/" in resource for resource in resources)


def test_only_this_platform_has_an_entry_to_batch(planned: Planned) -> None:
    entries = {
        s: {r.name for r in of_type(planned(s), "ec2/vpcEndpoint:VpcEndpoint")}
        for s in (STACKS[0], "aws-sagemaker-dev")
    }
    assert "network-batch" in entries[STACKS[0]]
    assert "network-batch" not in entries["aws-sagemaker-dev"]
    assert "network-sagemaker-runtime" not in entries[STACKS[0]]


def test_the_tracking_server_sleeps_off_hours_and_nothing_else_needs_to(planned: Planned) -> None:
    targets = [r.inputs["target"]["arn"] for r in of_type(planned(STACKS[0]), "scheduler/schedule:Schedule")]
    assert sum("MlflowTrackingServer" in target for target in targets) == 2
    assert sum(target.endswith(":batch:submitJob") for target in targets) == 1
    assert len(targets) == 4
