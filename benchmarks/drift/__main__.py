"""Time drift detection over the same million rows: this project, scipy, NannyML and Evidently, taking turns."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.drift import picture, table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OWN = "this project, "
# Each of the other tools gets a throw-away environment: Evidently 0.7.23 needs pandas < 3, and NannyML 0.13.1 imports
# statsmodels without asking for it.
ENVIRONMENTS = {
    "run_evidently.py": ["evidently==0.7.23", "pandas<3", "pyarrow"],
    "run_nannyml.py": ["nannyml==0.13.1", "pandas<3", "pyarrow", "statsmodels"],
}
NO_TELEMETRY = {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"}
CONTENDERS = {  # name: script and arguments
    OWN + "binned": ["run_ours.py", "binned"],
    OWN + "binned, scanning parquet": ["run_ours.py", "scanned"],
    OWN + "exact Kolmogorov-Smirnov": ["run_ours.py", "exact"],
    "scipy ks_2samp": ["run_scipy.py"],
    "NannyML, Jensen-Shannon alone (default)": ["run_nannyml.py", "defaults"],
    "NannyML, with KS and chi-square": ["run_nannyml.py", "tests"],
    "Evidently DataDriftPreset": ["run_evidently.py"],
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rows", default=1_000_000, show_default=True, help="Rows of each of the two tables.")
@click.option("--rounds", default=7, show_default=True, help="Runs of this project.")
@click.option("--slow-rounds", default=3, show_default=True, help="Runs of scipy and NannyML.")
@click.option("--slowest-rounds", default=2, show_default=True, help="Runs of Evidently, minutes each.")
@click.option("--core", default=0, show_default=True, help="The core that every run is pinned to.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=HERE, help="Where results.json goes.")
def main(rows: int, rounds: int, slow_rounds: int, slowest_rounds: int, core: int, out: Path) -> None:
    """Write results.json and results.png.

    Example: python -m benchmarks.drift --rounds 3
    """
    if shutil.which("uv") is None:
        raise click.UsageError("uv is not on PATH; it makes the environments of Evidently and NannyML.")
    out.mkdir(parents=True, exist_ok=True)
    times = dict.fromkeys(CONTENDERS, slow_rounds) | {"Evidently DataDriftPreset": slowest_rounds}
    times |= {name: rounds for name in CONTENDERS if name.startswith(OWN)}
    runs: dict[str, list[dict]] = {name: [] for name in CONTENDERS}
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        click.echo(f"Making two tables of {rows:,} rows.", err=True)
        table.write(Path(folder), rows)
        stored = _run(["run_ours.py", "store"], folder, core)
        for turn in range(max(times.values())):
            for name in (name for name in CONTENDERS if turn < times[name]):
                runs[name].append(_run(CONTENDERS[name], folder, core))
                seconds = runs[name][-1]["calculate"]["seconds"]
                click.echo(f"round {turn + 1}  {name:50}{seconds:8.2f} s", err=True)
                load.append(os.getloadavg()[0])
    results = _summary(runs, stored, rows, load)
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    picture.draw(results, out / "results.png")
    click.echo(_as_text(results))


def _run(command: list[str], folder: str, core: int) -> dict:
    script, *arguments = command
    python = [sys.executable]
    if packages := ENVIRONMENTS.get(script):
        python = ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", platform.python_version()]
        python += [word for package in packages for word in ("--with", package)] + ["python"]
    done = subprocess.run(
        [*python, "-W", "ignore", str(HERE / script), folder, str(core), *arguments],
        env=os.environ | NO_TELEMETRY | {"PYTHONPATH": str(ROOT) if script == "run_ours.py" else ""},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _summary(runs: dict[str, list[dict]], stored: dict, rows: int, load: list[float]) -> dict:
    exact, scipy = runs[OWN + "exact Kolmogorov-Smirnov"][0]["ks"], runs["scipy ks_2samp"][0]["ks"]
    fastest = statistics.median(run["calculate"]["seconds"] for run in runs[OWN + "binned"])
    contenders = {}
    for name, done in runs.items():
        first = done[0]
        contenders[name] = {
            "runs": len(done),
            **{part: _spread([run[part] for run in done]) for part in ("fit", "calculate") if part in first},
            **{key: first[key] for key in ("drifted",) if key in first},
            "versions": first["versions"],
        }
        contenders[name]["times_the_binned"] = round(contenders[name]["calculate"]["seconds"]["median"] / fastest, 1)
    return {
        "table": {
            "rows": rows,
            "columns": len(table.CONTINUOUS) + len(table.INTEGERS) + len(table.CATEGORICALS),
            "seed": table.SEED,
            "drifted": sorted(table.DRIFTED),
        },
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "cores_used": 1,
            "load_average_while_running": [round(min(load), 1), round(max(load), 1)],
        },
        "stored_profile": {"bytes": stored["profile_bytes"], "made_in": _spread([stored["fit"]])},
        "exact_ks_against_scipy": {
            "columns": len(scipy),
            "largest_difference_of_the_statistic": max(abs(exact[c][0] - scipy[c][0]) for c in scipy),
            "largest_relative_difference_of_the_p_value": max(_relative(exact[c][1], scipy[c][1]) for c in scipy),
        },
        "contenders": contenders,
    }


def _spread(measured: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each quantity."""
    values = {key: [run[key] for run in measured] for key in measured[0]}
    return {
        key: {"median": round(statistics.median(v), 3), "least": round(min(v), 3), "most": round(max(v), 3)}
        for key, v in values.items()
    }


def _relative(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b) / max(abs(a), abs(b))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def _as_text(results: dict) -> str:
    lines = [f"{'':50}{'median s':>10}{'least':>9}{'most':>9}{'extra MB':>10}{'peak MB':>9}{'runs':>6}{'ratio':>8}"]
    for name, c in results["contenders"].items():
        s, extra, peak = (c["calculate"][key] for key in ("seconds", "extra_mb", "peak_mb"))
        row = f"{name:50}{s['median']:10.2f}{s['least']:9.2f}{s['most']:9.2f}"
        lines.append(f"{row}{extra['median']:10.0f}{peak['median']:9.0f}{c['runs']:6}{c['times_the_binned']:8}")
    ks = results["exact_ks_against_scipy"]
    lines.append(
        f"Exact Kolmogorov-Smirnov against scipy, {ks['columns']} columns: the statistics differ by at most "
        f"{ks['largest_difference_of_the_statistic']:g}, "
        f"the p-values by {ks['largest_relative_difference_of_the_p_value']:.1g} of themselves."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
