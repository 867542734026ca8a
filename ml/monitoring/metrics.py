"""Every figure of a monitoring report as Prometheus reads it."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from ml.monitoring.report import Difference, MetricResult, ReleaseFindings, Report

__all__ = ["exposition"]


def exposition(report: Report) -> bytes:
    """The report in Prometheus' text format; figures that could not be computed are left out."""
    registry = CollectorRegistry()
    gauges = _Gauges(registry)
    gauges.set("mlops_monitoring_report_timestamp_seconds", "When the newest report was made.", report.at.timestamp())
    for section, alert in report.champion.alerts.items():
        gauges.set("mlops_monitoring_alert", "1 when the check of the champion alerts.", float(alert), section=section)
    for section, judged in report.champion.judged.items():
        what = "0 where the check of the champion has too little to judge by."
        gauges.set("mlops_monitoring_judged", what, float(judged), section=section)
    volume = report.champion.quality.volume
    for window, rows in (("now", volume.rows), ("before", volume.rows_before)):
        gauges.set("mlops_monitoring_window_predictions", "Predictions by all releases.", rows, window=window)
    for findings in (report.champion, *report.others):
        _observe(gauges, findings)
    return generate_latest(registry)


class _Gauges:
    """Makes each gauge when its first value comes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._gauges: dict[str, Gauge] = {}

    def set(self, name: str, what: str, value: float | None, **labels: str) -> None:
        if value is None:
            return
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, what, list(labels), registry=self._registry)
        gauge = self._gauges[name]
        (gauge.labels(**labels) if labels else gauge).set(value)


def _observe(gauges: _Gauges, found: ReleaseFindings) -> None:
    release = found.release
    gauges.set("mlops_monitoring_predictions", "Predictions of the release in the window.", found.rows, release=release)
    gauges.set("mlops_monitoring_labels", "Its predictions whose label is known.", found.labels, release=release)
    for feature, column in found.quality.columns.items():
        for fault, share in (("missing", column.missing), ("invalid", column.invalid)):
            gauges.set("mlops_quality_share", "Share of a column's rows.", share,
                       release=release, feature=feature, fault=fault)  # fmt: skip
    for feature, drift in found.drift.features.items():
        gauges.set("mlops_drift_alert", "1 when the feature drifted.", drift.alert, release=release, feature=feature)
        for result in drift.statistics.values():
            gauges.set("mlops_drift", "Distance from the reference.", result.value,
                       release=release, feature=feature, statistic=result.statistic)  # fmt: skip
    for metric, result in found.performance.metrics.items():
        _observe_metric(gauges, release, metric, result)
    for group in found.fairness.groups:
        for rate, value in group.rates.items():
            gauges.set("mlops_fairness_rate", "A rate of a group.", value,
                       release=release, attribute=group.attribute, group=group.group, rate=rate)  # fmt: skip
    for difference in found.fairness.differences:
        _observe_difference(gauges, release, difference)


def _observe_metric(gauges: _Gauges, release: str, metric: str, result: MetricResult) -> None:
    name, what = "mlops_performance", "A metric: at_release, realised on labels, or estimated from scores."
    gauges.set(name, what, result.at_release, release=release, metric=metric, basis="at_release")
    for basis, measured in (("realised", result.realised), ("estimated", result.estimated)):
        if measured is not None:
            gauges.set(name, what, measured.value, release=release, metric=metric, basis=basis)
    gauges.set("mlops_performance_worse_by", "Below zero: better than at release.", result.worse_by,
               release=release, metric=metric)  # fmt: skip


def _observe_difference(gauges: _Gauges, release: str, found: Difference) -> None:
    labels = {"release": release, "attribute": found.attribute, "rate": found.rate}
    gauges.set("mlops_fairness_difference", "Largest difference between two groups.", found.value, **labels)
    gauges.set("mlops_fairness_limit", "What the problem definition allows.", found.limit, **labels)
