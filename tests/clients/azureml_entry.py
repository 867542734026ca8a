"""A scoring script as Azure ML runs it: the bundle as an MLflow model, with no code of this project."""

import json
import os
from pathlib import Path

import mlflow.pyfunc
import pandas as pd


def init():
    global model
    model = mlflow.pyfunc.load_model(str(Path(os.environ["AZUREML_MODEL_DIR"]) / "model"))


def run(raw_data):
    table = json.loads(raw_data)["input_data"]
    return model.predict(pd.DataFrame(table["data"], columns=table["columns"])).tolist()
