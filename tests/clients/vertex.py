# /// script
# requires-python = ">=3.11"
# dependencies = ["google-cloud-aiplatform==2.7.0"]
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
# ///
"""Ask with Google's prediction client: its protobuf messages over its REST transport, straight to the container."""

import json
import sys

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud.aiplatform_v1.services.prediction_service import PredictionServiceClient
from google.cloud.aiplatform_v1.services.prediction_service.transports.rest import PredictionServiceRestTransport
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

url, endpoint = sys.argv[1:]
given = json.load(sys.stdin)
transport = PredictionServiceRestTransport(
    host=url.removeprefix("http://"), url_scheme="http", credentials=AnonymousCredentials()
)
client = PredictionServiceClient(transport=transport)


def predict(rows, parameters=None):
    instances = [json_format.ParseDict(row, Value()) for row in rows]
    answer = client.predict(
        endpoint=endpoint, instances=instances, parameters=json_format.ParseDict(parameters or {}, Value())
    )
    return [dict(prediction) for prediction in answer.predictions]


def refusal(rows):
    try:
        return str(predict(rows))
    except GoogleAPICallError as error:
        return {"message": error.message, "code": error.code, "details": [str(detail) for detail in error.details]}


json.dump(
    {
        "scores": {
            "objects": [prediction["score"] for prediction in predict(given["rows"])],
            "lists": [prediction["score"] for prediction in predict([list(row.values()) for row in given["rows"]])],
        },
        "reasons": len(predict(given["rows"][:1], {"explain": True})[0]["reasons"]),
        "refused": refusal(given["wrong"]),
    },
    sys.stdout,
)
