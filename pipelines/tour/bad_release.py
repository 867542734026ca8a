"""Injects a release for the tour: signed, gated and whole on paper, with a model that is none.

`damaged` can't be loaded; `ignorant` can, answers every row, and says the same of everybody.
"""

import pickle
import sys
import tempfile
from pathlib import Path

from sklearn.dummy import DummyClassifier

from ml.bundle.bundle import bundle_digest, canonical, fetch, file_digests, publish
from ml.model.scorer import SCORER_FILE
from ml.release.build import MANIFEST_FILE
from ml.release.register import register, sign_manifest
from ml.release.stage import Stage


def main(stack: str, kind: str) -> None:
    """Make it from what the stack serves; print its digest."""
    stage = Stage.load(stack)
    if stage.serves is None:
        sys.exit(f"{stage.stack} serves nothing that could be spoilt.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "bundle"
        manifest = fetch(stage.store, stage.serves, folder)
        model = b"not a model" if kind == "damaged" else pickle.dumps(DummyClassifier().fit([[0], [1]], [0, 1]))
        (folder / "model" / "model.pkl").write_bytes(model)
        (folder / MANIFEST_FILE).unlink()
        (folder / SCORER_FILE).unlink(missing_ok=True)  # not the tables that the good model was compiled into
        files = file_digests(folder)
        update = {"files": files, "bundle_digest": bundle_digest(files), "version": f"{manifest.version}-{kind}"}
        spoilt = manifest.model_copy(update=update | {"scorer": None})
        (folder / MANIFEST_FILE).write_bytes(canonical(spoilt))
        signer = stage.signer()
        sign_manifest(stage.store, stage.ledger, spoilt, signer)
        digest = publish(stage.store, folder)
        register(stage.ledger, spoilt, signer)
    print(digest)


if __name__ == "__main__":
    main(*sys.argv[1:])
