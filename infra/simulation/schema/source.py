"""Reads the types of an SDK's generated classes from their source text; a whole module would take seconds to parse."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

from infra.simulation.schema.types import FunctionSchema, Property, ResourceSchema, Type

__all__ = ["read_function", "read_resource"]

SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
TRANSPARENT = {"Input", "InputType", "Output", "Optional", "Awaitable", "NotRequired"}
NEW_RESOURCE = re.compile(
    r"forces? (a )?new|forces? replacement|(changing|modifying) (this|it) .{0,40}(replac|recreat|new)", re.IGNORECASE
)
ANY = Type("any")


def read_resource(token: str, file: Path, name: str) -> ResourceSchema:
    """The resource class `name` in `file`, and the class of its arguments."""
    text = file.read_text(encoding="utf-8")
    resource = _class(file, name)
    arguments = re.search(r"__props__ = (\w+)\.__new__\(", ast.unparse(resource))
    inputs = _properties(file, arguments[1], ()) if arguments else {}
    outputs = tuple(_getters(resource))
    if f"'{token}'" not in text:
        raise ValueError(f"{file} does not register {token}")
    secrets = re.search(r"additional_secret_outputs=(\[[^\]]*\])", text)
    return ResourceSchema(token, inputs, outputs, frozenset(ast.literal_eval(secrets[1]) if secrets else ()))


def read_function(token: str, file: Path) -> FunctionSchema:
    """The function that calls `token`."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not node.name.endswith("_output"):
            source = ast.unparse(node)
            if f"'{token}'" not in source:
                continue
            named = dict(re.findall(r"__args__\['(\w+)'\] = (\w+)", source))
            parameters = {argument.arg: argument.annotation for argument in node.args.args}
            required = {a.arg for a in node.args.args[: len(node.args.args) - len(node.args.defaults)]}
            return FunctionSchema(
                token,
                {
                    key: Property(_type(parameters[parameter], file, ()), parameter in required)
                    for key, parameter in named.items()
                    if parameter in parameters
                },
            )
    raise ValueError(f"{file} does not call {token}")


def _properties(file: Path, name: str, within: tuple[str, ...]) -> dict[str, Property]:
    """The properties of an arguments class, by the engine's name."""
    node = _class(file, name)
    init = next(each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__")
    required = {
        argument.arg
        for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
        if not default
    }
    annotations = {argument.arg: argument.annotation for argument in init.args.kwonlyargs}
    return {
        engine_name: Property(
            _type(annotations[python_name], file, (*within, name)),
            python_name in required,
            NEW_RESOURCE.search(documentation) is not None,
        )
        for engine_name, (python_name, documentation) in _getters(node).items()
        if python_name in annotations
    }


def _getters(node: ast.ClassDef) -> dict[str, tuple[str, str]]:
    """The engine's name → Python's name and documentation of each `@pulumi.getter`."""
    found: dict[str, tuple[str, str]] = {}
    for each in node.body:
        if not isinstance(each, ast.FunctionDef):
            continue
        for decorator in each.decorator_list:
            if "pulumi.getter" not in ast.unparse(decorator):
                continue
            keywords: list[Any] = decorator.keywords if isinstance(decorator, ast.Call) else []
            named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}
            found[named.get("name", each.name)] = (each.name, ast.get_docstring(each) or "")
    return found


def _type(node: ast.expr | None, file: Path, within: tuple[str, ...]) -> Type:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _named_type(node.value, file, within)
    if isinstance(node, ast.Subscript):
        base = ast.unparse(node.value).rpartition(".")[2]
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if base in TRANSPARENT:
            return _type(parts[0], file, within)
        if base in ("Sequence", "List", "list"):
            return Type("list", (_type(parts[0], file, within),))
        if base in ("Mapping", "Dict", "dict"):
            return Type("map", (_type(parts[1], file, within),))
        if base == "Literal":
            return Type("enum", values=tuple(ast.literal_eval(part) for part in parts))
        if base == "Union":
            return _union([_type(part, file, within) for part in parts if not _is_duplicate(part)])
    name = ast.unparse(node).rpartition(".")[2] if node is not None else ""
    if name in ("Archive", "Asset"):
        return Type("asset")
    return Type(SCALARS[name]) if name in SCALARS else ANY


def _is_duplicate(node: ast.expr) -> bool:
    """Whether a union's member says again, as a dictionary or an output, what the arguments class says."""
    text = node.value if isinstance(node, ast.Constant) else ast.unparse(node)
    return isinstance(text, str) and (text.endswith("ArgsDict") or "outputs." in text)


def _union(members: list[Type]) -> Type:
    distinct = list(dict.fromkeys(member.kind for member in members))
    enums = [member for member in members if member.kind == "enum"]
    if enums and set(distinct) <= {"enum", "string"}:
        return enums[0]  # text that has names for its values: the service knows no others
    if len(members) == 1 or (len(distinct) == 1 and distinct[0] in SCALARS.values()):
        return members[0]
    return ANY if any(member.kind == "any" for member in members) else Type("union", tuple(members))


def _named_type(name: str, file: Path, within: tuple[str, ...]) -> Type:
    """The class that a forward reference names: `'BucketRuleArgs'`, `'_meta.v1.ObjectMetaArgs'`, `'outputs.X'`."""
    prefix, _, short = name.rpartition(".")
    if short in within or prefix == "outputs":
        return ANY
    folder = _folder_of(prefix, file) if prefix else file.parent
    for candidate in (folder / "_inputs.py", folder / "_enums.py", file):
        if candidate.exists() and short in _class_texts(candidate):
            node = _class(candidate, short)
            if any(ast.unparse(base).endswith("Enum") for base in node.bases):
                return Type("enum", values=tuple(_members(node)))
            return Type("object", properties=_properties(candidate, short, within))
    return ANY


def _folder_of(alias: str, file: Path) -> Path:
    """The folder that `_meta.v1` or `_s3` stands for: `from ... import meta as _meta`."""
    first, *rest = alias.split(".")
    match = re.search(rf"^from (\.+) import (\w+) as {first}$", file.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        return file.parent
    return file.parents[len(match[1]) - 1].joinpath(match[2], *rest)


def _members(node: ast.ClassDef) -> list[Any]:
    return [
        ast.literal_eval(each.value)
        for each in node.body
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant)
    ]


def _class(file: Path, name: str) -> ast.ClassDef:
    node = ast.parse(_class_texts(file)[name]).body[0]
    assert isinstance(node, ast.ClassDef)  # noqa: S101 # the text begins with `class`
    return node


@cache
def _class_texts(file: Path) -> dict[str, str]:
    """The text of each class in the file."""
    text = file.read_text(encoding="utf-8")
    starts = list(re.finditer(r"^class (\w+)", text, re.MULTILINE))
    ends = [*(match.start() for match in starts[1:]), len(text)]
    return {match[1]: _until_dedent(text[match.start() : end]) for match, end in zip(starts, ends, strict=True)}


def _until_dedent(text: str) -> str:
    """The class alone: what follows it at the margin, such as the next one's decorator, is cut off."""
    end = re.compile(r"^(?=[^\s#)])", re.MULTILINE).search(text, text.find("\n") + 1)
    return text[: end.start()] if end else text
