"""What the pipelines share: run a command as a person would, and say what is going on."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import click

__all__ = ["PROJECT", "StepFailed", "call", "environment_exists", "run", "say"]

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
