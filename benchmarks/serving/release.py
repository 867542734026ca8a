"""The one model that every contender serves: the project's own release, trained on its real data."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ml.bundle.bundle import MANIFEST_FILE, publish
from ml.bundle.manifest import Manifest
from ml.problem import load_problem
from ml.release.build import Origin, build
from ml.store import Store
from ml.training.fit import fit, prepare
from ml.training.folder import write_candidate
from ml.trust.keys import TrustedKeys, signer
from ml.trust.signing import sign

ROWS = (1, 100)


class Release(NamedTuple):
    """A bundle, the environment that serves it, and rows of the test set to ask about, by their number."""

    bundle: Path
    store: str
    deployment: Path
    rows: dict[int, list[dict[str, int]]]
    manifest: Manifest


def make(work: Path, root: Path) -> Release:
    """The release in `work`, trained and published when there is none yet."""
    os.environ["XDG_CONFIG_HOME"] = str(work / "config")  # its key is nobody's
    os.environ["MLOPS_SIGN_AS"] = "benchmark@example.org"
    bundle, candidate = work / "bundle", work / "candidate"
    store = Store((work / "store").as_uri())
    problem = load_problem()
    if not candidate.exists():
        data = prepare(problem, store, root, print)
        trained = fit(problem, data, root, print)
        write_candidate(candidate, problem, trained.chosen, trained.evaluation, train=data.train, test=data.test)
    deployment = work / "serving" / "deployment.json"
    if not deployment.exists():
        build(candidate, bundle, problem, Origin("1", datetime.now(UTC), "benchmark@example.org", ()))
        sign(store, (bundle / MANIFEST_FILE).read_bytes(), signer(store), TrustedKeys.of(store))
        deployment.parent.mkdir(exist_ok=True)
        deployment.write_text(json.dumps({"release": publish(store, bundle)}), encoding="utf-8")
    test = pd.read_parquet(candidate / "test.parquet")
    rows = {
        count: [{name: int(value) for name, value in row.items()} for row in test.head(count).to_dict("records")]
        for count in ROWS
    }
    manifest = Manifest.model_validate_json((bundle / MANIFEST_FILE).read_bytes())
    return Release(bundle, store.uri, deployment, rows, manifest)
