"""The model card (Mitchell et al., 2019) of a release, written from the problem definition and the evaluation."""

from collections.abc import Iterable

from ml.problem import Problem
from ml.training.evaluation import Evaluation

__all__ = ["model_card"]


def model_card(problem: Problem, evaluation: Evaluation) -> str:
    """Markdown; the same inputs give the same text, so nothing in it depends on when or by whom it was released."""
    sections = (
        _intended_use(problem, evaluation),
        _data(problem, evaluation),
        _performance(problem, evaluation),
        _fairness(problem, evaluation),
        _inputs(problem),
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
            metric.name,
            f"{metric.value:.4f}",
            "" if metric.baseline is None else f"{metric.baseline:.4f}",
            ""
            if metric.difference_low is None or metric.difference_high is None
            else f"{metric.difference_low:+.4f} to {metric.difference_high:+.4f}",
        )
        for metric in evaluation.metrics
    ]
    confidence = f"difference ({problem.gates.quality.confidence:.0%} interval)"
    return (
        f"## Performance on {problem.split.test}\n\nThe baseline is the rule “{problem.baseline.title}”.\n\n"
        + _table(("metric", "model", "baseline", confidence), rows)
    )


def _fairness(problem: Problem, evaluation: Evaluation) -> str:
    names = list(dict.fromkeys(name for group in evaluation.fairness for name in group.rates))
    rows = [
        (
            group.attribute,
            group.group,
            str(group.rows),
            *(f"{group.rates[name]:.3f}" if name in group.rates else "" for name in names),
            "yes" if group.judged else "too few rows",
        )
        for group in evaluation.fairness
    ]
    limits = "\n".join(
        f"- **{attribute.column}:** "
        + ", ".join(f"{rate} may differ by {limit:g}" for rate, limit in attribute.limits.items())
        + f". {attribute.why}"
        for attribute in problem.protected
    )
    head = ("attribute", "group", "rows", *names, "judged")
    return f"## Fairness on {problem.split.test}\n\n{limits}\n\n{_table(head, rows)}"


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
    return "## Inputs\n\n" + _table(("column", "meaning", "values", "sensitive"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
