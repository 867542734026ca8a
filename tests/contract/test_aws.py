"""What every AWS stack registers: names, tags, protection, least privilege, and what differs between environments."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks

from infra.config import ENVIRONMENTS
from ml.runtime import Runtime
from tests.contract.conftest import DIGEST, GOLDEN, Plan, documents, of_type, stated

STACKS = [f"aws-sagemaker-{environment}" for environment in ENVIRONMENTS]
ALL = [f"aws-{platform}-{environment}" for platform in ("sagemaker", "serverless") for environment in ENVIRONMENTS]
CHALLENGER = "sha256:" + "b" * 64
# What keeps data, evidence or names that others rely on.
KEEPS = ("s3/bucket:Bucket", "kms/key:Key", "ecr/repository:Repository", "cloudtrail/trail:Trail")
SERVES = (
    *("sagemaker/endpoint:Endpoint", "sagemaker/mlflowTrackingServer:MlflowTrackingServer"),
    *("lambda/function:Function", "lambda/alias:Alias"),
)


@pytest.mark.parametrize("stack", ALL)
@pytest.mark.parametrize("released", [False, True], ids=["empty", "released"])
def test_types_names_and_parents_are_those_of_the_golden_list(
    planned: Callable[..., Plan], stack: str, released: bool
) -> None:
    """A changed type, name or parent replaces the resource in every environment: change the list on purpose only."""
    registered = sorted([r.type, r.name, r.parent] for r in planned(stack, released=released).resources)
    golden = json.loads((GOLDEN / f"{stack}.json").read_text())["released" if released else "empty"]
    assert registered == golden


@pytest.mark.parametrize("stack", ALL)
def test_outputs_are_the_runtime(planned: Callable[..., Plan], stack: str) -> None:
    outputs = planned(stack).outputs
    assert outputs.keys() == Runtime.model_fields.keys()
    runtime = Runtime.model_validate(outputs)
    assert runtime.release == DIGEST
    assert runtime.store_uri.startswith("s3://mlops-")
    assert runtime.training_job is not None


@pytest.mark.parametrize("stack", STACKS)
def test_ci_registers_releases_in_the_stack_s_group_and_no_other_workload_does(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan, group = planned(stack), f"mlops-{stack}-models"
    account = json.loads(stated(stack)["mlops:aws"])["account_id"]
    runtime = Runtime.model_validate(plan.outputs)
    there = f"arn:aws:sagemaker:eu-west-1:{account}"
    assert runtime.model_registry == f"{there}:model-package-group/{group}"
    assert plan.named("platform-models").inputs["modelPackageGroupName"] == group
    assert runtime.image_repository == "registry.example/image"  # the double's, as the service would say it
    assert runtime.approvals_required == (1 if stack.endswith("prod") else 0)
    registers = [
        (owner, sorted(statement["Resource"]))
        for owner, statement in documents(plan)
        if any("ModelPackage" in action for action in statement["Action"])
    ]
    assert registers == [
        ("identity-ci-github-policy", [f"{there}:model-package-group/{group}", f"{there}:model-package/{group}/*"])
    ]


@pytest.mark.parametrize("stack", STACKS)
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


@pytest.mark.parametrize("stack", STACKS)
def test_a_first_up_makes_what_images_and_releases_come_into_and_nothing_that_waits_for_them(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan = planned(stack, released=False)
    runtime = Runtime.model_validate(plan.outputs)
    assert (runtime.endpoint_url, runtime.release, runtime.training_job) == (None, None, None)
    assert of_type(plan, "ecr/repository:Repository")
    assert not of_type(plan, "sagemaker/model:Model", "sagemaker/pipeline:Pipeline")


@pytest.mark.parametrize("stack", ALL)
def test_whatever_can_be_tagged_is_tagged_by_the_provider(planned: Callable[..., Plan], stack: str) -> None:
    """Tags are the provider's: it puts them on all it makes. What has tags of its own doesn't override them."""
    plan = planned(stack, **{"mlops:owner": "fraud-team"})
    tags = json.loads(plan.named("aws").inputs["defaultTags"])["tags"]
    assert set(tags) == {"project", "stack", "environment", "owner", "cost-centre", "data-class"}
    assert (tags["owner"], tags["stack"]) == ("fraud-team", stack)
    assert not [r.name for r in plan.resources if set(r.inputs.get("tags") or {}) & set(tags)]


@pytest.mark.parametrize("stack", ALL)
def test_nothing_is_made_in_another_account(planned: Callable[..., Plan], stack: str) -> None:
    own = json.loads(stated(stack)["mlops:aws"])["account_id"]
    assert json.loads(planned(stack).named("aws").inputs["allowedAccountIds"]) == [own]


@pytest.mark.parametrize("stack", ALL)
def test_prod_protects_what_keeps_and_what_serves_and_the_others_nothing(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan = planned(stack)
    kept = of_type(plan, *KEEPS, *SERVES)
    assert len(kept) > 6
    assert {r.protected for r in kept} == {stack.endswith("prod")}


@pytest.mark.parametrize("stack", ALL)
def test_no_policy_allows_a_wildcard_action_on_a_wildcard_resource(planned: Callable[..., Plan], stack: str) -> None:
    statements = list(documents(planned(stack)))
    assert len(statements) > 40
    for name, statement in statements:
        if statement["Effect"] == "Allow":
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            assert not [action for action in actions if "*" in action], name


@pytest.mark.parametrize("stack", ALL)
def test_every_resource_bears_a_condition_or_is_one_of_the_few_actions_that_know_no_resource(
    planned: Callable[..., Plan], stack: str
) -> None:
    resourceless = re.compile(
        r"ecr:GetAuthorizationToken|ec2:(Describe|(Create|Delete)NetworkInterface)\w*|ec2:(Una|A)ssignPrivateIpAddresses"
        r"|xray:Put(TraceSegments|TelemetryRecords)|batch:(DescribeJobs|ListJobs)"
    )
    for name, statement in documents(planned(stack)):
        everything = statement.get("Resource") == ["*"] and statement["Effect"] == "Allow"
        if everything and "Principal" not in statement and "Condition" not in statement:
            assert all(resourceless.fullmatch(action) for action in statement["Action"]), name


@pytest.mark.parametrize("stack", ALL)
def test_services_take_a_role_only_for_this_account_and_ci_only_for_its_own_pipeline(
    planned: Callable[..., Plan], stack: str
) -> None:
    environment = stack.rpartition("-")[2]
    for role in of_type(planned(stack), "iam/role:Role"):
        (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        claims = statement.get("Condition", {}).get("StringEquals")
        if "Federated" in statement["Principal"]:
            host = "token.actions.githubusercontent.com"
            assert claims == {
                f"{host}:aud": "sts.amazonaws.com",
                f"{host}:sub": f"repo:example/mlops:environment:{environment}",
            }
        elif statement["Principal"]["Service"] in (["cloudtrail.amazonaws.com"], ["ecr.amazonaws.com"]):
            assert claims is None, "they don't say for which account they take it: they would be shut out"
        else:
            assert claims == {"aws:SourceAccount": json.loads(stated(stack)["mlops:aws"])["account_id"]}


def test_every_ci_system_is_believed_by_what_it_signs_alone(planned: Callable[..., Plan]) -> None:
    devops = {
        "organization": "acme",
        "organization_id": "01234567-89ab-cdef-0123-456789abcdef",
        "project": "ml",
        "service_connection": "aws-dev",
    }
    ci = json.dumps({"github": "acme/ml", "gitlab": "acme/group/ml", "azure_devops": devops})
    plan = planned(STACKS[0], **{"mlops:ci": ci})
    assert sorted(r.inputs["url"] for r in of_type(plan, "iam/openIdConnectProvider:OpenIdConnectProvider")) == [
        "https://gitlab.com",
        "https://token.actions.githubusercontent.com",
        f"https://vstoken.dev.azure.com/{devops['organization_id']}",
    ]
    subjects = [
        value
        for _, statement in documents(plan)
        for key, value in statement.get("Condition", {}).get("StringEquals", {}).items()
        if key.endswith(":sub")
    ]
    assert sorted(subjects) == [
        "project_path:acme/group/ml:ref_type:branch:ref:main",
        "repo:acme/ml:environment:dev",
        "sc://acme/ml/aws-dev",
    ]
    assert not of_type(plan, "iam/accessKey:AccessKey", "iam/user:User")


def test_the_examples_for_ci_take_the_roles_that_a_stack_makes(planned: Callable[..., Plan]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "aws.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]
    assert len(examples) == 3
    ci = json.dumps({"github": "acme/ml", "gitlab": "acme/ml"})
    plan = planned("aws-sagemaker-test", **{"mlops:ci": ci})
    account = json.loads(stated("aws-sagemaker-test")["mlops:aws"])["account_id"]
    made = {f"arn:aws:iam::{account}:role/{role.inputs['name']}" for role in of_type(plan, "iam/role:Role")}
    taken = set(re.findall(r"arn:aws:iam::\d+:role/[\w-]+", "".join(json.dumps(each) for each in examples)))
    assert len(taken) == 2
    assert taken <= made
    assert examples[0]["jobs"]["promote"]["environment"] == "test"  # the subject of GitHub's token
    providers = of_type(plan, "iam/openIdConnectProvider:OpenIdConnectProvider")
    audience = examples[1]["promote"]["id_tokens"]["AWS_TOKEN"]["aud"]
    assert [audience] in [provider.inputs["clientIdLists"] for provider in providers]


def test_the_next_environment_reads_releases_and_nothing_else(planned: Callable[..., Plan]) -> None:
    reader = "arn:aws:iam::444455556666:root"
    granted = [
        (name, action)
        for name, statement in documents(planned("aws-sagemaker-dev"))
        if statement.get("Principal") == {"AWS": reader}
        for action in statement["Action"]
    ]
    assert {name for name, _ in granted} == {"keys-data", "store-policy", "images-policy"}
    assert {action for _, action in granted} == {
        *("kms:Decrypt", "kms:DescribeKey", "s3:GetObject", "s3:ListBucket"),
        *("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"),
    }
    assert not [
        name
        for name, statement in documents(planned("aws-sagemaker-prod"))
        if "root" in json.dumps(statement.get("Principal", {})) and "123456789012" not in json.dumps(statement)
    ]


def test_ci_of_the_next_environment_may_borrow_just_that(planned: Callable[..., Plan]) -> None:
    """Between two accounts, both must allow it: the policies of what is lent, and that of the role which borrows."""

    def things(stack: str, name: str, sid: str) -> set[str]:
        return {
            resource
            for owner, statement in documents(planned(stack))
            if owner == name and statement["Sid"].startswith(sid)
            for resource in statement["Resource"]
        }

    lent = things("aws-sagemaker-dev", "store-policy", "PromotedFrom")
    borrowed = things("aws-sagemaker-test", "identity-ci-github-policy", "Previous")
    assert {arn for arn in borrowed if ":s3:" in arn} == lent
    assert "arn:aws:ecr:eu-west-1:111122223333:repository/mlops-aws-sagemaker-dev-image" in borrowed
    assert not things("aws-sagemaker-dev", "identity-ci-github-policy", "Previous")


@pytest.mark.parametrize("stack", ALL)
def test_every_bucket_is_closed_versioned_and_encrypted(planned: Callable[..., Plan], stack: str) -> None:
    plan = planned(stack)
    buckets = {r.name.removesuffix("-bucket") for r in of_type(plan, "s3/bucket:Bucket")}
    assert {"store", "observability-audit"} <= buckets
    for bucket in buckets:
        block = plan.named(f"{bucket}-private").inputs
        assert all(block[key] for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls"))
        assert block["restrictPublicBuckets"]
        assert plan.named(f"{bucket}-versioning").inputs["versioningConfiguration"]["status"] == "Enabled"
        rule = plan.named(f"{bucket}-encryption").inputs["rules"][0]
        assert rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms"
        refused = [s["Condition"] for n, s in documents(plan) if n == f"{bucket}-policy" and s["Effect"] == "Deny"]
        assert {"Bool": {"aws:SecureTransport": "false"}} in refused


def test_only_prod_has_a_ledger_that_nobody_can_delete(planned: Callable[..., Plan]) -> None:
    locks = {s: of_type(planned(s), "s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration") for s in STACKS}
    assert {stack: len(found) for stack, found in locks.items()} == dict(zip(STACKS, (0, 0, 1), strict=True))
    retention = locks["aws-sagemaker-prod"][0].inputs["rule"]["defaultRetention"]
    assert retention == {"mode": "COMPLIANCE", "days": ENVIRONMENTS["prod"].ledger_lock_days}


def test_dev_and_test_stop_off_hours_and_prod_scales(planned: Callable[..., Plan]) -> None:
    for stack in STACKS:
        plan = planned(stack)
        targets = [r.inputs["target"]["arn"].rpartition(":")[2] for r in of_type(plan, "scheduler/schedule:Schedule")]
        stops = {"deleteEndpoint", "createEndpoint", "startMlflowTrackingServer", "stopMlflowTrackingServer"}
        assert (stops <= set(targets)) is not stack.endswith("prod")
        assert len(of_type(plan, "appautoscaling/target:Target")) == stack.endswith("prod")


@pytest.mark.parametrize("stack", ALL)
def test_whoever_starts_machines_with_encrypted_disks_may_lend_the_key_to_them(
    planned: Callable[..., Plan], stack: str
) -> None:
    """SageMaker's API reference: CreateEndpoint and CreateTrainingJob need kms:CreateGrant where a key is named."""
    starting = {"sagemaker:CreateEndpoint", "sagemaker:CreateTrainingJob"}
    allowed: dict[str, set[str]] = {}
    for name, statement in documents(planned(stack)):
        if statement["Effect"] == "Allow" and "Principal" not in statement:
            allowed.setdefault(name, set()).update(statement["Action"])
    starters = {name for name, actions in allowed.items() if starting & actions}
    assert bool(starters) is ("sagemaker" in stack)
    assert {name for name in starters if "kms:CreateGrant" in allowed[name]} == starters


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
    for stack in STACKS:
        (step,) = json.loads(planned(stack).named("jobs-training").inputs["pipelineDefinition"])["Steps"]
        job, limits = step["Arguments"], step["Arguments"]["StoppingCondition"]
        assert job.get("EnableManagedSpotTraining", False) is stack.endswith("dev")
        assert limits.get("MaxWaitTimeInSeconds", 10**6) > limits["MaxRuntimeInSeconds"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_logs_of_what_sagemaker_runs_are_encrypted_and_end(planned: Callable[..., Plan], stack: str) -> None:
    groups = {r.inputs["name"]: r.inputs for r in of_type(planned(stack), "cloudwatch/logGroup:LogGroup")}
    endpoint = planned(stack).named("endpoint-endpoint").inputs["name"]
    for name in ("TrainingJobs", "ProcessingJobs", f"Endpoints/{endpoint}"):
        group = groups[f"/aws/sagemaker/{name}"]
        assert group["kmsKeyId"]
        assert group["retentionInDays"] >= ENVIRONMENTS[stack.rpartition("-")[2]].log_retention_days


@pytest.mark.parametrize("stack", ALL)
def test_the_trail_has_every_call_and_who_touched_the_store_or_a_copy_of_it(
    planned: Callable[..., Plan], stack: str
) -> None:
    plan = planned(stack)
    data, calls, own = (
        {each["field"]: each for each in selector["fieldSelectors"]}
        for selector in plan.named("observability-trail").inputs["advancedEventSelectors"]
    )
    assert calls == {"eventCategory": {"field": "eventCategory", "equals": ["Management"]}}  # reads and writes
    # Of its own bucket the trail records not what it writes: each of its files would be an event, and so on.
    assert own["eventName"]["notEquals"] == ["PutObject"]
    (audit,) = own["resources.ARN"]["startsWiths"]
    buckets = {r.name: r.inputs["bucket"] for r in of_type(plan, "s3/bucket:Bucket")}
    recorded = " ".join(data["resources.ARN"]["startsWiths"])
    assert len(data["resources.ARN"]["startsWiths"]) == len(buckets) - 1
    assert audit == f"arn:aws:s3:::{buckets['observability-audit-bucket']}/"
    copies = {name for name, bucket in buckets.items() if f":{bucket}/" in recorded}
    assert buckets.keys() - copies <= {"observability-audit-bucket", "store-bucket"}  # the store's is an output


@pytest.mark.parametrize("stack", ALL)
def test_the_trail_s_log_is_read_by_alarms_that_tell_somebody(planned: Callable[..., Plan], stack: str) -> None:
    plan = planned(stack)
    (log,) = {f.inputs["logGroupName"] for f in of_type(plan, "cloudwatch/logMetricFilter:LogMetricFilter")}
    assert f"log-group:{log}:*" in plan.named("observability-trail").inputs["cloudWatchLogsGroupArn"]
    metrics = {
        (f.inputs["metricTransformation"]["namespace"], f.inputs["metricTransformation"]["name"])
        for f in of_type(plan, "cloudwatch/logMetricFilter:LogMetricFilter")
    }
    alarms = [r.inputs for r in of_type(plan, "cloudwatch/metricAlarm:MetricAlarm")]
    told = {(a.get("namespace"), a.get("metricName")) for a in alarms if a["alarmActions"]}
    assert len(metrics) == 6
    assert metrics <= told
    # A filter of CloudWatch Logs has 1,024 characters at most.
    assert all(len(f.inputs["pattern"]) <= 1024 for f in of_type(plan, "cloudwatch/logMetricFilter:LogMetricFilter"))


@pytest.mark.parametrize("stack", ["aws-sagemaker-prod", "aws-serverless-prod"])
def test_copies_of_images_are_as_closed_as_the_images(planned: Callable[..., Plan], stack: str) -> None:
    plan = planned(stack)
    made, copied = plan.named("images-repository").inputs, plan.named("images-copies").inputs
    assert copied["appliedFors"] == ["REPLICATION"]
    assert copied["region"] != json.loads(stated(stack)["mlops:aws"]).get("region", "eu-west-1")
    assert copied["imageTagMutability"] == made["imageTagMutability"]
    assert [e["encryptionType"] for e in copied["encryptionConfigurations"]] == ["KMS"]
    assert copied["lifecyclePolicy"] == plan.named("images-lifecycle").inputs["policy"]
    assert copied["resourceTags"]["stack"] == stack


def test_the_tag_that_the_budget_counts_by_is_activated_where_the_file_says_so(planned: Callable[..., Plan]) -> None:
    account = json.loads(stated("aws-sagemaker-dev")["mlops:aws"])
    activates = planned("aws-sagemaker-dev", **{"mlops:aws": json.dumps(account | {"cost_tag_is_activated": True})})
    assert activates.named("budget-tag").inputs == {"tagKey": "stack", "status": "Active"}
    kind = "costexplorer/costAllocationTag:CostAllocationTag"
    assert not of_type(planned("aws-sagemaker-dev"), kind)  # fails in an account that doesn't pay its own bill


@pytest.mark.parametrize("stack", STACKS)
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


@pytest.mark.parametrize("stack", STACKS)
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


@pytest.mark.parametrize("stack", ALL)
def test_names_keep_within_the_services_limits(planned: Callable[..., Plan], stack: str) -> None:
    limits = {
        "iam/role:Role": ("name", 64),
        "s3/bucket:Bucket": ("bucket", 63),
        "sagemaker/endpoint:Endpoint": ("name", 63),
        "sagemaker/endpointConfiguration:EndpointConfiguration": ("name", 63),
        "sagemaker/model:Model": ("name", 63),
        "scheduler/schedule:Schedule": ("name", 64),
        "cloudwatch/eventRule:EventRule": ("name", 64),
        "budgets/budget:Budget": ("name", 100),
        "lambda/function:Function": ("name", 64),
        "batch/jobQueue:JobQueue": ("name", 128),
        "sqs/queue:Queue": ("name", 80),
    }
    seen = {r.type.removeprefix("aws:") for r in planned(stack).resources}
    assert len(limits.keys() & seen) >= 7
    for type_, (key, limit) in limits.items():
        found = of_type(planned(stack), type_)
        assert all(len(r.inputs[key]) <= limit for r in found)
        assert len({r.inputs[key] for r in found}) == len(found)


@pytest.mark.parametrize("stack", ALL)
def test_logical_names_hold_no_environment_and_no_region(planned: Callable[..., Plan], stack: str) -> None:
    said = {stack.rpartition("-")[2], "eu-west-1", "eu-central-1"}
    assert not [r.name for r in planned(stack).resources if said & {*r.name.split("-"), r.name}]


def test_a_shared_account_gets_nothing_twice_that_it_has_once(planned: Callable[..., Plan]) -> None:
    shared = json.loads(stated("aws-sagemaker-prod")["mlops:aws"]) | {"account_is_shared": True}
    plan = planned("aws-sagemaker-prod", **{"mlops:aws": json.dumps(shared)})
    once = (
        "iam/openIdConnectProvider:OpenIdConnectProvider",
        "ecr/replicationConfiguration:ReplicationConfiguration",
        "costexplorer/anomalyMonitor:AnomalyMonitor",
    )
    assert not of_type(plan, *once)
    groups = {r.inputs["name"] for r in of_type(plan, "cloudwatch/logGroup:LogGroup")}
    assert not {f"/aws/sagemaker/{jobs}" for jobs in ("TrainingJobs", "ProcessingJobs")} & groups
    assert all(of_type(planned("aws-sagemaker-prod"), type_) for type_ in once)


def test_every_target_lives_its_whole_life_under_the_engine() -> None:
    files = (Path(__file__).parents[1] / "engine").glob("test_life_*.py")
    targets = {re.findall(r'^TARGET = "(.+)"$', file.read_text(), re.MULTILINE)[0] for file in files}
    stacks = (Path(__file__).parents[2] / "stacks").glob("Pulumi.*-*-*.yaml")
    assert targets == {stack.stem.removeprefix("Pulumi.").rpartition("-")[0] for stack in stacks}
