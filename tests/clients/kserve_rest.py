# /// script
# requires-python = ">=3.11"
# dependencies = ["kserve==0.21.0"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Ask with KServe's client, over both of its protocols."""

import asyncio
import json
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

url, model = sys.argv[1:]
given = json.load(sys.stdin)


def request(rows):
    inputs = [InferInput(name, [len(rows)], "INT64", [row[name] for row in rows]) for name in rows[0]]
    return InferRequest(model, inputs)


def binary_request(rows):
    inputs = [InferInput(name, [len(rows)], "INT64") for name in rows[0]]
    for tensor in inputs:
        tensor.set_data_from_numpy(np.array([row[tensor.name] for row in rows]), binary_data=True)
    return InferRequest(model, inputs, parameters={"binary_data_output": True})


def score_of(answer):
    return next(output.as_numpy().tolist() for output in answer.outputs if output.name == "score")


async def refusal(client, sent):
    try:
        return str(await client.infer(url, sent, model_name=model))
    except httpx.HTTPStatusError as error:
        return str(error)


async def main():
    first = InferenceRESTClient(RESTConfig(protocol="v1"))
    second = InferenceRESTClient(RESTConfig(protocol="v2"))
    rows = given["rows"]
    v1 = await first.infer(url, {"instances": rows}, model_name=model)
    return {
        "alive": [
            await first.is_server_live(url),
            await first.is_model_ready(url, model),
            await second.is_server_live(url),
            await second.is_server_ready(url),
            await second.is_model_ready(url, model),
        ],
        "scores": {
            "v1": [prediction["score"] for prediction in v1["predictions"]],
            "v2": score_of(await second.infer(url, request(rows), model_name=model)),
            "v2 binary": score_of(await second.infer(url, binary_request(rows), model_name=model)),
        },
        "refused": await refusal(first, {"instances": given["wrong"]}),
        "refused v2": await refusal(second, request(given["wrong"])),
    }


json.dump(asyncio.run(main()), sys.stdout)
