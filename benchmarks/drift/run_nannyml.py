"""NannyML's univariate drift, in an environment of its own: `run_nannyml.py <folder> <core> defaults|tests`."""

import sys
from pathlib import Path

import measure

measure.pin(int(sys.argv[2]))

import nannyml  # noqa: E402
import pandas as pd  # noqa: E402

METHODS = {  # its default is the Jensen-Shannon distance alone
    "defaults": {},
    "tests": {
        "continuous_methods": ["jensen_shannon", "kolmogorov_smirnov"],
        "categorical_methods": ["jensen_shannon", "chi2"],
    },
}


def main(folder: Path, methods: str) -> None:
    """Print what fitting and calculating took."""
    reference, live = (pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "live"))
    columns = list(reference.columns)
    categorical = [name for name in columns if name.startswith("c")]
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=columns, treat_as_categorical=categorical, **METHODS[methods]
    )
    _, fit = measure.timed(lambda: calculator.fit(reference))
    result, calculate = measure.timed(lambda: calculator.calculate(live))
    assert len(result.to_df()) > 0
    measure.report({"fit": fit, "calculate": calculate}, ["nannyml", "pandas", "numpy", "scipy"])


main(Path(sys.argv[1]), sys.argv[3])
