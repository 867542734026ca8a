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
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from ml.bundle.bundle import MANIFEST_FILE, canonical, digest_of, publish, verify
from ml.bundle.evaluation import CANDIDATE_FOLDER, MODEL_FOLDER, REFERENCE_FILE
from ml.bundle.gate_table import counts, refusing, table
from ml.bundle.manifest import Gate, Manifest
from ml.errors import ReleaseRefused
from ml.model.model import ServedModel
from ml.platform import platform_of
from ml.problem import Problem
from ml.release.build import Origin, assemble, read_evaluation, seal
from ml.release.latency import served_latency
from ml.release.register import register, sign_manifest
from ml.release.vouched import bring, chosen
from ml.runtime import Runtime
from ml.scratch import scratch_folder
from ml.store import Store
from ml.training.gates import judge
from ml.training.provenance import problem_digest
from ml.training.tracking import Tracking
from ml.trust.claim import claim, claimed
from ml.trust.history import last
from ml.trust.keys import Signer, TrustedKeys, signer
from ml.trust.ledger import Ledger
from ml.trust.signing import verify_signature

__all__ = ["ALIAS", "RELEASE_TAG", "ReleaseResult", "release"]

RELEASE_TAG: Final = "mlops.release"
GATES_TAG: Final = "mlops.gates"
CREATED_BY_TAG: Final = "mlops.created_by"
NOT_TO_BE_LOADED: Final = (
    f"The tag {RELEASE_TAG} says which release the run became. Load no model from here: who may write to MLflow can "
    "change its files. What was verified is the release in the store."
)
READY: Final = "READY"  # a version of a model whose files are all there
ALIAS: Final = "challenger"  # MLflow's word for a version that is released and not yet proven


@dataclass(frozen=True)
class ReleaseResult:
    """A release that is in the store; `is_new` is False when the run had been released before."""

    digest: str
    manifest: Manifest
    is_new: bool


def release(problem: Problem, runtime: Runtime, run_id: str | None, progress: Callable[[str], None]) -> ReleaseResult:
    """Release a candidate's run, by default the newest one; ReleaseRefused, with nothing written, when a gate fails.

    So it is, with nothing loaded, for a run that nobody vouches for, or whose files are not what was vouched for.
    Safe to repeat after a kill at any point: a run has one release, claimed in the store before it is published.
    """
    tracking, store = Tracking(runtime, problem.name), Store(runtime.store_uri)
    me = signer(store)
    ledger = Ledger(store, runtime.stack, runtime.environment, TrustedKeys.of(store))
    where = _Where(*_registry(runtime, tracking.uri, problem), store, ledger, me)
    if run_id and (released := _again(where, problem, run_id, progress)):
        return released
    vouched = chosen(where.client, runtime, problem.name, tracking.experiment_id, run_id)
    if run_id is None and (released := _again(where, problem, vouched.run_id, progress)):
        return released
    with scratch_folder() as scratch:
        folder = scratch / "bundle"
        progress(f"Bringing the candidate of run {vouched.run_id}, for which {vouched.made_by} vouches")
        candidate = bring(vouched, scratch, tracking.uri)
        _require_same_problem(problem, read_evaluation(candidate).problem_digest)
        assemble(candidate, folder, problem)
        progress("Judging the gates")
        gates = _judged(problem, candidate, folder)
        progress("Publishing the bundle")
        origin = _registered(where, problem, vouched.run_id, gates, folder)
        manifest = claim(store, vouched.run_id, seal(folder, problem, origin), me, ledger.trusted)
        (folder / MANIFEST_FILE).write_bytes(canonical(manifest))
        sign_manifest(store, ledger, manifest, me)
        digest = publish(store, folder)
    register(ledger, manifest, me)
    _mark(where, manifest, digest)
    return ReleaseResult(digest, manifest, is_new=True)


@dataclass(frozen=True)
class _Where:
    """MLflow's client and the registered model's name there; the store, its ledger, and who signs."""

    client: MlflowClient
    model: str
    store: Store
    ledger: Ledger
    me: Signer


def _registry(runtime: Runtime, tracking_uri: str, problem: Problem) -> tuple[MlflowClient, str]:
    """MLflow's client and the registered model's name: where the platform serves from there, in its registry."""
    registry_uri, model = platform_of(runtime).mlflow_model(runtime, tracking_uri, problem.name)
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=registry_uri), model


def _again(where: _Where, problem: Problem, run_id: str, progress: Callable[[str], None]) -> ReleaseResult | None:
    """Complete what an earlier release of the run left whole; None where it left nothing that holds."""
    released = _released(where, problem, run_id)
    if released:
        progress(f"Run {run_id} was released before")
        sign_manifest(where.store, where.ledger, released.manifest, where.me)
        register(where.ledger, released.manifest, where.me)
        _mark(where, released.manifest, released.digest)
    return released


def _released(where: _Where, problem: Problem, run_id: str) -> ReleaseResult | None:
    """What an earlier release of the run left; None when it was cut short; ReleaseRefused when it no longer holds.

    Only what somebody known has signed: it is signed again here, by a person who has not seen what it is made of.
    """
    found = claimed(where.store, run_id)
    if found is None or found.tracking_run != run_id:
        return None
    digest = digest_of(found)
    try:
        manifest = verify(where.store, digest)
        author = verify_signature(where.store, digest, where.ledger.trusted)
    except ReleaseRefused:
        return None  # not published, or damaged since: publishing again completes it
    if author.revoked and last(where.ledger.entries(), digest, "registered") is None:
        return None  # nothing shows that it is older than the revocation
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
    latency = served_latency(model, problem.gates.latency, folder / REFERENCE_FILE)
    gates = judge(problem, read_evaluation(candidate), latency, now.date())
    if names := refusing(gates):
        raise ReleaseRefused(
            f"The candidate does not pass its gates ({', '.join(names)}); nothing was released.\n{table(gates)}"
        )
    return gates


def _registered(where: _Where, problem: Problem, run_id: str, gates: tuple[Gate, ...], bundle: Path) -> Origin:
    """What the release says of itself; its number is that of the run's version in the registry, made if need be.

    Who and when is not asked of the registry: others may write there.
    """
    version = _version_of(where, run_id) or _new_version(where, problem, run_id, bundle)
    return Origin(
        version=str(version.version),
        created_at=datetime.now(UTC),
        created_by=_person(),
        gates=gates,
        tracking_run=run_id,
    )


def _version_of(where: _Where, run_id: str) -> ModelVersion | None:
    found = where.client.search_model_versions(f"name = '{where.model}'")
    versions = [v for v in found if v.run_id == run_id and v.status == READY]  # not one whose upload was cut short
    return min(versions, key=lambda v: int(v.version), default=None)


def _new_version(where: _Where, problem: Problem, run_id: str, bundle: Path) -> ModelVersion:
    client, model = where.client, where.model
    try:
        client.create_registered_model(model, description=problem.title)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"runs:/{run_id}/{CANDIDATE_FOLDER}/{MODEL_FOLDER}"
    if model != problem.name:  # Unity Catalog's client reads and copies the files: it gets those that were compared,
        source = shutil.copytree(bundle / MODEL_FOLDER, bundle.with_name("registered")).as_uri()  # and deletes them
    return client.create_model_version(
        model, source, run_id, tags={CREATED_BY_TAG: _person()}, description=NOT_TO_BE_LOADED, await_creation_for=0
    )


def _mark(where: _Where, manifest: Manifest, digest: str) -> None:
    """Say in MLflow which release this is; the store, not MLflow, is what holds it."""
    client, model = where.client, where.model
    client.set_model_version_tag(model, manifest.version, RELEASE_TAG, digest)
    for result, count in counts(manifest.gates).items():
        client.set_model_version_tag(model, manifest.version, f"{GATES_TAG}.{result}", str(count))
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
