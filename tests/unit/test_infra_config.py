"""Stack configuration: typed, validated once, with errors that name key, value and remedy."""

import json

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from infra.config import ENVIRONMENTS, ConfigInvalid, Environment, StackConfig
from infra.config.adjusted import FIXED, Adjusted
from infra.config.schema import FILE, render
from infra.config.stack import Ports, parse_stack_name

DIGEST = "sha256:" + "0" * 64


def test_the_name_says_cloud_platform_and_environment() -> None:
    config = StackConfig.parse("local-prod", {})
    assert (config.cloud, config.platform, config.environment.name) == ("local", "process", "prod")


@pytest.mark.parametrize("stack", ["", "dev", "local", "local-staging", "mars-dev", "local-dev-2", "LOCAL-dev"])
def test_other_names_are_refused_with_the_names_there_are(stack: str) -> None:
    with pytest.raises(
        ConfigInvalid, match=r"the targets are local, aws-sagemaker, .*the environments dev, test, prod"
    ):
        parse_stack_name(stack)


def test_environments_lead_one_to_the_next_and_only_prod_is_protected() -> None:
    assert [(e.previous, e.name) for e in ENVIRONMENTS.values()] == [(None, "dev"), ("dev", "test"), ("test", "prod")]
    assert [e.name for e in ENVIRONMENTS.values() if e.is_protected] == ["prod"]


def test_no_two_environments_share_a_port() -> None:
    ports = [port for e in ENVIRONMENTS.values() for port in Ports.from_first(e.first_port).model_dump().values()]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"mlops:relase": DIGEST}, "mlops:relase is not a known key. Did you mean release?"),
        ({"mlops:release": "latest"}, "pinned by digest"),
        ({"mlops:release": "sha256:12"}, "mlops:release is 'sha256:12'"),
        ({"mlops:environment": "prod"}, "the stack's name 'local-dev' says it"),
        ({"mlops:local": '{"ports": {"tracking": 80}}'}, "mlops:local.ports.tracking is 80"),
        ({"mlops:local": '{"ports": {"tracking": 18001}}'}, "two of them are the same"),
        ({"mlops:local": '{"port": 1}'}, "mlops:local.port is not a known key"),
        ({"mlops:local": "5"}, "mlops:local is '5'"),
        ({"mlops:data_class": "secret"}, "mlops:data_class is 'secret'"),
        ({"mlops:owner": "Jo Doe"}, "mlops:owner is 'Jo Doe'"),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        StackConfig.parse("local-dev", values)
    assert says in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        StackConfig.parse("local-dev", {"mlops:a": "1", "mlops:release": "x"})
    assert "mlops:a " in str(caught.value)
    assert "mlops:release" in str(caught.value)


def test_other_namespaces_are_not_ours() -> None:
    assert StackConfig.parse("local-dev", {"aws:region": "eu-west-1"}).stack == "local-dev"


@given(st.dictionaries(st.sampled_from(["tracking", "endpoint", "monitor", "metrics"]), st.integers(20000, 65535)))
def test_given_ports_win_and_the_others_keep_their_defaults(ports: dict[str, int]) -> None:
    defaults = Ports.from_first(ENVIRONMENTS["dev"].first_port).model_dump()
    merged = defaults | ports
    values = {"mlops:local": json.dumps({"ports": ports})}
    if len(set(merged.values())) < len(merged):
        with pytest.raises(ConfigInvalid):
            StackConfig.parse("local-dev", values)
    else:
        assert StackConfig.parse("local-dev", values).local.ports.model_dump() == merged


def test_the_published_schema_is_fresh() -> None:
    assert FILE.read_text() == render(), "run: .venv/bin/python -m infra.config.schema"


@pytest.mark.parametrize("file", sorted(FILE.parent.glob("Pulumi.*.yaml")), ids=lambda file: file.name)
def test_every_stack_file_fits_the_schema_and_the_model(file: object) -> None:
    stack = file.name.split(".")[1]
    content = yaml.safe_load(file.read_text())
    jsonschema.validate(content, json.loads(FILE.read_text()))
    assert StackConfig.read(stack, file).stack == stack


def test_no_stack_file_has_somebodys_secrets_provider() -> None:
    """Whoever else made such a stack would be asked for a passphrase that they don't know.

    A fork whose stacks are encrypted with its organisation's key commits `secretsprovider` and drops that word here.
    """
    project = FILE.parents[1]
    stack_files = [file for folder in ("stacks", "tests", "docs") for file in (project / folder).rglob("Pulumi.*.y*ml")]
    assert len(stack_files) >= len(list(FILE.parent.glob("Pulumi.*.yaml"))) > 0
    for file in stack_files:
        assert not {"encryptionsalt", "secretsprovider", "encryptedkey"} & yaml.safe_load(file.read_text()).keys(), file


def test_the_schema_refuses_what_the_model_refuses() -> None:
    schema = json.loads(FILE.read_text())
    for config in ({"mlops:relase": "x"}, {"mlops:release": "latest"}, {"mlops:local": {"ports": {"tracking": 80}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"config": config}, schema)


AWS = {"account_id": "111122223333"}


def aws_config(**settings: object) -> StackConfig:
    return StackConfig.parse("aws-sagemaker-dev", {"mlops:aws": json.dumps(AWS | settings)})


def test_an_account_is_all_that_aws_must_be_told() -> None:
    settings = aws_config().aws
    assert settings is not None
    assert (settings.account_id, settings.replica_region, settings.account_is_shared) == ("111122223333", None, False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"account_id": "1111-2222-3333"}, "mlops:aws.account_id is '1111-2222-3333'"),
        ({"region": "Ireland"}, "mlops:aws.region is 'Ireland'"),
        ({"replica_region": "eu-west-1"}, "replica_region is the region itself"),
        ({"zones": ["a", "a", "b"]}, "name three different ones"),
        ({"cidr": "10.0.0.0/24"}, "need a network of /16 to /20"),
        ({"cidr": "10.0.0.1/16"}, "mlops:aws.cidr is '10.0.0.1/16'"),
        ({"next_account_id": "111122223333"}, "next_account_id is the account itself"),
        ({"acount": "1"}, "mlops:aws.acount is not a known key"),
    ],
)
def test_what_aws_is_told_is_checked(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigInvalid, match=says):
        aws_config(**settings)


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "10.0.0.0/20"])
def test_the_largest_and_the_smallest_network_are_taken(cidr: str) -> None:
    aws = aws_config(cidr=cidr).aws
    assert aws is not None
    assert str(aws.cidr) == cidr


def test_a_cloud_needs_its_settings_and_a_release_an_image() -> None:
    with pytest.raises(ConfigInvalid, match=r"there is no mlops:aws; see docs/aws.md"):
        StackConfig.parse("aws-sagemaker-dev", {})
    pinned = {"mlops:aws": json.dumps(AWS), "mlops:release": DIGEST}
    with pytest.raises(ConfigInvalid, match="no image to serve it with"):
        StackConfig.parse("aws-sagemaker-dev", pinned)
    assert StackConfig.parse("aws-sagemaker-dev", pinned | {"mlops:image": DIGEST}).release == DIGEST
    assert StackConfig.parse("local-dev", {"mlops:release": DIGEST}).image is None


@pytest.mark.parametrize("bad", [{"github": "acme"}, {"gitlab": "acme/*"}, {"github": "acme/ml:environment:*"}])
def test_a_ci_system_is_named_exactly(bad: dict[str, str]) -> None:
    with pytest.raises(ConfigInvalid, match=r"mlops:ci\."):
        StackConfig.parse("local-dev", {"mlops:ci": json.dumps(bad)})


@pytest.mark.parametrize("stack", ["local-dev", "aws-sagemaker-prod"])
def test_most_of_an_environment_can_be_set_for_a_stack(stack: str) -> None:
    """As the engine hands values over, as text; nothing else of the environment changes."""
    given = {"monthly_budget_usd": 4800, "servers_minimum": 2, "servers_maximum": 3, "serving_size": "large"}
    given |= {"log_retention_days": 545, "stops_off_hours": True, "probe_interval_s": 2.5, "monitors_every_h": 6}
    text = {f"mlops:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    needed = {} if stack == "local-dev" else {"mlops:aws": json.dumps(AWS)}
    usual = ENVIRONMENTS[stack.rpartition("-")[2]]
    assert StackConfig.parse(stack, text | needed).environment == usual.model_copy(update=given)


def test_the_table_and_what_may_be_set_of_it_have_the_same_names() -> None:
    assert set(Environment.model_fields) == {"name", *FIXED, *Adjusted.model_fields}


@pytest.mark.parametrize(
    ("stack", "values", "says"),
    [
        ("local-dev", {"monthly_budget_usd": "lots"}, "mlops:monthly_budget_usd is 'lots'"),
        ("local-dev", {"monthly_budget_usd": "-1"}, "mlops:monthly_budget_usd is '-1'"),
        (
            "local-dev",
            {"monthly_budget": "800"},
            "mlops:monthly_budget is not a known key. Did you mean monthly_budget_usd?",
        ),
        ("local-dev", {"monitors_every_h": "7"}, "monitors_every_h is 7; set a divisor of 24"),
        ("local-dev", {"servers_minimum": "4"}, "servers_minimum is 4 and servers_maximum 1"),
        ("local-dev", {"is_protected": "false"}, "mlops:is_protected can't be set for stack 'local-dev'"),
        ("local-prod", {"is_protected": "false"}, "mlops:is_protected can't be set for stack 'local-prod'"),
        ("local-prod", {"approvals_required": "0"}, "mlops:approvals_required can't be set"),
        ("local-prod", {"previous": "dev"}, "mlops:previous can't be set"),
        ("local-prod", {"log_retention_days": "30"}, "log_retention_days is 30, and prod keeps at least 430"),
        ("local-prod", {"noncurrent_days": "1"}, "noncurrent_days is 1, and prod keeps at least 90"),
        ("local-prod", {"ledger_lock_days": "25"}, "ledger_lock_days is 25, and prod keeps at least 2555"),
        ("local-prod", {"key_deletion_days": "7"}, "key_deletion_days is 7, and prod keeps at least 30"),
        ("local-prod", {"is_redundant": "false"}, "is_redundant can't be false in prod"),
        ("local-prod", {"canary_wait_s": "0"}, "canary_wait_s can't be 0 in prod"),
        (
            "local-dev",
            {"aws": json.dumps({"account_id": "111122223333"})},
            "mlops:aws can't be set for stack 'local-dev'",
        ),
        ("local-dev", {"databricks": "{}"}, "which is on local with process. Remove the key"),
        ("aws-sagemaker-dev", {"local": "{}"}, "mlops:local can't be set for stack 'aws-sagemaker-dev'"),
        ("aws-sagemaker-dev", {"databricks": "{}"}, "mlops:databricks can't be set"),
    ],
)
def test_what_may_not_be_set_of_it_says_so(stack: str, values: dict[str, str], says: str) -> None:
    needed = {"mlops:aws": json.dumps({"account_id": "111122223333"})} if stack.startswith("aws") else {}
    with pytest.raises(ConfigInvalid) as caught:
        StackConfig.parse(stack, needed | {f"mlops:{key}": value for key, value in values.items()})
    assert says in str(caught.value)


def test_what_is_wrong_with_them_is_said_together() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        StackConfig.parse("local-dev", {"mlops:owner": "Jo Doe", "mlops:monthly_budget_usd": "x"})
    assert "mlops:owner is" in str(caught.value)
    assert "mlops:monthly_budget_usd is" in str(caught.value)
