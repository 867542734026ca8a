"""What runs without a person: training, bulk scoring, the monitor, and training again when the monitor asks for it."""

from collections.abc import Sequence
from typing import Any

import pulumi

from infra.clouds.databricks import wheel
from infra.clouds.databricks._account import INFERENCE_TABLE, named, settings
from infra.clouds.databricks._sdk import databricks
from infra.clouds.databricks._tasks import Setting, environment, task
from infra.clouds.databricks.workspace import WorkspacePlatform
from infra.contracts import JobsArgs
from infra.naming import logical, tags

__all__ = ["Jobs"]

LONGEST_RUN_S = 6 * 3600
REQUESTS = "retraining/requested/"  # below it `mlops retrain --check --request` writes
QUIET_S = 60  # a request is one small file: it is there as a whole


class Jobs(pulumi.ComponentResource):
    """The cloud says where a job finds what it must know of its stack, and in which region.

    A new challenger is a candidate in the tracking server: it is released by `mlops release`, which holds the signing
    key that no job has.
    """

    training: pulumi.Output[str] | None
    scoring: pulumi.Output[str] | None
    queue: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: JobsArgs[WorkspacePlatform], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("mlops:databricks:Jobs", name, None, opts)
        self._name, self._args = name, args
        self._child = pulumi.ResourceOptions(parent=self)
        self._workspace = args.platform.workspace
        self._setting = Setting(self._workspace, self._runtime(), self._region(), LONGEST_RUN_S)
        self._wheel = self._uploaded()
        training = self._training()
        scoring = self._scoring()
        self._monitoring()
        self._retraining(training)
        self.training, self.scoring, self.queue = self._page(training), self._page(scoring), None
        self.register_outputs({"training": self.training})

    def _runtime(self) -> pulumi.Output[str]:
        raise NotImplementedError

    def _region(self) -> str:
        raise NotImplementedError

    def _uploaded(self) -> pulumi.Output[str]:
        built = wheel.build()
        file = databricks.File(
            logical(self._name, "wheel"),
            path=pulumi.Output.concat(self._workspace.wheels, f"/{built.sha256}/{built.file.name}"),
            source=str(built.file),
            provider_config=self._workspace.here,
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["source"]),  # the path says what is in it
        )
        return file.path

    def _training(self) -> databricks.Job:
        """Also on a schedule, so that no model is older than the environment allows."""
        days = self._args.config.environment.retrains_every_days
        job = self._job(
            "train",
            "training",
            [task(self._setting, "train", "training", {"reason": "{{job.parameters.reason}}"})],
            parameters=[{"name": "reason", "default": "schedule"}],
            trigger={"periodic": {"interval": days, "unit": "DAYS"}},
        )
        self._may_run("train", job, "ci", "training")  # the latter for the job that trains again
        return job

    def _scoring(self) -> databricks.Job:
        """Started with the data to score and where the scores go."""
        given = {name: f"{{{{job.parameters.{name}}}}}" for name in ("data", "output")}
        job = self._job(
            "score",
            "scoring",
            [task(self._setting, "score", "scoring", given)],
            parameters=[{"name": name, "default": ""} for name in given],
        )
        self._may_run("score", job, "ci")
        return job

    def _monitoring(self) -> None:
        """What the endpoint answered, and the report; then, where that says it is time, a request for training."""
        workspace = self._workspace
        table = pulumi.Output.concat(workspace.catalog, ".", workspace.schema, ".", INFERENCE_TABLE)
        hours = self._args.config.environment.monitors_every_h
        self._job(
            "monitor",
            "monitoring",
            [
                task(self._setting, "monitor", "monitoring", {"inference-table": table}),
                task(self._setting, "retrain", "monitoring", after=["monitor"]),
            ],
            schedule={
                "quartz_cron_expression": f"0 0 {'*' if hours == 1 else f'0/{hours}'} * * ?",
                "timezone_id": self._args.config.time_zone,
            },
        )

    def _retraining(self, training: databricks.Job) -> None:
        """The event is a file in the store: what the monitor leaves when it is time to train."""
        run = {"job_id": training.id.apply(int), "job_parameters": {"reason": "drift"}}
        self._job(
            "retrain",
            "training",
            [{"task_key": "train", "run_job_task": run}],
            trigger={
                "file_arrival": {
                    "url": pulumi.Output.concat(self._workspace.location, "/", REQUESTS),
                    "wait_after_last_change_seconds": QUIET_S,
                }
            },
            uses_wheel=False,
        )

    def _job(
        self, role: str, workload: str, tasks: Sequence[Any], *, uses_wheel: bool = True, **more: Any
    ) -> databricks.Job:
        config, workspace = self._args.config, self._workspace
        told = {"on_failures": list(config.alert_emails)} if config.alert_emails else None
        return databricks.Job(
            logical(self._name, role),
            name=named(config, role),
            tasks=list(tasks),
            environments=environment(self._wheel, settings(config).environment_version) if uses_wheel else None,
            run_as={"service_principal_name": workspace.principals[workload].application_id},
            budget_policy_id=workspace.budget_policy,
            max_concurrent_runs=1,
            queue={"enabled": True},
            timeout_seconds=LONGEST_RUN_S,
            email_notifications=told,  # pyright: ignore[reportArgumentType] # its words, checked by the simulation
            tags=tags(config),
            provider_config=workspace.here,
            opts=self._child,
            **more,
        )

    def _page(self, job: databricks.Job) -> pulumi.Output[str]:
        """Where a person sees it, and what `mlops` starts it by."""
        return pulumi.Output.concat(self._workspace.url, "/jobs/", job.id)

    def _may_run(self, role: str, job: databricks.Job, *workloads: str) -> None:
        databricks.Permissions(
            logical(self._name, f"{role}-access"),
            job_id=job.id,
            access_controls=[
                {
                    "service_principal_name": self._workspace.principals[workload].application_id,
                    "permission_level": "CAN_MANAGE_RUN",
                }
                for workload in workloads
            ],
            provider_config=self._workspace.here,
            opts=self._child,
        )
