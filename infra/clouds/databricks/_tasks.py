"""The jobs' tasks: each runs one command of the wheel, on serverless compute, as its workload's service principal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from infra.clouds.databricks.wheel import EXTRA
from infra.clouds.databricks.workspace import Workspace

__all__ = ["ENVIRONMENT", "Setting", "environment", "task"]

PACKAGE = "mlops-reference"
ENTRY_POINT = "mlops-databricks"  # pyproject.toml: ml.platforms.databricks.tasks
ENVIRONMENT = "wheel"
RETRIES = 2
BETWEEN_RETRIES_MS = 60_000


@dataclass(frozen=True)
class Setting:
    """What every task of a stack is told: where its runtime's description is, and by whose credential it is read."""

    workspace: Workspace
    runtime: pulumi.Input[str]
    region: str
    longest_run_s: int


def environment(wheel: pulumi.Input[str], version: str) -> list[Any]:
    """The wheel with its libraries, in the versions that it names, on a version of serverless environments."""
    requirement = pulumi.Output.concat(PACKAGE, "[", EXTRA, "] @ file://", wheel)
    spec = {"environment_version": version, "dependencies": [requirement]}
    return [{"environment_key": ENVIRONMENT, "spec": spec}]


def task(
    setting: Setting, key: str, workload: str, more: Mapping[str, Any] | None = None, after: Sequence[str] = ()
) -> Any:
    """`more` are named parameters beside those that every task has; `{{job.parameters.x}}` is a job's parameter."""
    return {
        "task_key": key,
        "environment_key": ENVIRONMENT,
        "python_wheel_task": {
            "package_name": PACKAGE,
            "entry_point": ENTRY_POINT,
            "named_parameters": {
                "task": key,
                "runtime": setting.runtime,
                "credential": setting.workspace.reach[workload],
                "region": setting.region,
                **(more or {}),
            },
        },
        "depends_ons": [{"task_key": name} for name in after],
        "max_retries": RETRIES,
        "min_retry_interval_millis": BETWEEN_RETRIES_MS,
        "retry_on_timeout": False,
        "timeout_seconds": setting.longest_run_s,
    }
