# /// script
# requires-python = ">=3.11"
# dependencies = ["tritonclient[http]==2.73.0"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Ask with NVIDIA's Triton client: binary tensors, as it sends them by default, and JSON."""

import json
import sys

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

url, model = sys.argv[1:]
given = json.load(sys.stdin)
client = InferenceServerClient(url.removeprefix("http://"))


def tensor(name, values, binary=True):
    kind = {"i": "INT64", "f": "FP64"}[values.dtype.kind]
    made = InferInput(name, values.shape, kind)
    made.set_data_from_numpy(values, binary_data=binary)
    return made


def columns(rows, **options):
    return [tensor(name, np.array([row[name] for row in rows]), **options) for name in rows[0]]


def refusal(rows):
    try:
        return client.infer(model, columns(rows)).as_numpy("score").tolist()
    except InferenceServerException as error:
        return str(error)


rows = given["rows"]
matrix = np.array([list(row.values()) for row in rows], dtype=np.float64)
as_json = [InferRequestedOutput("score", binary_data=False)]
answers = {
    "binary columns": client.infer(model, columns(rows)),
    "json columns": client.infer(model, columns(rows, binary=False), outputs=as_json),
    "binary matrix": client.infer(model, [tensor("rows", matrix)], model_version="1", request_id="mine"),
}
json.dump(
    {
        "alive": [client.is_server_live(), client.is_server_ready(), client.is_model_ready(model)],
        "inputs": [column["name"] for column in client.get_model_metadata(model)["inputs"]],
        "scores": {name: answer.as_numpy("score").tolist() for name, answer in answers.items()},
        "refused": refusal(given["wrong"]),
    },
    sys.stdout,
)
