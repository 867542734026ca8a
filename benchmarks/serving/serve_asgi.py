"""What a careful author writes by hand: ASGI, msgspec and compiled trees.

`serve_asgi.py <port> <library> <schema.json> <threshold>`. It checks that each column of a row is there and a whole
number. It has no bounds or codes, refuses in no words, counts nothing and logs nothing.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tl2cgen
import uvicorn

port, library, schema, threshold = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
columns = [feature["name"] for feature in json.loads(Path(schema).read_bytes())["features"]]
Row = msgspec.defstruct("Row", [(name, int) for name in columns], gc=False)
Rows = msgspec.defstruct("Rows", [("rows", list[Row])])


class Prediction(msgspec.Struct, gc=False):
    """What one row is answered."""

    score: float
    decision: int


class Answer(msgspec.Struct):
    """What a request is answered."""

    predictions: list[Prediction]


decoder, encoder = msgspec.json.Decoder(Rows), msgspec.json.Encoder()
trees = tl2cgen.Predictor(library, nthread=1)
JSON = [(b"content-type", b"application/json")]


def answer(body: bytes) -> tuple[int, bytes]:
    """The status and the body for a request's body."""
    try:
        rows = decoder.decode(body).rows
    except msgspec.DecodeError as error:
        return 422, encoder.encode({"error": str(error)})
    matrix = np.array([msgspec.structs.astuple(row) for row in rows], dtype=np.float64)
    scores = trees.predict(tl2cgen.DMatrix(matrix)).ravel().tolist()
    return 200, encoder.encode(Answer([Prediction(score, int(score >= threshold)) for score in scores]))


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    status, said = answer(body)
    headers = [*JSON, (b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": said})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", lifespan="off",
                access_log=False, log_level="warning")  # fmt: skip
