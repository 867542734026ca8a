"""Work without a server: training and scoring as jobs of Batch, training also on a schedule and on drift."""

import pulumi
from pulumi_aws import scheduler

from infra.clouds.aws._runtime import runtime
from infra.clouds.aws._schedule import every
from infra.clouds.aws.serverless import _names as names
from infra.clouds.aws.serverless._definitions import Kind, define
from infra.clouds.aws.serverless._watch import watch
from infra.clouds.aws.serverless.platform import Platform
from infra.contracts import JobsArgs
from infra.naming import logical, physical

__all__ = ["Jobs"]

LONGEST_TRAINING_S = 6 * 3600
LONGEST_SHARE_S = 12 * 3600  # of one child of an array


class Jobs(pulumi.ComponentResource):
    """The definitions, once there is an image, and the monitor, once there is a release to watch.

    A job holds no key: what it trains is a candidate in the tracking server, until `mlops release` signs it.
    """

    training: pulumi.Output[str] | None
    scoring: pulumi.Output[str] | None
    queue: pulumi.Output[str] | None

    def __init__(self, name: str, args: JobsArgs[Platform], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Jobs", name, None, opts)
        self._args, self._platform = args, args.platform
        self.training = self.scoring = None
        self.queue = args.platform.identifier
        if args.foundation.images.image:
            self.training, self.scoring = self._train(name), self._score(name)
            self._on_schedule(name, self.training)
            if args.config.release:
                watch(self, name, args, self.training)
        self.register_outputs({"training": self.training, "scoring": self.scoring})

    def _train(self, name: str) -> pulumi.Output[str]:
        base = self._args.foundation
        told = runtime(self, name, base, self._args.tracking, self._args.config.release)
        kind = Kind(names.TRAINING, ["train"], {"MLOPS_RUNTIME": told}, base.identity.training, LONGEST_TRAINING_S)
        return define(self, name, kind, base, self._platform.log).arn

    def _score(self, name: str) -> pulumi.Output[str]:
        """What is scored is said by whoever submits; without that, the job says how."""
        base = self._args.foundation
        if base.identity.scoring is None:
            raise LookupError(f"{self._args.config.stack} has nobody to score as")
        variables: dict[str, pulumi.Input[str]] = {"MLOPS_STORE_URI": base.store.uri}
        kind = Kind(names.SCORING, ["score", "--help"], variables, base.identity.scoring, LONGEST_SHARE_S)
        return define(self, name, kind, base, self._platform.log).arn

    def _on_schedule(self, name: str, training: pulumi.Output[str]) -> None:
        config = self._args.config
        days = config.environment.retrains_every_days
        job = {
            "JobName": physical(config.stack, "scheduled", maximum_length=128),
            "JobQueue": self._platform.identifier,
            "JobDefinition": training,
            "ContainerOverrides": {"Environment": [{"Name": "MLOPS_TRAINING_REASON", "Value": "schedule"}]},
        }
        scheduler.Schedule(
            logical(name, "schedule"),
            name=physical(config.stack, "retraining", maximum_length=64),
            schedule_expression=every(days, "day"),
            flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 60},
            target={
                "arn": "arn:aws:scheduler:::aws-sdk:batch:submitJob",
                "role_arn": self._args.foundation.identity.scheduling,
                "input": pulumi.Output.json_dumps(job),
                "retry_policy": {"maximum_retry_attempts": 3},
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
