"""Time bulk scoring of the same rows by the same model: this project against the plain pipeline, taking turns."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pyarrow.parquet as pq

from benchmarks.drift.__main__ import _processor as processor
from benchmarks.scoring import picture, prepare

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = "mlops score"
CONTENDERS = {  # name: script and how
    OURS: ("run_ours.py", "release"),
    "mlops score, a model that can't be compiled": ("run_ours.py", "pipeline"),
    "pandas and the pipeline, all at once": ("run_plain.py", "whole"),
    "pandas and the pipeline, in batches": ("run_plain.py", "batches"),
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rows", default=2_000_000, show_default=True, help="Rows to score.")
@click.option("--rounds", default=5, show_default=True, help="Runs of each contender.")
@click.option("--core", default=0, show_default=True, help="The core that every run is pinned to.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the release and the rows in this folder, for the next time.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=HERE, help="Where results.json goes.")
def main(rows: int, rounds: int, core: int, keep: Path | None, out: Path) -> None:
    """Write results.json and results.png.

    Example: python -m benchmarks.scoring --rows 200000 --rounds 1
    """
    runs: dict[str, list[dict]] = {name: [] for name in CONTENDERS}
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as temporary:
        folder = (keep or Path(temporary)).resolve()
        made = prepare.release(folder, lambda line: click.echo(line, err=True))
        source = prepare.table(folder, rows)
        for turn in range(rounds):
            for name, (script, how) in CONTENDERS.items():
                runs[name].append(_run(script, how, source, folder, made, core))
                click.echo(f"round {turn + 1}  {name:50}{runs[name][-1]['seconds']:8.2f} s", err=True)
                load.append(os.getloadavg()[0])
        results = _summary(runs, rows, made, load)
        results["same_scores"] = _same(folder)
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    picture.draw(results, out / "results.png")
    click.echo(_as_text(results))


def _run(script: str, how: str, source: str, folder: Path, made: dict[str, str], core: int) -> dict:
    output = folder / f"out-{how}"
    shutil.rmtree(output, ignore_errors=True)
    output.unlink(missing_ok=True)
    by = [made["store"], made["release"]] if script == "run_ours.py" else [str(folder / "bundle/model/model.pkl")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(HERE / script), source, str(output), *by, str(core), how],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _same(folder: Path) -> dict[str, float]:
    """How far the scores of the compiled model and of pandas' pipeline are apart."""
    ours = pq.read_table(folder / "out-release", columns=["id", "score"]).sort_by("id")["score"].to_numpy()
    plain = pq.read_table(folder / "out-whole", columns=["id", "score"]).sort_by("id")["score"].to_numpy()
    return {"rows": len(ours), "largest_difference": float(abs(ours - plain).max())}


def _summary(runs: dict[str, list[dict]], rows: int, made: dict[str, str], load: list[float]) -> dict:
    plain = _spread([run["cpu_seconds"] for run in runs["pandas and the pipeline, all at once"]])["median"]
    contenders = {}
    for name, done in runs.items():
        cpu = _spread([run["cpu_seconds"] for run in done])
        contenders[name] = {
            "runs": len(done),
            "seconds": _spread([run["seconds"] for run in done]),
            "cpu_seconds": cpu,
            # Of processor time: the machine is shared with other work, whose share of the clock says nothing.
            "rows_per_cpu_second": round(rows / cpu["median"]),
            "times_the_plain_pipeline": round(plain / cpu["median"], 2),
            "peak_mb": _spread([run["peak_mb"] for run in done]),
        }
    return {
        "rows": rows,
        "scorer": made["scorer"],
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "cores_used": 1,
            "load_average_while_running": [round(min(load), 1), round(max(load), 1)],
        },
        "versions": runs[OURS][0]["versions"],
        "contenders": contenders,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 2),
        "least": round(min(values), 2),
        "most": round(max(values), 2),
    }


def _as_text(results: dict) -> str:
    lines = [f"{'':50}{'CPU s':>10}{'least':>8}{'most':>8}{'rows/CPU s':>12}{'peak MB':>9}{'ratio':>8}{'clock s':>9}"]
    for name, c in results["contenders"].items():
        s = c["cpu_seconds"]
        row = f"{name:50}{s['median']:10.2f}{s['least']:8.2f}{s['most']:8.2f}{c['rows_per_cpu_second']:12,}"
        lines.append(
            f"{row}{c['peak_mb']['median']:9.0f}{c['times_the_plain_pipeline']:8}{c['seconds']['median']:9.1f}"
        )
    lines.append(f"The scores differ by at most {results['same_scores']['largest_difference']:.1g}.")
    lines.append(", ".join(f"{name} {version}" for name, version in results["versions"].items()))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
