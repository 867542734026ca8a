"""`make up`: from nothing to a served model, with the commands that a person would use one by one."""

import importlib
import os
import time
from collections import Counter
from collections.abc import Mapping
from threading import Thread

import click

from infra.config import StackConfig
from infra.engine.environ import engine_environment
from infra.engine.install import EngineMissing, install
from ml.errors import MlopsError
from ml.release.bundle import read_manifest
from ml.release.command import release
from ml.release.stackfile import pinned, stack_file, unpin
from ml.runtime import Runtime
from ml.serving.command import predict
from ml.store import Store
from ml.training.command import train
from pipelines._steps import PROJECT, StepFailed, call, environment_exists, run, say
from pipelines.down import destroy

UP = ["pulumi", "up", "--yes", "--skip-preview", "--suppress-outputs"]
# First what the tracking server doesn't import itself: two processes would compile the same modules at the same time.
SLOW_IMPORTS = (
    *("scipy.stats", "sklearn.ensemble", "sklearn.linear_model", "matplotlib.figure", "numba.core.typing"),
    *("ml.training.train", "ml.release.release"),
)


@click.command()
@click.option("--stack", default="local-dev", show_default=True, help="A stack of the local cloud.")
def up(stack: str) -> None:
    """Bring up an environment on this laptop: infrastructure, a trained and gated model, and a served prediction.

    Can be run again at any time: what is there stays, what died comes back.

    Example: python -m pipelines.up --stack local-dev
    """
    started = float(os.environ.get("MLOPS_STARTED_AT") or time.time())
    try:
        environment = engine_environment(install(say))
    except EngineMissing as error:
        raise click.ClickException(str(error)) from error
    is_new = not environment_exists(stack, environment)
    try:
        _bring_up(stack, environment, is_new=is_new)
        _summarise(stack, started)
    except (StepFailed, MlopsError) as error:
        raise click.ClickException(f"{error}\n`make up` can be run again.") from error
    except KeyboardInterrupt:
        if is_new and environment_exists(stack, environment):
            say("interrupted: ending what was started")
            destroy(stack, environment)
        raise


def _bring_up(stack: str, environment: Mapping[str, str], *, is_new: bool) -> None:
    if is_new:
        run(["pulumi", "stack", "init", stack], environment)
    file = stack_file(stack, PROJECT)
    if (digest := pinned(file)) and not _is_in_store(stack, digest):
        say(f"the pinned release {digest[:19]}… isn't in this environment's store: a new one is made")
        unpin(file)
    if pinned(file) is None:
        # The libraries take seconds to load; the engine waits for servers meanwhile.
        Thread(target=lambda: [importlib.import_module(name) for name in SLOW_IMPORTS], daemon=True).start()
    run([*UP, "--refresh", "--stack", stack], environment)
    if pinned(file) is None:
        call(train, "--stack", stack, "--root", str(PROJECT))
        call(release, "--stack", stack)
        run([*UP, "--stack", stack], environment)


def _is_in_store(stack: str, digest: str) -> bool:
    store = StackConfig.read(stack, stack_file(stack, PROJECT)).local_root(PROJECT) / "store"
    return store.is_dir() and Store(store.as_uri()).exists(f"bundles/{digest.replace(':', '/')}/manifest.json")


def _summarise(stack: str, started: float) -> None:
    runtime = Runtime.load(stack)
    say("a prediction from the running endpoint")
    predict.main(["--stack", stack], prog_name="mlops predict", standalone_mode=False)
    taken_s = time.time() - started
    manifest = read_manifest(Store(runtime.store_uri), runtime.release or "")
    results = Counter(gate.result for gate in manifest.gates)
    click.echo(f"\n{stack} is up. From the start to the first prediction: {taken_s:.0f} s.\n")
    for name, value in (
        ("release", f"{manifest.name} {manifest.version} ({manifest.candidate})"),
        ("digest", runtime.release),
        ("gates", ", ".join(f"{count} {result}" for result, count in results.items())),
        ("endpoint", f"{runtime.endpoint_url}/docs"),
        ("MLflow", runtime.tracking_uri),
        ("monitor", runtime.monitor_url),
        ("Prometheus", runtime.metrics_url or "not on this machine"),
        ("store", runtime.store_uri),
    ):
        click.echo(f"  {name:<12}{value}")
    click.echo('\nNext: eval "$(.venv/bin/mlops env)" puts `pulumi` on PATH; `make down` ends everything.')


if __name__ == "__main__":
    up()
