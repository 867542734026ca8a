"""What the pipelines share: run a command as a person would, and say what is going on."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PROJECT", "StepFailed", "environment_exists", "run", "say"]

PROJECT = Path(__file__).parents[1]


class StepFailed(Exception):
    """A command ended with an error that it has already explained."""


def say(text: str) -> None:
    """A line for the person who waits."""
    print(f"\033[1m==> {text}\033[0m" if sys.stderr.isatty() else f"==> {text}", file=sys.stderr, flush=True)


def run(command: list[str], environment: Mapping[str, str], *, capture: bool = False) -> str:
    """Run one step in the project's folder; its output goes to standard error, or is returned."""
    shown = " ".join(Path(word).name if word.startswith("/") else word for word in command)
    started = time.monotonic()
    if not capture:
        say(shown)
    process = subprocess.Popen(
        command, cwd=PROJECT, env=os.environ | environment, stdout=subprocess.PIPE if capture else sys.stderr, text=True
    )
    try:
        output, _ = process.communicate()
    except KeyboardInterrupt:
        process.wait()  # the terminal has interrupted it too; it ends in its own way
        raise
    if process.returncode:
        raise StepFailed(f"`{shown}` ended with exit code {process.returncode}.")
    if not capture:
        say(f"{shown}: {time.monotonic() - started:.1f} s")
    return output or ""


def environment_exists(stack: str, environment: Mapping[str, str]) -> bool:
    """Whether the engine knows the stack."""
    command = ["pulumi", "stack", "ls", "--all", "--json"]
    result = subprocess.run(
        command, cwd=PROJECT, env=os.environ | environment, capture_output=True, text=True, check=True
    )
    return f'"{stack}"' in result.stdout or f'/{stack}"' in result.stdout
