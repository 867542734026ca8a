"""JSON Schemas of what the protocols send and answer, for the server's own description.

JSON Schema can't say that two lists are equally long, or a list as long as a number says. Where a protocol needs that,
the schema has one and two rows; more are sent alike.
"""

from typing import Any, Final

from ml.model.model import ServedModel
from ml.serving.protocols.tensors import OUTPUTS, TYPES, column_type

__all__ = ["COUNTS", "Shapes", "closed", "counted", "one_of", "opened", "reference"]

Schema = dict[str, Any]
COUNTS: Final = (1, 2)
LONGEST_CHOICE: Final = 1000
TEXT: Final[Schema] = {"type": "string"}
PARAMETERS: Final[Schema] = {"type": ["object", "null"], "title": "For extensions; those of binary tensors are read"}


def reference(name: str) -> Schema:
    """A schema among the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def closed(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": required | (optional or {}),
    }


def opened(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with these properties, and others that are not read."""
    return {"type": "object", "required": list(required), "properties": required | (optional or {})}


def counted(items: Schema, count: int) -> Schema:
    """A list of so many items."""
    return {"type": "array", "items": items, "minItems": count, "maxItems": count}


def one_of(*schemas: Schema) -> Schema:
    """Any of these, or the only one."""
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


class Shapes:
    """The schemas that follow from the release that serves, and from how many rows it takes at once."""

    def __init__(self, model: ServedModel | None, maximum_rows: int) -> None:
        self.name = model.manifest.name if model else "model"
        self.version = model.manifest.version if model else "1"
        self.columns: dict[str, Schema] = model.schema.row["properties"] if model else {}
        self._types = list(TYPES) if model else []
        self._datatype = column_type(model) if model else "INT64"
        # Not maxItems: more rows are refused with 413, as a body is that is too large, not as one that is wrong.
        self._limit = f"At most {maximum_rows} rows"

    def components(self) -> dict[str, Schema]:
        """The schemas that others refer to."""
        values = {
            "type": "array",
            "title": "The values of one row, in the order of its columns",
            "prefixItems": list(self.columns.values()),
            "items": False,
            "minItems": len(self.columns),
            "maxItems": len(self.columns),
        }
        selected = {"type": "object", "required": list(self.columns), "properties": self.columns}
        return {"Values": values if self.columns else {"type": "array"}, "WiderRow": selected, **_refusals()}

    def rows(self, maximum: int | None = None, *, lists: bool = True, wider: bool = False) -> Schema:
        """A list of rows, as objects or as lists of values; `wider` ones may have columns that nobody reads."""
        row = reference("WiderRow" if wider else "Row")
        kinds = [row, reference("Values")] if lists else [row]
        limit = {"title": self._limit} if maximum is None else {"maxItems": maximum}
        return one_of(*({"type": "array", "items": kind, "minItems": 1} | limit for kind in kinds))

    def csv(self) -> Schema:
        """CSV without a first line of names."""
        cells = [_choice(schema) for schema in self.columns.values()]
        return {"type": "string", "pattern": f"^({','.join(cells)}\n)+$"} if cells else TEXT

    def split(self) -> Schema:
        """A table with its columns named once; any order will do, this is the release's."""
        columns = {"enum": [list(self.columns), None]}
        values = {
            "type": "array",
            "items": reference("Values"),
            "minItems": 1,
            "title": self._limit,
        }
        return closed({"data": values}, {"columns": columns, "index": {"title": "As pandas writes it; not read"}})

    def by_column(self) -> Schema:
        """Column to list of values; other columns are not read."""
        return one_of(*(opened({n: counted(s, count) for n, s in self.columns.items()}) for count in COUNTS))

    def inference(self) -> Schema:
        """A request of the Open Inference Protocol, in JSON."""
        inputs = [self._tensors(count) for count in COUNTS] + [self._matrix(count) for count in COUNTS]
        named = {"name": {"enum": list(OUTPUTS)}, "parameters": PARAMETERS}
        output = {"type": "object", "required": ["name"], "properties": named}
        properties = {
            "id": {"type": ["string", "null"]},
            "parameters": PARAMETERS,
            "inputs": {"anyOf": inputs},
            "outputs": {"type": ["array", "null"], "items": output},
        }
        return {"type": "object", "required": ["inputs"], "properties": properties}

    def metadata(self) -> Schema:
        """A model's metadata."""
        tensor = {"name": TEXT, "datatype": TEXT, "shape": {"const": [-1]}}
        tensors = {"type": "array", "items": closed(tensor)}
        versions = {"type": "array", "items": TEXT}
        return closed({"name": TEXT, "versions": versions, "platform": TEXT, "inputs": tensors, "outputs": tensors})

    def _tensors(self, count: int) -> Schema:
        tensors = [
            self._tensor({"const": name}, {"const": [count]}, counted(column, count))
            for name, column in self.columns.items()
        ]
        return {
            "type": "array",
            "prefixItems": tensors,
            "items": False,
            "minItems": len(tensors),
            "maxItems": len(tensors),
        }

    def _matrix(self, count: int) -> Schema:
        name = {"type": "string", "not": {"enum": list(self.columns)}}
        data = counted(reference("Values"), count)
        return counted(self._tensor(name, {"const": [count, len(self.columns)]}, data), 1)

    def _tensor(self, name: Schema, shape: Schema, data: Schema) -> Schema:
        properties = {"name": name, "shape": shape, "datatype": {"enum": self._types or [self._datatype]}, "data": data}
        return opened(properties, {"parameters": PARAMETERS})


def _choice(column: Schema) -> str:
    """A regular expression for the values of a column."""
    if "oneOf" in column:
        codes = [str(code["const"]) for code in column["oneOf"] if "const" in code]
    elif column["maximum"] - column["minimum"] < LONGEST_CHOICE:
        codes = [str(value) for value in range(column["minimum"], column["maximum"] + 1)]
    else:
        return "-?[0-9]+"
    return f"({'|'.join(codes)})"


def predictions() -> Schema:
    """`{"predictions": [{"score": …, "decision": …}]}`."""
    prediction = {"$ref": "#/components/schemas/Answer/properties/predictions"}
    return closed({"predictions": prediction})


def probabilities() -> Schema:
    """The probability of each class, a row."""
    return {"type": "array", "items": counted({"type": "number", "minimum": 0, "maximum": 1}, 2)}


def inferred() -> Schema:
    """An answer of the Open Inference Protocol, in JSON."""
    tensor = {
        "name": {"enum": list(OUTPUTS)},
        "datatype": TEXT,
        "shape": {"type": "array", "items": {"type": "integer"}},
    }
    tensors = {
        "type": "array",
        "items": {
            "type": "object",
            "required": list(tensor),
            "properties": tensor | {"data": {"type": "array", "items": {"type": "number"}}},
        },
    }
    properties = {
        "model_name": TEXT,
        "model_version": TEXT,
        "id": TEXT,
        "parameters": {"type": "object"},
        "outputs": tensors,
    }
    return closed(properties)


def _refusals() -> dict[str, Schema]:
    mistakes = {"mistakes": {"$ref": "#/components/schemas/Refusal/properties/mistakes"}}
    violation = closed({"field": TEXT, "description": TEXT})
    detail = closed({"@type": TEXT, "fieldViolations": {"type": "array", "items": violation}})
    status = {"code": {"type": "integer"}, "message": TEXT, "status": TEXT}
    return {
        "KServeRefusal": closed({"error": TEXT}, mistakes),
        "MlflowRefusal": closed({"error_code": TEXT, "message": TEXT}, mistakes),
        "AzureRefusal": closed({"message": TEXT}, mistakes),
        "GoogleRefusal": closed({"error": closed(status, {"details": {"type": "array", "items": detail}})}),
    }
