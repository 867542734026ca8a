"""What a platform does for the commands: one object a platform, found by its name in a stack's outputs.

A platform is a folder below `ml/platforms` and a row of the entry points `mlops.platforms` (pyproject.toml): nothing
else in `ml` knows its name, its ids or its client.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, NoReturn, Protocol

from ml.bundle.job_result import JobResult
from ml.bundle.manifest import Manifest
from ml.errors import InputRefused
from ml.following import Say
from ml.plugins import plugins
from ml.problem import Problem
from ml.runtime import Runtime
from ml.store import Store

__all__ = ["Asked", "Observed", "Platform", "Registered", "Registry", "Standing", "platform_of", "platforms"]

GROUP: Final = "mlops.platforms"


@dataclass(frozen=True)
class Asked:
    """A scoring as a person asked for it; `others` are the options that they gave beside it."""

    source: str
    output: str
    release: str
    shares: int
    words: list[str]  # the same command, for a machine that knows no stack
    others: list[str]


@dataclass(frozen=True)
class Observed:
    """The release that answers, and those that are tried beside it; None where nothing has been loaded."""

    champion: str | None
    challengers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Standing:
    """What a ledger says of a release, and why: `approved` is what `pulumi up` would take."""

    status: Literal["approved", "pending", "rejected"]
    why: str


@dataclass(frozen=True)
class Registered:
    """A release on its way into a registry; `image` is what serves it, `<repository>@sha256:…`, where one does."""

    digest: str
    store: Store
    standing: Standing
    image: str | None
    verified: Callable[[], Manifest]  # ReleaseRefused for one that is altered, or that nobody known has signed


class Registry(Protocol):
    """The registry of models that a stack's platform has of its own."""

    def register(self, release: Registered, say: Say) -> str:
        """What the release is called there; made where it isn't there yet."""
        ...

    def follow(self, digest: str, standing: Standing) -> None:
        """Have it say of the release, where it is there, what the ledger says now."""
        ...


class Platform:
    """A platform that runs our own server and no jobs, as processes of a machine are; others say what they do more."""

    answers_rows_alone = False  # a platform may pass on rows and nothing beside them: no reasons, no description

    # Jobs, where a stack's outputs name one

    def train(self, problem: Problem, runtime: Runtime, root: Path, say: Say) -> str:
        """Start the stack's training on data that are checked and in its store: what names the job."""
        self._has_no_jobs(runtime.stack)

    def follow_training(self, job: str, say: Say, show: Say, runtime: Runtime) -> JobResult:
        """Say what happens and show what the job prints until it has ended; MlopsError when it ended badly."""
        self._has_no_jobs(runtime.stack)

    def score(self, runtime: Runtime, asked: Asked) -> str:
        """Start the stack's scoring: what names the job. InputRefused for what the job can't be told."""
        self._has_no_jobs(runtime.stack)

    def output_of(self, job: str) -> str:
        """Where a job writes; InputRefused for one that doesn't score."""
        self._has_no_jobs(job)

    def follow_scoring(self, job: str, say: Say, show: Say) -> None:
        """Say what happens until the job has ended; MlopsError when it failed."""
        self._has_no_jobs(job)

    def stop_command(self, job: str) -> str:
        """What a person types to end a job."""
        self._has_no_jobs(job)

    def has_named(self, job: str) -> bool:
        """Whether this is how the platform names its jobs."""
        return False

    def _has_no_jobs(self, whose: str) -> NoReturn:
        raise InputRefused(f"{whose}: its platform has no such job. Add --here to use this machine.")

    # Inside a container that the platform has started

    def training_here(self, environment: Mapping[str, str]) -> Callable[[], int] | None:
        """The training as whose job this container was started: run it for its exit code. None where it was not."""
        return None

    def share_here(self, environment: Mapping[str, str]) -> tuple[int, int] | None:
        """Which share, from 1, of how many of a scoring this container does."""
        return None

    def commands(self) -> Mapping[str, Callable[[], None]]:
        """Commands of the image that are the platform's alone."""
        return {}

    # Registries and tracking

    def registry(self, runtime: Runtime) -> Registry | None:
        """The platform's own registry of models; None where releases are served from their store and listed nowhere."""
        return None

    def mlflow_model(self, runtime: Runtime, tracking_uri: str, problem: str) -> tuple[str, str]:
        """MLflow's registry for a stack, and what the problem's model is called there."""
        return tracking_uri, problem

    def connect_tracking(self, uri: str) -> bool:
        """Have MLflow's requests to the stack's server let through; False where it is asked as anybody's is."""
        return False

    def experiment(self, problem: str) -> str:
        """What the problem's experiment is called."""
        return problem

    # The endpoint

    def sign(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers of a request to the stack's endpoint, with what lets it through."""
        return dict(headers)

    def observe(self, url: str) -> Observed | None:
        """Which releases an endpoint serves, as the platform says it; None where the server there says it itself."""
        return None


@cache
def platforms() -> Mapping[str, Platform]:
    """Every platform of this installation, by name."""
    return {point.name: point.load() for point in plugins(GROUP)}


def platform_of(runtime: Runtime) -> Platform:
    """The platform of a stack; InputRefused for one that this installation has no code for."""
    if found := platforms().get(runtime.platform):
        return found
    raise InputRefused(
        f"{runtime.stack} runs on {runtime.platform!r}, and this installation knows {', '.join(platforms())}. "
        "Install the version that made the stack."
    )
