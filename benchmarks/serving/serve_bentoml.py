"""BentoML, in an environment of its own: `serve_bentoml.py <port> <model folder>`."""

import os
import pickle
import sys
from pathlib import Path

import bentoml
import pandas as pd


@bentoml.service(workers=1)
class Classifier:
    """The pipeline behind BentoML's API."""

    def __init__(self) -> None:
        self.model = pickle.loads((Path(os.environ["MODEL_FOLDER"]) / "model.pkl").read_bytes())  # noqa: S301 # made here

    @bentoml.api
    def predict(self, rows: list[dict[str, int]]) -> list[float]:
        """The scores of rows."""
        return self.model.predict_proba(pd.DataFrame(rows))[:, 1].tolist()


if __name__ == "__main__":
    folder = str(Path(__file__).parent)
    os.environ |= {"MODEL_FOLDER": sys.argv[2], "BENTOML_DO_NOT_TRACK": "True"}
    command = ["bentoml", "serve", "serve_bentoml:Classifier", "--working-dir", folder, "--port", sys.argv[1]]
    os.execv(str(Path(sys.executable).with_name("bentoml")), [*command, "--host", "127.0.0.1"])  # noqa: S606
