"""This project: `run_ours.py <folder> <core> store|binned|scanned|exact`."""

import sys
from pathlib import Path

import measure

measure.pin(int(sys.argv[2]))

import polars as pl  # noqa: E402  # after pinning: the number of threads is read at import
import table  # noqa: E402

from ml.monitoring.drift import DriftCalculator, alerts  # noqa: E402
from ml.monitoring.profile import CategoricalSpec, NumericSpec, Profile  # noqa: E402


def count_reference(folder: Path, *, exact: bool) -> tuple[Profile, dict[str, float]]:
    """The reference's profile and what it took."""
    specs = [NumericSpec(name, exact=exact) for name in table.CONTINUOUS]
    specs += [NumericSpec(name, exact=True) for name in table.INTEGERS]
    specs += [CategoricalSpec(name, tuple(range(codes))) for name, codes in table.CATEGORICALS.items()]
    reference = pl.read_parquet(folder / "reference.parquet")
    return measure.timed(lambda: Profile.of(reference, Profile.layout(reference, specs)))


def main(folder: Path, way: str) -> None:
    """Store the reference's profile, or compare the live table with it and print what that took."""
    stored = folder / "profile.json"
    packages = ["polars", "numpy", "scipy"]
    if way == "store":
        profile, fit = count_reference(folder, exact=False)
        stored.write_bytes(profile.to_json())
        return measure.report({"fit": fit, "profile_bytes": stored.stat().st_size}, packages)
    live = pl.scan_parquet(folder / "live.parquet") if way == "scanned" else pl.read_parquet(folder / "live.parquet")
    if way == "exact":  # a million distinct values a column stay in memory, as the other tools keep their reference
        profile, fit = count_reference(folder, exact=True)
        results, calculate = measure.timed(lambda: DriftCalculator().fit(profile).calculate(live))
        ks = {r.feature: [r.value, r.p_value] for r in results if r.statistic == "kolmogorov_smirnov"}
        return measure.report({"fit": fit, "calculate": calculate, "ks": ks}, packages)
    results, calculate = measure.timed(
        lambda: DriftCalculator().fit(Profile.from_json(stored.read_bytes())).calculate(live)
    )
    return measure.report({"calculate": calculate, "drifted": sorted({r.feature for r in alerts(results)})}, packages)


main(Path(sys.argv[1]), sys.argv[3])
