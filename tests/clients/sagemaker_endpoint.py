# /// script
# requires-python = ">=3.11"
# dependencies = ["sagemaker-core==2.27.0"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Ask with SageMaker's own SDK, version 3: the Endpoint of its part sagemaker-core, with and without types."""

import json
import os
import sys

import boto3
import numpy as np
from botocore.exceptions import ClientError
from sagemaker.core.deserializers import CSVDeserializer, JSONDeserializer, NumpyDeserializer
from sagemaker.core.resources import Endpoint
from sagemaker.core.serializers import CSVSerializer, JSONSerializer, NumpySerializer

url, endpoint = sys.argv[1:]
given = json.load(sys.stdin)
os.environ |= {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url, "AWS_MAX_ATTEMPTS": "1"}
session = boto3.Session("none", "none", region_name="eu-central-1")

rows = given["rows"]
values = [list(row.values()) for row in rows]
WAYS = {
    "json": (rows, JSONSerializer(), JSONDeserializer()),
    "csv": (values, CSVSerializer(), CSVDeserializer()),
    "array": (np.array(values), NumpySerializer(), NumpyDeserializer()),
}


def scores_of(body):
    if isinstance(body, dict):
        return [prediction["score"] for prediction in body["predictions"]]
    return [float(row[0]) for row in body]


def asked(body, serializer, deserializer, **types):
    client = Endpoint(endpoint_name=endpoint, serializer=serializer, deserializer=deserializer)
    return scores_of(client.invoke(body, session=session, **types).body)


def types(serializer, deserializer):
    return {"content_type": serializer.CONTENT_TYPE, "accept": deserializer.ACCEPT[0]}


bare = Endpoint(endpoint_name=endpoint).invoke(json.dumps(rows), session=session, content_type="application/json")
try:
    refused = asked(given["wrong"], JSONSerializer(), JSONDeserializer())
except ClientError as error:
    refused = error.response["ResponseMetadata"]["HTTPStatusCode"]
answered = {
    "with types": {name: asked(*way, **types(*way[1:])) for name, way in WAYS.items()},
    "without types": {name: asked(*way) for name, way in WAYS.items()},
    "bare": scores_of(json.loads(bare.body.read())),
    "refused": refused,
}
print(json.dumps(answered))
