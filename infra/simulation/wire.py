"""Values as the engine sends them ↔ plain Python: secrets, unknowns, files and archives have marks of their own."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

__all__ = ["UNKNOWN", "contains_unknown", "decode", "encode", "is_asset", "is_unknown", "secret_names"]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 # the protocol's mark of one
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
OUTPUT_VALUE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
UNKNOWN_TEXTS = frozenset(
    {
        UNKNOWN_TEXT,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


class _Unknown:
    def __repr__(self) -> str:
        return "<known after it is created>"


UNKNOWN = _Unknown()


def is_asset(value: Any) -> bool:
    """Whether it is a file, folder or archive, in the engine's own notation."""
    return isinstance(value, dict) and value.get(SIGNATURE) in (ASSET, ARCHIVE)


def is_unknown(value: Any) -> bool:
    """Whether it is known only after something is created."""
    return value is UNKNOWN


def contains_unknown(value: Any) -> bool:
    """Whether any part of it is."""
    if isinstance(value, dict):
        return any(contains_unknown(each) for each in value.values())
    if isinstance(value, list):
        return any(contains_unknown(each) for each in value)
    return is_unknown(value)


def decode(struct: Struct) -> dict[str, Any]:
    """The properties without the marks of secrets; `secret_names` says which had one."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def secret_names(struct: Struct) -> frozenset[str]:
    """The top-level properties that are secret or hold a secret."""
    return frozenset(key for key, value in struct.fields.items() if _holds_secret(value))


def encode(properties: Mapping[str, Any], secrets: frozenset[str] = frozenset()) -> Struct:
    """Properties as the engine reads them."""
    struct = Struct()
    for key, value in properties.items():
        encoded = _encode(value)
        struct.fields[key].CopyFrom(_secret(encoded) if key in secrets else encoded)
    return struct


def _decode(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in UNKNOWN_TEXTS else value.string_value
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(each) for each in value.list_value.values]
    if kind == "struct_value":
        return _decode_struct(value.struct_value)
    return None


def _decode_struct(struct: Struct) -> Any:
    signature = struct.fields[SIGNATURE].string_value if SIGNATURE in struct.fields else None
    if signature in (SECRET, OUTPUT_VALUE):
        return _decode(struct.fields["value"]) if "value" in struct.fields else UNKNOWN
    if signature == RESOURCE:
        return _decode(struct.fields["id"]) if "id" in struct.fields else struct.fields["urn"].string_value
    return {key: _decode(each) for key, each in struct.fields.items()}


def _holds_secret(value: Value) -> bool:
    kind = value.WhichOneof("kind")
    if kind == "list_value":
        return any(_holds_secret(each) for each in value.list_value.values)
    if kind != "struct_value":
        return False
    fields = value.struct_value.fields
    is_secret = SIGNATURE in fields and fields[SIGNATURE].string_value == SECRET
    return is_secret or any(_holds_secret(each) for each in fields.values())


def _encode(value: Any) -> Value:
    if value is UNKNOWN:
        return Value(string_value=UNKNOWN_TEXT)
    if value is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int | float):
        return Value(number_value=value)
    if isinstance(value, list):
        return Value(list_value=ListValue(values=[_encode(each) for each in value]))
    if isinstance(value, dict):
        return Value(struct_value=Struct(fields={key: _encode(each) for key, each in value.items()}))
    return Value(string_value=str(value))


def _secret(value: Value) -> Value:
    return Value(struct_value=Struct(fields={SIGNATURE: Value(string_value=SECRET), "value": value}))
