"""Injects a release for the tour: signed, gated and whole on paper, with a model that can't be loaded."""

import sys
import tempfile
from pathlib import Path

from ml.release.build import MANIFEST_FILE
from ml.release.bundle import bundle_digest, canonical, fetch, file_digests, publish
from ml.release.register import register, sign_manifest
from ml.release.stage import Stage


def main() -> None:
    """Make it from what the stack serves; print its digest."""
    stage = Stage.load(sys.argv[1])
    if stage.serves is None:
        sys.exit(f"{stage.stack} serves nothing that could be damaged.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        manifest = fetch(stage.store, stage.serves, folder)
        (folder / "model" / "model.pkl").write_bytes(b"not a model")
        (folder / MANIFEST_FILE).unlink()
        files = file_digests(folder)
        update = {"files": files, "bundle_digest": bundle_digest(files), "version": f"{manifest.version}-damaged"}
        damaged = manifest.model_copy(update=update)
        (folder / MANIFEST_FILE).write_bytes(canonical(damaged))
        signer = stage.signer()
        sign_manifest(stage.store, stage.ledger, damaged, signer)
        digest = publish(stage.store, folder)
        register(stage.ledger, damaged, signer)
    print(digest)


if __name__ == "__main__":
    main()
