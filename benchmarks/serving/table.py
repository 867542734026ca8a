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
    loads, others = machine["load_average_while_running"], machine["others_share_of_the_servers_core"]
    lines = [
        "# Serving: results",
        "",
        f"Written by the benchmark. {model['candidate']}, {model['columns']} columns; each server on one core of "
        f"{machine['processor']}, load by {machine['wrk']} from another, Python {machine['python']}; load average of "
        f"the machine {loads[0]} to {loads[1]}, others took {100 * others['median']:.0f} % of the server's core in the "
        f"median load and {100 * others['most']:.0f} % in the worst. Medians of the runs; least and most are in "
        "results.json.",
        "",
        "| | " + " | ".join(f"{key.replace('1 rows', '1 row')}, requests/s" for key in _keys(results))
        + " | p99 ms, 1 row, 16 connections | cold start s | MB | peak MB | runs |",
        "|---" * (len(_keys(results)) + 6) + "|",
    ]  # fmt: skip
    one = "1 rows, 16 connections"
    for name, c in results["contenders"].items():
        load = c["loads"][one]
        numbers = [c["loads"][key]["requests_per_second"] for key in _keys(results)]
        numbers += [load["p99_ms"], c["cold_start_s"], c["memory"]["rss_mb"], c["memory"]["peak_rss_mb"]]
        lines.append(f"| {name} | " + " | ".join(_number(n["median"]) for n in numbers) + f" | {c['runs']} |")
    lines += _of_processor_time(results)
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


def _of_processor_time(results: dict[str, Any]) -> list[str]:
    """What a request costs its server, and ours in parts of its peers': what neighbours on the machine change least."""
    keys = _keys(results)
    head = "| " + " | ".join(key.replace("1 rows", "1 row") for key in keys) + " |"
    lines = ["", f"| processor µs per request {head}", "|---" * (len(keys) + 1) + "|"]
    for name, c in results["contenders"].items():
        spent = [c["loads"][key]["server_us_per_request"]["median"] for key in keys]
        lines.append(f"| {name} | " + " | ".join(map(_number, spent)) + " |")
    for measure, title in (
        ("server_us_per_request", "processor time, ours in parts of the peer's: median of the rounds (least to most)"),
        ("requests_per_second", "requests a second, ours in parts of the peer's"),
    ):
        lines += ["", f"| {title} {head}", "|---" * (len(keys) + 1) + "|"] if results["pairs"] else []
        for peer, pairs in results["pairs"].items():
            found = [pairs[key][measure] for key in keys]
            cells = [f"{one['median']:.2f} ({one['least']:.2f} to {one['most']:.2f})" for one in found]
            lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    return lines


def _keys(results: dict[str, Any]) -> list[str]:
    return list(next(iter(results["contenders"].values()))["loads"])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= ROUNDED else f"{value:.2f}"
