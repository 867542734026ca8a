"""Build a bundle from what training left: everything that serving and monitoring need, and the manifest over it."""

import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from ml.bundle.bundle import MANIFEST_FILE, bundle_digest, canonical, file_digests
from ml.bundle.evaluation import EVALUATION_FILE, MODEL_FOLDER, REFERENCE_FILE, TEST_FILE, Evaluation
from ml.bundle.manifest import Gate, Manifest, ScorerEvidence
from ml.bundle.schema import SCHEMA_FILE, BundleSchema
from ml.errors import InputRefused
from ml.model.scorer import SCORER_FILE
from ml.problem import Problem
from ml.release._normal import normalise_model
from ml.release.compile import compile_scorer
from ml.release.explanation import write_explanation
from ml.release.model_card import model_card

__all__ = ["MODEL_CARD_FILE", "Origin", "assemble", "build", "read_evaluation", "seal"]

MODEL_CARD_FILE = "model_card.md"


@dataclass(frozen=True)
class Origin:
    """What a release claims beside its files: version, who and when, from which run, past which gates."""

    version: str
    created_at: datetime
    created_by: str
    gates: tuple[Gate, ...]
    tracking_run: str | None = None
    image_digest: str | None = None


def build(candidate: Path, folder: Path, problem: Problem, origin: Origin) -> Manifest:
    """Make the bundle of a candidate in `folder`, which must not exist; the same candidate gives the same bytes."""
    assemble(candidate, folder, problem)
    return seal(folder, problem, origin)


def read_evaluation(candidate: Path) -> Evaluation:
    """The evaluation of a candidate; InputRefused for a candidate folder that is not whole."""
    missing = [name for name in (MODEL_FOLDER, EVALUATION_FILE, REFERENCE_FILE) if not (candidate / name).exists()]
    if missing:
        raise InputRefused(f"The candidate {candidate} lacks {', '.join(missing)}. Train again with `mlops train`.")
    try:
        return Evaluation.model_validate_json((candidate / EVALUATION_FILE).read_bytes())
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputRefused(f"The evaluation in {candidate} is not valid. {wrong}. Train again.") from error


def assemble(candidate: Path, folder: Path, problem: Problem) -> None:
    """Lay out every file of the bundle but its manifest."""
    evaluation = read_evaluation(candidate)
    folder.mkdir(parents=True)
    shutil.copytree(candidate / MODEL_FOLDER, folder / MODEL_FOLDER)
    normalise_model(folder / MODEL_FOLDER)
    for name in (EVALUATION_FILE, REFERENCE_FILE):
        shutil.copyfile(candidate / name, folder / name)
    (folder / SCHEMA_FILE).write_bytes(BundleSchema.of(problem).dump())
    test = candidate / TEST_FILE
    compile_scorer(folder, problem, evaluation.decision_threshold, pd.read_parquet(test) if test.exists() else None)
    write_explanation(folder, problem)
    (folder / MODEL_CARD_FILE).write_text(model_card(problem, evaluation), encoding="utf-8")


def seal(folder: Path, problem: Problem, origin: Origin) -> Manifest:
    """Write the manifest over the files in `folder`."""
    evaluation = Evaluation.model_validate_json((folder / EVALUATION_FILE).read_bytes())
    files = file_digests(folder)
    manifest = Manifest(
        schema_version=1,
        name=problem.name,
        version=origin.version,
        created_at=origin.created_at,
        created_by=origin.created_by,
        bundle_digest=bundle_digest(files),
        files=files,
        data={name: f"sha256:{digest.removeprefix('sha256:')}" for name, digest in evaluation.data.items()},
        code_commit=evaluation.code_commit,
        code_modified=evaluation.code_modified,
        problem_digest=evaluation.problem_digest,
        image_digest=origin.image_digest,
        candidate=evaluation.candidate,
        parameters=evaluation.parameters,
        decision_threshold=evaluation.decision_threshold,
        metrics=evaluation.metrics,
        gates=origin.gates,
        fairness=evaluation.fairness,
        tracking_run=origin.tracking_run,
        scorer=ScorerEvidence.model_validate_json((folder / SCORER_FILE).read_bytes()),
        measured_under=evaluation.measured_under,
    )
    (folder / MANIFEST_FILE).write_bytes(canonical(manifest))
    return manifest
