"""Requests a second, cold start and memory of each contender, as a picture."""

from pathlib import Path
from typing import Any


def draw(results: dict[str, Any], file: Path) -> None:
    """Write a PNG with four bar charts on logarithmic scales; whiskers reach from the least to the most."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    contenders = results["contenders"]
    names = list(contenders)[::-1]
    charts = [
        ("1 row, 16 connections\nrequests/s", lambda c: c["loads"]["1 rows, 16 connections"]["requests_per_second"]),
        (
            "100 rows, 16 connections\nrequests/s",
            lambda c: c["loads"]["100 rows, 16 connections"]["requests_per_second"],
        ),
        ("start to first answer\nseconds", lambda c: c["cold_start_s"]),
        ("resident memory under load\nMB, all processes", lambda c: c["memory"]["rss_mb"]),
    ]
    colors = ["tab:blue" if n == "this project" else "lightgray" if n.startswith("echo") else "tab:gray" for n in names]
    figure, axes = plt.subplots(1, len(charts), figsize=(12, 3.2), sharey=True, layout="constrained")
    for axis, (title, of) in zip(axes, charts, strict=True):
        found = [of(contenders[name]) for name in names]
        values = [f["median"] for f in found]
        reach = [[f["median"] - f["least"] for f in found], [f["most"] - f["median"] for f in found]]
        bars = axis.barh(names, values, color=colors, height=0.65, xerr=reach, error_kw={"lw": 0.8, "ecolor": "black"})
        axis.bar_label(bars, [f"{v:.2g}" if v < 10 else f"{v:,.0f}" for v in values], padding=8, fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(min(values) / 3, max(values) * 8)
        axis.set_title(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)
