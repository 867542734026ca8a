"""Values as files and requests spell them, and what each counts as: the table that every reader is held to.

A column of the reference problem stands for every column of whole numbers: AGEP, 0 to 99, here nullable or not.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ml.problem import Problem, load_problem

__all__ = [
    "ARROW",
    "JSON",
    "MISSING",
    "NAME",
    "OTHER",
    "REFUSED",
    "TENSORS",
    "TEXT",
    "Verdict",
    "parquet",
    "problem",
    "row_of",
    "wanted",
]

NAME, OTHER = "AGEP", "SEX"
Verdict = int | str

REFUSED: Final = "refused"
MISSING: Final = "missing"

# As text, in CSV and in the names of folders.
TEXT: Final[dict[str, int | str]] = {
    **dict.fromkeys(("45", "045", "0045", "+45", "+045", "45.", "45.0", "45.000", "+45.0", "0045.0", "4.5e1"), 45),
    **dict.fromkeys(("4.5E1", "4.5e+1", "450e-1", "0.45e2", "45e0", "45E+00", " 45", "45 ", "\t45\t", " +45 "), 45),
    **dict.fromkeys(("0" * 30 + "45", "0" * 5000 + "45", "45." + "0" * 400, "4500000e-5"), 45),
    **dict.fromkeys(("0", "-0", "+0", "00", "0.0", "-0.0", "0e5", "-0e0", "0." + "0" * 50), 0),
    **dict.fromkeys(("1e1", "1E1", "1e+1", "10e0", "1e01", "100e-1"), 10),
    **dict.fromkeys(("99", "99.0", "9.9e1"), 99),
    # out of the domain, near and far
    **dict.fromkeys(("100", "-1", "-45", "1e2", "100.0", "-1.0", "1e3", "1e18", "1e400", "-1e400"), REFUSED),
    **dict.fromkeys(("9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807"), REFUSED),
    **dict.fromkeys(("9223372036854775808", "18446744073709551615", "-9223372036854775809", "9" * 5000), REFUSED),
    # not whole
    **dict.fromkeys(("45.5", "0.5", "1e-1", "45.0000001", "4.55e1", "-0.5", "99.5", "450e-2"), REFUSED),
    # no numbers, though somebody takes them for one
    **dict.fromkeys((".5", "45,0", "4,5", "1,000", "1 000", "1'000", "1_0", "4_5", "0x10", "0X10", "0x2D"), REFUSED),
    **dict.fromkeys(("0b11", "0o17", "1e", "e1", "1e1.5", "4 5", "--1", "++1", "+-1", "- 1", "45f", "45L"), REFUSED),
    **dict.fromkeys(
        ("45%", "$45", "45d0", "1d1", "(45)", "'45", "45'", "٤٥", "\uff14\uff15", "४५", "⁴⁵", "Ⅳ", "½"), REFUSED
    ),
    **dict.fromkeys(("\u221245", "45\xa0", "\xa045", "\u200b45", "4\xad5", "45\ufeff", "45\x0b", "45\x1c"), REFUSED),
    **dict.fromkeys(("inf", "-inf", "+inf", "Inf", "INF", "Infinity", "-Infinity", "infinity", "1.#INF"), REFUSED),
    **dict.fromkeys(("true", "false", "True", "FALSE", "t", "yes", "no", "on", "off", "abc", "forty", "x"), REFUSED),
    **dict.fromkeys(("2015-01-01", "12:30", "2015", "[45]", "{}", "?", "-", ".", "+", "e", "0/1", "#REF!"), REFUSED),
    **dict.fromkeys(("1.#SNAN", "+nan", "Null", "NONE", "nil", "missing", "unknown", "\\n", "NAN"), REFUSED),
    # one list of what says that there is nothing
    **dict.fromkeys(("", " ", "\t", "NA", "N/A", "n/a", "<NA>", "#N/A", "NaN", "nan", "-nan", " NA "), MISSING),
    **dict.fromkeys(("NULL", "null", "None", "\\N", "nan ", "#NA", "#N/A N/A", "-NaN"), MISSING),
    **dict.fromkeys(("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"), MISSING),
}

# As JSON: a number is one however it is written, and everything else is none.
JSON: Final[dict[str, int | str]] = {
    **dict.fromkeys(("45", "45.0", "45.000", "4.5e1", "4.5E1", "4.5e+1", "450e-1", "0.45e2", "45e0"), 45),
    **dict.fromkeys(("45." + "0" * 400, "4500000e-5"), 45),
    **dict.fromkeys(("0", "-0", "0.0", "-0.0", "0e5", "-0e0"), 0),
    **dict.fromkeys(("1e1", "1E1", "1e+1", "10e0", "100e-1"), 10),
    **dict.fromkeys(("99", "99.0", "9.9e1"), 99),
    **dict.fromkeys(("100", "-1", "-45", "1e2", "100.0", "-1.0", "1e18", "1e400", "-1e400", "9" * 400), REFUSED),
    **dict.fromkeys(("9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807"), REFUSED),
    **dict.fromkeys(("9223372036854775808", "18446744073709551615", "-9223372036854775809"), REFUSED),
    **dict.fromkeys(("45.5", "0.5", "1e-1", "45.0000001", "4.55e1", "-0.5", "99.5", "450e-2"), REFUSED),
    **dict.fromkeys(('"45"', '"45.0"', '" 45"', '"abc"', '""', '"NaN"', '"null"', "true", "false"), REFUSED),
    **dict.fromkeys(("[45]", "[]", "{}", '{"a": 45}', '"٤٥"', '"4_5"', '"1e1"', '"true"'), REFUSED),
    "null": MISSING,
}

# A type of Arrow, a value of it, and what that counts as.
ARROW: Final[list[tuple[pa.DataType, Any, int | str]]] = [
    *((getattr(pa, name)(), 45, 45) for name in ("int8", "int16", "int32", "int64")),
    *((getattr(pa, name)(), 45, 45) for name in ("uint8", "uint16", "uint32", "uint64")),
    *((getattr(pa, name)(), 45.0, 45) for name in ("float16", "float32", "float64")),
    *((getattr(pa, name)(), 45.5, REFUSED) for name in ("float16", "float32", "float64")),
    *((getattr(pa, name)(), float("nan"), MISSING) for name in ("float16", "float32", "float64")),
    *((getattr(pa, name)(), float("inf"), REFUSED) for name in ("float16", "float32", "float64")),
    *((getattr(pa, name)(), None, MISSING) for name in ("int8", "uint64", "float16", "float32", "float64")),
    (pa.float32(), -0.0, 0),
    (pa.float64(), -0.0, 0),
    (pa.float64(), 1e300, REFUSED),
    (pa.float64(), 100.0, REFUSED),
    (pa.int8(), -1, REFUSED),
    (pa.int64(), 2**63 - 1, REFUSED),
    (pa.uint64(), 2**64 - 1, REFUSED),
    (pa.decimal32(5, 2), Decimal("45.00"), 45),
    (pa.decimal64(9, 3), Decimal("45.000"), 45),
    (pa.decimal128(38, 0), Decimal("45"), 45),
    (pa.decimal128(38, 10), Decimal("45"), 45),
    (pa.decimal256(76, 20), Decimal("45"), 45),
    (pa.decimal128(38, 0), None, MISSING),
    (pa.decimal256(76, 20), None, MISSING),
    (pa.decimal32(5, 2), Decimal("45.25"), REFUSED),
    (pa.decimal128(38, 10), Decimal("45.5"), REFUSED),
    (pa.decimal128(38, 30), Decimal("45.000000000000000000000000000001"), REFUSED),
    (pa.decimal128(38, 0), Decimal("9" * 38), REFUSED),
    (pa.decimal256(76, 0), Decimal("9" * 76), REFUSED),
    (pa.decimal128(38, 0), Decimal("-1"), REFUSED),
    (pa.bool_(), True, REFUSED),
    (pa.string(), "45", REFUSED),
    (pa.large_string(), "45", REFUSED),
    (pa.string_view(), "45", REFUSED),
    (pa.binary(), b"45", REFUSED),
    (pa.binary(2), b"45", REFUSED),
    (pa.date32(), 45, REFUSED),
    (pa.date64(), 0, REFUSED),
    (pa.timestamp("us"), 45, REFUSED),
    (pa.timestamp("ns", "UTC"), 45, REFUSED),
    (pa.time32("s"), 45, REFUSED),
    (pa.duration("s"), 45, REFUSED),
    (pa.list_(pa.int64()), [45], REFUSED),
    (pa.struct([("x", pa.int64())]), {"x": 45}, REFUSED),
    (pa.null(), None, MISSING),
    (pa.dictionary(pa.int32(), pa.int64()), 45, 45),
    (pa.dictionary(pa.int8(), pa.int8()), 45, 45),
    (pa.dictionary(pa.int32(), pa.float64()), 45.0, 45),
    (pa.dictionary(pa.int32(), pa.float64()), 45.5, REFUSED),
    (pa.dictionary(pa.int32(), pa.decimal128(10, 2)), Decimal("45.00"), 45),
    (pa.dictionary(pa.int32(), pa.int64()), None, MISSING),
    (pa.dictionary(pa.int32(), pa.string()), "45", REFUSED),
]

# A datatype of the Open Inference Protocol, its numpy type, a value, and what that counts as.
TENSORS: Final[list[tuple[str, Any, Any, int | str]]] = [
    *((f"INT{bits}", f"<i{bits // 8}", 45, 45) for bits in (8, 16, 32, 64)),
    *((f"UINT{bits}", f"<u{bits // 8}", 45, 45) for bits in (8, 16, 32, 64)),
    *((f"FP{bits}", f"<f{bits // 8}", 45.0, 45) for bits in (16, 32, 64)),
    *((f"FP{bits}", f"<f{bits // 8}", 45.5, REFUSED) for bits in (16, 32, 64)),
    *((f"FP{bits}", f"<f{bits // 8}", np.inf, REFUSED) for bits in (16, 32, 64)),
    *((f"FP{bits}", f"<f{bits // 8}", np.nan, MISSING) for bits in (16, 32, 64)),
    ("FP64", "<f8", -0.0, 0),
    ("INT64", "<i8", 2**63 - 1, REFUSED),
    ("UINT64", "<u8", 2**64 - 1, REFUSED),
    ("INT8", "<i1", -1, REFUSED),
]


def problem(*, nullable: bool) -> Problem:
    """The reference problem with two features, one of which stands for all."""
    whole = load_problem()
    features = {feature.name: feature for feature in whole.features}
    kept = (features[NAME].model_copy(update={"nullable": nullable}), features[OTHER])
    return whole.model_copy(update={"features": kept})


def row_of(value: Any) -> dict[str, Any]:
    return {"id": 7, "year": 2015, NAME: value, OTHER: 1, "employed": 1}


def wanted(counts: Verdict, nullable: bool) -> Verdict:
    return REFUSED if counts == MISSING and not nullable else counts


def parquet(folder: Path, kind: pa.DataType, value: Any, row: dict[str, Any] | None = None, name: str = NAME) -> Path:
    """A parquet file with one row, whose column `name` has that type and value."""
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    made = np.float16(value) if pa.types.is_float16(inner) and value is not None else value
    column: Any = pa.array([made], inner)
    columns = {key: pa.array([held]) for key, held in (row or row_of(0)).items()}
    columns[name] = column.dictionary_encode().cast(kind) if inner is not kind else column
    pq.write_table(pa.table(columns), folder / "it.parquet")
    return folder / "it.parquet"
