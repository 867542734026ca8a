"""What a stack may cost: a budget that tells, servers that fit the environment, and none that run for nobody."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from infra.config import ENVIRONMENTS
from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

SIZES = ("nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
TRACKING_SIZES = ("Small", "Medium", "Large")
LARGEST_TRACKING = {"dev": "Small", "test": "Small", "prod": "Large"}
LARGEST = {"dev": "xlarge", "test": "2xlarge", "prod": "4xlarge"}
ACCELERATED = re.compile(r"^(ml\.)?(p|g|trn|inf|dl)\d")  # families with GPUs and their like
INSTANCE = re.compile(r"^(ml\.)?[a-z]+\d[\w-]*\.(?P<size>\w+)$")
MOST_SERVERS = {"dev": 2, "test": 4, "prod": 20}
MOST_VCPUS = {"dev": 16, "test": 64, "prod": 256}
STOPS = re.compile(r":sagemaker:(delete|stop)", re.IGNORECASE)
OFTEN = re.compile(r"rate\(\d+ (minute|hour)s?\)|cron\((\S*[*/,-]\S* \S+|\S+ \S*[*/,-]\S*) .*\)")
SUBMITS = re.compile(r":batch:submitJob$")
RUNS = (aws.ENDPOINT, aws.TRACKING)  # what costs by the hour, whether anybody asks or not


def _budget_there(stack: Stack) -> Iterator[str]:
    if stack.of(aws.BUCKET, aws.VPC, *RUNS) and not stack.of(aws.BUDGET):
        yield "the stack has no budget"


def _budget_tells(budget: Resource) -> Iterator[str]:
    told = [
        each.at("notificationType")
        for each in budget.values.each("notifications")
        if each.has("subscriberSnsTopicArns") or each.has("subscriberEmailAddresses")
    ]
    yield from (f"nobody is told of {kind.lower()} spending" for kind in ("ACTUAL", "FORECASTED") if kind not in told)
    shares = [
        each.at("threshold", 0)
        for each in budget.values.each("notifications")
        if each.at("thresholdType", "PERCENTAGE") == "PERCENTAGE"
    ]
    if shares and min(shares) > 100:
        yield f"nobody is told before {min(shares):g} percent of the budget are spent"


def _budget_counts(budget: Resource, stack: Stack) -> Iterator[str]:
    """Where it counts by the tag `stack`: the stack's own."""
    given = [each.values.at("defaultTags", "{}") for each in stack.of(aws.PROVIDER)]
    named = {(json.loads(each) if isinstance(each, str) else each).get("tags", {}).get("stack") for each in given}
    for each in budget.values.each("costFilters"):
        counted = [value.partition("$")[2] for value in each.texts("values") if value.startswith("user:stack$")]
        if each.at("name") == "TagKeyValue" and counted and named and not named & set(counted):
            yield f"the budget counts what {', '.join(counted)} spends"


def _budget_fits(budget: Resource) -> Iterator[str]:
    if budget.values.at("budgetType") != "COST":
        return
    limit, most = float(budget.values.at("limitAmount", 0)), ENVIRONMENTS[budget.environment].monthly_budget_usd
    if budget.values.at("timeUnit") != "MONTHLY":
        yield f"the budget is {budget.values.at('timeUnit')}, not MONTHLY"
    elif budget.values.at("limitUnit") != "USD":
        yield f"the budget is in {budget.values.at('limitUnit')}, and AWS's bill in USD"
    elif limit > most:
        yield f"the budget is {limit:.0f} USD a month, and {budget.environment} has {most}"


def _types_of(value: Any) -> Iterator[str]:
    """Every instance type inside a property, and inside JSON text in it."""
    if isinstance(value, str):
        if INSTANCE.match(value):
            yield value
        elif value[:1] == "{":
            try:
                yield from _types_of(json.loads(value))
            except ValueError:
                return
    elif isinstance(value, dict):
        yield from (found for each in value.values() for found in _types_of(each))
    elif isinstance(value, list):
        yield from (found for each in value for found in _types_of(each))


def _sized(resource: Resource) -> Iterator[str]:
    largest = LARGEST[resource.environment]
    for kind in dict.fromkeys(_types_of(dict(resource.properties))):
        size = kind.rpartition(".")[2]
        known = SIZES.index(size) if size in SIZES else len(SIZES)  # 24xlarge, metal
        if known > SIZES.index(largest):
            yield f"the type {kind} is larger than {resource.environment} may have ({largest})"
        elif resource.environment != "prod" and ACCELERATED.match(kind):
            yield f"the type {kind} has an accelerator, which only PROD may have"


def _server_sized(server: Resource) -> Iterator[str]:
    size, largest = server.values.at("trackingServerSize", "Small"), LARGEST_TRACKING[server.environment]
    known = TRACKING_SIZES.index(size) if size in TRACKING_SIZES else len(TRACKING_SIZES)
    if known > TRACKING_SIZES.index(largest):
        yield f"the tracking server is {size}, and {server.environment} may have {largest}"


def _no_machine(resource: Resource) -> Iterable[str]:
    return ["a machine runs day and night that no service starts and stops"]


def _few(resource: Resource) -> Iterator[str]:
    most = MOST_SERVERS[resource.environment]
    counts = [each.at("initialInstanceCount", 1) for each in resource.values.each("productionVariants")]
    counts += [each for each in [resource.values.at("maxCapacity")] if each is not None]
    yield from (
        f"up to {count} servers, and {resource.environment} may have {most}" for count in counts if count > most
    )
    least, highest = resource.values.at("minCapacity", 0), resource.values.at("maxCapacity", most)
    if least > highest:
        yield f"at least {least} servers and at most {highest}"


def _bounded(environment: Resource) -> Iterator[str]:
    vcpus, most = environment.values.at("computeResources.maxVcpus", 0), MOST_VCPUS[environment.environment]
    if vcpus > most:
        yield f"up to {vcpus} processors, and {environment.environment} may have {most}"
    if environment.values.at("computeResources.minVcpus", 0) > 0:
        yield "processors stay when there is no job"


def _sleeps(server: Resource, stack: Stack) -> Iterator[str]:
    """By name: the call's input names what is stopped, so that one schedule can't stand for two servers."""
    if not ENVIRONMENTS[server.environment].stops_off_hours:
        return
    stops = [each for each in stack.of(aws.SCHEDULE) if STOPS.search(str(each.values.known("target.arn", "")))]
    names = [server.values.at("name"), server.values.at("trackingServerName")]
    told = [str(each.values.at("target.input", "")) for each in stops]
    if not any(f'"{name}"' in text for name in names if name for text in told):
        yield f"it runs nights and weekends in {server.environment}"


def _seldom(schedule: Resource) -> Iterator[str]:
    often = OFTEN.match(schedule.values.at("scheduleExpression", ""))
    trains = schedule.values.has("target.sagemakerPipelineParameters") or SUBMITS.search(
        schedule.values.at("target.arn", "")
    )
    if often and trains:
        yield f"it trains at {often[0]}"


_THRIFT = Controls()  # spending is nobody's control, and a runaway bill is how an intrusion is often seen first

RULES: tuple[Rule, ...] = (
    Rule("budget-is-there", "Every stack has a budget.", "Add a budgets.Budget", _THRIFT, check_stack=_budget_there),
    Rule(
        "budget-tells-somebody",
        "A budget tells somebody of what was spent and of what will be.",
        "Add notifications of type ACTUAL and FORECASTED with a topic or addresses",
        _THRIFT,
        (aws.BUDGET,),
        _budget_tells,
    ),
    Rule(
        "budget-fits-the-environment",
        "A budget is monthly, and no more than the environment has.",
        "Set time_unit to MONTHLY and limit_amount to monthly_budget_usd (infra/config/environments.py)",
        _THRIFT,
        (aws.BUDGET,),
        _budget_fits,
    ),
    Rule(
        "servers-fit-the-environment",
        "Servers are no larger than xlarge in DEV, 2xlarge in TEST and 4xlarge in PROD; accelerators are for PROD.",
        "Take a smaller type; measure before you take a larger one",
        _THRIFT,
        (aws.ENDPOINT_CONFIGURATION, aws.MONITORING, aws.PIPELINE, aws.NOTEBOOK, aws.COMPUTE_ENVIRONMENT),
        _sized,
    ),
    Rule(
        "budget-counts-the-stack",
        "A budget by the tag `stack` counts the stack's own spending.",
        "Name user:stack$<stack> in cost_filters",
        _THRIFT,
        (aws.BUDGET,),
        check_among=_budget_counts,
    ),
    Rule(
        "tracking-server-fits-the-environment",
        "The tracking server is small in DEV and TEST.",
        "Set tracking_server_size to Small",
        _THRIFT,
        (aws.TRACKING,),
        _server_sized,
    ),
    Rule(
        "machines-belong-to-services",
        "No stack runs a machine or a database of its own.",
        "Leave machines to SageMaker, Batch, Lambda or Databricks",
        _THRIFT,
        (
            aws.INSTANCE,
            "aws:ec2/spotInstanceRequest:SpotInstanceRequest",
            "aws:autoscaling/group:Group",
            "aws:rds/instance:Instance",
        ),
        _no_machine,
    ),
    Rule(
        "servers-are-few",
        "There are no more servers than 2 in DEV, 4 in TEST and 20 in PROD, and no fewer than the least.",
        "Lower initial_instance_count or max_capacity, and keep min_capacity below it",
        _THRIFT,
        (aws.ENDPOINT_CONFIGURATION, aws.SCALING_TARGET),
        _few,
    ),
    Rule(
        "batch-is-bounded",
        "Batch has no more processors than 16 in DEV, 64 in TEST and 256 in PROD, and none when there is no job.",
        "Lower max_vcpus and set min_vcpus to 0",
        _THRIFT,
        (aws.COMPUTE_ENVIRONMENT,),
        _bounded,
    ),
    Rule(
        "training-is-seldom",
        "Training on a schedule happens once a day or less often.",
        "Set schedule_expression to rate(… days)",
        _THRIFT,
        (aws.SCHEDULE,),
        _seldom,
    ),
    Rule(
        "servers-sleep-off-hours",
        "In DEV and TEST every endpoint and tracking server is stopped off hours.",
        "Add OfficeHours for it",
        _THRIFT,
        RUNS,
        check_among=_sleeps,
    ),
)
