"""Seconds and memory of each contender, as a picture."""

from pathlib import Path


def draw(results: dict, file: Path) -> None:
    """Write a PNG with two bar charts on logarithmic scales."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    contenders = results["contenders"]
    names = list(contenders)[::-1]
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.8), sharey=True, layout="constrained")
    colors = ["tab:blue" if name.startswith("this project") else "tab:gray" for name in names]
    for axis, key, title in ((axes[0], "seconds", "seconds, median"), (axes[1], "extra_mb", "extra memory in MB")):
        values = [max(contenders[name]["calculate"][key]["median"], 0.1) for name in names]
        bars = axis.barh(names, values, color=colors, height=0.65)
        axis.bar_label(bars, [f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in values], padding=3)
        axis.set_xscale("log")
        axis.set_xlim(min(values) / 3, max(values) * 5)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    shape = results["table"]
    figure.suptitle(f"Drift of {shape['rows']:,} rows x {shape['columns']} columns, one core", fontsize=11)
    figure.savefig(file, dpi=110)
    plt.close(figure)
