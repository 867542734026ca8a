"""The quality reports of a release's data: training leaves them in its store, and a promotion brings them along."""

from ml.bundle.manifest import Manifest
from ml.store import Store

__all__ = ["bring_reports", "report_key"]


def report_key(problem: str, dataset: str, digest: str) -> str:
    """Where `ml.data.read.ingest` keeps the report of a dataset."""
    return f"data/{problem}/{dataset}/{digest.removeprefix('sha256:')}.quality.json"


def bring_reports(source: Store, target: Store, manifest: Manifest) -> None:
    """Copy the reports that the target doesn't have, so that a data sheet can be written there too."""
    for dataset, digest in manifest.data.items():
        key = report_key(manifest.name, dataset, digest)
        if source.exists(key) and not target.exists(key):
            target.write(key, source.read(key))
