"""Where am I running: the outputs of a stack, as the portable code needs them."""

import json
import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ml.errors import MlopsError
from ml.plugins import plugins

__all__ = ["Runtime", "RuntimeUnknown"]

VARIABLE = "MLOPS_RUNTIME"
STACK_OUTPUTS = "mlops.stack_outputs"  # entry point group: stack name -> outputs; infra provides it


class RuntimeUnknown(MlopsError):
    """The outputs of the stack can't be had; the message says what to do."""


class Runtime(BaseModel):
    """What a stack offers to the code that runs on it; the fields are exactly the stack's outputs.

    URIs are fsspec or HTTP URLs. A field is None where the stack doesn't have the thing (yet): there is
    no endpoint before the first release.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stack: str
    cloud: str
    platform: str
    environment: str
    store_uri: str
    tracking_uri: str
    monitor_url: str
    metrics_url: str | None = None
    endpoint_url: str | None = None
    release: str | None = None
    training_job: str | None = None
    scoring_job: str | None = None
    job_queue: str | None = None
    model_registry: str | None = None  # the platform's own, where releases are registered; None: their store is enough
    image_repository: str | None = None  # of the one container image; None where processes run the checkout
    approvals_required: int = 0  # to deploy a release
    ledger_head: str | None = None  # the ledger's newest entry when `pulumi up` last looked: its number and digest
    log_retention_days: int | None = None

    @classmethod
    def load(cls, stack: str | None = None) -> Self:
        """The runtime of `stack`, or of the process: MLOPS_RUNTIME holds the outputs, or where they are."""
        if stack is None:
            return cls._from_environment()
        providers = plugins(STACK_OUTPUTS)
        if not providers:
            raise RuntimeUnknown(
                f"The outputs of stack {stack!r} can't be read: this installation has no infrastructure code. "
                f"Set {VARIABLE} to the outputs as JSON, or to a file that holds them."
            )
        try:
            outputs = providers[0].load()(stack)
        except RuntimeError as error:
            raise RuntimeUnknown(f"The outputs of stack {stack!r} can't be read. {error}") from error
        return cls.parse(outputs, f"the outputs of stack {stack!r}")

    @classmethod
    def _from_environment(cls) -> Self:
        value = os.environ.get(VARIABLE)
        if not value:
            raise RuntimeUnknown(
                f"No stack is named: pass --stack, or set {VARIABLE} to a stack's outputs, as JSON or in a file."
            )
        try:
            outputs = json.loads(_text(value))
        except (OSError, ValueError) as error:
            raise RuntimeUnknown(f"{VARIABLE} is {value!r}, and no outputs can be read from it: {error}.") from error
        return cls.parse(outputs, VARIABLE)

    @classmethod
    def parse(cls, outputs: object, source: str) -> Self:
        """Validate `outputs`; RuntimeUnknown names `source` and every field that is wrong."""
        try:
            return cls.model_validate(outputs)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise RuntimeUnknown(
                f"{source[0].upper()}{source[1:]} are not what this version expects. {wrong}. Run `pulumi up` first."
            ) from error


def _text(value: str) -> str:
    """The outputs as JSON, from a file of this machine, or from a store: platforms keep variables short."""
    if value.lstrip().startswith("{"):
        return value
    if "://" not in value:
        return Path(value).read_text(encoding="utf-8")
    from ml.store import Store  # only where it is needed: fsspec takes a moment

    folder, _, name = value.rpartition("/")
    return Store(folder).read(name).decode()
