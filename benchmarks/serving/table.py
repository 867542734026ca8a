"""The results as text for a terminal, and as Markdown for who reads the repository."""

from typing import Any

ROUNDED = 10  # numbers from here on are shown without decimals


def as_text(results: dict[str, Any]) -> str:
    """The medians as plain text."""
    keys = _keys(results)
    lines = [f"{'requests/s':26}" + "".join(f"{key:>26}" for key in keys) + f"{'cold s':>9}{'MB':>7}{'runs':>6}"]
    for name, c in results["contenders"].items():
        speeds = "".join(f"{c['loads'][key]['requests_per_second']['median']:26.0f}" for key in keys)
        cold, memory = c["cold_start_s"]["median"], c["memory"]["rss_mb"]["median"]
        lines.append(f"{name:26}{speeds}{cold:9.2f}{memory:7.0f}{c['runs']:6}")
    for target in results["targets"]:
        met = "met" if target["met"] else "NOT MET"
        lines.append(f"{target['what']:50}{target['measured']:10}  {target['demanded']:14}{met}")
    lines += [f"{name} failed: {why}" for name, why in results["failed"].items()]
    return "\n".join(lines)


def as_markdown(results: dict[str, Any]) -> str:
    """Medians, goals and where they were measured."""
    machine, model = results["machine"], results["model"]
    loads = machine["load_average_while_running"]
    lines = [
        "# Serving: results",
        "",
        f"Written by the benchmark. {model['candidate']}, {model['columns']} columns; each server on one core of "
        f"{machine['processor']}, load by {machine['wrk']} from another, Python {machine['python']}; load average of "
        f"the machine {loads[0]} to {loads[1]}. Medians of the runs; least and most are in results.json.",
        "",
        "| | " + " | ".join(f"{key.replace('1 rows', '1 row')}, requests/s" for key in _keys(results))
        + " | p99 ms, 1 row, 16 connections | processor µs per 1-row request | cold start s | MB | peak MB | runs |",
        "|---" * (len(_keys(results)) + 7) + "|",
    ]  # fmt: skip
    one = "1 rows, 16 connections"
    for name, c in results["contenders"].items():
        load = c["loads"][one]
        numbers = [c["loads"][key]["requests_per_second"] for key in _keys(results)]
        numbers += [load["p99_ms"], load["server_us_per_request"], c["cold_start_s"]]
        numbers += [c["memory"]["rss_mb"], c["memory"]["peak_rss_mb"]]
        lines.append(f"| {name} | " + " | ".join(_number(n["median"]) for n in numbers) + f" | {c['runs']} |")
    if results["targets"]:
        lines += ["", "| goal | measured | demanded | |", "|---|---|---|---|"]
        lines += [
            f"| {t['what']} | {t['measured']} | {t['demanded']} | {'met' if t['met'] else '**not met**'} |"
            for t in results["targets"]
        ]
    lines += ["", *(f"{name} failed: {why}" for name, why in results["failed"].items())]
    for name, c in results["contenders"].items():
        lines.append(f"- {name}: " + ", ".join(f"{k} {v}" for k, v in c["versions"].items()))
    return "\n".join(lines) + "\n"


def _keys(results: dict[str, Any]) -> list[str]:
    return list(next(iter(results["contenders"].values()))["loads"])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= ROUNDED else f"{value:.2f}"
