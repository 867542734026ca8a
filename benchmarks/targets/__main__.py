"""What a target (a cloud and a platform, three environments) costs the test suite, in processor time."""

import json
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import click

from infra.config import ENVIRONMENTS
from infra.engine.environ import PROJECT

HERE = Path(__file__).parent
LIFE = "tests/engine/test_life_{}.py"
LAYERS = ("plans and inputs", "lives in one process", "the engine")


@click.command()
@click.option("--planned-for", default=12, show_default=True, help="Targets to work out the suite's cost for.")
def main(planned_for: int) -> None:
    """Run each target's tests alone and write results.json beside this file.

    Example: python -m benchmarks.targets --planned-for 12
    """
    stacks = (PROJECT / "stacks").glob(f"Pulumi.*-*-{next(iter(ENVIRONMENTS))}.yaml")
    targets = sorted(stack.stem.removeprefix("Pulumi.").rpartition("-")[0] for stack in stacks)
    start = _processor_s(["--collect-only", "tests/contract"])  # what every run pays once, however many targets
    found = {target: dict(zip(LAYERS, _of(target, start), strict=True)) for target in targets}
    one = sum(sum(layers.values()) for layers in found.values()) / len(found)
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "processor_s": found,
        "one_target_processor_s": round(one),
        f"all_{planned_for}_targets_on_two_cores_s": round(one * planned_for / 2),
    }
    (HERE / "results.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def _of(target: str, start: float) -> list[float]:
    lives = "tests/contract/test_lives.py"
    ways = (
        ["tests/contract", f"--deselect={lives}", "-k", target],
        [lives, "-k", target],
        [LIFE.format(target.partition("-")[2])],
    )
    return [round(max(0.0, _processor_s(way) - start), 1) for way in ways]


def _processor_s(words: list[str]) -> float:
    """Of pytest in one process, and of all that it starts; the plans of other tests are not there yet."""
    before = _spent()
    tests = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-W", "ignore", *words]
    subprocess.run(tests, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return _spent() - before


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
