"""Training without a person: a pipeline, started on a schedule and when the monitor asks for it."""

from typing import Any

import pulumi
from pulumi_aws import cloudwatch, sagemaker, scheduler

from infra.clouds.aws._account import bucket_name
from infra.clouds.aws._names import STORE, pipeline_name
from infra.clouds.aws._runtime import runtime
from infra.clouds.aws._schedule import every
from infra.clouds.aws.sagemaker import _training
from infra.contracts import JobsArgs
from infra.naming import logical, physical

__all__ = ["Jobs"]

REQUESTS = "retraining/requested/"  # below it `mlops retrain --check --request` writes


class Jobs(pulumi.ComponentResource):
    """The pipeline that trains, once there is an image to train with.

    A new challenger is a candidate in the tracking server: it is released by `mlops release`, which holds the signing
    key that no job has.
    """

    training: pulumi.Output[str] | None
    scoring: pulumi.Output[str] | None
    queue: pulumi.Output[str] | None

    def __init__(self, name: str, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Jobs", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        image = args.foundation.images.image
        self.training = self._pipeline(name, image) if image else None
        self.scoring = self.queue = None
        self.register_outputs({"training": self.training})

    def _pipeline(self, name: str, image: pulumi.Output[str]) -> pulumi.Output[str]:
        config, base = self._args.config, self._args.foundation
        told = runtime(self, name, base, self._args.tracking, config.release)
        pipeline = sagemaker.Pipeline(
            logical(name, "training"),
            pipeline_name=pipeline_name(config),
            pipeline_display_name=pipeline_name(config),
            pipeline_description=f"Trains and evaluates the candidates of {config.stack}",
            role_arn=base.identity.orchestrating,
            pipeline_definition=pulumi.Output.json_dumps(_training.definition(self._args, image, told)),
            opts=self._child,
        )
        self._on_schedule(name, pipeline.arn)
        self._on_drift(name, pipeline.arn)
        return pipeline.arn

    def _on_schedule(self, name: str, pipeline_arn: pulumi.Output[str]) -> None:
        config = self._args.config
        days = config.environment.retrains_every_days
        scheduler.Schedule(
            logical(name, "schedule"),
            name=physical(config.stack, "retraining", maximum_length=64),
            schedule_expression=every(days, "day"),
            flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 60},
            target={
                "arn": pipeline_arn,
                "role_arn": self._args.foundation.identity.scheduling,
                "sagemaker_pipeline_parameters": {"pipeline_parameters": [_reason("schedule")]},
                "retry_policy": {"maximum_retry_attempts": 3},
            },
            opts=self._child,
        )

    def _on_drift(self, name: str, pipeline_arn: pulumi.Output[str]) -> None:
        """The event is an object in the store: what the monitoring job leaves when it is time to train."""
        config, base = self._args.config, self._args.foundation
        rule = cloudwatch.EventRule(
            logical(name, "drift"),
            name=physical(config.stack, "drift", maximum_length=64),
            description="The monitoring job asks for training",
            event_pattern=pulumi.Output.json_dumps(
                {
                    "source": ["aws.s3"],
                    "detail-type": ["Object Created"],
                    "detail": {
                        "bucket": {"name": [bucket_name(config, STORE)]},
                        "object": {"key": [{"prefix": REQUESTS}]},
                    },
                }
            ),
            opts=self._child,
        )
        cloudwatch.EventTarget(
            logical(name, "drift-trains"),
            rule=rule.name,
            arn=pipeline_arn,
            role_arn=base.identity.scheduling,
            sagemaker_pipeline_target={"pipeline_parameter_lists": [_reason("drift")]},
            opts=self._child,
        )


def _reason(reason: str) -> Any:
    return {"name": _training.REASON, "value": reason}
