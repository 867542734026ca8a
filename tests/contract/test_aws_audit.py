"""What AWS stacks keep to look at: the trail and its alarms, copies of images, the tag that the budget counts by."""

import json
from collections.abc import Callable

import pytest

from tests.contract.conftest import ALL, Plan, of_type, stated


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
