"""What `mlops` writes into a stack file: which release the stack pins, and the newest entry of its ledger; the pinned
image beside it is only read.

ruamel.yaml says where things stand, and the text between is kept: its own dump has one indentation a file and leaves
out a byte order mark, `---` and spaces in braces, so that a person's file would change wherever it differs.
"""

import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from ml.bundle.bundle import key_of
from ml.errors import InputRefused
from ml.trust.checkout import PROJECT_FILE, project_root
from ml.trust.witness import Head, heads

__all__ = [
    "RELEASE_KEY",
    "challenger",
    "drop_salt",
    "pin",
    "pinned",
    "pinned_image",
    "stack_file",
    "state_head",
    "stated_head",
    "unpin",
]

CONFIG_KEY: Final = "config"
RELEASE_KEY: Final = "mlops:release"
IMAGE_KEY: Final = "mlops:image"
SALT: Final = "encryptionsalt:"
SECRET: Final = re.compile(r"\bsecure['\"]?\s*:")
CHALLENGER_KEY: Final = "mlops:challenger"
LEDGER_KEY: Final = "mlops:ledger"

_Edit = tuple[int, int, str]  # replace the text from one index to another


def stack_file(stack: str, root: Path | None = None) -> Path:
    """The file of a stack of the project; InputRefused when the stack has none."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", stack):
        raise InputRefused(f"{stack!r} is no stack's name. A stack is called like `local-dev`.")
    root = root or project_root()
    settings = yaml.safe_load((root / PROJECT_FILE).read_text(encoding="utf-8")) or {}
    file = root / settings.get("stackConfigDir", ".") / f"Pulumi.{stack}.yaml"
    if not file.is_file():
        raise InputRefused(
            f"The stack {stack!r} has no file {file}. Copy one of its neighbours, or name another stack."
        )
    return file


def pinned(file: Path) -> str | None:
    """The digest of the release that a stack file pins, None when it pins none."""
    return _value(file, RELEASE_KEY)


def pinned_image(file: Path) -> str | None:
    """The digest of the image that a stack file pins, None when it pins none."""
    return _value(file, IMAGE_KEY)


def stated_head(file: Path) -> Head | None:
    """The newest entry of the stack's ledger as its file states it, None when it states none."""
    return next(iter(heads([(_value(file, LEDGER_KEY), str(file))])), None)


def challenger(file: Path) -> str | None:
    """The digest of the release that a stack file has tried beside the pinned one, None when it has none."""
    document = _Document(file)
    entry = _entry(document, CHALLENGER_KEY)
    found = document.find(entry[1], "release") if entry and isinstance(entry[1], MappingNode) else None
    return str(found[1].value) if found else None


def pin(file: Path, digest: str) -> None:
    """Pin a release; every other byte of the file stays as it is."""
    key_of(digest)
    with _alone(file):
        _edit(file, RELEASE_KEY, digest)


def state_head(file: Path, head: Head, given_up: Collection[Head] = ()) -> None:
    """State the newest entry of the stack's ledger; a file that states a later one, not given up, stays as it is."""
    with _alone(file):
        before = stated_head(file)
        if before is None or before.sequence < head.sequence or str(before) in map(str, given_up):
            _edit(file, LEDGER_KEY, str(head))


def unpin(file: Path) -> None:
    """Take out the pin, and what is said of the ledger; nothing happens when there is none of them."""
    with _alone(file):
        for key in (RELEASE_KEY, LEDGER_KEY):
            document = _Document(file)
            if entry := _entry(document, key):
                start = document.text.rfind("\n", 0, entry[0].start_mark.index) + 1
                end = document.line_end(entry[1].end_mark.index)
                document.apply((start, end, ""), key, expected=None)


def _edit(file: Path, key: str, value: str) -> None:
    document = _Document(file)
    document.apply(_stating(document, key, value), key, expected=value)


@contextmanager
def _alone(file: Path) -> Generator[None]:
    """Nobody else edits the folder's files meanwhile: who reads, then writes the whole, would undo another's pin."""
    try:
        folder = os.open(file.resolve().parent, os.O_RDONLY)
    except OSError as error:
        raise InputRefused(f"The stack file {file} can't be read: {error.strerror}.") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def drop_salt(file: Path) -> None:
    """Take out the engine's line about one person's passphrase, which is in the state too; nobody else could go on.

    It stays beside a secret value, which can't be read without it.
    """
    with _alone(file):
        document = _Document(file)
        kept = "".join(line for line in document.text.splitlines(keepends=True) if not line.startswith(SALT))
        if kept != document.text and not SECRET.search(kept):
            _replace(document.file, kept.encode())


class _Document:
    """A stack file's text and where the things in it stand."""

    def __init__(self, file: Path) -> None:
        self.file = file.resolve()
        try:
            self.text = self.file.read_bytes().decode("utf-8")
        except OSError as error:
            raise InputRefused(f"The stack file {file} can't be read: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise InputRefused(f"The stack file {file} is not UTF-8: byte {error.start}.") from error
        self.newline = "\r\n" if "\r\n" in self.text else "\n"
        self.root = self._compose(self.text)

    def _compose(self, text: str) -> MappingNode | None:
        try:
            node = cast(Node | None, YAML(typ="rt", pure=True).compose(text))
        except (YAMLError, ValueError) as error:  # ValueError: an escape beyond Unicode's end
            raise InputRefused(f"The stack file {self.file} is not YAML: {error}") from error
        if node is None or (isinstance(node, ScalarNode) and not node.value):
            return None
        if not isinstance(node, MappingNode):
            raise self.unusual("its top level is not a mapping")
        return node

    def unusual(self, why: str) -> InputRefused:
        return InputRefused(
            f"The stack file {self.file} can't be edited: {why}. Write it as `{CONFIG_KEY}:` with one key a line."
        )

    def find(self, mapping: MappingNode, key: str) -> tuple[ScalarNode, Node] | None:
        found = [(k, v) for k, v in mapping.value if isinstance(k, ScalarNode) and k.value == key]
        if len(found) > 1:
            raise self.unusual(f"{key} stands in it {len(found)} times")
        return found[0] if found else None

    def line_end(self, index: int) -> int:
        """Where the line of `index` ends, its newline included."""
        newline = self.text.find("\n", index)
        return len(self.text) if newline < 0 else newline + 1

    def line_after(self, index: int, line: str) -> _Edit:
        """The edit that puts `line` after the line of `index`."""
        end = self.line_end(index)
        before = "" if end == 0 or self.text[end - 1] == "\n" else self.newline
        return end, end, f"{before}{line}{self.newline}"

    def apply(self, edit: _Edit, key: str, expected: str | None) -> None:
        """Write the edited text as a whole, after it was read back and says what it should."""
        start, end, new = edit
        text = self.text[:start] + new + self.text[end:]
        written = _Document.__new__(_Document)
        written.file, written.text, written.newline, written.root = self.file, text, self.newline, self._compose(text)
        entry = _entry(written, key)
        if (entry[1].value if entry else None) != expected:
            raise self.unusual("its layout is not understood")
        if text != self.text:
            _replace(self.file, text.encode())


def _value(file: Path, key: str) -> str | None:
    entry = _entry(_Document(file), key)
    return entry[1].value if entry and isinstance(entry[1], ScalarNode) and entry[1].value else None


def _entry(document: _Document, key: str) -> tuple[ScalarNode, Node] | None:
    config = document.find(document.root, CONFIG_KEY) if document.root else None
    if config is None or not isinstance(config[1], MappingNode):
        return None
    entry = document.find(config[1], key)
    if entry and entry[1].start_mark.index < entry[0].end_mark.index:
        raise document.unusual(f"{key} repeats another value")  # an alias: editing it would change both
    return entry


def _stating(document: _Document, key: str, value: str) -> _Edit:
    line = f"{key}: {value}"
    if entry := _entry(document, key):
        return _span(document, entry, value)
    return _new_line(document, line)


def _new_line(document: _Document, line: str) -> _Edit:
    config = document.find(document.root, CONFIG_KEY) if document.root else None
    if config is None:
        if document.root is not None and document.root.flow_style:
            raise document.unusual("it is written with braces")
        return document.line_after(len(document.text), f"{CONFIG_KEY}:{document.newline}  {line}")
    key, value = config
    if isinstance(value, ScalarNode) and value.tag.endswith(":null"):
        if value.start_mark.index != value.end_mark.index:
            raise document.unusual(f"{CONFIG_KEY} is {value.value!r}")
        return document.line_after(key.end_mark.index, f"{' ' * (key.start_mark.column + 2)}{line}")
    if not isinstance(value, MappingNode):
        raise document.unusual(f"{CONFIG_KEY} is not a mapping")
    if value.flow_style:
        if value.value:
            raise document.unusual(f"{CONFIG_KEY} is written with braces")
        indented = f"{document.newline}{' ' * (key.start_mark.column + 2)}{line}"
        return key.end_mark.index + 1, value.end_mark.index, indented
    return _beside(document, value, line)


def _beside(document: _Document, config: MappingNode, line: str) -> _Edit:
    """After the last key that has a value of one line, so that the comments above a key stay with it."""
    entries = cast(list[tuple[Node, Node]], config.value)
    indented = f"{' ' * entries[0][0].start_mark.column}{line}"
    for key, value in reversed(entries):
        one_line = key.start_mark.line == value.start_mark.line == value.end_mark.line
        if one_line and isinstance(value, ScalarNode) and value.style not in ("|", ">") and value.value:
            return document.line_after(value.end_mark.index, indented)
    start = document.text.rfind("\n", 0, entries[0][0].start_mark.index) + 1
    return start, start, f"{indented}{document.newline}"


def _span(document: _Document, entry: tuple[ScalarNode, Node], new: str) -> _Edit:
    key, value = entry
    if value.start_mark.index == value.end_mark.index:  # `mlops:release:` with nothing after it
        colon = document.text.index(":", key.end_mark.index) + 1
        return colon, colon, f" {new}"
    if value.end_mark.line != value.start_mark.line:
        raise document.unusual(f"{key.value} is not one line")
    return value.start_mark.index, value.end_mark.index, new


def _replace(file: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(stat.S_IMODE(file.stat().st_mode))
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
