"""What is released of a training: the run that somebody vouches for, and its files, compared before any is opened."""

from pathlib import Path
from typing import Final

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from ml.bundle.bundle import differences, file_digests
from ml.bundle.evaluation import CANDIDATE_FOLDER, CHOSEN_TAG
from ml.errors import InputRefused, ReleaseRefused
from ml.runtime import Runtime
from ml.trust import voucher
from ml.trust.voucher import TRAIN_AGAIN, Voucher

__all__ = ["bring", "chosen"]

NAMED: Final = 5  # files that a refusal names


def chosen(client: MlflowClient, runtime: Runtime, problem: str, experiment_id: str, run_id: str | None) -> Voucher:
    """The voucher of the run to release: `run_id`, else the newest training's.

    MLflow alone never says which run it is. ReleaseRefused where it names another one as the newest than the vouchers.
    """
    if run_id is not None:
        _require_run(client, run_id)
        return voucher.of_run(runtime, problem, run_id)
    named, found = _newest_in_mlflow(client, experiment_id), voucher.newest(runtime, problem)
    if named is None and found is None:
        raise InputRefused("There is no finished training to release. Run `mlops train` first.")
    if found is None:
        return voucher.of_run(runtime, problem, str(named))
    if named != found.run_id:
        raise ReleaseRefused(
            f"MLflow says that the newest training's candidate is the run {named or 'of nobody'}, but the newest that "
            f"somebody vouches for is {found.run_id}, of {found.made_at:%Y-%m-%d %H:%M} UTC by {found.made_by}. "
            "Somebody has changed MLflow, or one of the two was cut short. Name the run that you mean: "
            f"`mlops release --run {found.run_id}`; or train again."
        )
    return found


def bring(vouched: Voucher, scratch: Path, tracking_uri: str) -> Path:
    """A copy of the candidate from MLflow; ReleaseRefused, naming files, unless it is what its training left.

    Nothing of it is opened before every byte of the copy was compared.
    """
    here = scratch / "downloaded"
    here.mkdir()
    try:
        download_artifacts(
            run_id=vouched.run_id, artifact_path=CANDIDATE_FOLDER, dst_path=str(here), tracking_uri=tracking_uri
        )
    except (MlflowException, OSError) as error:
        raise ReleaseRefused(
            f"MLflow doesn't give the candidate of the run {vouched.run_id}: {error}. {TRAIN_AGAIN}"
        ) from error
    expected = {f"{CANDIDATE_FOLDER}/{name}": digest for name, digest in vouched.files.items()}
    wrong = differences(expected, file_digests(here, unlisted=frozenset()))
    if wrong:
        more = f" (and {len(wrong) - NAMED} more)" if len(wrong) > NAMED else ""
        raise ReleaseRefused(
            f"The candidate of the run {vouched.run_id} in MLflow is not what its training left: "
            f"{', '.join(wrong[:NAMED])}{more}. Nothing of it was loaded. Find out who changed it. {TRAIN_AGAIN}"
        )
    return here / CANDIDATE_FOLDER


def _newest_in_mlflow(client: MlflowClient, experiment_id: str) -> str | None:
    newest = client.search_runs(
        [experiment_id],
        f"tags.`{CHOSEN_TAG}` = 'true' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return str(newest[0].info.run_id) if newest else None


def _require_run(client: MlflowClient, run_id: str) -> None:
    try:
        client.get_run(run_id)
    except MlflowException as error:
        raise InputRefused(f"MLflow has no run {run_id!r}: {error.message}") from error
