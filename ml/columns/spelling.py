"""How a number is written where there is only text: in CSV, and in the names of folders."""

import re
from typing import Final

__all__ = ["MISSING", "PLAIN_NUMBER", "cell"]

# What programs write for no value: pandas, R, Python, SQL, MySQL, Excel, C. No whole number is written like that.
# Whatever pandas reads as missing is among them, since MLflow reads CSV so.
MISSING: Final = frozenset(
    [
        *("", "NA", "N/A", "n/a", "<NA>", "#N/A", "#NA", "#N/A N/A", "NULL", "null", "None", "\\N"),
        *("NaN", "nan", "-NaN", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
    ]
)
# An identifier that is its number: 007 and 7 are two names.
PLAIN_NUMBER: Final = r"^(-?[1-9][0-9]{0,17}|0)$"
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?")
_SPACE: Final = " \t"


def cell(text: str) -> float | str | None:
    """A cell as JSON would have it: a number, nothing where it is missing, or the text that is neither.

    Digits are 0 to 9; a sign, leading zeros, a fraction and an exponent may be there, spaces and tabs around it. Not
    thousands separators, decimal commas, other bases, or names of what is no finite number.
    """
    text = text.strip(_SPACE)
    if _NUMBER.fullmatch(text):
        return float(text)
    return None if text in MISSING else text
