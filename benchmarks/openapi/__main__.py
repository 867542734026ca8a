"""Ten thousand requests made from the server's own description: none may be answered otherwise than it says.

Beside what schemathesis finds, how long each answer took: a request that a client gave up on is either a server that
stood still or a machine that had other work, and the slowest answers tell which.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from ml.problem import Problem, load_problem
from tests.conftest import LENIENT
from tests.integration.test_protocols_openapi import SCHEMATHESIS
from tests.served import served, uv

RESULTS = Path(__file__).with_name("results.json")
SLOWEST = 5


@click.command(epilog="Example: python -m benchmarks.openapi --cases 10000")
@click.option("--cases", default=10_000, show_default=True, type=click.IntRange(1), help="At least so many requests.")
@click.option("--timeout-s", default=60.0, show_default=True, help="When the client gives a request up.")
@click.option("--seed", default=1, show_default=True, help="Of what is made up.")
@click.option("--keep/--no-keep", default=True, show_default=True, help="Write results.json.")
def main(cases: int, timeout_s: float, seed: int, keep: bool) -> None:
    """Ask a server whatever its description allows and forbids; exits with 1 when an answer was not as described."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", folder)
        patch.setenv("MLOPS_SIGN_AS", "author@example.org")
        with served(Path(folder), _problem()) as server:
            report: dict[str, Any] = {"cases": 0, "failed": False, "examples": 100}
            while not report["failed"] and report["cases"] < cases:
                report = _run(server.url, Path(folder), timeout_s, seed, int(report["examples"] * 2))
                click.echo(f"{report['cases']:,} requests, {report['examples']} examples an operation", err=True)
    report |= {"at": datetime.now(UTC).isoformat(timespec="seconds"), "schemathesis": SCHEMATHESIS.partition("==")[2]}
    click.echo(json.dumps({key: value for key, value in report.items() if key != "said"}, indent=2))
    if report["failed"]:
        click.echo(report["said"], err=True)
    elif keep:
        kept = {key: value for key, value in report.items() if key != "said"}
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    sys.exit(1 if report["failed"] else 0)


def _run(url: str, folder: Path, timeout_s: float, seed: int, examples: int) -> dict[str, Any]:
    har = folder / "requests.har"
    options = ["--max-examples", str(examples), "--seed", str(seed), "--request-timeout", f"{timeout_s:g}"]
    reports = ["--report", "har", "--report-har-path", str(har), "--no-color"]
    environment = [uv(), "run", "--quiet", "--no-project", "--python", sys.executable, "--with", SCHEMATHESIS]
    started, load = time.monotonic(), os.getloadavg()[0]
    ended = subprocess.run(
        [*environment, "schemathesis", "run", f"{url}/openapi.json", *options, *reports],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    entries = json.loads(har.read_text())["log"]["entries"]
    times = np.array([entry["time"] for entry in entries])
    slowest = sorted(entries, key=lambda entry: -entry["time"])[:SLOWEST]
    return {
        "cases": len(entries),
        "examples": examples,
        "failed": ended.returncode != 0,
        "seconds": round(time.monotonic() - started, 1),
        "load": [round(load, 1), round(os.getloadavg()[0], 1)],
        "ms": {f"p{q:g}": round(float(np.percentile(times, q)), 1) for q in (50, 99, 99.9, 100)},
        "slowest": [
            {
                "ms": round(entry["time"], 1),
                "method": entry["request"]["method"],
                "path": entry["request"]["url"].removeprefix(url).partition("?")[0],
                "number": entries.index(entry) + 1,
                "asked_for_reasons": "explain" in entry["request"]["url"] + str(entry["request"].get("postData")),
                "status": entry["response"]["status"],
            }
            for entry in slowest
        ],
        "statuses": _counted([entry["response"]["status"] for entry in entries]),
        "said": ended.stdout + ended.stderr,
    }


def _counted(statuses: list[int]) -> dict[str, int]:
    return {str(status): statuses.count(status) for status in sorted(set(statuses))}


def _problem() -> Problem:
    """The project's problem with gates that anything passes, as the tests have it."""
    definition = load_problem().model_dump()
    for attribute in definition["protected"]:
        attribute["limits"] = dict.fromkeys(attribute["limits"], 1.0)
    return Problem.model_validate(definition | {"gates": LENIENT, "waivers": []})


if __name__ == "__main__":
    main()
