"""Time servers of one model, taking turns on one core: this project, those of a few lines, and other projects'."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from benchmarks.serving import picture, table
from benchmarks.serving.contenders import ECHO, KEYS, MLFLOW, OURS, PEERS, Contender, contenders
from benchmarks.serving.load import Server
from benchmarks.serving.release import ROWS, Release, make

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONNECTIONS = (1, 16)
WARM_UP_S = 1
LARGEST_DIFFERENCE = 1e-6


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rounds", default=5, show_default=True, help="Starts of each server.")
@click.option("--seconds", default=3, show_default=True, help="Of each of a start's four loads.")
@click.option("--minutes", default=12.0, show_default=True, help="No round begins that would end later.")
@click.option("--server-core", default=0, show_default=True, help="The core that the server is pinned to.")
@click.option("--load-core", default=1, show_default=True, help="The core that wrk is pinned to.")
@click.option("--only", default=",".join(KEYS), show_default=True, help="The contenders to measure.")
@click.option("--add", is_flag=True, help="Add rounds to those in results.json.")
@click.option("--work", type=click.Path(path_type=Path, file_okay=False), default=ROOT / ".mlops" / "benchmarks",
              help="Where the release and the other tools' environments are kept.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=HERE, help="Where results.json goes.")
def main(
    rounds: int,
    seconds: int,
    minutes: float,
    server_core: int,
    load_core: int,
    only: str,
    add: bool,
    work: Path,
    out: Path,
) -> None:
    """Write results.json, results.md and results.png.

    Examples: python -m benchmarks.serving --rounds 3
              python -m benchmarks.serving --only ours,asgi,fastapi --out /tmp
    """
    chosen_keys = only.split(",")
    if unknown := sorted(set(chosen_keys) - set(KEYS)):
        raise click.UsageError(f"--only names {', '.join(unknown)}; there are {', '.join(KEYS)}.")
    for tool, why in (
        ("wrk", "puts the load on the servers"),
        ("uv", "makes the other tools' environments"),
        ("taskset", "pins"),
    ):
        if shutil.which(tool) is None:
            raise click.UsageError(f"{tool} is not on PATH; it {why}.")
    started = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    release = make(work.resolve(), ROOT)
    chosen, failed = contenders(release, work.resolve(), only=chosen_keys)
    file = out / "results.json"
    runs: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["runs"] if add else []
    before = max((run["round"] for run in runs), default=0)
    longest_s = 0.0
    for number in range(before + 1, before + rounds + 1):
        began = time.monotonic()
        if began + longest_s - started > minutes * 60:
            click.echo(f"Round {number} would not end within {minutes:g} minutes.", err=True)
            break
        in_turn = chosen if number % 2 else chosen[::-1]  # what drifts meanwhile is nobody's advantage
        for contender in [one for one in in_turn if one.name not in failed]:
            try:
                runs.append(_run(contender, number, release, seconds, server_core, load_core))
                click.echo(_line(runs[-1]), err=True)
            except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
                failed[contender.name] = f"round {number}: {error}"
                click.echo(f"{contender.name} is left out from here on: {error}", err=True)
            _write(runs, chosen, failed, release, out)
        longest_s = max(longest_s, time.monotonic() - began)
    click.echo(table.as_text(json.loads(file.read_text(encoding="utf-8"))))


def _write(
    runs: list[dict[str, Any]], chosen: list[Contender], failed: dict[str, str], release: Release, out: Path
) -> None:
    """What was found so far: a run that is ended early leaves its results."""
    if not runs:
        return
    results = _results(runs, chosen, failed, release)
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "results.md").write_text(table.as_markdown(results), encoding="utf-8")
    picture.draw(results, out / "results.png")


def _run(
    contender: Contender, number: int, release: Release, seconds: int, server_core: int, load_core: int
) -> dict[str, Any]:
    """One start of one server: cold start, each load, memory."""
    run: dict[str, Any] = {
        "contender": contender.name,
        "round": number,
        "load_average": os.getloadavg()[0],
        "loads": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        server = Server(contender, server_core, release.rows[1], Path(folder))
        try:
            run["cold_start_s"] = server.cold_start_s
            run["largest_difference"] = _difference(contender, server, release)
            run["idle_memory"] = server.memory()
            for rows in ROWS:
                server.load(release.rows[rows], max(CONNECTIONS), WARM_UP_S, load_core)
                for connections in CONNECTIONS:
                    run["loads"][_key(rows, connections)] = server.load(
                        release.rows[rows], connections, seconds, load_core
                    )
            run["memory"] = server.memory() | {
                "rss_mb": statistics.median(server.rss_mb),
                "peak_rss_mb": max(server.rss_mb),
            }
        finally:
            server.stop()
    return run


def _difference(contender: Contender, server: Server, release: Release) -> float | None:
    """How far its scores of the many rows are from the model's: who is compared must have predicted."""
    if contender.scores is None:
        return None
    rows = release.rows[max(ROWS)]
    found = contender.scores(server.ask(rows))
    difference = max(abs(a - b) for a, b in zip(found, _expected(release), strict=True))
    if not difference <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"{contender.name} gives other scores than the model, by {difference}")
    return difference


def _expected(release: Release) -> list[float]:
    import pickle

    import pandas as pd

    model = pickle.loads((release.bundle / "model" / "model.pkl").read_bytes())  # noqa: S301 # made here
    return model.predict_proba(pd.DataFrame(release.rows[max(ROWS)]))[:, 1].tolist()


def _key(rows: int, connections: int) -> str:
    return f"{rows} rows, {connections} connections"


def _results(
    runs: list[dict[str, Any]], everyone: list[Contender], failed: dict[str, str], release: Release
) -> dict[str, Any]:
    summaries = {}
    for contender in everyone:
        of_it = [run for run in runs if run["contender"] == contender.name]
        if of_it:
            summaries[contender.name] = _summary(of_it) | {"versions": contender.versions}
    loads = [run["load_average"] for run in runs]
    pairs = {peer: found for peer in PEERS if (found := _pairs(runs, peer))}
    measured = [load for run in runs for load in run["loads"].values()]
    return {
        "model": {
            "candidate": release.manifest.candidate,
            "parameters": release.manifest.parameters,
            "columns": len(release.rows[1][0]),
            "scorer": release.manifest.scorer.model_dump(exclude_none=True) if release.manifest.scorer else None,
        },
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "cores_of_a_server": 1,
            "load_average_while_running": [round(min(loads), 1), round(max(loads), 1)],
            "others_share_of_the_servers_core": _spread([load["others_share"] for load in measured]),
            "python": platform.python_version(),
            "wrk": subprocess.run(["wrk", "--version"], capture_output=True, text=True)
            .stdout.split(" Copyright")[0]
            .strip(),
            "project": version("mlops-reference"),
        },
        "contenders": summaries,
        "failed": failed,
        "pairs": pairs,
        "targets": _targets(summaries, pairs),
        "runs": runs,
    }


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "runs": len(runs),
        "cold_start_s": _spread([run["cold_start_s"] for run in runs]),
        **{
            name: {k: _spread([run[name][k] for run in runs]) for k in runs[0][name]}
            for name in ("idle_memory", "memory")
        },
        "loads": {
            key: {k: _spread([run["loads"][key][k] for run in runs]) for k in load}
            for key, load in runs[0]["loads"].items()
        },
    }


def _spread(values: list[float]) -> dict[str, float]:
    found = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def _pairs(runs: list[dict[str, Any]], peer: str) -> dict[str, dict[str, dict[str, float]]]:
    """What ours took in parts of what `peer` took in the same round, by load: processor time, and requests a second."""
    of = {(run["contender"], run["round"]): run["loads"] for run in runs}
    rounds = sorted({number for name, number in of if name == OURS} & {number for name, number in of if name == peer})
    return {
        key: {
            measure: _spread([of[OURS, number][key][measure] / of[peer, number][key][measure] for number in rounds])
            for measure in ("server_us_per_request", "requests_per_second")
        }
        for key in (of[OURS, rounds[0]] if rounds else ())
    }


def _targets(summaries: dict[str, Any], pairs: dict[str, Any]) -> list[dict[str, Any]]:
    """What the project set itself, and what was measured: ratios of medians, medians of ratios beside the peers."""
    targets = [
        (
            f"processor time of a request, parts of {peer}'s, in the load where ours is furthest behind",
            max(load["server_us_per_request"]["median"] for load in loads.values()),
            1,
            False,
        )
        for peer, loads in pairs.items()
    ]
    if {OURS, ECHO, MLFLOW} <= summaries.keys():
        targets += _beside_mlflow(summaries)
    return [
        {"what": what, "measured": float(f"{found:.3g}"), "demanded": f"at {'least' if least else 'most'} {limit:g}",
         "met": found >= limit if least else found <= limit}
        for what, found, limit, least in targets
    ]  # fmt: skip


def _beside_mlflow(summaries: dict[str, Any]) -> list[tuple[str, float, float, bool]]:
    """What, what was measured, the limit, and whether it is the least."""
    ours, echo, mlflow = (summaries[name] for name in (OURS, ECHO, MLFLOW))
    one, many = _key(1, 16), _key(100, 16)

    def speed(summary: dict[str, Any], key: str) -> float:
        return summary["loads"][key]["requests_per_second"]["median"]

    p99 = ours["loads"][one]["p99_ms"]["median"]
    return [
        ("1 row: requests a second, times mlflow's", speed(ours, one) / speed(mlflow, one), 150, True),
        ("1 row: 99 % of answers within ms", p99, 5, False),
        ("1 row: share of the echo", speed(ours, one) / speed(echo, one), 0.45, True),
        ("100 rows: requests a second, times mlflow's", speed(ours, many) / speed(mlflow, many), 30, True),
        (
            "cold start, times faster than mlflow",
            mlflow["cold_start_s"]["median"] / ours["cold_start_s"]["median"],
            20,
            True,
        ),
        (
            "memory under load, times smaller than mlflow's",
            mlflow["memory"]["rss_mb"]["median"] / ours["memory"]["rss_mb"]["median"],
            6,
            True,
        ),
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def _line(run: dict[str, Any]) -> str:
    speeds = "".join(f"{load['requests_per_second']:10.0f}" for load in run["loads"].values())
    errors = sum(load["errors"] for load in run["loads"].values())
    return (
        f"round {run['round']}  {run['contender']:26}cold {run['cold_start_s']:6.2f} s{speeds} requests/s  "
        f"{run['memory']['rss_mb']:6.0f} MB" + (f"  {errors:.0f} errors" if errors else "")
    )


if __name__ == "__main__":
    main()
