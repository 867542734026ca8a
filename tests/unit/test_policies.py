"""Each rule is broken by programs that break it, and by no program that keeps it."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from infra.policies.aws import _types as aws
from infra.policies.check import RULES, violations
from infra.policies.rule import UNKNOWN, Resource
from infra.simulation.schema import Type, installed_packages, problems, resource_schema
from tests.policy_cases import CASES

BY_NAME = {rule.name: rule for rule in RULES}
PROGRAMS = [(name, program) for name, (keeps, breaks) in CASES.items() for program in (keeps, *breaks)]


def test_every_rule_has_a_program_that_keeps_it_and_one_that_breaks_it() -> None:
    assert CASES.keys() == BY_NAME.keys()
    assert all(breaks for _, breaks in CASES.values())
    assert len(RULES) == len(BY_NAME) >= 40


@pytest.mark.parametrize("name", CASES)
def test_a_program_that_keeps_a_rule_is_accepted(name: str) -> None:
    assert [str(each) for each in violations(CASES[name][0], [BY_NAME[name]])] == []


@pytest.mark.parametrize("name", CASES)
def test_a_program_that_breaks_a_rule_is_told_what_is_wrong_where_and_what_to_do(name: str) -> None:
    for program in CASES[name][1]:
        found = violations(program, [BY_NAME[name]])
        assert found, program
        for violation in found:
            assert violation.message.endswith(f". {BY_NAME[name].remedy}.")
            assert violation.message[0].isupper()
            assert "None" not in violation.message
            assert violation.resource in (None, *program)


def broken_by(rule: str, type_: str, **properties: Any) -> list[str]:
    return [each.fact for each in violations([Resource(type_, "thing", properties)], [BY_NAME[rule]])]


def policy_of(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow"} | statement]})


CLAIMS = {"ci.example:aud": "sts.amazonaws.com", "ci.example:sub": "repo:team/models:environment:prod"}


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        (CLAIMS, None),
        (CLAIMS | {"ci.example:sub": "repo:team/*"}, "any sub like repo:team/*"),
        ({"ci.example:sub": CLAIMS["ci.example:sub"]}, "whatever their aud"),
        ({"ci.example:aud": CLAIMS["ci.example:aud"]}, "whatever their sub"),
    ],
)
def test_a_token_is_believed_for_one_audience_and_one_subject(claims: dict[str, str], says: str | None) -> None:
    trust = policy_of(
        Action="sts:AssumeRoleWithWebIdentity",
        Principal={"Federated": "arn:aws:iam::111122223333:oidc-provider/ci.example"},
        Condition={"StringEquals": claims},
    )
    found = broken_by("role-believes-one-pipeline", "aws:iam/role:Role", assumeRolePolicy=trust)
    assert [says in fact for fact in found if says] == [True] * len(found)
    assert bool(found) == (says is not None)


def test_a_condition_may_say_which_of_all_resources() -> None:
    asked: dict[str, Any] = {"Action": ["s3:GetObject"], "Resource": ["*"]}
    ours = {"StringEquals": {"aws:ResourceAccount": "111122223333"}}
    rule, type_ = "policy-names-its-resources", "aws:iam/rolePolicy:RolePolicy"
    assert broken_by(rule, type_, policy=policy_of(**asked))
    assert not broken_by(rule, type_, policy=policy_of(**asked, Condition=ours))


def test_whoever_asks_over_tls_is_still_everybody() -> None:
    to_all: dict[str, Any] = {"Action": ["s3:GetObject"], "Resource": ["*"], "Principal": "*"}
    rule, type_ = "bucket-policy-is-not-public", "aws:s3/bucketPolicy:BucketPolicy"
    encrypted, ours = {"Bool": {"aws:SecureTransport": "true"}}, {"StringEquals": {"aws:PrincipalAccount": "1" * 12}}
    assert broken_by(rule, type_, policy=policy_of(**to_all, Condition=encrypted))
    assert not broken_by(rule, type_, policy=policy_of(**to_all, Condition=ours))


@pytest.mark.parametrize("area", ["bundles", "signatures", "ledger", "releases"])
def test_nothing_that_proves_a_release_expires(area: str) -> None:
    expires = {"status": "Enabled", "filter": {"prefix": f"{area}/"}, "expiration": {"days": 30}}
    assert broken_by("evidence-stays", aws.BUCKET_LIFECYCLE, rules=[expires])
    assert not broken_by("evidence-stays", aws.BUCKET_LIFECYCLE, rules=[expires | {"status": "Disabled"}])


SWITCHES: Sequence[str] = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


@pytest.mark.parametrize("missing", SWITCHES)
def test_a_switch_that_is_not_set_blocks_nothing(missing: str) -> None:
    rule, block = "bucket-blocks-all-public-access", dict.fromkeys(SWITCHES, True)
    assert not broken_by(rule, aws.BUCKET_ACCESS_BLOCK, **block)
    del block[missing]
    assert missing in broken_by(rule, aws.BUCKET_ACCESS_BLOCK, **block)[0]


@pytest.mark.parametrize(("algorithm", "is_ours"), [("aws:kms", True), ("aws:kms:dsse", True), ("AES256", False)])
def test_only_kms_encrypts_with_a_key_of_ours(algorithm: str, is_ours: bool) -> None:
    by_default = {"sseAlgorithm": algorithm, "kmsMasterKeyId": "key"}
    rules = [{"applyServerSideEncryptionByDefault": by_default}]
    assert (broken_by("bucket-uses-own-key", aws.BUCKET_ENCRYPTION, rules=rules) == []) is is_ours


@pytest.mark.parametrize(("operator", "refuses"), [("NumericLessThan", True), ("NumericGreaterThan", False)])
def test_what_refuses_new_tls_does_not_refuse_the_old(operator: str, refuses: bool) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::b", "arn:aws:s3:::b/*"],
        "Condition": {operator: {"s3:TlsVersion": "1.2"}},
    }
    bucket, policy = (
        Resource(aws.BUCKET, "store", {"bucket": "b"}),
        Resource(aws.BUCKET_POLICY, "policy", {"bucket": "b", "policy": policy_of(**statement)}),
    )
    assert (violations([bucket, policy], [BY_NAME["bucket-refuses-old-tls"]]) == []) is refuses


@pytest.mark.parametrize("error", [TypeError, ValueError, AttributeError, LookupError])
def test_a_rule_that_cannot_read_a_value_lets_nothing_through(error: type[Exception]) -> None:
    def cannot_read(_: object, *__: object) -> Iterator[str]:
        raise error("odd")
        yield

    rule, (resource, *_) = RULES[0], CASES[RULES[0].name][0]
    for way in ({"check": cannot_read}, {"check": None, "check_among": cannot_read}, {"check_stack": cannot_read}):
        broken = replace(
            rule, **{"check": None, "check_among": None, "check_stack": None} | way, types=(resource.type,)
        )
        assert [
            each.message
            for each in violations([resource], [broken])
            if "can't read a value of it (odd)" in each.message
        ]


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_the_programs_have_properties_that_the_sdk_knows(name: str, program: list[Resource]) -> None:
    """So that no rule looks where nothing ever is."""
    for resource in program:
        if resource.type.partition(":")[0] in installed_packages():
            schema = resource_schema(resource.type)
            assert schema, f"no installed SDK has {resource.type}"
            given = {key: value for key, value in resource.properties.items() if value is not None}
            found = problems(given, Type("object", properties=schema.inputs))
            assert [each for each in found if "there is no such property" in each.reason] == []


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_a_value_of_any_kind_is_judged_or_refused_with_a_sentence(name: str, program: list[Resource]) -> None:
    for number, resource in enumerate(program):
        for way in _ways(dict(resource.properties)):
            for odd in ("odd", "", "-1", 0, []):
                changed = replace(resource, properties=_with(dict(resource.properties), way, odd))
                for found in violations([*program[:number], changed, *program[number + 1 :]], [BY_NAME[name]]):
                    assert found.message.endswith(f". {BY_NAME[name].remedy}.")


@pytest.mark.parametrize(("name", "program"), PROGRAMS)
def test_a_value_that_is_not_known_yet_is_never_held_against_a_program(name: str, program: list[Resource]) -> None:
    """A preview refuses nothing that an `up` would accept: without the values there is no fact that they don't give."""
    unknown = [replace(each, properties=dict.fromkeys(each.properties, UNKNOWN)) for each in program]
    if BY_NAME[name].check:
        found = {each.fact for each in violations(unknown, [BY_NAME[name]])}
        assert found <= {each.fact for each in violations(program, [BY_NAME[name]])}


def test_the_pack_says_what_it_is_to_who_starts_it_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.policies", "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "pulumi preview --policy-pack infra/policies" in done.stderr


def _ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to all values within."""
    if way:
        yield way
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from _ways(each, (*way, key))


def _with(value: Any, way: tuple[Any, ...], odd: Any) -> Any:
    if not way:
        return odd
    changed = copy.copy(value)
    changed[way[0]] = _with(value[way[0]], way[1:], odd)
    return changed
