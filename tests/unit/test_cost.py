"""The estimate of what a stack costs: by hand, complete, and as the documentation states it."""

import json
import re

import pytest
from click.testing import CliRunner

from infra.config import ENVIRONMENTS, StackConfig
from infra.engine.environ import PROJECT
from infra.prices.aws import HOURS, OFFICE_HOURS
from infra.prices.command import as_row, cost, of_stack
from infra.prices.estimate import USES, estimate
from infra.prices.planned import Resource
from infra.prices.table import table, table_of

pytestmark = pytest.mark.slow

STACKS = sorted(
    file.name.split(".")[1]
    for platform in ("databricks", "sagemaker", "serverless")
    for file in (PROJECT / "stacks").glob(f"Pulumi.aws-{platform}-*.yaml")
)
VOLUME = {name: assumed.value for name, assumed in table("aws").use.items()}
AWS = json.dumps({"account_id": "111122223333"})


def config(stack: str) -> StackConfig:
    return StackConfig.parse(stack, {"mlops:aws": AWS})


def test_an_example_by_hand() -> None:
    """Two servers at $0.257 and an entry in three zones at $0.011 for 730 hours, two keys at $1, a million calls."""
    resources = [
        Resource(
            "sagemaker/endpointConfiguration:EndpointConfiguration",
            "served",
            {"productionVariants": [{"instanceType": "ml.m5.xlarge", "initialInstanceCount": 2}]},
        ),
        Resource("ec2/vpcEndpoint:VpcEndpoint", "kms", {"vpcEndpointType": "Interface", "subnetIds": ["a", "b", "c"]}),
        Resource("ec2/vpcEndpoint:VpcEndpoint", "s3", {"vpcEndpointType": "Gateway"}),
        Resource("kms/key:Key", "data", {}),
        Resource("kms/key:Key", "operations", {}),
        Resource("lambda/function:Function", "serve", {"imageConfig": {"commands": ["lambda"]}, "memorySize": 2048}),
        Resource("ec2/subnet:Subnet", "private", {}),
    ]
    found = estimate(config("aws-sagemaker-prod"), resources, table("aws"), VOLUME | {"seconds_a_request": 0.1})
    assert found.always_usd == pytest.approx(375.22 + 24.09 + 2.0)  # 2*730*0.257, 3*730*0.011, 2
    assert found.used_usd == pytest.approx(0.20 + 3.33334)  # 10^6 * 2*10^-7, 10^6 * 0.1 s * 2 GB * 0.0000166667
    assert not found.unpriced
    asleep = estimate(config("aws-sagemaker-dev"), resources[:1], table("aws"), VOLUME)
    assert asleep.always_usd == pytest.approx(375.22 * OFFICE_HOURS / HOURS)


def test_an_example_of_databricks_by_hand() -> None:
    """A Small of 4 DBU an hour at $0.078, awake for 60 hours or always; 12 hours of jobs of 3 DBU at $0.50."""
    entity = {"workloadSize": "Small", "scaleToZeroEnabled": True}
    awake = {"workloadSize": "Small", "scaleToZeroEnabled": False}

    def job(name: str) -> Resource:
        task = {"taskKey": name, "pythonWheelTask": {"namedParameters": {"task": name}}}
        return Resource("index/job:Job", name, {"tasks": [task]})

    def served(*entities: dict) -> Resource:
        return Resource("index/modelServing:ModelServing", "e", {"config": {"servedEntities": list(entities)}})

    again = Resource("index/job:Job", "retrain", {"tasks": [{"taskKey": "train", "runJobTask": {"jobId": 1}}]})
    stack = StackConfig.read("aws-databricks-dev", PROJECT / "stacks" / "Pulumi.aws-databricks-dev.yaml")
    prices = table_of(stack)
    volume = {name: assumed.value for name, assumed in prices.use.items()}
    found = estimate(stack, [served(entity), job("train"), job("score"), again], prices, volume)
    assert (found.always_usd, found.used_usd) == (0, pytest.approx(60 * 4 * 0.078 + 12 * 3 * 0.50))
    found = estimate(stack, [served(awake, awake), job("monitor")], prices, volume)
    assert found.always_usd == pytest.approx(2 * HOURS * 4 * 0.078 + HOURS / 24 * 5 / 60 * 3 * 0.50)
    assert found.used_usd == 0


def test_what_has_no_price_is_named_and_never_silently_nothing() -> None:
    unknown = [
        Resource("ec2/natGateway:NatGateway", "nat", {}),
        Resource(
            "sagemaker/endpointConfiguration:EndpointConfiguration",
            "served",
            {"productionVariants": [{"instanceType": "ml.p4d.24xlarge", "initialInstanceCount": 1}]},
        ),
    ]
    found = estimate(config("aws-sagemaker-dev"), unknown, table("aws"), VOLUME)
    assert found.unpriced == (
        "ec2/natGateway:NatGateway",
        "sagemaker/endpointConfiguration:EndpointConfiguration (ml.p4d.24xlarge-hour)",
    )
    assert found.usd == 0


@pytest.fixture(scope="module")
def estimates() -> dict[str, object]:
    return {stack: of_stack(stack) for stack in STACKS}


@pytest.mark.parametrize("stack", STACKS)
def test_every_type_of_a_shipped_stack_is_priced_or_free_for_a_reason(estimates: dict, stack: str) -> None:
    found = estimates[stack]
    assert not found.unpriced
    assert found.always_usd > 50
    assert found.usd < found.budget_usd


def test_the_documentation_states_the_estimates(estimates: dict) -> None:
    """Where this fails, the rows that it shows are the ones to write there."""
    text = (PROJECT / "docs" / "aws.md").read_text(encoding="utf-8")
    rows = "\n".join(as_row(estimates[stack]) for stack in STACKS)
    assert rows in text, rows


def test_the_table_says_where_each_price_is_from_and_whether_it_was_checked() -> None:
    prices = table_of(StackConfig.read("aws-databricks-dev", PROJECT / "stacks" / "Pulumi.aws-databricks-dev.yaml"))
    for name, price in prices.prices.items():
        assert re.match(r"https://(aws\.amazon|www\.databricks)\.com/\S*pricing/", price.source), name
        assert price.usd > 0
        assert price.checked is (price.seen is not None), name
    assert not USES.keys() & prices.free.keys()
    assert all(reason for reason in prices.free.values())
    unchecked = sum(not price.checked for price in prices.prices.values())
    said = f"{unchecked} of {len(prices.prices)} could not be"
    assert said in (PROJECT / "docs" / "aws.md").read_text(encoding="utf-8"), said


def test_the_command_says_it_is_an_estimate_and_takes_another_volume() -> None:
    said = CliRunner().invoke(cost, ["--stack", "aws-serverless-dev"], catch_exceptions=False).stdout
    assert "an estimate of a month, in USD, from list prices of 2026-11-25" in said
    assert "█" in said
    assert re.search(r"Together [\d.,]+, of the stack's budget of 500 \(\d+%\)", said)
    assert "were not checked against their source" in said
    usual, many = (
        json.loads(CliRunner().invoke(cost, ["--stack", "aws-serverless-dev", "--json", *more]).stdout)
        for more in ([], ["--use", "requests=11000000"])
    )
    assert many["always_usd"] == usual["always_usd"]
    assert many["used_usd"] - usual["used_usd"] == pytest.approx(10e6 * (2e-7 + 0.05 * 0.0000166667))
    assert many["use"]["requests"] == 11_000_000
    for wrong, says in (
        (["--stack", "aws-serverless-dev", "--use", "people=1"], "there is no 'people'"),
        (["--stack", "aws-serverless-dev", "--use", "requests=many"], "is no number"),
        (["--stack", "aws-serverless-dev", "--use", "requests=-1"], "can't use that much"),
        (["--stack", "local-dev"], "AWS alone"),
        (["--stack", "mars-dev"], "no stack file"),
    ):
        refused = CliRunner().invoke(cost, wrong)
        assert refused.exit_code == 2
        assert says in refused.output
    assert ENVIRONMENTS["dev"].monthly_budget_usd == usual["budget_usd"]
