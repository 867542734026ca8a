"""NumPy's own format of one array, which SageMaker's NumpySerializer sends and its NumpyDeserializer reads.

https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. A header is matched as NumPy writes it for an
array of numbers. NumPy's own reader evaluates what stands there, and makes room for whatever shape it says.
"""

import io
import re
from typing import Final

import numpy as np

from ml.http.answers import Response
from ml.model.explain import Explained
from ml.model.model import Scored, ServedModel
from ml.model.requests import RequestRefused, Rows

__all__ = ["NPY", "is_npy", "read_npy", "write_npy"]

NPY: Final = "application/x-npy"
MAGIC: Final = b"\x93NUMPY"
HEAD: Final = re.compile(
    MAGIC + rb"(?:\x01\x00..|[\x02\x03]\x00....)"  # the version, and how long the header is
    rb"\{ *'descr': *'([<>|=]?(?:[iu][1248]|f[248]))', *'fortran_order': *(False|True),"
    rb" *'shape': *\( *([0-9]{1,9}) *,(?: *([0-9]{1,9}) *,?)? *\) *,? *\} *\n",
    re.DOTALL,
)


def is_npy(body: bytes) -> bool:
    """Whether a body begins as NumPy's format does."""
    return body.startswith(MAGIC)


def read_npy(model: ServedModel, body: bytes) -> Rows:
    """Numbers of shape (rows, columns) in the order of the columns, or (columns,) for one row; NaN is missing."""
    if not body:
        raise RequestRefused(400, "The body is empty. Send an array of numbers.")
    head = HEAD.match(body)
    if head is None:
        raise RequestRefused(422, "The body must be one array of integers or floats with one or two dimensions.")
    kind, is_by_column, first, second = np.dtype(head[1].decode()), head[2] == b"True", int(head[3]), head[4]
    rows, columns = (1, first) if second is None else (first, int(second))
    names = model.tables.names
    if columns != len(names):
        wanted = f"{len(names)}, those of {', '.join(names)}"
        raise RequestRefused(422, f"The array has rows of {columns} values; expected {wanted}.")
    data = memoryview(body)[head.end() :]
    if len(data) != rows * columns * kind.itemsize:
        raise RequestRefused(400, f"The array has {len(data)} bytes, not those of {rows} rows as its header says.")
    values = np.frombuffer(data, kind).reshape((rows, columns), order="F" if is_by_column else "C")
    return model.tables.matrix(values.astype(np.float64))


def write_npy(_model: ServedModel, scored: Scored, _request_id: str, _explained: Explained | None) -> Response:
    """Floats of shape (rows, 2): score and decision."""
    stream = io.BytesIO()
    np.save(stream, np.column_stack([scored.scores, scored.decisions]).astype("<f8"), allow_pickle=False)
    return Response(200, stream.getvalue(), NPY)
