"""From the best candidate of a training to a release in the store: judged, bundled, registered, published."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from typing import Final

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from ml.errors import InputRefused, ReleaseRefused
from ml.problem import Problem
from ml.release.build import Origin, assemble, read_evaluation, seal
from ml.release.bundle import MANIFEST_FILE, canonical, digest_of, publish, verify
from ml.release.hand_over import READY, UNITY_CATALOG
from ml.release.keys import TrustedKeys, signer
from ml.release.latency import served_latency_ms
from ml.release.ledger import Ledger
from ml.release.manifest import Gate, Manifest
from ml.release.model_package import is_group
from ml.release.register import register, sign_manifest
from ml.runtime import Runtime
from ml.scratch import scratch_folder
from ml.serving.model import ServedModel
from ml.store import Store
from ml.training.evaluation import CANDIDATE_FOLDER, CHOSEN_TAG, MODEL_FOLDER, REFERENCE_FILE
from ml.training.gates import judge, table
from ml.training.provenance import problem_digest
from ml.training.tracking import Tracking

__all__ = ["ALIAS", "RELEASE_TAG", "ReleaseResult", "release"]

RELEASE_TAG: Final = "mlops.release"
CREATED_BY_TAG: Final = "mlops.created_by"
ALIAS: Final = "challenger"  # MLflow's word for a version that is released and not yet proven


@dataclass(frozen=True)
class ReleaseResult:
    """A release that is in the store; `is_new` is False when the run had been released before."""

    digest: str
    manifest: Manifest
    is_new: bool


def release(problem: Problem, runtime: Runtime, run_id: str | None, progress: Callable[[str], None]) -> ReleaseResult:
    """Release a candidate's run, by default the newest one; ReleaseRefused, with nothing written, when a gate fails.

    Safe to repeat after a kill at any point: a run has one release, claimed in the store before it is published.
    """
    tracking = Tracking(runtime.tracking_uri, problem.name)
    client, model = _registry(runtime, tracking.uri, problem)
    run_id = _chosen_run(client, tracking.experiment_id, run_id)
    store = Store(runtime.store_uri)
    me = signer(store)
    ledger = Ledger(store, runtime.stack, runtime.environment, TrustedKeys.of(store))
    claim = f"releases/{run_id}.json"
    if store.exists(claim) and (released := _released(problem, store, claim)):
        progress(f"Run {run_id} was released before")
        sign_manifest(store, ledger, released.manifest, me)
        register(ledger, released.manifest, me)
        _mark(client, model, released.manifest, released.digest)
        return released
    with scratch_folder() as scratch:
        folder = scratch / "bundle"
        progress(f"Downloading the candidate of run {run_id}")
        candidate = Path(download_artifacts(run_id=run_id, artifact_path=CANDIDATE_FOLDER, dst_path=str(scratch),
                                            tracking_uri=tracking.uri))  # fmt: skip
        _require_same_problem(problem, read_evaluation(candidate).problem_digest)
        assemble(candidate, folder, problem)
        progress("Judging the gates")
        gates = _judged(problem, candidate, folder)
        progress("Publishing the bundle")
        origin = _registered(client, model, problem, run_id, gates)
        manifest = _claimed(store, claim, seal(folder, problem, origin))
        (folder / MANIFEST_FILE).write_bytes(canonical(manifest))
        sign_manifest(store, ledger, manifest, me)
        digest = publish(store, folder)
    register(ledger, manifest, me)
    _mark(client, model, manifest, digest)
    return ReleaseResult(digest, manifest, is_new=True)


def _registry(runtime: Runtime, tracking_uri: str, problem: Problem) -> tuple[MlflowClient, str]:
    """MLflow's client and the registered model's name: in Unity Catalog where the platform serves from there."""
    if runtime.model_registry is None or is_group(runtime.model_registry):
        return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri), problem.name
    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=UNITY_CATALOG)
    return client, f"{runtime.model_registry}.{problem.name}"


def _chosen_run(client: MlflowClient, experiment_id: str, run_id: str | None) -> str:
    """The run to release: complete, and the chosen candidate of its training."""
    if run_id is None:
        newest = client.search_runs(
            [experiment_id],
            f"tags.`{CHOSEN_TAG}` = 'true' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        if not newest:
            raise InputRefused("There is no finished training to release. Run `mlops train` first.")
        return str(newest[0].info.run_id)
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        raise InputRefused(f"MLflow has no run {run_id!r}: {error.message}") from error
    if run.info.experiment_id != experiment_id or run.data.tags.get(CHOSEN_TAG) != "true":
        raise InputRefused(
            f"The run {run_id} is not the chosen candidate of a finished training. "
            "Name the run that `mlops train` printed, or leave --run out to take the newest."
        )
    return run_id


def _released(problem: Problem, store: Store, claim: str) -> ReleaseResult | None:
    """What an earlier release of the run left, None when it was cut short; ReleaseRefused when it no longer holds."""
    claimed = Manifest.model_validate_json(store.read(claim))
    digest = digest_of(claimed)
    try:
        manifest = verify(store, digest)
    except ReleaseRefused:
        return None  # not published, or damaged since: publishing again completes it
    _require_same_problem(problem, manifest.problem_digest)
    expired = [g.name for g in manifest.gates if g.waiver_expires and g.waiver_expires < datetime.now(UTC)]
    if expired:
        raise ReleaseRefused(
            f"The release {digest} passed with waivers that have expired since: {', '.join(expired)}. "
            "Train again, so that the gates are judged anew."
        )
    return ReleaseResult(digest, manifest, is_new=False)


def _require_same_problem(problem: Problem, trained_for: str) -> None:
    if problem_digest(problem) != trained_for:
        raise ReleaseRefused(
            "The problem definition has changed since the training, so its evaluation says nothing about this one. "
            "Run `mlops train` again, then `mlops release`."
        )


def _judged(problem: Problem, candidate: Path, folder: Path) -> tuple[Gate, ...]:
    """Every gate, passed or waived; latency is that of a request's bytes to its answer's, as the server will do it."""
    now = datetime.now(UTC)
    draft = seal(folder, problem, Origin(version="draft", created_at=now, created_by="", gates=()))
    model = ServedModel.load(folder, draft, maximum_rows=problem.gates.latency.rows)
    latency_ms = served_latency_ms(model, problem.gates.latency, folder / REFERENCE_FILE)
    gates = judge(problem, read_evaluation(candidate), latency_ms, now.date())
    if any(gate.result == "failed" for gate in gates):
        raise ReleaseRefused(f"The candidate fails its gates; nothing was released.\n{table(gates)}")
    return gates


def _registered(client: MlflowClient, model: str, problem: Problem, run_id: str, gates: tuple[Gate, ...]) -> Origin:
    """The run's version in the registry, made when there is none; it says the number, when, and by whom."""
    version = _version_of(client, model, run_id) or _new_version(client, model, problem, run_id)
    return Origin(
        version=str(version.version),
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        created_by=version.tags.get(CREATED_BY_TAG) or _person(),
        gates=gates,
        tracking_run=run_id,
    )


def _version_of(client: MlflowClient, name: str, run_id: str) -> ModelVersion | None:
    found = client.search_model_versions(f"name = '{name}'")
    versions = [v for v in found if v.run_id == run_id and v.status == READY]  # not one whose upload was cut short
    return min(versions, key=lambda v: int(v.version), default=None)


def _new_version(client: MlflowClient, model: str, problem: Problem, run_id: str) -> ModelVersion:
    try:
        client.create_registered_model(model, description=problem.title)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"runs:/{run_id}/{CANDIDATE_FOLDER}/{MODEL_FOLDER}"
    tags = {CREATED_BY_TAG: _person()}
    return client.create_model_version(model, source, run_id, tags=tags, await_creation_for=0)


def _claimed(store: Store, claim: str, manifest: Manifest) -> Manifest:
    """The one manifest of the run: the first that was claimed, unless it was of other files and never published."""
    try:
        store.create(claim, canonical(manifest))
        return manifest
    except FileExistsError:
        earlier = Manifest.model_validate_json(store.read(claim))
    if earlier.files == manifest.files:
        return earlier
    store.write(claim, canonical(manifest))
    return manifest


def _mark(client: MlflowClient, model: str, manifest: Manifest, digest: str) -> None:
    """Say in MLflow which release this is; the store, not MLflow, is what holds it."""
    client.set_model_version_tag(model, manifest.version, RELEASE_TAG, digest)
    client.set_registered_model_alias(model, ALIAS, manifest.version)
    if manifest.tracking_run:
        client.set_tag(manifest.tracking_run, RELEASE_TAG, digest)


def _person() -> str:
    """Who releases, as git knows them, else the account's name."""
    if git := shutil.which("git"):
        asked = subprocess.run([git, "config", "user.email"], capture_output=True, text=True, check=False)
        if email := asked.stdout.strip():
            return email
    return getuser()
