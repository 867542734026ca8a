"""The pictures of a training: curves of scores, rates per group, the search, the losses."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

from ml.problem import Problem
from ml.training.metrics import CALIBRATION_BINS
from ml.training.threshold import cost_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ml.bundle.manifest import GroupRates
    from ml.training.candidates import Candidate

__all__ = ["fairness_bars", "loss_curve", "score_curves", "search_results"]

Scores = Mapping[str, NDArray[np.float64]]


def score_curves(
    problem: Problem, positive: NDArray[np.int8], scores: Scores, thresholds: Mapping[str, float], where: str
) -> dict[str, Figure]:
    """ROC, precision-recall, calibration and cost over threshold; `scores` and `thresholds` are by candidate."""
    roc, roc_axes = _figure(f"ROC, {where}", "False positive rate", "True positive rate")
    pr, pr_axes = _figure(f"Precision and recall, {where}", "Recall", "Precision")
    calibration, calibration_axes = _figure(f"Calibration, {where}", "Mean score of the bin", "Share of positives")
    unit = problem.costs.unit
    cost, cost_axes = _figure(f"Expected cost, {where}", "Decision threshold", f"{unit.capitalize()} per row")
    roc_axes.plot([0, 1], [0, 1], ":", color="grey")
    calibration_axes.plot([0, 1], [0, 1], ":", color="grey")
    for name, values in scores.items():
        false_positive, true_positive, _ = roc_curve(positive, values)
        roc_axes.plot(false_positive, true_positive, label=name)
        precision, recall, _ = precision_recall_curve(positive, values)
        pr_axes.plot(recall, precision, label=name, drawstyle="steps-post")
        share, mean = calibration_curve(positive, values, n_bins=CALIBRATION_BINS, strategy="quantile")
        calibration_axes.plot(mean, share, "o-", label=name)
        at, costs = cost_curve(problem, positive, values)
        (line,) = cost_axes.plot(at, costs, label=name, drawstyle="steps-pre")
        cost_axes.axvline(thresholds[name], linestyle="--", linewidth=0.8, color=line.get_color())
    for axes in (roc_axes, pr_axes, calibration_axes, cost_axes):
        axes.legend()
    return {"roc": roc, "pr": pr, "calibration": calibration, "cost": cost}


def fairness_bars(groups: "tuple[GroupRates, ...]", rates: tuple[str, ...]) -> Figure:
    """One row of bars per rate, a colour per attribute; groups too small to be judged are pale."""
    figure = Figure(figsize=(max(8.0, 0.4 * len(groups)), 2.4 * len(rates) + 1.5), layout="constrained")
    attributes = list(dict.fromkeys(group.attribute for group in groups))
    all_axes = figure.subplots(len(rates), 1, sharex=True, squeeze=False)[:, 0]
    for axes, rate in zip(all_axes, rates, strict=True):
        for place, group in enumerate(groups):
            colour = f"C{attributes.index(group.attribute)}"
            axes.bar(place, group.rates.get(rate, 0.0), color=colour, alpha=1.0 if group.judged else 0.3)
        axes.set_ylabel(rate.replace("_", " "), fontsize=8)
        axes.set_ylim(0, 1)
    names = [f"{group.attribute}: {group.group} ({group.rows:,})"[:48] for group in groups]
    all_axes[-1].set_xticks(range(len(groups)), names, rotation=90, fontsize=7)
    return figure


def search_results(candidates: "tuple[Candidate, ...]") -> Figure:
    """The validation log-loss of every configuration tried."""
    figure, axes = _figure("Search", "Validation log-loss", "", layout="constrained")
    labels: list[str] = []
    for colour, candidate in enumerate(c for c in candidates if c.trials):
        for trial in sorted(candidate.trials, key=lambda t: -t.log_loss):
            axes.plot(trial.log_loss, len(labels), "o", color=f"C{colour}")
            shown = ", ".join(f"{key} {value}" for key, value in sorted(trial.parameters.items()))
            labels.append(f"{candidate.name}: {shown}")
    axes.set_yticks(range(len(labels)), labels, fontsize=6)
    return figure


def loss_curve(losses: Mapping[str, NDArray[np.float64]]) -> Figure:
    """The log-loss after each iteration, by split."""
    figure, axes = _figure("Log-loss", "Iteration", "Log-loss")
    for split, values in losses.items():
        axes.plot(values, label=split)
    axes.legend()
    return figure


def _figure(title: str, x: str, y: str, layout: Literal["constrained"] | None = None) -> "tuple[Figure, Axes]":
    # Figures of their own, without pyplot: no global state, no window system.
    figure = Figure(figsize=(6.4, 4.8), layout=layout)
    axes: Any = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)
    return figure, axes
