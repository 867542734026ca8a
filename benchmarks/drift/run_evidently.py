"""Evidently's default drift report, in an environment of its own: `run_evidently.py <folder> <core>`."""

import sys
from pathlib import Path

import measure

measure.pin(int(sys.argv[2]))

import pandas as pd  # noqa: E402
from evidently import DataDefinition, Dataset, Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402


def main(folder: Path) -> None:
    """Print what the report took."""
    reference, live = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "live"))
    categorical = [name for name in reference.columns if name.startswith("c")]
    definition = DataDefinition(
        numerical_columns=[name for name in reference.columns if name not in categorical],
        categorical_columns=categorical,
    )

    def run() -> dict[str, object]:
        datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in (live, reference)]
        return Report([DataDriftPreset()]).run(*datasets).dict()

    result, calculate = measure.timed(run)
    assert len(result["metrics"]) >= len(reference.columns)
    measure.report({"calculate": calculate}, ["evidently", "pandas", "numpy", "scipy"])


main(Path(sys.argv[1]))
