"""How long a release takes to answer: measured the same way for the gate and in every environment it comes to."""

from pathlib import Path
from typing import Final

import pandas as pd

from ml.model.model import ServedModel
from ml.problem import LatencyGate
from ml.training.latency import Latency, measure_latency

__all__ = ["served_latency"]

LATENCY_ROWS: Final = 1000


def served_latency(model: ServedModel, gate: LatencyGate, reference: Path) -> Latency:
    """The gate's quantile from a request's bytes to its answer's, on rows of the reference data."""
    columns = [feature.name for feature in model.schema.features]
    # Whole numbers and nulls, as a client sends them: a column with nulls is read as floats.
    rows = pd.read_parquet(reference, columns=columns).head(max(LATENCY_ROWS, gate.rows)).convert_dtypes()

    def ask(batch: pd.DataFrame) -> object:
        return model.answer(batch.to_json(orient="records").encode(), "latency")

    return measure_latency(ask, rows, gate)
