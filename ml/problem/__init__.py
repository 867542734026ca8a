"""The problem definition: the one place that says what is decided, on which data, and what good enough means."""

from ml.problem.data import Categorical, Condition, Datasets, Feature, Numeric
from ml.problem.decision import Baseline, Costs, Protected
from ml.problem.definition import Problem, load_problem, read_problem
from ml.problem.gates import FairnessGate, Gates, LatencyGate, MinimumEvidence, ShadowGate, Waiver
from ml.problem.live import Canary, Retraining, Review
from ml.problem.monitoring import Monitoring

__all__ = [
    "Baseline",
    "Canary",
    "Categorical",
    "Condition",
    "Costs",
    "Datasets",
    "FairnessGate",
    "Feature",
    "Gates",
    "LatencyGate",
    "MinimumEvidence",
    "Monitoring",
    "Numeric",
    "Problem",
    "Protected",
    "Retraining",
    "Review",
    "ShadowGate",
    "Waiver",
    "load_problem",
    "read_problem",
]
