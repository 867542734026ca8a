"""LitServe, in an environment of its own: `serve_litserve.py <port> <model folder>`."""

import pickle
import sys
from pathlib import Path
from typing import Any

import litserve
import pandas as pd


class Classifier(litserve.LitAPI):
    """The pipeline behind LitServe's API."""

    def setup(self, device: str) -> None:
        """Load it."""
        self.model = pickle.loads((Path(sys.argv[2]) / "model.pkl").read_bytes())  # noqa: S301 # made here

    def decode_request(self, request: dict[str, Any]) -> pd.DataFrame:
        """The rows of a request."""
        return pd.DataFrame(request["rows"])

    def predict(self, x: pd.DataFrame) -> list[float]:
        """Their scores."""
        return self.model.predict_proba(x)[:, 1].tolist()

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """An answer."""
        return {"scores": output}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False)
