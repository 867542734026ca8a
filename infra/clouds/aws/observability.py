"""Where alarms go, who touched the data, and the page to look at."""

import json

import pulumi
from pulumi_aws import cloudwatch, sns

from infra.clouds.aws import _dashboard
from infra.clouds.aws._account import arn, settings
from infra.clouds.aws._audit import audit_trail
from infra.clouds.aws._names import dashboard_name, dashboard_url
from infra.clouds.aws._platform import Observed
from infra.clouds.aws._policy import allow, document
from infra.contracts import AlertsArgs, ObservabilityArgs
from infra.naming import logical, physical

__all__ = ["Alerts", "Observability"]

SENDERS = {  # who may send to the topic, and what they are asked to prove
    "cloudwatch": "alarm:*",
    "events": "rule/*",
}
ACCOUNT_SENDERS = ("budgets", "costalerts")


class Alerts(pulumi.ComponentResource):
    """A topic that tells people by e-mail; each address has to confirm once."""

    channel: pulumi.Output[str]

    def __init__(self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Alerts", name, None, opts)
        config, child = args.config, pulumi.ResourceOptions(parent=self)
        topic = sns.Topic(
            logical(name, "topic"),
            name=physical(config.stack, "alerts", maximum_length=256),
            kms_master_key_id=args.keys.operations,
            opts=child,
        )
        senders = [
            allow(
                service.capitalize(),
                ["sns:Publish"],
                [topic.arn],
                to={"Service": f"{service}.amazonaws.com"},
                when={"ArnLike": {"aws:SourceArn": arn(config, service, things)}},
            )
            for service, things in SENDERS.items()
        ]
        ours = {"StringEquals": {"aws:SourceAccount": settings(config).account_id}}
        spending = {"Service": [f"{service}.amazonaws.com" for service in ACCOUNT_SENDERS]}
        policy = sns.TopicPolicy(
            logical(name, "policy"),
            arn=topic.arn,
            policy=document(*senders, allow("Spending", ["sns:Publish"], [topic.arn], to=spending, when=ours)),
            opts=child,
        )
        for number, address in enumerate(config.alert_emails, start=1):
            sns.TopicSubscription(
                logical(name, f"email-{number}"), topic=topic.arn, protocol="email", endpoint=address, opts=child
            )
        # Whoever is given the topic may rely on being let in.
        self.channel = pulumi.Output.all(topic.arn, policy.id).apply(lambda both: both[0])
        self.register_outputs({"channel": self.channel})


class Observability(pulumi.ComponentResource):
    """The audit trail and its alarms, word of failed jobs, and a dashboard."""

    monitor_url: pulumi.Output[str]
    metrics_url: pulumi.Output[str] | None

    def __init__(
        self,
        name: str,
        args: ObservabilityArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        observed: Observed,
    ) -> None:
        super().__init__("mlops:aws:Observability", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        audit_trail(self, name, args, observed.BUCKETS)
        self._failures(name, observed)
        cloudwatch.Dashboard(
            logical(name, "dashboard"),
            dashboard_name=dashboard_name(args.config),
            dashboard_body=_dashboard.body(args.config, observed.charts(args.config)),
            opts=self._child,
        )
        self.monitor_url = pulumi.Output.from_input(dashboard_url(args.config))
        self.metrics_url = None
        self.register_outputs({"monitor_url": self.monitor_url, "metrics_url": self.metrics_url})

    def _failures(self, name: str, observed: Observed) -> None:
        """Tell people of jobs that failed, and of deployments that were rolled back."""
        rule = cloudwatch.EventRule(
            logical(name, "failures"),
            name=physical(self._args.config.stack, "failures", maximum_length=64),
            description="Jobs and deployments of this stack that failed",
            event_pattern=json.dumps(observed.failures(self._args.config)),
            opts=self._child,
        )
        cloudwatch.EventTarget(
            logical(name, "failures-told"), rule=rule.name, arn=self._args.foundation.alerts.channel, opts=self._child
        )
