"""Which models serve now: loads releases beside those that serve, and swaps in one assignment."""

import asyncio
import fcntl
import logging
import shutil
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from ml.bundle.bundle import fetch, key_of
from ml.errors import MlopsError, ReleaseRefused
from ml.model.model import ServedModel
from ml.problem import Canary
from ml.serving.deployment import Deployment, Returned, Stated, remember, returned, stated
from ml.serving.hosting.peers import Peers
from ml.serving.hosting.watch import Breach, Watch
from ml.serving.telemetry.metrics import ServerMetrics
from ml.store import Store
from ml.trust.keys import TrustedKeys
from ml.trust.signing import verify_signature

__all__ = ["Challenger", "ModelHost", "Serving"]

FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 15.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Challenger:
    """A release that is tried beside the champion."""

    stated: Stated
    model: ServedModel
    watch: Watch


@dataclass(frozen=True)
class Serving:
    """What serves: a request takes it once and keeps it, so a swap never touches a request under way.

    `returned` says why the stated challenger is out of use.
    """

    deployment: Deployment
    champion: ServedModel
    challenger: Challenger | None = None
    returned: Returned | None = None

    @property
    def is_whole(self) -> bool:
        """Whether everything that is stated was loaded, or taken out of use on purpose."""
        return self.deployment.challenger is None or self.challenger_state != "absent"

    @property
    def challenger_state(self) -> Literal["serving", "returned", "absent"]:
        """What became of the stated challenger."""
        if self.challenger is not None:
            return "serving"
        return "returned" if self.returned is not None else "absent"


class ModelHost:
    """`serving` is what serves, None before the first release."""

    def __init__(
        self,
        deployment: Path,
        store: Store,
        cache: Path,
        maximum_rows: int,
        limits: Canary,
        metrics: ServerMetrics,
        peers: Peers | None = None,
        require: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`require` raises for a release that may not serve here."""
        self._peers = peers
        self._require = require
        self._ready: Serving | None = None
        self.serving: Serving | None = None
        self.loading: str | None = None
        self.error: str | None = None
        self._deployment = deployment
        self._store = store
        self._cache = cache
        self._maximum_rows = maximum_rows
        self._limits = limits
        self._metrics = metrics
        self._loading = asyncio.Lock()
        self._switching = threading.Lock()

    @property
    def current(self) -> ServedModel | None:
        """The champion."""
        return self.serving.champion if self.serving else None

    async def reload(self) -> Serving:
        """Serve what the deployment file states; when that fails, raise, and all stays as it was."""
        if self._peers is None:
            async with self._loading:
                return await self._switch(await self._prepared())
        async with self._peers.swapping():
            return await self._reload_all(self._peers)

    async def _reload_all(self, peers: Peers) -> Serving:
        async with self._loading:
            self._ready = await self._prepared()
            deployment = self._ready.deployment
        try:
            if errors := await peers.prepare(deployment):
                raise MlopsError(errors[0])
            await peers.commit(deployment)
        except (MlopsError, OSError) as error:
            await peers.abort()
            self._ready = None
            self._refuse(error)
            raise MlopsError(str(error)) from error
        return await self.commit(deployment)

    async def prepare(self, deployment: Deployment) -> None:
        """Load a deployment beside what serves."""
        async with self._loading:
            self._ready = await self._prepared(deployment)

    async def commit(self, deployment: Deployment) -> Serving:
        """Serve a deployment, from the next request on; the one that was prepared, or else loaded now."""
        async with self._loading:
            ready, self._ready = self._ready, None
            if ready is None or ready.deployment != deployment:
                ready = await self._prepared(deployment)
            return await self._switch(ready)

    def abort(self) -> None:
        """Forget what was prepared."""
        self._ready = None

    async def load_first(self) -> None:
        """Try until a model serves, without its challenger if need be: the store may be slower than this server."""
        retry_s = FIRST_RETRY_S
        while self.serving is None:
            try:
                async with self._loading:
                    await self._load_agreed()
            except Exception as error:
                self._refuse(error)
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, LONGEST_RETRY_S)
        with suppress(Exception):  # recorded there: the champion serves alone
            async with self._loading:
                await self._switch(await self._prepared(self._first_stated()))

    async def _load_agreed(self) -> None:
        deployment = self._first_stated()
        loaded = await self._load(deployment, with_challenger=False)
        if self._peers is not None and self._peers.agree(deployment) != deployment:
            loaded = await self._load(self._first_stated(), with_challenger=False)
        await self._switch(loaded)

    async def _prepared(self, deployment: Deployment | None = None) -> Serving:
        try:
            serving = await self._load(deployment or self._stated())
        except Exception as error:
            self._refuse(error)
            raise
        self.error = None
        return serving

    def _first_stated(self) -> Deployment:
        """What the other workers serve, or else what the deployment file states."""
        agreed = stated(self._peers.committed) if self._peers is not None else None
        return agreed or self._stated()

    def _stated(self) -> Deployment:
        deployment = stated(self._deployment)
        if deployment is None:
            raise ReleaseRefused(f"No release is deployed yet: there is no file {self._deployment}.")
        return deployment

    def follow(self) -> None:
        """Take a challenger out of use that another worker took back."""
        with self._switching:
            serving = self.serving
            if serving is None or serving.challenger is None:
                return
            if memory := returned(self._deployment, serving.deployment, forget=False):
                self.serving = replace(serving, challenger=None, returned=memory)
                self._metrics.show_challenger(serving.challenger.stated, "returned")

    def take_back(self, challenger: Challenger, breach: Breach) -> None:
        """Stop asking a challenger, now and after a restart, until the deployment file states something else."""
        with self._switching:
            serving = self.serving
            if serving is None or serving.challenger is not challenger:
                return
            memory = Returned(serving.deployment, breach.cause, breach.reason, datetime.now(UTC))
            self.serving = replace(serving, challenger=None, returned=memory)
            self._metrics.show_challenger(challenger.stated, "returned")
        log.error("The challenger %s is taken back: %s", challenger.stated.release, breach.reason)
        self._metrics.observe_return(breach.cause)
        try:
            remember(self._deployment, memory)
        except OSError as error:
            log.error("A restart will try the challenger again, because this can't be remembered: %s", error)

    async def _load(self, deployment: Deployment, *, with_challenger: bool = True) -> Serving:
        if self.serving is not None and self.serving.deployment == deployment and self.serving.is_whole:
            return self.serving
        try:
            champion = await self._model(deployment.release)
            challenger = deployment.challenger if with_challenger else None
            if challenger is None:
                return Serving(deployment, champion)
            if challenger.release == deployment.release:
                raise ReleaseRefused(f"The challenger is the champion itself, {challenger.release}.")
            if memory := returned(self._deployment, deployment):
                return Serving(deployment, champion, returned=memory)
            model = await self._model(challenger.release)
            return Serving(deployment, champion, Challenger(challenger, model, Watch(self._limits)))
        finally:
            self.loading = None

    async def _model(self, release: str) -> ServedModel:
        key_of(release)
        serving = self.serving
        loaded = [serving.champion] if serving else []
        loaded += [serving.challenger.model] if serving and serving.challenger else []
        for model in loaded:
            if model.release == release:
                return model
        self.loading = release
        return await asyncio.to_thread(self._fetch_and_load, release)

    def _fetch_and_load(self, release: str) -> ServedModel:
        folder = self._folder(release)
        try:
            with self._cache_locked():
                manifest = fetch(self._store, release, folder)
            verify_signature(self._store, release, TrustedKeys.of(self._store))  # loading a pickle runs what is in it
            self._require(release)
        except OSError as error:
            raise MlopsError(f"The store {self._store.uri} can't be read: {error}") from error
        return ServedModel.load(folder, manifest, self._maximum_rows)

    async def _switch(self, serving: Serving) -> Serving:
        challenger = serving.deployment.challenger
        with self._switching:
            before = self.serving
            if before is not None and before.is_whole and before.deployment == serving.deployment:
                return before  # a challenger that was taken back meanwhile stays so
            self.serving = serving
            self._metrics.show_challenger(challenger, serving.challenger_state)
        champion = serving.champion
        if before is None or champion is not before.champion:
            self._metrics.observe_load(champion.manifest, champion.release)
            log.info("Release %s serves: version %s", champion.release, champion.manifest.version)
        if serving.challenger is not None:
            log.info("Release %s is its challenger: %s", serving.challenger.stated.release, serving.challenger.stated)
        in_use = {champion.release, *([challenger.release] if challenger else [])}
        await asyncio.to_thread(self._prune, {self._folder(release) for release in in_use})
        return serving

    def _refuse(self, error: Exception) -> None:
        self.error = str(error)
        self._metrics.observe_load(None)
        log.error("No release was loaded: %s", error)  # the sentence says it all

    def _folder(self, release: str) -> Path:
        return self._cache / release.removeprefix("sha256:")

    def _prune(self, keep: set[Path]) -> None:
        with self._cache_locked():
            for folder in self._cache.iterdir():
                if folder not in keep:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _cache_locked(self) -> Generator[None]:
        """Alone in the cache: other workers keep their releases there too."""
        self._cache.parent.mkdir(parents=True, exist_ok=True)
        with self._cache.with_name(f".{self._cache.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
