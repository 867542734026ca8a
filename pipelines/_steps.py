"""What the pipelines share: run a command as a person would, and say what is going on."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import psutil

from infra.config import ConfigInvalid, StackConfig
from infra.engine.secrets import read_config

__all__ = ["PROJECT", "StepFailed", "call", "environment_exists", "local_stack", "run", "say", "unlock"]

PROJECT = Path(__file__).parents[1]


class StepFailed(Exception):
    """A command ended with an error that it has already explained."""


def say(text: str) -> None:
    """A line for the person who waits."""
    print(f"\033[1m==> {text}\033[0m" if sys.stderr.isatty() else f"==> {text}", file=sys.stderr, flush=True)


def run(command: list[str], environment: Mapping[str, str]) -> None:
    """Run one step in the project's folder."""
    say(" ".join(command))
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=PROJECT, env=os.environ | environment)
    try:
        process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal has interrupted it too; it ends in its own way
        raise
    if process.returncode:
        raise StepFailed(f"`{' '.join(command)}` ended with exit code {process.returncode}; its message is above.")
    say(f"{' '.join(command[:2])}: {time.monotonic() - started:.1f} s")


def call(command: click.Command, *words: str) -> None:
    """Run one of `mlops`' own commands in this process, which has the libraries loaded already."""
    say(f"mlops {command.name} {' '.join(words)}")
    started = time.monotonic()
    command.main(list(words), prog_name=f"mlops {command.name}", standalone_mode=False)
    say(f"mlops {command.name}: {time.monotonic() - started:.1f} s")


def environment_exists(stack: str, environment: Mapping[str, str]) -> bool:
    """Whether the engine knows the stack."""
    command = ["pulumi", "stack", "ls", "--all", "--json"]
    result = subprocess.run(
        command, cwd=PROJECT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return f'"{stack}"' in result.stdout or f'/{stack}"' in result.stdout


def local_stack(stack: str) -> StackConfig:
    """The configuration of a stack of the local cloud; ConfigInvalid or InputRefused for any other, at once."""
    from ml.release.stackfile import stack_file

    config = read_config(stack, stack_file(stack, PROJECT))
    if config.cloud != "local":
        raise ConfigInvalid(
            f"{stack} is not on this laptop, and `make up` and `make down` are for what is. "
            f"`make preview STACK={stack}` shows its plan with no account, docs/{config.cloud}.md how it is deployed."
        )
    return config


def unlock(stack: str, environment: Mapping[str, str]) -> None:
    """Take away the lock of an engine that was killed on this machine: it would keep out every later one."""
    backend = urlsplit((os.environ | environment)["PULUMI_BACKEND_URL"])
    locks = list(Path(unquote(backend.path)).glob(f".pulumi/locks/*/*/{stack}/*.json")) if backend.path else []
    if backend.scheme == "file" and locks and all(_holder_is_gone(lock) for lock in locks):
        say("the engine was killed the last time; its lock is taken away")
        run(["pulumi", "cancel", "--yes", "--stack", stack], environment)


def _holder_is_gone(lock: Path) -> bool:
    try:
        holder = json.loads(lock.read_text(encoding="utf-8"))
        if holder["hostname"] != socket.gethostname():
            return False
        return not psutil.Process(holder["pid"]).name().startswith("pulumi")
    except psutil.NoSuchProcess:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        return False  # taken or given back just now: the engine decides
