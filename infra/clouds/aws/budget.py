"""What the environment may cost, and who is told before it does."""

import pulumi
from pulumi_aws import budgets, costexplorer

from infra.clouds.aws._account import settings
from infra.contracts import BudgetArgs
from infra.naming import logical, physical

__all__ = ["Budget"]

ACTUAL_PERCENT = (50, 80, 100)
FORECAST_PERCENT = (100,)
COUNTED_TAG = "stack"  # that tells one stack's spending from another's
ANOMALY_SHARE = 0.1  # of the month's budget on one day


class Budget(pulumi.ComponentResource):
    """A monthly budget over what carries the stack's tag, and a watch for unusual spending in the account."""

    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: BudgetArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Budget", name, None, opts)
        config, child = args.config, pulumi.ResourceOptions(parent=self)
        limits = [("ACTUAL", percent) for percent in ACTUAL_PERCENT] + [("FORECASTED", p) for p in FORECAST_PERCENT]
        self.identifier = budgets.Budget(
            logical(name, "month"),
            name=physical(config.stack, "month", maximum_length=100),
            budget_type="COST",
            time_unit="MONTHLY",
            limit_amount=str(config.environment.monthly_budget_usd),
            limit_unit="USD",
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:{COUNTED_TAG}${config.stack}"]}],
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "notification_type": kind,
                    "threshold": percent,
                    "threshold_type": "PERCENTAGE",
                    "subscriber_sns_topic_arns": [args.alerts.channel],
                }
                for kind, percent in limits
            ],
            opts=child,
        ).arn
        account = settings(config)
        if not account.account_is_shared:
            self._watch(name, args)
        if account.cost_tag_is_activated:
            costexplorer.CostAllocationTag(logical(name, "tag"), tag_key=COUNTED_TAG, status="Active", opts=child)
        self.register_outputs({"identifier": self.identifier})

    def _watch(self, name: str, args: BudgetArgs) -> None:
        """An account has one monitor over its services."""
        config, child = args.config, pulumi.ResourceOptions(parent=self)
        monitor = costexplorer.AnomalyMonitor(
            logical(name, "anomalies"),
            name=physical(config.stack, "anomalies", maximum_length=100),
            monitor_type="DIMENSIONAL",
            monitor_dimension="SERVICE",
            opts=child,
        )
        costexplorer.AnomalySubscription(
            logical(name, "anomalies-told"),
            name=physical(config.stack, "anomalies", maximum_length=100),
            frequency="IMMEDIATE",
            monitor_arn_lists=[monitor.arn],
            subscribers=[{"type": "SNS", "address": args.alerts.channel}],
            threshold_expression={
                "dimension": {
                    "key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                    "match_options": ["GREATER_THAN_OR_EQUAL"],
                    "values": [str(round(config.environment.monthly_budget_usd * ANOMALY_SHARE))],
                }
            },
            opts=child,
        )
