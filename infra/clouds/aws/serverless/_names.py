"""Physical names of what runs on Batch and Lambda: permissions are written before these things are there."""

from typing import Final

from infra.config import StackConfig
from infra.naming import physical

__all__ = [
    "ALIAS",
    "JOBS",
    "SCORING",
    "SERVING",
    "TRAINING",
    "WATCHING",
    "definition_name",
    "failed_queue",
    "function_name",
    "log_group",
    "queue_name",
]

TRAINING: Final = "train"
SCORING: Final = "score"
SERVING: Final = "endpoint"
WATCHING: Final = "watch"
JOBS: Final = "jobs"  # the log group of both kinds of jobs
ALIAS: Final = "live"  # the name under which the function is called, whatever version answers


def queue_name(config: StackConfig) -> str:
    """The queue that jobs wait in."""
    return physical(config.stack, "jobs", maximum_length=128)


def definition_name(config: StackConfig, job: str) -> str:
    """The definition of a kind of job."""
    return physical(config.stack, job, maximum_length=128)


def function_name(config: StackConfig, role: str) -> str:
    """A function of Lambda."""
    return physical(config.stack, role, maximum_length=64)


def failed_queue(config: StackConfig) -> str:
    """Where events go that a function could not answer."""
    return physical(config.stack, "failed", maximum_length=80)


def log_group(config: StackConfig, role: str) -> str:
    """The log of a function, or of all jobs."""
    return f"/{physical(config.stack, role, maximum_length=128)}"
