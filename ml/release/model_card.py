"""The model card (Mitchell et al., 2019) of a release, written from the problem definition and the evaluation."""

from typing import Final

from ml.problem import Problem, Protected
from ml.release._markdown import table
from ml.release.manifest import GroupRates
from ml.training.evaluation import Evaluation

__all__ = ["model_card"]

METRICS: Final = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC (average precision)",
    "calibration_error": "Calibration error",
    "brier": "Brier score",
    "expected_cost": "Expected cost per case",
    "accuracy": "Accuracy at the decision threshold",
    "accuracy_at_half": "Accuracy at 0.5",
}


def model_card(problem: Problem, evaluation: Evaluation) -> str:
    """Markdown; the same inputs give the same text, so nothing in it depends on when or by whom it was released."""
    sections = (
        _intended_use(problem, evaluation),
        _data(problem, evaluation),
        _performance(problem, evaluation),
        _fairness(problem, evaluation),
        _limits(problem, evaluation),
        _inputs(problem),
        _reproduction(problem, evaluation),
    )
    return f"# {problem.title}\n\n" + "\n\n".join(sections) + "\n"


def _intended_use(problem: Problem, evaluation: Evaluation) -> str:
    decision, costs = problem.decision, problem.costs
    return "\n".join(
        (
            "## Intended use\n",
            f"- **Decision:** {decision.what}",
            f"- **Made by:** {decision.made_by}",
            f"- **About:** {decision.about}",
            f"- **Why a model:** {decision.why_a_model}",
            f"- **Not for:** {decision.not_for}",
            f"- **Model:** {evaluation.candidate}. A score of {evaluation.decision_threshold:.4g} or more "
            f"is decided as “{problem.target.codes[problem.target.positive]}”.",
            *(
                f"- **A {name}** ({error.meaning}) costs {error.cost:g} {costs.unit}, borne by {error.borne_by}."
                for name, error in (("false positive", costs.false_positive), ("false negative", costs.false_negative))
            ),
        )
    )


def _data(problem: Problem, evaluation: Evaluation) -> str:
    modified = ", with changes that were not committed" if evaluation.code_modified else ""
    lines = [
        "## Data and provenance\n",
        f"- **Source:** {problem.datasets.source}",
        f"- **Licence:** {problem.datasets.license}",
        f"- **Trained on** {problem.split.train}, **tested on** {problem.split.test} ({evaluation.test_rows} rows).",
        f"- **Label:** {problem.target.event}",
        f"- **Code:** commit {evaluation.code_commit}{modified}",
        f"- **Problem definition:** {evaluation.problem_digest}",
    ]
    lines += [f"- **Data {name}:** {digest}" for name, digest in sorted(evaluation.data.items())]
    return "\n".join(lines)


def _performance(problem: Problem, evaluation: Evaluation) -> str:
    rows = [
        (
            METRICS.get(metric.name, metric.name),
            f"{metric.value:.4f}",
            "" if metric.baseline is None else f"{metric.baseline:.4f}",
            ""
            if metric.difference_low is None or metric.difference_high is None
            else f"{metric.difference_low:+.4f} to {metric.difference_high:+.4f}",
        )
        for metric in evaluation.metrics
    ]
    quality = problem.gates.quality
    return (
        f"## Performance on {problem.split.test}\n\n"
        f"{evaluation.test_rows:,} cases that training never saw. The baseline is the rule “{problem.baseline.title}”. "
        f"The interval is of the difference between model and baseline ({quality.confidence:.0%}, paired bootstrap, "
        f"{quality.bootstrap_samples} samples). Costs are in {problem.costs.unit}.\n\n"
        + table(("metric", "model", "baseline", "difference"), rows)
    )


def _fairness(problem: Problem, evaluation: Evaluation) -> str:
    names = list(dict.fromkeys(name for group in evaluation.fairness for name in group.rates))
    rows = [
        (
            group.attribute,
            group.group,
            f"{group.rows:,}",
            *(f"{group.rates[name]:.3f}" if name in group.rates else "" for name in names),
            "yes" if group.judged else "too few rows",
        )
        for group in evaluation.fairness
    ]
    limits = [
        (attribute.column, _words(rate), _difference(evaluation.fairness, attribute, rate), f"{limit:g}")
        for attribute in problem.protected
        for rate, limit in attribute.limits.items()
    ]
    reasons = "\n".join(f"- **{attribute.column}:** {attribute.why}" for attribute in problem.protected)
    head = ("attribute", "group", "rows", *map(_words, names), "judged")
    return (
        f"## Fairness on {problem.split.test}\n\nThe largest difference of a rate between two groups, and what is "
        f"allowed.\n\n{table(('attribute', 'rate', 'difference', 'limit'), limits)}\n\n"
        f"Why the limits are what they are:\n\n{reasons}\n\n{table(head, rows)}"
    )


def _difference(groups: tuple[GroupRates, ...], attribute: Protected, rate: str) -> str:
    judged = [g for g in groups if g.attribute == attribute.column and g.judged and rate in g.rates]
    if len(judged) < 2:
        return "no two groups to compare"
    low, high = (pick(judged, key=lambda g: g.rates[rate]) for pick in (min, max))
    return f"{high.rates[rate] - low.rates[rate]:.3f} ({high.group}, {low.group})"


def _limits(problem: Problem, evaluation: Evaluation) -> str:
    small = [f"{g.attribute} {g.group} ({g.rows:,})" for g in evaluation.fairness if not g.judged]
    sensitive = [feature.name for feature in problem.features if feature.sensitive]
    lines = [
        f"- **Not for:** {problem.decision.not_for}",
        f"- **Only about:** {problem.decision.about} For anybody else it was never tried.",
        f"- **Only as good as then:** tested once, on {problem.split.test}. How it does on later data, the "
        "monitor says.",
        f"- **Labels come late:** {problem.target.event} Until then its performance is estimated from its own scores.",
        f"- **Sensitive inputs:** {', '.join(sensitive) or 'none'}. The model may use them as it finds them useful.",
    ]
    lines += [f"- **Groups too small to judge:** {', '.join(small)}."] * bool(small)
    return "## Limits\n\n" + "\n".join(lines)


def _inputs(problem: Problem) -> str:
    rows = [
        (
            feature.name,
            feature.title,
            f"{feature.minimum} to {feature.maximum}"
            if feature.kind == "numeric"
            else ", ".join(f"{code} {meaning}" for code, meaning in feature.codes.items()),
            "yes" if feature.sensitive else "",
        )
        for feature in problem.features
    ]
    return "## Inputs\n\n" + table(("column", "meaning", "values", "sensitive"), rows)


def _reproduction(problem: Problem, evaluation: Evaluation) -> str:
    parameters = table(
        ("parameter", "value"), [(name, str(value)) for name, value in sorted(evaluation.parameters.items())]
    )
    versions = ", ".join(f"{name} {version}" for name, version in sorted(evaluation.environment.items()))
    changed = "\n\nThe checkout had changes that were not committed: this commit alone may not give the same model."
    return (
        "## How to reproduce it\n\nThe same commit, data and definition give the same files, and so the same bundle "
        f"digest.{changed * evaluation.code_modified}\n\n```\ngit checkout {evaluation.code_commit}\n"
        "uv sync --frozen --all-extras\nuv run mlops train --stack local-dev\n"
        "uv run mlops release --stack local-dev --no-pin\n```\n\n"
        f"Trained with {versions}; seed {problem.split.seed}.\n\n{parameters}"
    )


def _words(name: str) -> str:
    return name.replace("_", " ")
