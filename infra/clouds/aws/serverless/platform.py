"""What jobs run on: capacity that is taken when there is work, a queue for it, a log, and a place for what failed."""

import pulumi
from pulumi_aws import batch, sqs

from infra.clouds.aws._alarm import PERIOD_S, alarm
from infra.clouds.aws._logs import log_group
from infra.clouds.aws.serverless import _names as names
from infra.contracts import PlatformArgs
from infra.naming import logical, physical

__all__ = ["Platform"]

LARGEST_VCPUS = {"small": 16, "medium": 64, "large": 256}  # of all jobs at a time
KEPT_S = 14 * 24 * 3600  # as long as SQS keeps anything


class Platform(pulumi.ComponentResource):
    """Fargate in the private network: nothing runs, and nothing costs, while no job waits."""

    identifier: pulumi.Output[str]
    log: pulumi.Output[str]
    failed: pulumi.Output[str]

    def __init__(self, name: str, args: PlatformArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Platform", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        config = args.config
        self.log = log_group(self, name, "log", names.log_group(config, names.JOBS), args.foundation)
        self.identifier = batch.JobQueue(
            logical(name, "queue"),
            name=names.queue_name(config),
            state="ENABLED",
            priority=1,
            compute_environment_orders=[{"order": 1, "compute_environment": self._capacity(name)}],
            opts=self._child,
        ).arn
        self.failed = self._failed(name)
        self.register_outputs({"identifier": self.identifier, "failed": self.failed})

    def _capacity(self, name: str) -> pulumi.Output[str]:
        """A queue keeps its old capacity until the new one is there: whatever needs a new one gives another name."""
        config, network = self._args.config, self._args.foundation.network
        kind = "FARGATE_SPOT" if config.environment.uses_spot else "FARGATE"
        return batch.ComputeEnvironment(
            logical(name, "capacity"),
            name=physical(config.stack, "capacity", maximum_length=128, unique_in=kind),
            type="MANAGED",
            state="ENABLED",
            compute_resources={
                "type": kind,
                "max_vcpus": LARGEST_VCPUS[config.environment.serving_size],
                "subnets": network.subnets,
                "security_group_ids": [network.guard],
            },
            opts=self._child,
        ).arn

    def _failed(self, name: str) -> pulumi.Output[str]:
        """Events that a function could not answer, kept to be looked at; people are told that there are some."""
        config, base = self._args.config, self._args.foundation
        queue = sqs.Queue(
            logical(name, "failed"),
            name=names.failed_queue(config),
            kms_master_key_id=base.keys.operations,
            message_retention_seconds=KEPT_S,
            opts=self._child,
        )
        alarm(
            self,
            name,
            "failed-events",
            config,
            base.alerts.channel,
            "a function failed on events, which are in the queue",
            0,
            namespace="AWS/SQS",
            metric_name="ApproximateNumberOfMessagesVisible",
            statistic="Maximum",
            period=5 * PERIOD_S,
            dimensions={"QueueName": names.failed_queue(config)},
        )
        return queue.arn
