# /// script
# requires-python = ">=3.11"
# dependencies = ["sagemaker==2.257.7"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Ask with SageMaker's own SDK: its Predictor, with its serializers, through the runtime's endpoint."""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer, JSONLinesDeserializer
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, JSONLinesSerializer, JSONSerializer
from sagemaker.session import Session

url, endpoint = sys.argv[1:]
given = json.load(sys.stdin)
account = boto3.Session("none", "none", region_name="eu-central-1")
once = Config(retries={"max_attempts": 0})
session = Session(
    account,
    sagemaker_client=account.client("sagemaker", endpoint_url=url, config=once),
    sagemaker_runtime_client=account.client("sagemaker-runtime", endpoint_url=url, config=once),
    default_bucket="none",
)


def predictor(serializer, deserializer):
    return Predictor(endpoint, session, serializer=serializer, deserializer=deserializer)


rows = given["rows"]
answered = predictor(JSONSerializer(), JSONDeserializer()).predict(rows)
lines = predictor(JSONLinesSerializer(), JSONLinesDeserializer()).predict(rows)
table = predictor(CSVSerializer(), CSVDeserializer()).predict([list(row.values()) for row in rows])
try:
    predictor(JSONSerializer(), JSONDeserializer()).predict(given["wrong"])
    refused = None
except ClientError as error:
    refused = error.response["ResponseMetadata"]["HTTPStatusCode"]
scores = {
    "json": [prediction["score"] for prediction in answered["predictions"]],
    "json lines": [prediction["score"] for prediction in lines],
    "csv": [float(row[0]) for row in table],
}
print(json.dumps({"scores": scores, "refused": refused}))
