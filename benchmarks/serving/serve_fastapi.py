"""What most write: FastAPI with pydantic on uvicorn, here in front of the same compiled trees.

`serve_fastapi.py <port> <library> <schema.json> <threshold>`, with no bounds or codes, metrics or log.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tl2cgen
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, create_model

port, library, schema, threshold = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
columns = [feature["name"] for feature in json.loads(Path(schema).read_bytes())["features"]]
Row = create_model("Row", **dict.fromkeys(columns, (int, ...)))


class Rows(BaseModel):
    """A request."""

    rows: list[Row]


class Prediction(BaseModel):
    """What one row is answered."""

    score: float
    decision: int


class Answer(BaseModel):
    """What a request is answered."""

    predictions: list[Prediction]


trees = tl2cgen.Predictor(library, nthread=1)
app = FastAPI()


@app.post("/predict")
async def predict(request: Rows) -> Answer:
    """Score rows; on the event loop, where it takes less time than handing it to a thread."""
    matrix = np.array([list(dict(row).values()) for row in request.rows], dtype=np.float64)
    scores = trees.predict(tl2cgen.DMatrix(matrix)).ravel().tolist()
    return Answer(predictions=[Prediction(score=score, decision=int(score >= threshold)) for score in scores])


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False,
                log_level="warning")  # fmt: skip
