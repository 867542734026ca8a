"""Bytes given to Arrow to read."""

from typing import IO, cast

import pyarrow as pa

__all__ = ["in_memory"]


def in_memory(data: bytes) -> IO[bytes]:
    """The bytes in memory that is Arrow's own, readable by its threads.

    Arrow's threads may let go of what they read after the reading has returned. Where that is a Python object, be it a
    file or bytes, a thread that comes too late for the end of the interpreter aborts the process
    (https://github.com/apache/arrow/issues/34314: "terminate called without an active exception").
    """
    memory = pa.BufferOutputStream()
    memory.write(data)
    return cast(IO[bytes], pa.BufferReader(memory.getvalue()))  # a file to whoever reads, though not to type checkers
