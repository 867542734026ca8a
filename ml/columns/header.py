"""What a CSV file begins with: the line that names its columns, and what keeps it from being one."""

import codecs
import csv
import re
from collections.abc import Collection, Sequence
from typing import Final

from ml.columns.spelling import cell

__all__ = ["broken_value", "fault", "header", "misnamed", "misread", "namesake", "undecodable"]

BOM: Final = b"\xef\xbb\xbf"
SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}
OTHERS: Final = {
    b"PAR1": "a parquet file; name it *.parquet",
    b"\x1f\x8b": "compressed (gzip); unpack it",
    b"PK\x03\x04": "a zip archive or an Excel workbook; unpack it, or save it as CSV",
    b"BZh": "compressed (bzip2); unpack it",
    b"\x28\xb5\x2f\xfd": "compressed (zstd); unpack it",
    b"\xfd7zXZ": "compressed (xz); unpack it",
    b"\xff\xfe": "UTF-16, not UTF-8, from byte 1 on; save it as UTF-8",
    b"\xfe\xff": "UTF-16, not UTF-8, from byte 1 on; save it as UTF-8",
}
# A quoted value from its opening quote to the closing one, or to where the line ends without.
QUOTED: Final = re.compile(rb'(?<![^,\r\n])"(?:[^"\n]+|"")*+("|\n|\Z)')
BLOCK_BYTES: Final = 1024 * 1024
MOST_NAMES: Final = 30
MOST_CHARACTERS: Final = 60


def fault(head: bytes) -> str | None:
    """What keeps a file that begins with these bytes, its first line among them, from being CSV as it is read here."""
    for magic, says in OTHERS.items():
        if head.startswith(magic):
            return says
    if zeros := head.count(b"\0"):
        return f"not text: {zeros:,} zero bytes, as UTF-16 has; save it as UTF-8"
    first, rest = head.find(b"\r"), head.find(b"\n")
    if first >= 0 and rest != first + 1 and not 0 <= rest < first:
        return "its lines end in bare carriage returns; save it with line feeds"
    return None


def header(line: bytes) -> list[str]:
    """The names in a first line; ValueError says what is wrong with it."""
    text = line.removeprefix(BOM).decode("utf-8").rstrip("\r\n")
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise ValueError(f"its first line, which names the columns, can't be read: {error}") from error


def misread(names: Sequence[str], wanted: Collection[str]) -> str | None:
    """What is wrong with a first line that has none of the names that are wanted, where that can be told."""
    if not names or not set(wanted).isdisjoint(names):
        return None
    if len(names) == 1 and names[0].startswith("sep="):
        return f"its first line is {names[0][:MOST_CHARACTERS]!r}; remove it, and separate the values by commas"
    line = ",".join(names)
    for mark, called in SEPARATORS.items():
        if not set(wanted).isdisjoint(_bare(name) for name in line.split(mark)):
            return f"its values are separated by {called} ({mark!r}); separate them by commas"
    if all(isinstance(cell(name), float) for name in names):
        return "its first line holds numbers; begin with a line that names the columns"
    return None


def misnamed(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """A sentence on names that lack a wanted one, or have it more than once."""
    if says := misread(names, wanted):
        return f"{says}."
    if doubled := [name for name in wanted if names.count(name) > 1]:
        return f"the column {doubled[0]} is there {names.count(doubled[0])} times. Keep one of them."
    if missing := [name for name in wanted if name not in names]:
        kind, be = ("column", "is") if len(missing) == 1 else ("columns", "are")
        others = ((name, namesake(name, names)) for name in missing)
        hint = next((f" Rename {other!r} to {name!r}." for name, other in others if other is not None), "")
        return f"the {kind} {', '.join(missing)} {be} missing; it has {_some(names)}.{hint}"
    return None


def namesake(name: str, names: Sequence[str]) -> str | None:
    """The one among the names that differs from `name` in case, quotes or spaces alone."""
    same = [other for other in names if other != name and _bare(other).casefold() == name.casefold()]
    return same[0] if len(same) == 1 else None


def broken_value(content: bytes) -> int | None:
    """The number, from 0, of the first line in which a quoted value is not closed; None where there is none."""
    if b'"' not in content:
        return None
    broken = next((found for found in QUOTED.finditer(content) if found[1] != b'"'), None)
    return None if broken is None else content.count(b"\n", 0, broken.start())


def undecodable(content: bytes) -> int | None:
    """The first byte, from 0, that isn't UTF-8; None where all are. Memory is that of a block."""
    if content.isascii():
        return None
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(content), BLOCK_BYTES):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(content[start : start + BLOCK_BYTES], final=start + BLOCK_BYTES >= len(content))
        except UnicodeDecodeError as error:
            return start - held + error.start
    return None


def _bare(name: str) -> str:
    return name.strip("\ufeff \t\"'\u00a0")


def _some(names: Sequence[str]) -> str:
    shown = [name[:MOST_CHARACTERS] for name in names[:MOST_NAMES]]
    return ", ".join(shown) + (", …" if len(names) > MOST_NAMES else "") if names else "no columns"
