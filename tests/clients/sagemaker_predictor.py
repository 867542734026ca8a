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
import numpy as np
import pandas as pd
from botocore.config import Config
from botocore.exceptions import ClientError
from sagemaker.deserializers import (
    CSVDeserializer,
    JSONDeserializer,
    JSONLinesDeserializer,
    NumpyDeserializer,
    PandasDeserializer,
)
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, JSONLinesSerializer, JSONSerializer, NumpySerializer
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
values = [list(row.values()) for row in rows]
array = np.array(values)
as_json, as_csv, as_array = JSONDeserializer(), CSVDeserializer(), NumpyDeserializer()
# NumPy reads the two columns of CSV as records unless it's told one type for both.
as_floats = NumpyDeserializer(dtype=float, accept="text/csv")
without_labels = CSVSerializer(content_type="text/csv;label_size=0")
asked = {
    "json": (JSONSerializer(), as_json, rows),
    "json arrays": (JSONSerializer(), as_json, array.astype(float)),
    "json lines": (JSONLinesSerializer(), JSONLinesDeserializer(), rows),
    "csv": (CSVSerializer(), as_csv, values),
    "csv in UTF-8": (CSVSerializer(content_type="text/csv; charset=utf-8"), as_csv, values),
    "csv without labels": (without_labels, as_csv, values),
    "csv of an array": (CSVSerializer(), as_csv, array),
    "csv of a frame": (CSVSerializer(), as_csv, pd.DataFrame(rows)),
    "csv to floats": (CSVSerializer(), as_floats, values),
    "csv to an array": (CSVSerializer(), as_array, values),
    "array": (NumpySerializer(), as_array, array),
    "array of floats": (NumpySerializer(dtype="float32"), as_array, values),
    "array to json": (NumpySerializer(), as_json, array),
    "array to csv": (NumpySerializer(), as_csv, array),
}


def scores_of(answer):
    if isinstance(answer, np.ndarray):
        return answer[:, 0].tolist()
    predictions = answer["predictions"] if isinstance(answer, dict) else answer
    return [one["score"] if isinstance(one, dict) else float(one[0]) for one in predictions]


frame = predictor(CSVSerializer(), PandasDeserializer(accept="text/csv;header=present")).predict(values)


def refusal(serializer, data):
    try:
        return str(predictor(serializer, as_json).predict(data))
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


wrong = np.array([list(row.values()) for row in given["wrong"]])
answered = {
    "scores": {name: scores_of(predictor(way, back).predict(data)) for name, (way, back, data) in asked.items()},
    "frame": frame["score"].tolist(),
    "columns": list(frame.columns),
    "one row": scores_of(predictor(NumpySerializer(), as_array).predict(array[0]))
    + scores_of(predictor(CSVSerializer(), as_csv).predict(values[0]))
    + scores_of(predictor(JSONSerializer(), as_json).predict(array[0])),
    "refused": [refusal(JSONSerializer(), given["wrong"]), refusal(NumpySerializer(), wrong)],
    "with labels": refusal(CSVSerializer(content_type="text/csv;label_size=1"), values),
}
print(json.dumps(answered))
