"""Make the policies for a stack out of the table beside this file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from infra.config import StackConfig
from infra.config.aws import PARTITIONS

__all__ = ["Permission", "boundary", "deploy_policies", "permissions"]

TABLE = Path(__file__).with_name("aws.yaml")
LONGEST_POLICY = 6144  # characters of a managed policy, without white space
VERSION = "2012-10-17"

Policy = dict[str, Any]


class Permission(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"types": "for"}):
    """Some actions on some resources, for the sake of some types of resources."""

    sid: str
    about: list[str]
    allow: list[str]
    types: list[str] = []
    when: dict[str, dict[str, Any]] = {}
    platforms: list[str] | None = None  # None for every one


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    deploy: list[Permission]
    boundary: list[Permission]


def permissions(platform: str) -> list[Permission]:
    """What a stack on that platform needs."""
    return _of(platform, _table().deploy)


def deploy_policies(config: StackConfig) -> list[Policy]:
    """The policies of whoever deploys the stack, as few as AWS's limit of their length allows."""
    policies: list[list[Policy]] = [[]]
    for statement in _statements(config, permissions(config.platform)):
        if _length([*policies[-1], statement]) > LONGEST_POLICY:
            policies.append([])
        policies[-1].append(statement)
    return [_policy(statements) for statements in policies]


def boundary(config: StackConfig) -> Policy:
    """What the roles that the stack makes can't go beyond."""
    return _policy(list(_statements(config, _of(config.platform, _table().boundary))))


def _of(platform: str, listed: Sequence[Permission]) -> list[Permission]:
    return [each for each in listed if each.platforms is None or platform in each.platforms]


@cache
def _table() -> _Table:
    return msgspec.convert(yaml.safe_load(TABLE.read_text(encoding="utf-8")), _Table)


def _statements(config: StackConfig, needed: Sequence[Permission]) -> Iterator[Policy]:
    if config.aws is None:
        raise LookupError(f"{config.stack} is no stack on AWS")
    region = config.aws.region
    partition = next((name for prefix, name in PARTITIONS.items() if region.startswith(f"{prefix}-")), "aws")
    known = {"partition": partition, "account": config.aws.account_id, "region": region, "stack": config.stack}
    known["replica"] = config.aws.replica_region or region
    for each in needed:
        condition = {"Condition": _filled(each.when, known)} if each.when else {}
        yield {
            "Sid": each.sid,
            "Effect": "Allow",
            "Action": each.allow,
            "Resource": _filled(each.about, known),
            **condition,
        }


def _filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return value.format(**known)
    if isinstance(value, dict):
        return {key: _filled(each, known) for key, each in value.items()}
    return [_filled(each, known) for each in value]


def _length(statements: list[Policy]) -> int:
    return len(json.dumps(_policy(statements), separators=(",", ":")))


def _policy(statements: list[Policy]) -> Policy:
    return {"Version": VERSION, "Statement": statements}
