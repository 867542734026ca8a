"""The model card (Mitchell et al., 2019) of a release, written from the problem definition and the evaluation."""

from typing import Final

from ml.bundle.disparity import group_difference, is_judged
from ml.bundle.evaluation import Evaluation
from ml.bundle.gate_table import shown
from ml.bundle.manifest import GroupRates
from ml.problem import Problem, Protected
from ml.release._markdown import table

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
            shown(metric.value),
            shown(metric.baseline),
            "not judged"
            if metric.difference_low is None or metric.difference_high is None
            else f"{metric.difference_low:+.4f} to {metric.difference_high:+.4f}",
        )
        for metric in evaluation.metrics
    ]
    quality, positives = problem.gates.quality, evaluation.test_positives
    known = "" if positives is None else f", {positives:,} of them positive"
    return (
        f"## Performance on {problem.split.test}\n\n"
        f"{evaluation.test_rows:,} cases that training never saw{known}. "
        f"The baseline is the rule “{problem.baseline.title}”. "
        f"The interval is of the difference between model and baseline ({quality.confidence:.0%}, paired bootstrap, "
        f"{quality.bootstrap_samples} samples). Costs are in {problem.costs.unit}.\n\n"
        + table(("metric", "model", "baseline", "difference"), rows)
    )


def _fairness(problem: Problem, evaluation: Evaluation) -> str:
    gate = problem.gates.fairness
    names = list(dict.fromkeys(name for group in evaluation.fairness for name in group.rates))
    rows = [
        (
            group.attribute,
            group.group,
            f"{group.rows:,}",
            "" if group.positives is None else f"{group.positives:,}",
            *(f"{group.rates[name]:.3f}" if name in group.rates else "" for name in names),
            _judged(problem, group, names),
        )
        for group in evaluation.fairness
    ]
    limits = [
        (attribute.column, _words(rate), _difference(problem, evaluation.fairness, attribute, rate), f"{limit:g}")
        for attribute in problem.protected
        for rate, limit in attribute.limits.items()
    ]
    reasons = "\n".join(f"- **{attribute.column}:** {attribute.why}" for attribute in problem.protected)
    head = ("attribute", "group", "rows", "positive", *map(_words, names), "judged")
    return (
        f"## Fairness on {problem.split.test}\n\nThe largest difference of a rate between two groups, and what is "
        f"allowed. A group is judged by a rate that {gate.minimum_group_cases:,} of its rows or more count for, and "
        f"by none if it has fewer than {gate.minimum_group_rows:,}; the groups that are judged must hold "
        f"{gate.minimum_judged_share:.0%} of what is counted.\n\n"
        f"{table(('attribute', 'rate', 'difference', 'limit'), limits)}\n\n"
        f"Why the limits are what they are:\n\n{reasons}\n\n{table(head, rows)}"
    )


def _judged(problem: Problem, group: GroupRates, rates: list[str]) -> str:
    """By which of the rates a group is judged."""
    by = [_words(rate) for rate in rates if is_judged(group, rate, problem.gates.fairness)]
    return "yes" if by and len(by) == len(rates) else ", ".join(by) or "too few rows"


def _difference(problem: Problem, groups: tuple[GroupRates, ...], attribute: Protected, rate: str) -> str:
    found = group_difference(groups, attribute.column, rate, problem.gates.fairness)
    value = "" if found.value is None else f"{found.value:.3f} ({found.highest}, {found.lowest})"
    return value if found.why_not is None else f"{value} not judged: {found.why_not}".strip()


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
