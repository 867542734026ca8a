"""What a training says of its candidate where a writer to MLflow can't: which run it is, and the digest of each file.

MLflow keeps candidates, and whoever may log to it may change them and say of any run that it is the chosen one. So
`mlops release` takes run and files by the training's voucher, which lies in the environment's store:

- A person's training signs it with the person's key, whatever the store is.
- A job of a platform holds no key. What it leaves below `training/` counts by who may write there: on a platform that
  trains, the role of the training jobs alone (`infra/clouds/aws/identity.py`). The tracking server is not among them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError

from ml.errors import InputRefused, ReleaseRefused
from ml.runtime import Runtime
from ml.store import Store
from ml.trust.keys import Signer, TrustedKeys, signer
from ml.trust.signed import Statement

__all__ = ["PREFIX", "Voucher", "Vouching", "newest", "of_run"]

PREFIX: Final = "training/candidates"  # jobs of training may write below training/
MAXIMUM_BYTES: Final = 1024 * 1024
TRAIN_AGAIN: Final = "Run `mlops train` again, then `mlops release`."


class Voucher(Statement):
    """The candidate of an MLflow run: every file in its folder with its digest, and nothing beside these."""

    kind: Literal["candidate"] = "candidate"
    schema_version: Literal[1] = 1
    stack: str
    problem: str
    run_id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")
    made_at: AwareDatetime
    made_by: str
    files: dict[str, str]

    @property
    def store_key(self) -> str:
        """Where it lies: the newest is the last of a listing."""
        return f"{PREFIX}/{self.problem}/{self.made_at.astimezone(UTC):%Y%m%dT%H%M%S%f}-{self.run_id}.json"


@dataclass(frozen=True)
class Vouching:
    """Who vouches for what a training makes: a person with their key, or a platform's `job`, which has none."""

    runtime: Runtime
    store: Store
    problem: str
    signer: Signer | None
    job: str | None

    @classmethod
    def begin(cls, runtime: Runtime, problem: str, job: str | None) -> Self:
        """To be asked before the work; InputRefused for a person whose signature would not count."""
        store = Store(runtime.store_uri)
        if job is not None:
            return cls(runtime, store, problem, None, job)
        try:
            return cls(runtime, store, problem, signer(store), None)
        except InputRefused as error:
            raise InputRefused(
                f"Nobody would vouch for what is trained here: it could not be released. {error}"
            ) from error

    def vouch(self, run_id: str, files: Mapping[str, str]) -> None:
        """Say which files are the candidate's; the last step of a training, after everything was logged."""
        voucher = Voucher(
            stack=self.runtime.stack,
            problem=self.problem,
            run_id=run_id,
            made_at=datetime.now(UTC),
            made_by=self.signer.name if self.signer else str(self.job),
            files=dict(files),
        )
        if self.signer:
            voucher = voucher.signed(self.signer)
        self.store.create(voucher.store_key, voucher.data)


def of_run(runtime: Runtime, problem: str, run_id: str) -> Voucher:
    """The voucher of a run; ReleaseRefused where there is none that counts."""
    store = Store(runtime.store_uri)
    found = [key for key in store.list(f"{PREFIX}/{problem}") if key.endswith(f"-{run_id}.json")]
    if not found:
        raise ReleaseRefused(
            f"Nobody vouches for the run {run_id}: below {store.url(f'{PREFIX}/{problem}')} nothing speaks of it. It "
            "is not the chosen candidate of a finished training, or it was trained by a version of this project that "
            f"did not say yet what it made. {TRAIN_AGAIN}"
        )
    return _read(runtime, store, problem, found[-1])


def newest(runtime: Runtime, problem: str) -> Voucher | None:
    """The voucher of the newest training, None before the first; ReleaseRefused where it doesn't count."""
    store = Store(runtime.store_uri)
    found = list(store.list(f"{PREFIX}/{problem}"))
    return _read(runtime, store, problem, found[-1]) if found else None


def _read(runtime: Runtime, store: Store, problem: str, key: str) -> Voucher:
    where = store.url(key)
    with store.open(key) as file:
        data = file.read(MAXIMUM_BYTES + 1)
    try:
        voucher = Voucher.model_validate_json(data[:MAXIMUM_BYTES])
    except ValidationError as error:
        first = error.errors()[0]
        raise ReleaseRefused(
            f"{where} vouches for nothing that this version reads: "
            f"{'.'.join(map(str, first['loc'])) or 'as a whole'}: {first['msg']}. {TRAIN_AGAIN}"
        ) from error
    wrong = {
        "it lies where another's would": voucher.store_key != key,
        f"it is of {voucher.stack}, not of {runtime.stack}": voucher.stack != runtime.stack,
        f"it is about {voucher.problem}": voucher.problem != problem,
        _unbelieved(voucher, runtime, store): not _counts(voucher, runtime, store),
    }
    if reasons := [why for why, holds in wrong.items() if holds]:
        raise ReleaseRefused(f"{where} doesn't vouch for the run {voucher.run_id}: {reasons[0]}. {TRAIN_AGAIN}")
    return voucher


def _counts(voucher: Voucher, runtime: Runtime, store: Store) -> bool:
    if voucher.is_signed:
        author = voucher.author(TrustedKeys.of(store))
        return author is not None and author.name == voucher.made_by
    return _is_told_by_jobs_alone(runtime, store)


def _is_told_by_jobs_alone(runtime: Runtime, store: Store) -> bool:
    """Whether the platform trains, and roles decide who writes below `training/`: in a folder, every process may."""
    return runtime.training_job is not None and not store.is_folder


def _unbelieved(voucher: Voucher, runtime: Runtime, store: Store) -> str:
    if voucher.is_signed:
        return f"it is not signed by {voucher.made_by} with a key that counts for {store.uri}"
    return f"nobody has signed it, and no job of {runtime.stack} could have written it where only such jobs may write"
