"""The shipped stack `aws-databricks-dev` as its program plans it: its jobs, its wheel, and who may reach the store."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from databricks.sdk.service.catalog import AwsCredentials

from infra.clouds.databricks import wheel
from tests.plans import shared_plan

__all__ = ["Stack", "planned_stack"]

STACK = "aws-databricks-dev"


@dataclass(frozen=True)
class Stack:
    """`jobs` are the definitions by the numbers in `ids`; `runtime` what the jobs are told of their stack."""

    jobs: Mapping[int, Mapping[str, Any]]
    ids: Mapping[str, int]
    wheel: str  # the volume's path
    bucket: str
    runtime: Mapping[str, Any]
    policies: Mapping[str, str]  # of the roles, by their names
    roles: Mapping[str, str]  # the roles' names, by credential

    @property
    def catalog(self) -> str:
        return self.wheel.split("/")[2]

    def lay_wheel(self, volumes: Path, keys: Path) -> None:
        """Put the wheel where the stack puts it; the keys in `keys` stand for the organisation's."""
        target = volumes / self.wheel.removeprefix("/Volumes/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wheel.build(folder=volumes / "built", keys=keys).file, target)

    def make_roles(self) -> None:
        """The roles in moto, with the policies that the stack gives them."""
        iam = boto3.client("iam")
        for name in self.roles.values():
            iam.create_role(
                RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": []})
            )
            iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=self.policies[name])

    def keys(self, credential: str) -> AwsCredentials:
        """What Unity Catalog hands out: a session of the credential's role."""
        role = boto3.client("iam").get_role(RoleName=self.roles[credential])["Role"]["Arn"]
        taken = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="task")["Credentials"]
        return AwsCredentials(
            access_key_id=taken["AccessKeyId"],
            secret_access_key=taken["SecretAccessKey"],
            session_token=taken["SessionToken"],
        )


def planned_stack() -> Stack:
    """All of it, planned on a simulated account."""
    found = {each.name: each for each in shared_plan(STACK).resources}
    jobs = {name.removeprefix("jobs-"): each.properties for name, each in found.items() if each.type.endswith(":Job")}
    ids = {name: number for number, name in enumerate(sorted(jobs), 101)}
    ids["train"] = int(jobs["retrain"]["tasks"][0]["runJobTask"]["jobId"])
    described = found["jobs-runtime"].properties
    policies = {
        each.properties["role"]: each.properties["policy"]
        for each in found.values()
        if each.type == "aws:iam/rolePolicy:RolePolicy"
    }
    roles = {
        each.properties["name"]: each.properties["awsIamRole"]["roleArn"].rpartition("/")[2]
        for each in found.values()
        if each.type == "databricks:index/credential:Credential"
    }
    return Stack(
        jobs={ids[name]: definition for name, definition in jobs.items()},
        ids=ids,
        wheel=found["jobs-wheel"].properties["path"],
        bucket=described["bucket"],
        runtime=json.loads(described["content"]),
        policies=policies,
        roles=roles,
    )
