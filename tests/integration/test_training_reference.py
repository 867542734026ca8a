"""The figures that the data's README gives to check against, on all the real data."""

from pathlib import Path

import pytest

from ml.data.clean import clean
from ml.data.read import ingest
from ml.problem import load_problem
from ml.store import Store
from ml.training.candidates import scores_of
from ml.training.features import inputs, positives
from ml.training.fit import fit, prepare
from ml.training.metrics import ScoredRows

ROOT = Path(__file__).parents[2]
TOLERANCE = 0.005
# A default HistGradientBoostingClassifier fitted on all of 2015: data/acs-employment-ma/README.md
REFERENCE = {"2016": (0.851, 0.790), "2017": (0.856, 0.795)}


def test_the_model_is_as_good_as_the_reference_and_passes_every_quality_and_fairness_gate(tmp_path: Path) -> None:
    problem, store = load_problem(), Store(tmp_path.as_uri())
    trained = fit(problem, prepare(problem, store, ROOT, lambda _: None), ROOT, lambda _: None)
    assert trained.chosen.name == "boosting"
    assert not [gate for gate in trained.gates if gate.result == "failed" and gate.name != "latency_ms"]
    for name, (roc_auc, accuracy) in REFERENCE.items():
        frame = clean(problem, ingest(problem, name, store, ROOT).frame)
        scores = scores_of(trained.chosen.model, inputs(problem, frame))
        rows = ScoredRows(positives(problem, frame), scores, trained.chosen.threshold.chosen, problem.costs)
        values = rows.values()
        assert values["roc_auc"] >= roc_auc - TOLERANCE
        assert values["accuracy_at_half"] >= accuracy - TOLERANCE
        if name == problem.split.test:
            assert trained.evaluation.metric("roc_auc").value == pytest.approx(values["roc_auc"])
