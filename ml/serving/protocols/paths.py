"""The OpenAPI paths of every protocol but the native one."""

from typing import Any, Final

from ml.model.model import MAXIMUM_EXPLAINED_ROWS
from ml.serving.protocols.npy import NPY
from ml.serving.protocols.sagemaker import CSV, JSON_LINES
from ml.serving.protocols.shapes import Shapes, closed, inferred, one_of, opened, predictions, probabilities, reference
from ml.serving.protocols.vertex import VertexRoutes

__all__ = ["paths"]

Schema = dict[str, Any]
JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
TEXT: Final[Schema] = {"type": "string"}
NULL: Final[Schema] = {"type": "null"}
NONE: Final[Schema] = {"enum": [None, {}]}
REFUSED: Final = {
    "400": "The body or a row does not fit: the sentence names row, column, what was expected and what was sent.",
    "404": "Another model or version serves.",
    "406": "None of the accepted types can be answered.",
    "408": "The body did not arrive in time.",
    "413": "The body or the number of rows is too large.",
    "415": "The content type is another.",
    "422": "The rows do not fit: the sentence names row, column, what was expected and what was sent.",
    "429": "The server is asked for more than it can do; try again after Retry-After seconds.",
    "501": "This server or release can't explain predictions.",
    "503": "No release serves yet.",
}
PREDICTING: Final = ("400", "408", "413", "415", "429", "503")


def paths(shapes: Shapes, vertex: VertexRoutes) -> dict[str, Any]:
    """Path to its operations."""
    return {
        **_invocations(shapes),
        **_azure(shapes),
        **_kserve(shapes),
        **_open_inference(shapes),
        **_vertex(shapes, vertex),
    }


def _invocations(shapes: Shapes) -> dict[str, Any]:
    rows, features = shapes.rows(lists=False), closed({"features": reference("Values")})
    mlflow = {
        "dataframe_split": shapes.split(),
        "dataframe_records": shapes.rows(wider=True),
        "instances": shapes.rows(wider=True),
        "inputs": one_of(shapes.by_column(), shapes.rows(wider=True)),
    }
    others = dict.fromkeys(mlflow, NULL) | {"params": NONE}
    bodies = [
        reference("Row"),
        rows,
        closed({"rows": rows}),
        reference("Values"),
        {"type": "array", "items": reference("Values"), "minItems": 1},
        closed({"instances": {"type": "array", "items": features, "minItems": 1}}),
        *(
            opened({key: schema}, {name: said for name, said in others.items() if name != key})
            for key, schema in mlflow.items()
        ),
    ]
    table = {CSV: {"schema": TEXT}, JSON_LINES: {"schema": TEXT}}
    answers = {
        JSON: {"schema": one_of(reference("Answer"), closed({"predictions": probabilities()}))},
        **table,
        NPY: {"schema": TEXT},
    }
    refusals = one_of(reference("Refusal"), reference("MlflowRefusal"))
    post = {
        "summary": "Predict, as SageMaker and MLflow ask for it: the content says whose protocol it is.",
        "description": f"Arrays of numbers are sent in NumPy's format, as {NPY}.",
        "requestBody": _body({JSON: {"schema": one_of(*bodies)}, **table, CSV: {"schema": shapes.csv()}}),
        "responses": _responses(answers, refusals, (*PREDICTING, "406", "422")),
    }
    version = {"text/plain": {"schema": TEXT}}
    return {
        "/invocations": {"post": post},
        "/ping": {"get": _get("Whether a release serves: SageMaker and MLflow.", _json({}), "Refusal", ("503",))},
        "/version": {"get": _get("The MLflow that wrote the model.", version, "MlflowRefusal", ("503",))},
    }


def _azure(shapes: Shapes) -> dict[str, Any]:
    rows = shapes.rows(lists=False)
    bodies = [
        reference("Row"),
        rows,
        closed({"rows": rows}),
        closed({"data": shapes.rows()}),
        closed({"input_data": one_of(shapes.split(), shapes.rows(wider=True), shapes.by_column())}, {"params": NONE}),
    ]
    post = {
        "summary": "Predict, as Azure Machine Learning asks for it.",
        "requestBody": _body(_json(one_of(*bodies))),
        "responses": _responses(_json(one_of(reference("Answer"), probabilities())), _own("AzureRefusal"), PREDICTING),
    }
    return {"/": {"get": _get("Whether the process lives.", _json({}))}, "/score": {"post": post}}


def _kserve(shapes: Shapes) -> dict[str, Any]:
    models = closed({"models": {"type": "array", "items": TEXT}})
    keys = (("instances", "inputs"), ("inputs", "instances"))
    predict = {
        "summary": "Predict, as KServe's first protocol has it.",
        "parameters": [_parameter("model", shapes.name)],
        "requestBody": _body(_json(one_of(*(closed({key: shapes.rows()}, {other: NULL}) for key, other in keys)))),
        "responses": _responses(_json(predictions()), _own("KServeRefusal"), (*PREDICTING, "404")),
    }
    ready = _get(
        "Whether the model serves.", _json(closed({"name": TEXT, "ready": {"type": "boolean"}})), "KServeRefusal"
    )
    ready["parameters"] = [_parameter("model", shapes.name)]
    return {
        "/v1/models": {"get": _get("The models that serve.", _json(models))},
        "/v1/models/{model}": {"get": ready},
        "/v1/models/{model}:predict": {"post": predict},
    }


def _open_inference(shapes: Shapes) -> dict[str, Any]:
    boolean: Schema = {"type": "boolean"}
    extensions = {"type": "array", "items": TEXT}
    found: dict[str, Any] = {
        "/v2": {"get": _get("The server.", _json(closed({"name": TEXT, "version": TEXT, "extensions": extensions})))},
        "/v2/health/live": {"get": _get("Whether the process lives.", _json(closed({"live": boolean})))},
        "/v2/health/ready": {"get": _get("Whether a release serves.", _json(closed({"ready": boolean})))},
        "/v2/models": {
            "get": _get("The models that serve.", _json(closed({"models": {"type": "array", "items": TEXT}})))
        },
    }
    found["/v2/health/ready"]["get"]["responses"]["503"] = _answered(REFUSED["503"], _json(closed({"ready": boolean})))
    ready = closed({"name": TEXT, "ready": boolean})
    for base, names in (
        ("/v2/models/{model}", {"model": shapes.name}),
        ("/v2/models/{model}/versions/{version}", {"model": shapes.name, "version": shapes.version}),
    ):
        parameters = [_parameter(name, value) for name, value in names.items()]
        infer = {
            "summary": "Predict: tensors in, tensors out.",
            "description": f"Binary tensors are sent as {BINARY} with the header Inference-Header-Content-Length.",
            "requestBody": _body(_json(shapes.inference())),
            "responses": _responses(
                {**_json(inferred()), BINARY: {"schema": TEXT}}, _own("KServeRefusal"), (*PREDICTING, "404")
            ),
        }
        operations = {
            "": {"get": _get("The model's inputs and outputs.", _json(shapes.metadata()), "KServeRefusal")},
            "/ready": {"get": _get("Whether the model serves.", _json(ready), "KServeRefusal")},
            "/infer": {"post": infer},
        }
        for path, operation in operations.items():
            found[f"{base}{path}"] = {method: {"parameters": parameters} | said for method, said in operation.items()}
    return found


def _vertex(shapes: Shapes, routes: VertexRoutes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if routes.health:
        found[routes.health] = {
            "get": _get("Whether a release serves: Vertex AI.", _json({}), "GoogleRefusal", ("503",))
        }
    if routes.predict:
        plain = one_of(closed({}, {"explain": {"enum": [False, None]}}), NULL)
        explained = closed({"explain": {"const": True}})
        bodies = [
            closed({"instances": shapes.rows()}, {"parameters": plain}),
            closed({"instances": shapes.rows(MAXIMUM_EXPLAINED_ROWS), "parameters": explained}),
        ]
        found[routes.predict] = {
            "post": {
                "summary": "Predict, as Vertex AI asks for it.",
                "requestBody": _body(_json(one_of(*bodies))),
                "responses": _responses(_json(predictions()), _own("GoogleRefusal"), (*PREDICTING, "501")),
            }
        }
    return found


def _parameter(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [value]}}


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": content}


def _json(schema: Schema) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _own(name: str) -> Schema:
    """A protocol's own refusal; what is refused before it is known whose request it is has the native shape."""
    return one_of(reference(name), reference("Refusal"))


def _answered(text: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": content}


def _responses(content: dict[str, Any], refusal: Schema, statuses: tuple[str, ...]) -> dict[str, Any]:
    refused = {status: _answered(REFUSED[status], _json(refusal)) for status in statuses}
    return {"200": _answered("One prediction per row, in order.", content), **dict(sorted(refused.items()))}


def _get(
    summary: str, content: dict[str, Any], refusal: str = "Refusal", statuses: tuple[str, ...] = ("404", "503")
) -> dict[str, Any]:
    refused = {status: _answered(REFUSED[status], _json(_own(refusal))) for status in statuses}
    return {"summary": summary, "responses": {"200": _answered(summary, content), **refused}}
