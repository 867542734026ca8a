"""Rows a second and memory of each contender, as a picture."""

from pathlib import Path


def draw(results: dict, file: Path) -> None:
    """Write a PNG with two bar charts."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    contenders = results["contenders"]
    names = list(contenders)[::-1]
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.2), sharey=True, layout="constrained")
    colors = ["tab:blue" if name.startswith("mlops") else "tab:gray" for name in names]
    columns = {
        "rows per second of one core, thousands": [contenders[name]["rows_per_cpu_second"] / 1000 for name in names],
        "peak memory in MB": [contenders[name]["peak_mb"]["median"] for name in names],
    }
    for axis, (title, values) in zip(axes, columns.items(), strict=True):
        bars = axis.barh(names, values, color=colors, height=0.65)
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3)
        axis.set_xlim(0, max(values) * 1.2)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"Scoring {results['rows']:,} rows from parquet to parquet, one core", fontsize=11)
    figure.savefig(file, dpi=110)
    plt.close(figure)
