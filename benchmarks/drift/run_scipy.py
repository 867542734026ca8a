"""scipy's own Kolmogorov-Smirnov test, column by column: `run_scipy.py <folder> <core>`."""

import sys
from pathlib import Path

import measure

measure.pin(int(sys.argv[2]))

import polars as pl  # noqa: E402
import table  # noqa: E402
from scipy import stats  # noqa: E402


def main(folder: Path) -> None:
    """Print the time and every result."""
    reference, live = (pl.read_parquet(folder / f"{name}.parquet") for name in ("reference", "live"))

    def test(name: str) -> list[float]:
        before, now = (
            frame[name].drop_nans() if name in table.CONTINUOUS else frame[name] for frame in (reference, live)
        )
        result = stats.ks_2samp(before.to_numpy(), now.to_numpy())
        return [float(result.statistic), float(result.pvalue)]

    ks, calculate = measure.timed(lambda: {name: test(name) for name in [*table.CONTINUOUS, *table.INTEGERS]})
    measure.report({"calculate": calculate, "ks": ks}, ["scipy", "numpy"])


main(Path(sys.argv[1]))
