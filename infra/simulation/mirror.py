"""What the simulated AWS really makes: resources in moto's server, where boto3, the AWS CLI or an audit see them."""

import logging
import threading
import urllib.request
from typing import Any

import boto3
import jmespath
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.simulation.account import Thing
from infra.simulation.api import contract_of, parameters
from infra.simulation.paths import values_at
from infra.simulation.rules import Call, Rule, rule_for
from infra.simulation.templates import expand

__all__ = ["Moto", "MotoRefused"]

log = logging.getLogger(__name__)
DEFAULT_ACCOUNT = "123456789012"  # moto's, for any credentials
GONE = ("404", "NoSuch", "NotFound", "DoesNotExist", "Could not find", "not found", "does not exist")
TIMEOUT_S = 60


class MotoRefused(Exception):
    """moto's server said no; the message is what the API's would be."""


class Moto:
    """A client of one moto server. What it makes has the same ids each time, because its random numbers are seeded."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._clients: dict[tuple[str, str, str], Any] = {}
        self._sessions: dict[str, boto3.Session] = {}  # each loads the service models anew
        self._lock = threading.RLock()

    def create(self, thing: Thing, rule: Rule) -> dict[str, Any]:
        """Make it: the outputs that the service decides, ids above all."""
        if rule.mirror is None:
            return {}
        with self._lock:
            self._client(_service(rule.mirror.create[0], thing, rule), thing.region, thing.account)
            self._post(f"seed?a={int(thing.seed, 16) % 2**32}")
            returned: dict[str, Any] = {}
            for call in rule.mirror.create:
                answer = self._call(call, thing, rule, returned)
                found = {name: jmespath.search(path, answer) for name, path in call.returns.items()}
                returned |= {name: value for name, value in found.items() if value is not None}
            return returned

    def update(self, thing: Thing, rule: Rule) -> None:
        """Change it; what a rule names no call for stays as it was made."""
        for call in rule.mirror.update if rule.mirror else []:
            self._call(call, thing, rule)

    def delete(self, thing: Thing, rule: Rule) -> None:
        """End it; nothing happens when it is gone already."""
        for call in rule.mirror.delete if rule.mirror else []:
            try:
                self._call(call, thing, rule)
            except MotoRefused as error:
                if not _says_gone(str(error)):
                    raise

    def see(self, thing: Thing, rule: Rule) -> dict[str, Any] | None:
        """The properties that somebody may have changed there, as they are now; None when it is gone."""
        if rule.mirror is None or rule.mirror.read is None:
            return {}
        try:
            answer = self._call(rule.mirror.read, thing, rule)
        except MotoRefused as error:
            if _says_gone(str(error)):
                return None
            raise
        if rule.mirror.read.gone and jmespath.search(rule.mirror.read.gone, answer):
            return None
        return {name: jmespath.search(path, answer) for name, path in rule.mirror.sees.items()}

    def restore(self, things: list[Thing]) -> None:
        """Make again what an earlier run made; the server remembers nothing between runs, nor what was put into it."""
        for thing in things:
            try:
                if rule := rule_for(thing.type):
                    self.create(thing, rule)
            except MotoRefused as error:
                log.warning("%s can't be made again in moto's server: %s", thing.label, error)

    def reset(self) -> None:
        """Forget everything."""
        self._post("reset")
        self._clients.clear()

    def _post(self, what: str) -> None:
        url = f"{self.endpoint}/moto-api/{what}"
        request = urllib.request.Request(url, method="POST")  # noqa: S310 # our own server on this machine
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):  # noqa: S310
            pass

    def _call(self, call: Call, thing: Thing, rule: Rule, returned: dict[str, Any] | None = None) -> Any:
        values = thing.outputs | thing.inputs | {"id": thing.id, "account": thing.account, "region": thing.region}
        values |= {name: value for name, value in (returned or {}).items() if value is not None}
        if call.when and not values.get(call.when):
            return {}
        if call.each is None:
            return self._once(call, thing, rule, values)
        return [self._once(call, thing, rule, values | {"each": each}) for _, each in values_at(values, call.each)]

    def _once(self, call: Call, thing: Thing, rule: Rule, values: dict[str, Any]) -> Any:
        service = _service(call, thing, rule)
        given = _without_none(expand(call.fixed, values.get, thing.seed)) or {}
        if call.inputs and (contract := contract_of(thing.type)):
            tagged = {"tags": values["tagsAll"]} if values.get("tagsAll") else {}
            made_up = {name: values[name] for name in contract.members if values.get(name) is not None}
            given = _merged(parameters(made_up | tagged, contract), given)
        try:
            if call.operation == "EmptyBucket":
                return self._empty(thing, given["Bucket"])
            client = self._client(service, thing.region, thing.account)
            if call.operation == "EnsureRole":
                return _ensure_role(client, given)
            return getattr(client, xform_name(call.operation))(**given)
        except (ClientError, BotoCoreError) as error:
            raise MotoRefused(f"{service}:{call.operation}: {error}") from error

    def _empty(self, thing: Thing, bucket: str) -> None:
        """Delete every version of every object and every delete marker, as `forceDestroy` does."""
        client = self._client("s3", thing.region, thing.account)
        # The bucket's versioning has been destroyed before it, and moto can't delete versions where none are kept.
        if client.get_bucket_versioning(Bucket=bucket).get("Status") == "Suspended":
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])

    def _client(self, service: str, region: str, account: str) -> Any:
        key = (service, region, account)
        if key not in self._clients:
            if account not in self._sessions:
                self._sessions[account] = self._session(account)
            self._clients[key] = self._sessions[account].client(
                service,
                region_name=region or "us-east-1",
                endpoint_url=self.endpoint,
                config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
            )
            if service == "ec2":  # the first call makes the region's default network, out of the same random numbers
                self._clients[key].describe_vpcs()
        return self._clients[key]

    def _session(self, account: str) -> boto3.Session:
        """Credentials that open nothing; moto keeps accounts apart by those of an assumed role."""
        keys = {"aws_access_key_id": "simulated", "aws_secret_access_key": "simulated"}
        if account in ("", DEFAULT_ACCOUNT):
            return boto3.Session(**keys)
        sts = boto3.Session(**keys).client("sts", region_name="us-east-1", endpoint_url=self.endpoint)
        role = f"arn:aws:iam::{account}:role/simulated"
        assumed = sts.assume_role(RoleArn=role, RoleSessionName="simulated")["Credentials"]
        return boto3.Session(assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])


def _ensure_role(iam: Any, given: dict[str, Any]) -> None:
    """The role that a service makes for itself when it is first used in an account; moto spells its name otherwise."""
    try:
        iam.create_role(**given, AssumeRolePolicyDocument="{}")
    except iam.exceptions.EntityAlreadyExistsException:
        return


def _service(call: Call, thing: Thing, rule: Rule) -> str:
    return call.service or (rule.api.service if rule.api else thing.type.split(":")[1].partition("/")[0])


def _says_gone(message: str) -> bool:
    return any(mark in message for mark in GONE)


def _without_none(value: Any) -> Any:
    """Without parameters that have no value, and without objects that are empty because of it."""
    if isinstance(value, dict):
        kept = {key: _without_none(each) for key, each in value.items()}
        return {key: each for key, each in kept.items() if each is not None} or None
    return [_without_none(each) for each in value] if isinstance(value, list) else value


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
