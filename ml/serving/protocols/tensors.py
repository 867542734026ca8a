"""The tensors of the Open Inference Protocol, as JSON or binary, to rows and back."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused, Rows, decoded, shown
from ml.serving.protocols.body import is_given, plain

__all__ = ["OUTPUTS", "Tensor", "column_type", "outputs", "rows"]

# Little-endian, as the binary extension has them; FP16 exists in binary only.
TYPES: Final = {
    "INT8": "<i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "<u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
OUTPUTS: Final = {"score": "FP64", "decision": "INT64"}
FLAT: Final = msgspec.json.Decoder(list[float | None])
WHOLE: Final = "one tensor a column, of shape [rows] or [rows, 1], or a single one of shape [rows, columns]"


class Tensor(msgspec.Struct):
    """One input: `data` is row-major, nested or flat; a binary one has `binary_data_size` bytes behind the JSON."""

    name: str
    shape: list[Annotated[int, msgspec.Meta(ge=0, le=2**31)]]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def column_type(model: ServedModel) -> str:
    """The datatype that the model's metadata states: what may be missing needs NaN."""
    return "FP64" if any(feature.nullable for feature in model.tables.features) else "INT64"


def rows(model: ServedModel, inputs: list[Tensor], binary: bytes) -> Rows:
    """The rows of a request's tensors; RequestRefused names row and column where a value is at fault."""
    names = model.tables.names
    values = {tensor.name: data for tensor, data in zip(inputs, _values(inputs, binary), strict=True)}
    if len(values) != len(inputs):
        raise RequestRefused(422, "Two inputs have the same name.")
    if len(inputs) == 1 and inputs[0].name not in names and inputs[0].shape[1:] == [len(names)]:
        data = values[inputs[0].name]
        if isinstance(data, np.ndarray):
            return model.tables.matrix(data.reshape(-1, len(names)))
        return model.tables.listed({name: data[place :: len(names)] for place, name in enumerate(names)})
    for tensor in inputs:
        if not tensor.shape or tensor.shape[1:] not in ([], [1]):
            raise RequestRefused(422, f"The input {tensor.name[:60]!r} has the shape {tensor.shape[:8]}. Send {WHOLE}.")
    if all(isinstance(data, np.ndarray) for data in values.values()):
        return model.tables.arrays({name: np.asarray(data) for name, data in values.items()})
    return model.tables.listed({name: _listed(data) for name, data in values.items()})


def outputs(scored: Scored) -> dict[str, np.ndarray]:
    """The outputs by name, (rows,) each."""
    return {"score": scored.scores.astype("<f8"), "decision": scored.decisions.astype("<i8")}


def _listed(data: np.ndarray | list[Any]) -> list[Any]:
    return data if isinstance(data, list) else [None if value != value else value for value in data.tolist()]


def _values(inputs: list[Tensor], binary: bytes) -> Iterator[np.ndarray | list[Any]]:
    """Each input's values, flat: numbers as an array, or a list that holds something else as well."""
    if not inputs:
        raise RequestRefused(422, f"There are no inputs. Send {WHOLE}.")
    offset = 0
    for tensor in inputs:
        if tensor.datatype not in TYPES:
            raise RequestRefused(
                422,
                f"The input {tensor.name[:60]!r} has the datatype {tensor.datatype[:60]!r}; "
                f"expected one of {', '.join(TYPES)}.",
            )
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            values = _from_json(tensor)
        elif type(size) is int and 0 <= size <= len(binary) - offset and not is_given(tensor.data):
            values = _from_binary(tensor, binary[offset : offset + size])
            offset += size
        else:
            raise RequestRefused(
                400, f"The input {tensor.name[:60]!r} does not have its binary_data_size of {shown(size)} bytes."
            )
        if len(values) != math.prod(tensor.shape):
            raise RequestRefused(
                422, f"The input {tensor.name[:60]!r} has {len(values)} values, not those of shape {tensor.shape[:8]}."
            )
        yield values
    if offset != len(binary):
        raise RequestRefused(400, f"{len(binary) - offset} bytes at the body's end belong to no input.")


def _from_json(tensor: Tensor) -> np.ndarray | list[Any]:
    if not is_given(tensor.data):
        raise RequestRefused(422, f"The input {tensor.name[:60]!r} has no data.")
    data = plain(tensor.data)
    try:
        return np.array(FLAT.decode(data), dtype=np.float64)
    except (msgspec.DecodeError, RecursionError):
        value = decoded(data)
    if not isinstance(value, list):
        raise RequestRefused(422, f"The data of {tensor.name[:60]!r} must be a list, got {shown(value)}.")
    values: list[Any] = list(_flat(value, len(tensor.shape)))
    if all(each is None or type(each) in (int, float) for each in values):
        return np.array([_as_float(each) for each in values], dtype=np.float64)
    return values


def _as_float(value: float | None) -> float:
    try:
        return math.nan if value is None else float(value)
    except OverflowError:  # an integer that no float holds, nor any column
        return math.inf


def _flat(value: object, depth: int) -> Iterator[object]:
    """The elements of nested lists, which may be flat already."""
    if depth > 0 and isinstance(value, list):
        for part in value:
            yield from _flat(part, depth - 1) if isinstance(part, list) else (part,)
    else:
        yield value


def _from_binary(tensor: Tensor, data: bytes) -> np.ndarray:
    kind = np.dtype(TYPES[tensor.datatype])
    if len(data) % kind.itemsize:
        raise RequestRefused(
            400, f"The input {tensor.name[:60]!r} has {len(data)} bytes, no multiple of {kind.itemsize}."
        )
    return np.frombuffer(data, kind).astype(np.float64)
