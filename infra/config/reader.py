"""A stack file as Pulumi's engine reads it.

YAML has dialects: `0815` is a number to one reader and a word to the next, `on` is true or "on". A spelling that two
readers could take differently is refused, so that a command never works with another value than `pulumi up` does.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, cast

import yaml
from yaml.resolver import Resolver

__all__ = ["NAMESPACE", "ConfigInvalid", "Values", "read_values"]

NAMESPACE: Final = "mlops"
STANDARD: Final = "tag:yaml.org,2002:"
OF_THE_ENGINE: Final = ("encryptionsalt", "secretsprovider", "encryptedkey")
QUOTES: Final = "write it in quotes"

# Line breaks of old YAML, tabs, marks of order, an escape of JSON: readers disagree on what they are and where.
UNUSUAL: Final = re.compile(r"[\t\x85\u2028\u2029\ufeff]|\r(?!\n)|^%|\\/", re.MULTILINE)
SURROGATE: Final = re.compile("[\ud800-\udfff]")
INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
DECIMAL_DIGITS, SMALLEST = 15, Decimal("1e-6")  # what a float keeps, and what JSON writes without an exponent
WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
# Whatever some reader takes for a number, a date, a truth value or nothing.
AMBIGUOUS: Final = re.compile(
    r"""[-+]?[0-9][0-9_,:]*(\.[0-9_]*)?([eE][-+]?[0-9_]*)?
    | [-+]?0[xXoObB][0-9a-fA-F_]*
    | [-+]?\.[0-9_].*
    | [0-9]{4}-[0-9].*
    | [-+]?\.?(?i:inf|infinity|nan)
    | (?i:y|yes|n|no|on|off|true|false|null)""",
    re.VERBOSE,
)


class ConfigInvalid(Exception):
    """The stack's name or configuration can't be used; the message names every key, value and remedy."""


@dataclass(frozen=True)
class Values:
    """The configuration as the engine hands it to a program: text, and JSON for what is no scalar.

    `encrypted` are the keys that hold a secret, of which only the engine knows the value.
    """

    plain: dict[str, str]
    encrypted: tuple[str, ...]


def read_values(file: Path) -> Values:
    """The values of a stack file; ConfigInvalid for what can't be read, or could be read in two ways."""
    return _Reader(file).values()


class _Reader:
    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: set[int] = set()

    def values(self) -> Values:
        plain: dict[str, str] = {}
        encrypted: list[str] = []
        for name, node in self._config().items():
            if not re.fullmatch(r"[^:]+:[^:]+", name):
                raise self._refused(node, f"{name!r} is no key of a stack's configuration: write {NAMESPACE}:…")
            value = self._value(name, node)
            if value is None:
                raise self._refused(node, f"{name} has no value: give it one, or remove the line")
            if _holds_secret(value):
                encrypted.append(name)
            else:
                plain[name] = value if isinstance(value, str) else json.dumps(value)
        return Values(plain, tuple(encrypted))

    def _config(self) -> dict[str, yaml.Node]:
        root = self._composed(self._text())
        if root is None or (isinstance(root, yaml.ScalarNode) and not root.value and not root.style):
            return {}
        known = self._mapping("the file", root)
        for name, node in known.items():
            if name not in ("config", *OF_THE_ENGINE):
                raise self._refused(node, f"{name!r} is no part of a stack file that this project reads: remove it")
        config = known.get("config")
        if config is None or (isinstance(config, yaml.ScalarNode) and self._scalar("config", config) is None):
            return {}
        return self._mapping("config", config)

    def _text(self) -> str:
        try:
            data = self.file.read_bytes()
        except OSError as error:
            raise ConfigInvalid(f"The stack file {self.file} can't be read: {error.strerror}.") from error
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ConfigInvalid(f"The stack file {self.file} is not UTF-8: byte {error.start}.") from error
        if found := UNUSUAL.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise ConfigInvalid(
                f"The stack file {self.file}, line {line}, has {found[0]!r}, on which readers disagree: write it "
                "with spaces, and one key a line."
            )
        return text

    def _composed(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            said = " ".join(str(error).split())
            raise ConfigInvalid(f"The stack file {self.file} is not one document of YAML: {said}.") from error
        except RecursionError as error:
            raise ConfigInvalid(f"The stack file {self.file} is nested too deeply.") from error
        except ValueError as error:  # an escape beyond Unicode's end
            raise ConfigInvalid(f"The stack file {self.file} escapes what is no character: {error}.") from error

    def _value(self, name: str, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(name, node)
        self._require_once(name, node)
        if isinstance(node, yaml.SequenceNode):
            self._require_tag(name, node, "seq")
            items = cast(list[yaml.Node], node.value)
            return [self._value(f"{name}[{index}]", item) for index, item in enumerate(items)]
        return {key: self._value(f"{name}.{key}", value) for key, value in self._mapping(name, node).items()}

    def _mapping(self, name: str, node: yaml.Node) -> dict[str, yaml.Node]:
        if not isinstance(node, yaml.MappingNode):
            raise self._refused(node, f"{name} is no mapping: write it with one key a line")
        self._require_tag(name, node, "map")
        found: dict[str, yaml.Node] = {}
        for key, value in cast(list[tuple[yaml.Node, yaml.Node]], node.value):
            text = self._scalar(f"a key of {name}", key) if isinstance(key, yaml.ScalarNode) else None
            if not isinstance(text, str):
                raise self._refused(key, f"a key of {name} is no word: {QUOTES}")
            if text in found:
                raise self._refused(key, f"{text} stands there twice: remove one")
            if node.flow_style and isinstance(value, yaml.ScalarNode) and not (value.value or value.style):
                raise self._refused(key, f"{text} has no value, and readers disagree on whether `:` belongs to the key")
            found[text] = value
        return found

    def _scalar(self, name: str, node: yaml.ScalarNode) -> Any:
        self._require_once(name, node)
        text = cast(str, node.value)
        if node.style:
            self._require_tag(name, node, "str")
            if SURROGATE.search(text):
                raise self._refused(node, f"{name} escapes half a character, as JSON does: write the character itself")
            return text
        implied = cast(str, Resolver().resolve(yaml.ScalarNode, text, (True, False)))
        self._require_tag(name, node, implied.removeprefix(STANDARD))
        if text in WORDS:
            return WORDS[text]
        if INTEGER.fullmatch(text):
            return int(text)
        if DECIMAL.fullmatch(text) and _is_exact(number := Decimal(text)):
            return int(number) if number == number.to_integral_value() else float(number)
        if implied != f"{STANDARD}str" or AMBIGUOUS.fullmatch(text):
            raise self._refused(node, f"{name} is {text}, which readers of YAML take for different things: {QUOTES}")
        return text

    def _require_once(self, name: str, node: yaml.Node) -> None:
        if id(node) in self._seen:
            raise self._refused(node, f"{name} repeats another value (*): write it out")
        self._seen.add(id(node))

    def _require_tag(self, name: str, node: yaml.Node, tag: str) -> None:
        if node.tag != f"{STANDARD}{tag}":
            raise self._refused(node, f"{name} has a tag (!): write the value alone, a word in quotes")

    def _refused(self, node: yaml.Node, why: str) -> ConfigInvalid:
        return ConfigInvalid(f"{self.file}, line {node.start_mark.line + 1}: {why}.")


def _is_exact(number: Decimal) -> bool:
    return len(number.as_tuple().digits) <= DECIMAL_DIGITS and (number == 0 or abs(number) >= SMALLEST)


def _holds_secret(value: Any) -> bool:
    """Whether it is the engine's way to write a secret, or holds one."""
    if isinstance(value, dict):
        mapping = cast(dict[str, Any], value)
        return (list(mapping) == ["secure"] and isinstance(mapping["secure"], str)) or any(
            _holds_secret(each) for each in mapping.values()
        )
    return isinstance(value, list) and any(_holds_secret(each) for each in cast(list[Any], value))
