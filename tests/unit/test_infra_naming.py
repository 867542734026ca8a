"""Names: deterministic, within each service's length and alphabet, and never the same for two things."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config import StackConfig
from infra.naming import physical, tags

STACKS = st.sampled_from(["local-dev", "aws-sagemaker-prod", "azure-machinelearning-test", "gcp-vertex-dev"])
ROLES = st.from_regex(r"[a-z][a-z0-9-]{0,60}", fullmatch=True)
LENGTHS = st.integers(10, 128)


@given(STACKS, ROLES, LENGTHS, st.sampled_from(["-", "", "_"]), st.text(max_size=12))
def test_a_name_fits_its_service(stack: str, role: str, length: int, separator: str, unique_in: str) -> None:
    name = physical(stack, role, maximum_length=length, separator=separator, unique_in=unique_in)
    assert 0 < len(name) <= length
    assert re.fullmatch(rf"[a-z0-9{separator}]+", name)
    assert name[0].isalpha()
    assert not separator or not name.endswith(separator)


@given(STACKS, ROLES, LENGTHS)
def test_the_same_thing_has_the_same_name(stack: str, role: str, length: int) -> None:
    assert physical(stack, role, maximum_length=length) == physical(stack, role, maximum_length=length)


@given(ROLES, ROLES, LENGTHS)
def test_shortening_does_not_make_two_roles_one(first: str, second: str, length: int) -> None:
    words = [[word for word in role.split("-") if word] for role in (first, second)]
    if words[0] != words[1]:
        names = {physical("aws-sagemaker-prod", role, maximum_length=length) for role in (first, second)}
        assert len(names) == 2


def test_accounts_that_share_a_namespace_get_different_names() -> None:
    names = {physical("aws-sagemaker-dev", "store", maximum_length=63, unique_in=n) for n in ("111", "222")}
    assert len(names) == 2


def test_no_room_for_a_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="too few"):
        physical("local-dev", "store", maximum_length=5)


def test_tags_name_who_answers_and_who_pays() -> None:
    config = StackConfig.parse("local-dev", {"mlops:owner": "fraud-team", "mlops:cost_centre": "cc-17"})
    assert tags(config)["owner"] == "fraud-team"
    assert tags(config)["cost-centre"] == "cc-17"


def test_a_name_that_just_fits_is_whole() -> None:
    whole = physical("local-dev", "store", maximum_length=255)
    assert physical("local-dev", "store", maximum_length=len(whole)) == whole
    assert physical("local-dev", "store", maximum_length=len(whole) - 1) != whole
