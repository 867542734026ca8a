"""The seeded tables that all contenders are timed on: a reference and a live one, with drift in some columns."""

from pathlib import Path

import numpy as np
import polars as pl

SEED = 20151
CONTINUOUS = [f"x{i:02}" for i in range(20)]
INTEGERS = ["n0", "n1"]
CATEGORICALS = {"c0": 4, "c1": 18}  # number of codes
DRIFTED = {"x03": 0.02, "x07": 0.2, "x11": 0.5}  # shift of the mean, in standard deviations
MISSING = {"x05": 0.01, "x13": 0.05}


def make(rows: int, *, live: bool) -> pl.DataFrame:
    """A table of `rows` rows and 24 columns; the same arguments give the same table."""
    rng = np.random.default_rng([SEED, live])
    columns: dict[str, np.ndarray] = {}
    for i, name in enumerate(CONTINUOUS):
        values = rng.normal(size=rows) if i % 2 else rng.lognormal(sigma=0.7, size=rows)
        columns[name] = values + (DRIFTED.get(name, 0.0) if live else 0.0)
        if name in MISSING:
            columns[name][rng.uniform(size=rows) < MISSING[name]] = np.nan
    for name in INTEGERS:
        columns[name] = rng.binomial(99, 0.4, size=rows).astype(np.int16)
    for name, codes in CATEGORICALS.items():
        columns[name] = rng.integers(0, codes, size=rows).astype(np.int8)
    return pl.DataFrame(columns)


def write(folder: Path, rows: int) -> None:
    """Write `reference.parquet` and `live.parquet`."""
    for name in ("reference", "live"):
        make(rows, live=name == "live").write_parquet(folder / f"{name}.parquet")
