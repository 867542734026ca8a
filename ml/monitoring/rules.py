"""Prometheus' alert rules, from the problem definition's section `monitoring`."""

from typing import Any, Final

import yaml

from ml.problem import Problem

__all__ = ["alert_rules"]

PREDICT: Final = 'route="/predict"'
NOT_JUDGED_FOR: Final = "7d"
SECTIONS: Final = {  # what the monitor judges; the thresholds are part of its judgement, so the rules don't repeat them
    "quality": ("DataQuality", "The logged data are incomplete, not allowed, or far fewer than before"),
    "drift": ("Drift", "The live data are no longer like the training data"),
    "performance": ("PerformanceDropped", "The model does worse than at its release"),
    "fairness": ("FairnessLimitExceeded", "Groups are treated more differently than the problem definition allows"),
}


def alert_rules(problem: Problem) -> str:
    """The rule file; `promtool check rules` accepts it."""
    groups = [
        {"name": "mlops-service", "rules": _service_rules(problem)},
        {"name": "mlops-monitoring", "rules": [*_process_rules(), *_section_rules(problem)]},
    ]
    return yaml.safe_dump({"groups": groups}, sort_keys=False, allow_unicode=True, width=120)


def _service_rules(problem: Problem) -> list[dict[str, Any]]:
    limits = problem.monitoring.service
    durations = f"rate(mlops_request_duration_seconds_bucket{{{PREDICT}}}[5m])"
    return [
        _rule("EndpointDown", "mlops_endpoint_up == 0", "1m", "critical", "The endpoint does not answer"),
        _rule(
            "ReleaseNotAllowed",
            "mlops_endpoint_release_allowed == 0",
            "1m",
            "critical",
            "What serves is not what was deployed, or the ledger does not allow it, or that can't be told",
        ),
        _rule(
            "EndpointErrors",
            f"{_share('5..')} > {limits.maximum_error_share:g}",
            "5m",
            "critical",
            f"More than {limits.maximum_error_share:.1%} of the answers are errors of ours",
        ),
        _rule(
            "RequestsRefused",
            f"{_share('4..')} > {limits.maximum_refused_share:g}",
            "15m",
            "warning",
            f"More than {limits.maximum_refused_share:.0%} of the requests don't fit the model: has a caller changed?",
        ),
        _rule(
            "EndpointSlow",
            f"histogram_quantile({limits.quantile:g}, sum by (le) ({durations})) > {limits.maximum_ms / 1000:g}",
            "5m",
            "warning",
            f"The {limits.quantile:.0%} quantile of the answers takes more than {limits.maximum_ms:g} ms",
        ),
        _rule(
            "PredictionsNotLogged",
            'increase(mlops_prediction_log_rows_total{result="dropped"}[10m]) > 0',
            "0m",
            "critical",
            "Predictions were made that the log does not hold",
        ),
    ]


def _process_rules() -> list[dict[str, Any]]:
    return [
        _rule(
            "MonitoringStale",
            "time() - mlops_monitoring_last_success_timestamp_seconds > 3 * mlops_monitoring_interval_seconds",
            "1m",
            "warning",
            "No monitoring run has ended well for three intervals",
        ),
        _rule(
            "NotJudged",
            'mlops_monitoring_judged{section!="fairness"} == 0',  # which waits for labels, as the page says
            NOT_JUDGED_FOR,
            "warning",
            "A check has had too little to judge by for a week: that it gave no alert says nothing",
        ),
    ]


def _section_rules(problem: Problem) -> list[dict[str, Any]]:
    limits = problem.monitoring
    thresholds: dict[str, Any] = {
        "quality": limits.quality.model_dump(),
        "drift": limits.drift.model_dump(),
        "performance": limits.performance.model_dump(),
        "fairness": {attribute.column: dict(attribute.limits) for attribute in problem.protected},
    }
    return [
        _rule(
            name,
            f'mlops_monitoring_alert{{section="{section}"}} == 1',
            "0m",
            "warning",
            what,
            thresholds=yaml.safe_dump(thresholds[section], default_flow_style=True, width=10_000).strip(),
        )
        for section, (name, what) in SECTIONS.items()
    ]


def _share(status: str) -> str:
    answered = f"sum(rate(mlops_requests_total{{{PREDICT}}}[5m]))"
    return f'sum(rate(mlops_requests_total{{{PREDICT},status=~"{status}"}}[5m])) / {answered}'


def _rule(name: str, expression: str, lasting: str, severity: str, summary: str, **more: str) -> dict[str, Any]:
    return {
        "alert": f"Mlops{name}",
        "expr": expression,
        "for": lasting,
        "labels": {"severity": severity},
        "annotations": {"summary": f"{summary}. The monitor's page has the details.", **more},
    }
