"""Programs that keep and break the rules of: Databricks."""

import json
from typing import Any

from infra.policies import databricks
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


CASES: Cases = {
    "workspace-has-own-network-and-keys": (
        [it(databricks.WORKSPACE, **OWN)],
        [[it(databricks.WORKSPACE, **{k: v for k, v in OWN.items() if k != name})] for name in OWN],
    ),
    "workspace-knows-its-entries": (
        [it(databricks.ACCESS, privateAccessLevel="ENDPOINT")],
        [[it(databricks.ACCESS)], [it(databricks.ACCESS, privateAccessLevel="ACCOUNT")]],
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
        [granted("account users", "USE_CATALOG"), granted("training", "ALL_PRIVILEGES")],
    ),
    "databricks-endpoint-serves-a-version": (served(), [served(entityVersion="latest"), served(entityVersion=None)]),
    "databricks-endpoint-sleeps": (served("dev"), [served("dev", scaleToZeroEnabled=False)]),
    "databricks-endpoint-keeps-what-it-answers": (served(), [served(tables=False)]),
    "databricks-keeps-are-protected": (
        [it(databricks.CATALOG, protect=True)],
        [[it(databricks.CATALOG)], [it(databricks.WORKSPACE)]],
    ),
    "databricks-keeps-are-not-forced": (
        [it(databricks.CATALOG, forceDestroy=False)],
        [[it(databricks.CATALOG, forceDestroy=True)], [it(databricks.SCHEMA, forceDestroy=True)]],
    ),
}
