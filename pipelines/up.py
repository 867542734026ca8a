"""`make up`: from nothing to a served model, with the commands that a person would use one by one."""

import importlib
import os
import time
from collections import Counter
from collections.abc import Mapping
from threading import Thread

import click

from infra.clouds.local import _supervisor
from infra.clouds.local._private import UMASK, private_folder
from infra.config import ConfigInvalid, StackConfig
from infra.engine.environ import engine_environment
from infra.engine.install import EngineMissing, install
from infra.engine.ownership import require_own_backend, require_own_stack
from ml.bundle.bundle import read_manifest
from ml.edge import sentences
from ml.errors import MlopsError
from ml.release.command import release
from ml.release.stackfile import drop_salt, pinned, stack_file, unpin
from ml.runtime import Runtime
from ml.serving.command import predict
from ml.store import Store
from ml.training.command import train
from pipelines._steps import PROJECT, StepFailed, call, environment_exists, local_stack, run, say, unlock
from pipelines.down import destroy

UP = ["pulumi", "up", "--yes", "--skip-preview", "--suppress-outputs"]
# First what the tracking server doesn't import itself: two processes would compile the same modules at the same time.
SLOW_IMPORTS = (
    *("scipy.stats", "sklearn.ensemble", "sklearn.linear_model", "matplotlib.figure"),
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
        config = local_stack(stack)
        environment = engine_environment(install(say))
        require_own_backend(os.environ | environment)
    except (EngineMissing, ConfigInvalid, MlopsError) as error:
        raise click.ClickException(str(error)) from error
    was_running = _supervisor.is_running(config.local_root(PROJECT))
    try:
        is_served = _bring_up(config, environment)
        _summarise(stack, started) if is_served else _say_what_is_next(config)
    except (StepFailed, MlopsError) as error:
        raise click.ClickException(f"{error}\n`make up` can be run again.") from error
    except (KeyboardInterrupt, click.Abort):  # click makes the one into the other inside `mlops train`
        if not was_running and environment_exists(stack, environment):
            say("interrupted: ending what was started")
            _end(config, environment)
        raise
    finally:
        drop_salt(stack_file(stack, PROJECT))


def _bring_up(config: StackConfig, environment: Mapping[str, str]) -> bool:
    """Whether a release is served in the end: beyond the first environment it takes a promotion."""
    stack, file = config.stack, stack_file(config.stack, PROJECT)
    if (root := config.local_root(PROJECT)).is_dir():
        private_folder(root)  # older versions left it open
    if environment_exists(stack, environment):
        require_own_stack(stack, config.local_root(PROJECT), environment)
        unlock(stack, environment)
    else:
        drop_salt(file)  # somebody else's would have the engine ask for their passphrase
        run(["pulumi", "stack", "init", stack], environment)
    releases_here = config.environment.previous is None
    if (digest := pinned(file)) and releases_here and not _is_in_store(config, digest):
        say(f"the pinned release {digest[:19]}… isn't in this environment's store: a new one is made")
        unpin(file)
    must_train = releases_here and pinned(file) is None
    if must_train:
        # The libraries take seconds to load; the engine waits for servers meanwhile.
        Thread(target=_load, daemon=True).start()
    run([*UP, "--refresh", "--stack", stack], environment)
    if must_train:
        call(train, "--stack", stack, "--root", str(PROJECT))
        call(release, "--stack", stack)
        run([*UP, "--stack", stack], environment)
    return pinned(file) is not None


def _load() -> None:
    for name in SLOW_IMPORTS:
        importlib.import_module(name)


def _end(config: StackConfig, environment: Mapping[str, str]) -> None:
    try:
        destroy(config.stack, environment)
    except StepFailed:  # PROD is protected: its processes end, and the next `make up` has them back
        _supervisor.delete(str(config.local_root(PROJECT)), {})


def _is_in_store(config: StackConfig, digest: str) -> bool:
    store = config.local_root(PROJECT) / "store"
    return store.is_dir() and Store(store.as_uri()).exists(f"bundles/{digest.replace(':', '/')}/manifest.json")


def _say_what_is_next(config: StackConfig) -> None:
    before = f"local-{config.environment.previous}"
    click.echo(
        f"\n{config.stack} is up, and serves nothing yet: its releases come from {before}.\n"
        f"Next: `mlops promote --from {before} --to {config.stack}`, then `make up STACK={config.stack}`."
    )


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
        ("gates", ", ".join(f"{count} {result.replace('_', ' ')}" for result, count in results.items())),
        ("endpoint", f"{runtime.endpoint_url}/docs"),
        ("MLflow", runtime.tracking_uri),
        ("monitor", runtime.monitor_url),
        ("Prometheus", runtime.metrics_url or "not on this machine"),
        ("store", runtime.store_uri),
    ):
        click.echo(f"  {name:<12}{value}")
    click.echo('\nNext: eval "$(.venv/bin/mlops env)" puts `pulumi` on PATH; `make down` ends everything.')


if __name__ == "__main__":
    os.umask(UMASK)  # whatever this makes, the engine's state too, is for this user alone
    with sentences("make up"):
        up()
