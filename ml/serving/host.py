"""Which model serves now: loads a release beside the one that serves, and swaps in one assignment."""

import asyncio
import logging
import shutil
from pathlib import Path
from typing import Final

from ml.errors import MlopsError, ReleaseRefused
from ml.release.bundle import fetch, key_of
from ml.release.keys import TrustedKeys
from ml.release.signing import verify_signature
from ml.serving.deployment import stated_release
from ml.serving.metrics import ServerMetrics
from ml.serving.model import ServedModel
from ml.store import Store

__all__ = ["ModelHost"]

FIRST_RETRY_S: Final = 0.5
LONGEST_RETRY_S: Final = 15.0

log = logging.getLogger(__name__)


class ModelHost:
    """`current` serves; a request takes it once and keeps it, so a swap never touches a request under way."""

    def __init__(self, deployment: Path, store: Store, cache: Path, maximum_rows: int, metrics: ServerMetrics) -> None:
        self.current: ServedModel | None = None
        self.loading: str | None = None
        self.error: str | None = None
        self._deployment = deployment
        self._store = store
        self._cache = cache
        self._maximum_rows = maximum_rows
        self._metrics = metrics
        self._lock = asyncio.Lock()

    async def reload(self) -> ServedModel:
        """Serve what the deployment file states; when that fails, raise, and the model before keeps serving."""
        async with self._lock:
            try:
                model = await self._load()
            except Exception as error:
                self.error = str(error)
                self._metrics.observe_load(None)
                log.error("No release was loaded: %s", error)  # the sentence says it all
                raise
            finally:
                self.loading = None
            self.error = None
            if model is not self.current:
                self.current = model
                self._metrics.observe_load(model.manifest, model.release)
                log.info("Release %s serves: %s version %s", model.release, model.manifest.name, model.manifest.version)
                await asyncio.to_thread(self._prune, self._folder(model.release))
            return model

    async def load_first(self) -> None:
        """Try until a model serves: the store may be slower to start than this server."""
        retry_s = FIRST_RETRY_S
        while self.current is None:
            try:
                await self.reload()
            except Exception:
                await asyncio.sleep(retry_s)
                retry_s = min(retry_s * 2, LONGEST_RETRY_S)

    async def _load(self) -> ServedModel:
        release = stated_release(self._deployment)
        if release is None:
            raise ReleaseRefused(f"No release is deployed yet: there is no file {self._deployment}.")
        key_of(release)
        if self.current is not None and self.current.release == release:
            return self.current
        self.loading = release
        return await asyncio.to_thread(self._fetch_and_load, release)

    def _fetch_and_load(self, release: str) -> ServedModel:
        folder = self._folder(release)
        try:
            manifest = fetch(self._store, release, folder)
            verify_signature(self._store, release, TrustedKeys.of(self._store))  # loading a pickle runs what is in it
        except OSError as error:
            raise MlopsError(f"The store {self._store.uri} can't be read: {error}") from error
        return ServedModel.load(folder, manifest, self._maximum_rows)

    def _folder(self, release: str) -> Path:
        return self._cache / release.removeprefix("sha256:")

    def _prune(self, keep: Path) -> None:
        for folder in self._cache.iterdir():
            if folder != keep:
                shutil.rmtree(folder, ignore_errors=True)
