"""What is scored and by what: the reference problem's boosting, released for real, and many rows of its live year."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ml.bundle.bundle import MANIFEST_FILE, publish
from ml.problem import load_problem
from ml.release.build import Origin, build
from ml.store import Store
from ml.training.fit import fit, prepare
from ml.training.folder import write_candidate
from ml.trust.keys import TrustedKeys, signer
from ml.trust.signing import sign

ROOT = Path(__file__).parents[2]
SEED = 2017
ROWS_PER_GROUP = 500_000


def release(folder: Path, progress: Callable[[str], None]) -> dict[str, str]:
    """Train, build, sign and publish below `folder`: the store's URI and the release's digest, and how it is scored.

    As `mlops train` and `mlops release` do it, without a tracking server and without judging the gates.
    """
    os.environ["XDG_CONFIG_HOME"] = str(folder / "config")  # the key is this benchmark's own
    made = folder / "release.json"
    if made.exists():
        return json.loads(made.read_text(encoding="utf-8"))
    problem, store = load_problem(), Store((folder / "store").as_uri())
    data = prepare(problem, store, ROOT, progress)
    trained = fit(problem, data, ROOT, progress)
    write_candidate(folder / "candidate", problem, trained.chosen, trained.evaluation, train=data.train, test=data.test)
    origin = Origin(version="1", created_at=datetime.now(UTC), created_by="benchmark", gates=())
    manifest = build(folder / "candidate", folder / "bundle", problem, origin)
    sign(store, (folder / "bundle" / MANIFEST_FILE).read_bytes(), signer(store), TrustedKeys.of(store))
    scorer = manifest.scorer.kind if manifest.scorer else "exact"
    found = {"store": store.uri, "release": publish(store, folder / "bundle"), "scorer": scorer}
    made.write_text(json.dumps(found), encoding="utf-8")
    return found


def table(folder: Path, rows: int) -> str:
    """Write `rows` rows drawn from the live year, with identifiers of their own; the file's path."""
    problem = load_problem()
    entry = problem.datasets.files[problem.split.live]
    live = pd.read_parquet(ROOT / problem.datasets.root / entry.path)
    drawn = live.iloc[np.random.default_rng(SEED).integers(0, len(live), rows)]
    file = folder / "people.parquet"
    drawn.assign(**{problem.identifier: np.arange(rows)}).to_parquet(file, index=False, row_group_size=ROWS_PER_GROUP)
    return str(file)
