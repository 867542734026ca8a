"""Log a training to MLflow: parameters, metrics, curves, TensorBoard events, environment, and the candidate folder."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from tensorboardX import SummaryWriter

from ml.bundle.bundle import file_digests
from ml.bundle.evaluation import CANDIDATE_FOLDER, CHOSEN_TAG
from ml.bundle.gate_table import counts, table
from ml.problem import Problem
from ml.scratch import scratch_folder
from ml.training.candidates import Candidate
from ml.training.curves import fairness_bars, loss_curve, score_curves, search_results
from ml.training.fairness import RATES
from ml.training.features import positives
from ml.training.fit import Prepared, Trained
from ml.training.folder import write_candidate
from ml.training.provenance import exact_freeze
from ml.training.tracking import GIT_COMMIT_TAG, Tracking
from ml.trust.voucher import Vouching

__all__ = ["record", "run_tags"]


def run_tags(commit: str, modified: bool, problem_digest: str, digests: Mapping[str, str]) -> dict[str, str]:
    """The tags that say what a run was made from."""
    return {
        GIT_COMMIT_TAG: commit,
        "mlops.code_modified": str(modified).lower(),
        "mlops.problem_digest": problem_digest,
        **{f"mlops.data.{name}": digest for name, digest in digests.items()},
    }


def record(
    problem: Problem, data: Prepared, trained: Trained, tracking: Tracking, parent: str, vouching: Vouching
) -> str:
    """Log the training under the run `parent`; returns the chosen candidate's run, vouched for once it is complete."""
    evaluation = trained.evaluation
    tags = run_tags(evaluation.code_commit, evaluation.code_modified, evaluation.problem_digest, evaluation.data)
    tracking.log_datasets(parent, data.files)
    with scratch_folder() as folder:
        _write_comparison(problem, data, trained, folder)
        tracking.upload(parent, folder)
    chosen_run, files = "", dict[str, str]()
    for candidate in trained.candidates:
        with tracking.run(candidate.name, tags, parent=parent) as run_id, scratch_folder() as folder:
            _log_candidate(tracking, run_id, candidate, folder)
            if candidate is trained.chosen:
                chosen_run = run_id
                tracking.log_datasets(run_id, data.files)
                tracking.log(run_id, metrics=_test_metrics(trained))
                for gate in trained.gates:
                    tracking.tag(run_id, f"mlops.gate.{gate.name}", gate.result)
                _write_chosen(problem, data, trained, folder)
                files = file_digests(folder / CANDIDATE_FOLDER, unlisted=frozenset())
            tracking.upload(run_id, folder)
    tracking.log(parent, parameters={"chosen": trained.chosen.name}, metrics=_test_metrics(trained))
    vouching.vouch(chosen_run, files)
    tracking.tag(chosen_run, CHOSEN_TAG, "true")
    return chosen_run


def _log_candidate(tracking: Tracking, run_id: str, candidate: Candidate, folder: Path) -> None:
    threshold = candidate.threshold
    parameters = {
        **candidate.parameters,
        "decision_threshold": threshold.chosen,
        "decision_threshold_from": "theory" if threshold.is_theoretical else "validation",
    }
    metrics = {f"validation_{name}": value for name, value in candidate.validation.items()}
    if candidate.trials:
        metrics["validation_log_loss"] = min(trial.log_loss for trial in candidate.trials)
    tracking.log(run_id, parameters=parameters, metrics=metrics)
    if not candidate.losses:
        return
    _save(loss_curve(candidate.losses), folder / "curves" / "loss.png")
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for split, values in candidate.losses.items():
            tracking.log_steps(run_id, f"log_loss_{split}", values.tolist())
            for step, value in enumerate(values.tolist()):
                writer.add_scalar(f"log_loss/{split}", value, step)


def _write_comparison(problem: Problem, data: Prepared, trained: Trained, folder: Path) -> None:
    positive = positives(problem, data.validation)
    scores = {c.name: c.scores for c in trained.candidates}
    thresholds = {c.name: c.threshold.chosen for c in trained.candidates}
    for name, figure in score_curves(problem, positive, scores, thresholds, "validation rows").items():
        _save(figure, folder / "curves" / f"{name}.png")
    _save(search_results(trained.candidates), folder / "curves" / "search.png")
    (folder / "environment.txt").write_text(exact_freeze(), encoding="utf-8")


def _write_chosen(problem: Problem, data: Prepared, trained: Trained, folder: Path) -> None:
    positive = positives(problem, data.test)
    thresholds = {c.name: c.threshold.chosen for c in (trained.chosen, trained.baseline)}
    for name, figure in score_curves(problem, positive, trained.test_scores, thresholds, "test rows").items():
        _save(figure, folder / "curves" / f"{name}.png")
    _save(fairness_bars(trained.evaluation.fairness, RATES), folder / "curves" / "fairness.png")
    (folder / "gates.txt").write_text(table(trained.gates) + "\n", encoding="utf-8")
    write_candidate(
        folder / CANDIDATE_FOLDER, problem, trained.chosen, trained.evaluation, train=data.train, test=data.test
    )


def _test_metrics(trained: Trained) -> dict[str, float]:
    """The figures, what they were measured on, and how many gates and groups were judged."""
    evaluation = trained.evaluation
    counted = {
        "train_rows": evaluation.train_rows,
        "train_positives": evaluation.train_positives,
        "test_rows": evaluation.test_rows,
        "test_positives": evaluation.test_positives,
        "test_groups_judged": sum(group.judged for group in evaluation.fairness),
        "test_groups_not_judged": sum(not group.judged for group in evaluation.fairness),
        **{f"gates_{result}": count for result, count in counts(trained.gates).items()},
    }
    metrics = {name: float(count) for name, count in counted.items() if count is not None}
    for metric in evaluation.metrics:
        given = {
            "": metric.value,
            "_baseline": metric.baseline,
            "_difference_low": metric.difference_low,
            "_difference_high": metric.difference_high,
        }
        metrics |= {f"test_{metric.name}{suffix}": value for suffix, value in given.items() if value is not None}
    return metrics


def _save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
