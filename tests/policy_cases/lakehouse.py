"""Programs that keep and break the rules of: Databricks."""

import json
from typing import Any

from infra.policies import databricks
from infra.policies import databricks_access as access
from tests.policy_cases.programs import Cases, Program, it

__all__ = ["CASES"]

OWN = dict.fromkeys(databricks.OWN, "id")
SERVED = {"name": "champion", "entityName": "a.b.c", "entityVersion": "1", "scaleToZeroEnabled": True}


def bound(**definition: Any) -> Program:
    return [it(databricks.CLUSTER_POLICY, definition=json.dumps(definition))]


def served(env: str = "prod", tables: bool = True, **entity: Any) -> Program:
    gateway = {"inferenceTableConfig": {"enabled": tables}}
    return [it(databricks.SERVING, env=env, config={"servedEntities": [SERVED | entity]}, aiGateway=gateway)]


def granted(principal: str, *privileges: str) -> Program:
    return [it(databricks.GRANTS, catalog="c", grants=[{"principal": principal, "privileges": list(privileges)}])]


def may_act(principal: str) -> Program:
    return [it(access.RULE_SET, grantRules=[{"role": "roles/servicePrincipal.user", "principals": [principal]}])]


def may(kind: str, who: str) -> Program:
    return [it(access.PERMISSIONS, jobId="1", accessControls=[{kind: who, "permissionLevel": "CAN_MANAGE_RUN"}])]


def taken(condition: dict[str, Any], by: str = f"arn:aws:iam::{access.DATABRICKS}:root") -> Program:
    trusted = {"Effect": "Allow", "Principal": {"AWS": by}, "Action": "sts:AssumeRole", "Condition": condition}
    return [it(access.ROLE, assumeRolePolicy=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}))]


def bound_size(clusters: int | None = 1, **definition: Any) -> Program:
    return [it(databricks.CLUSTER_POLICY, definition=json.dumps(definition), maxClustersPerUser=clusters)]


CASES: Cases = {
    "workspace-has-own-network-and-keys": (
        [it(databricks.WORKSPACE, **OWN)],
        [[it(databricks.WORKSPACE, **{k: v for k, v in OWN.items() if k != name})] for name in OWN],
    ),
    "workspace-knows-its-entries": (
        [it(databricks.ACCESS, privateAccessLevel="ENDPOINT", allowedVpcEndpointIds=["id"])],
        [
            [it(databricks.ACCESS)],
            [it(databricks.ACCESS, privateAccessLevel="ACCOUNT", allowedVpcEndpointIds=["id"])],
            [it(databricks.ACCESS, privateAccessLevel="ENDPOINT", allowedVpcEndpointIds=[])],
        ],
    ),
    "databricks-provider-has-no-secret": (
        [it(databricks.PROVIDER, host="https://x")],
        [[it(databricks.PROVIDER, token="t")]],  # noqa: S106 # none
    ),
    "cluster-ends-when-idle": (
        [it(databricks.CLUSTER, autoterminationMinutes=30), *bound(autotermination_minutes={"value": 30})],
        [[it(databricks.CLUSTER)], bound(), bound(autotermination_minutes={"type": "range", "maxValue": 600})],
    ),
    "cluster-keeps-users-apart": (
        [it(databricks.CLUSTER, dataSecurityMode="SINGLE_USER"), *bound(data_security_mode={"value": "SINGLE_USER"})],
        [[it(databricks.CLUSTER)], [it(databricks.CLUSTER, dataSecurityMode="LEGACY_PASSTHROUGH")], bound()],
    ),
    "databricks-job-ends": (
        [
            it(databricks.JOB, timeoutSeconds=60),
            it(databricks.JOB, "b", tasks=[{"taskKey": "a", "timeoutSeconds": 60}]),
        ],
        [[it(databricks.JOB)], [it(databricks.JOB, tasks=[{"taskKey": "a"}])]],
    ),
    "catalog-stays-in-its-workspace": (
        [it(databricks.CATALOG, isolationMode="ISOLATED")],
        [[it(databricks.CATALOG)], [it(databricks.LOCATION, isolationMode="ISOLATION_MODE_OPEN")]],
    ),
    "grants-are-for-somebody": (
        granted("training", "SELECT"),
        [granted("account users", "USE_CATALOG"), granted("training", "ALL_PRIVILEGES"), granted("ci", "MANAGE")],
    ),
    "databricks-endpoint-serves-a-version": (served(), [served(entityVersion="latest"), served(entityVersion=None)]),
    "databricks-endpoint-sleeps": (served("dev"), [served("dev", scaleToZeroEnabled=False)]),
    "databricks-endpoint-keeps-what-it-answers": (served(), [served(tables=False)]),
    "databricks-keeps-are-protected": (
        [it(databricks.CATALOG, protect=True)],
        [[it(databricks.CATALOG)], [it(databricks.WORKSPACE)], [it(databricks.SERVING)]],
    ),
    "databricks-keeps-are-not-forced": (
        [it(databricks.CATALOG, forceDestroy=False)],
        [[it(databricks.CATALOG, forceDestroy=True)], [it(databricks.SCHEMA, forceDestroy=True)]],
    ),
    "databricks-makes-no-secret": (
        [it(databricks.PROVIDER, host="https://x")],
        [[it(kind)] for kind in access.SECRETS],
    ),
    "databricks-access-is-for-somebody": (
        [*may_act("servicePrincipals/deployer"), *may("groupName", "scientists"), *may("userName", "ann@example.org")],
        [may_act("groups/account users"), may("groupName", "users")],
    ),
    "databricks-federation-names-its-subject": (
        [it(access.FEDERATION, oidcPolicy={"subject": "repo:example/mlops:environment:prod"})],
        [[it(access.FEDERATION, oidcPolicy={"subject": s})] for s in ("repo:example/*", "")],
    ),
    "databricks-takes-roles-by-external-id": (
        [*taken({"StringEquals": {"sts:ExternalId": "ours"}}), *taken({}, "arn:aws:iam::123456789012:role/other")],
        [taken({}), taken({"StringEquals": {"aws:PrincipalOrgID": "ours"}})],
    ),
    "cluster-policy-bounds-size": (
        [
            *bound_size(num_workers={"type": "range", "maxValue": 8}),
            *bound_size(**{"autoscale.max_workers": {"value": 4}}),
        ],
        [bound_size(), bound_size(None, num_workers={"value": 2}), bound_size(num_workers={"type": "unlimited"})],
    ),
    "databricks-job-runs-as-principal": (
        [it(databricks.JOB, runAs={"servicePrincipalName": "id"})],
        [[it(databricks.JOB)], [it(databricks.JOB, runAs={"userName": "ann@example.org"})]],
    ),
    "databricks-serverless-is-charged": (
        [
            it(databricks.JOB, budgetPolicyId="id"),
            it(databricks.JOB, "b", tasks=[{"taskKey": "a", "jobClusterKey": "c"}]),
            it(databricks.SERVING, budgetPolicyId="id"),
        ],
        [[it(databricks.JOB, tasks=[{"taskKey": "a"}])], [it(databricks.SERVING)]],
    ),
    "databricks-endpoint-has-no-secret": (
        served(environmentVars={"DB_PASSWORD": "{{secrets/ml/db}}", "LEVEL": "info"}),
        [served(environmentVars={"DB_PASSWORD": "hunter2"})],
    ),
}
