"""What the stacks on SageMaker register: what jobs are told, when machines run, and how a release comes to serve."""

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from infra.config import ENVIRONMENTS
from ml.runtime import Runtime
from tests.contract.conftest import DIGEST, SAGEMAKER, Plan, of_type, stated

CHALLENGER = "sha256:" + "b" * 64


@pytest.mark.parametrize("stack", SAGEMAKER)
def test_jobs_are_told_what_they_load(planned: Callable[..., Plan], stack: str) -> None:
    """`mlops` in a container reads MLOPS_RUNTIME: where it points there is what `Runtime` accepts."""
    plan = planned(stack)
    (step,) = json.loads(plan.named("jobs-training").inputs["pipelineDefinition"])["Steps"]
    monitoring = plan.named("endpoint-monitoring").inputs["monitoringScheduleConfig"]["monitoringJobDefinition"]
    environments = {"jobs": step["Arguments"]["Environment"], "endpoint": monitoring["environment"]}
    for name in ("jobs", "endpoint"):
        file = plan.named(f"{name}-runtime").inputs
        assert environments[name]["MLOPS_RUNTIME"] == f"s3://{file['bucket']}/{file['key']}"
        told = Runtime.parse(json.loads(file["content"]), "the file")
        assert (told.stack, told.release) == (stack, DIGEST)
        assert all(len(value) <= 256 for value in environments[name].values() if isinstance(value, str))


def test_what_the_monitoring_job_writes_starts_the_training(planned: Callable[..., Plan]) -> None:
    from ml.feedback.requests import REQUESTS

    plan = planned("aws-sagemaker-prod")
    pattern = json.loads(plan.named("jobs-drift").inputs["eventPattern"])["detail"]
    assert pattern["object"]["key"] == [{"prefix": f"{REQUESTS}/"}]
    assert pattern["bucket"]["name"] == [plan.named("store-bucket").inputs["bucket"]]
    assert plan.named("store-events").inputs["eventbridge"] is True


def test_dev_and_test_stop_off_hours_and_prod_scales(planned: Callable[..., Plan]) -> None:
    for stack in SAGEMAKER:
        plan = planned(stack)
        targets = [r.inputs["target"]["arn"].rpartition(":")[2] for r in of_type(plan, "scheduler/schedule:Schedule")]
        stops = {"deleteEndpoint", "createEndpoint", "startMlflowTrackingServer", "stopMlflowTrackingServer"}
        assert (stops <= set(targets)) is not stack.endswith("prod")
        assert len(of_type(plan, "appautoscaling/target:Target")) == stack.endswith("prod")


@pytest.mark.parametrize(("zone", "hour"), [("Europe/Berlin", 11), ("America/Los_Angeles", 20), ("Asia/Kolkata", 6)])
def test_an_endpoint_that_is_gone_at_night_is_monitored_at_noon(
    planned: Callable[..., Plan], zone: str, hour: int
) -> None:
    plan = planned("aws-sagemaker-dev", **{"mlops:time_zone": zone})
    assert schedule_of(plan) == f"cron(0 {hour} ? * * *)"
    assert schedule_of(planned("aws-sagemaker-prod")) == "cron(0 * ? * * *)"


def schedule_of(plan: Plan) -> str:
    return plan.named("endpoint-monitoring").inputs["monitoringScheduleConfig"]["scheduleConfig"]["scheduleExpression"]


def test_training_takes_spare_capacity_where_the_environment_says_so(planned: Callable[..., Plan]) -> None:
    for stack in SAGEMAKER:
        (step,) = json.loads(planned(stack).named("jobs-training").inputs["pipelineDefinition"])["Steps"]
        job, limits = step["Arguments"], step["Arguments"]["StoppingCondition"]
        assert job.get("EnableManagedSpotTraining", False) is stack.endswith("dev")
        assert limits.get("MaxWaitTimeInSeconds", 10**6) > limits["MaxRuntimeInSeconds"]


@pytest.mark.parametrize("stack", SAGEMAKER)
def test_the_logs_of_what_sagemaker_runs_are_encrypted_and_end(planned: Callable[..., Plan], stack: str) -> None:
    groups = {r.inputs["name"]: r.inputs for r in of_type(planned(stack), "cloudwatch/logGroup:LogGroup")}
    endpoint = planned(stack).named("endpoint-endpoint").inputs["name"]
    for name in ("TrainingJobs", "ProcessingJobs", f"Endpoints/{endpoint}"):
        group = groups[f"/aws/sagemaker/{name}"]
        assert group["kmsKeyId"]
        assert group["retentionInDays"] >= ENVIRONMENTS[stack.rpartition("-")[2]].log_retention_days


@pytest.mark.parametrize("stack", SAGEMAKER)
def test_a_bad_release_is_taken_back_by_alarms_that_exist(planned: Callable[..., Plan], stack: str) -> None:
    plan = planned(stack)
    rollout = plan.named("endpoint-endpoint").inputs["deploymentConfig"]
    named = {alarm["alarmName"] for alarm in rollout["autoRollbackConfiguration"]["alarms"]}
    alarms = {r.inputs["name"]: r.inputs for r in of_type(plan, "cloudwatch/metricAlarm:MetricAlarm")}
    assert named
    assert named <= alarms.keys()
    assert all(alarms[name]["alarmActions"] for name in named)
    canary = rollout["blueGreenUpdatePolicy"]["trafficRoutingConfiguration"]["type"] == "CANARY"
    assert canary is not stack.endswith("dev")


def test_a_release_that_was_taken_back_fails_the_update_and_is_not_said_to_serve(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulumi's provider waits until the endpoint is in service, and says nothing when that is with what it had."""

    def taken_back(_: object, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        answers: dict[str, Any] = {"arn": f"arn:aws:mock:::{args.name}", "repositoryUrl": "registry.example/image"}
        before = {"endpointConfigName": "the-one-before"} if args.typ == "aws:sagemaker/endpoint:Endpoint" else {}
        return f"{args.name}-id", answers | args.inputs | before

    monkeypatch.setattr("tests.contract.conftest._Mocks.new_resource", taken_back)
    values = stated("aws-sagemaker-prod") | {"mlops:release": DIGEST, "mlops:image": DIGEST}
    with pytest.raises(pulumi.RunError, match=rf"has taken the release {DIGEST} back: .*serves the-one-before") as said:
        plan("aws-sagemaker-prod", released=True, **values)
    assert "mlops rollback --stack aws-sagemaker-prod" in str(said.value)


@pytest.mark.parametrize(("mode", "shadows", "weights"), [("shadow", 1, [1]), ("canary", 0, [0.8, 0.2])])
def test_a_stated_challenger_gets_its_share(
    planned: Callable[..., Plan], mode: str, shadows: int, weights: list[float]
) -> None:
    challenger = json.dumps({"release": CHALLENGER, "mode": mode, "weight": 0.2})
    served = planned("aws-sagemaker-prod", **{"mlops:challenger": challenger}).named("endpoint-configuration").inputs
    assert [variant["initialVariantWeight"] for variant in served["productionVariants"]] == weights
    assert len(served.get("shadowProductionVariants") or []) == shadows


@pytest.mark.parametrize("stack", SAGEMAKER)
@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_half_of_each_variant_is_enough_to_try_a_rollout_on(
    planned: Callable[..., Plan], stack: str, mode: str
) -> None:
    """SageMaker refuses an update whose canary is more than half of a variant's instances."""
    challenger = json.dumps({"release": CHALLENGER, "mode": mode, "weight": 0.2})
    plan = planned(stack, **{"mlops:challenger": challenger})
    served = plan.named("endpoint-configuration").inputs
    rollout = plan.named("endpoint-endpoint").inputs["deploymentConfig"]["blueGreenUpdatePolicy"]
    tried = rollout["trafficRoutingConfiguration"].get("canarySize", {"value": 0})["value"]
    variants = [*served["productionVariants"], *(served.get("shadowProductionVariants") or [])]
    assert len(variants) == 2
    assert all(2 * tried <= variant["initialInstanceCount"] for variant in variants)


def test_another_release_has_other_models_and_another_configuration(planned: Callable[..., Plan]) -> None:
    """SageMaker changes neither: with the same name the new one could not be made before the old one is gone."""
    names = []
    for challenger in ("sha256:" + "c" * 64, CHALLENGER):
        stated_ = json.dumps({"release": challenger})
        plan = planned("aws-sagemaker-prod", **{"mlops:challenger": stated_})
        names.append({plan.named(n).inputs["name"] for n in ("endpoint-challenger", "endpoint-configuration")})
    assert not names[0] & names[1]
