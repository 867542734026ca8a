"""Ask a stack's endpoint, whoever stands in front of it."""

import json
from typing import Any, Final, cast

from ml.access.keys import own_headers
from ml.errors import InputRefused, MlopsError
from ml.platform import platform_of
from ml.runtime import Runtime

__all__ = ["ask", "example", "get"]

TIMEOUT_S: Final = 60.0


def ask(runtime: Runtime, body: bytes, *, explain: bool = False) -> dict[str, Any]:
    """What the endpoint says to rows; InputRefused for what it refuses, MlopsError when it can't be asked."""
    url = _url(runtime)
    if not platform_of(runtime).answers_rows_alone:
        return _send(runtime, f"{url}/predict{'?explain=true' if explain else ''}", body)
    if explain:
        raise InputRefused(f"{url} can't be asked for reasons: its platform passes rows on, and nothing beside them.")
    return _send(runtime, url, body)


def example(runtime: Runtime) -> bytes:
    """A row that it answers: as it describes itself, or as its release in the store says where it can't."""
    url = _url(runtime)
    if platform_of(runtime).answers_rows_alone:
        from ml.bundle.bundle import key_of
        from ml.bundle.schema import SCHEMA_FILE, BundleSchema
        from ml.store import Store

        held = Store(runtime.store_uri).read(f"{key_of(str(runtime.release))}/{SCHEMA_FILE}")
        return json.dumps(dict(BundleSchema.parse(held).example)).encode()
    content = _send(runtime, f"{url}/openapi.json", None)["paths"]["/predict"]["post"]["requestBody"]["content"]
    return json.dumps(content["application/json"]["examples"]["one row"]["value"]).encode()


def get(runtime: Runtime, path: str) -> dict[str, Any]:
    """What the endpoint says at a path of its own; MlopsError when it can't be asked."""
    return _send(runtime, f"{_url(runtime)}{path}", None)


def _url(runtime: Runtime) -> str:
    if runtime.endpoint_url is None:
        raise MlopsError(
            f"The stack {runtime.stack} serves nothing yet. Run `mlops release --stack {runtime.stack}`, then "
            "`pulumi up`."
        )
    return runtime.endpoint_url.rstrip("/")


def _send(runtime: Runtime, url: str, body: bytes | None) -> dict[str, Any]:
    import urllib.error
    import urllib.request

    headers = {"Content-Type": "application/json"} | own_headers()
    headers = platform_of(runtime).sign("GET" if body is None else "POST", url, body, headers)
    request = urllib.request.Request(url, data=body, headers=headers)  # noqa: S310 # the stack's own URL
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            return cast(dict[str, Any], json.load(response))
    except urllib.error.HTTPError as error:
        said = _refusal(error.read())
        if 400 <= error.code < 500:
            raise InputRefused(said) from error
        raise MlopsError(f"{url} answered {error.code}: {said}") from error
    except (OSError, ValueError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise MlopsError(f"The endpoint {url} can't be reached: {why}. `pulumi up` mends what is down.") from error


def _refusal(data: bytes) -> str:
    try:
        refusal = json.loads(data)
        if "error" not in refusal:  # of whoever stands before it
            return f"It was not let through: {refusal.get('Message') or refusal['message']}"
        mistakes = [
            f"\n  row {m['row']}, column {m.get('column', '-')}: expected {m['expected']}, got {m['got']}"
            for m in refusal.get("mistakes", [])
        ]
        return str(refusal["error"]) + "".join(mistakes)
    except (ValueError, KeyError, TypeError, AttributeError):
        return data[:500].decode(errors="replace")
