"""Which releases the model server serves: a small file that it reads, and a running server that swaps."""

import http.client
import json
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.clouds.local._private import write_private

replaced_by = ("file",)
SWAP_TIMEOUT_S = 120.0
READY_TIMEOUT_S = 5.0


def refuse(_old: dict[str, Any], _new: dict[str, Any]) -> dict[str, str]:
    """The releases themselves are verified by infra/release.py, for every cloud."""
    return {}


def create(new: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """State the release; a server that runs already swaps to it."""
    return new["file"], update(new["file"], {}, new)


def read(identifier: str, state: dict[str, Any]) -> dict[str, Any] | None:
    """What the file states, and what the running server says that it serves: where they differ, what is not wanted."""
    try:
        stated = json.loads(Path(identifier).read_text(encoding="utf-8"))
        release = stated["release"]
    except (OSError, ValueError, KeyError):
        return None
    said = _serving(state["url"])
    if said is not None and release == state.get("serving"):
        release = said
    return state | {"release": release, "challenger": stated.get("challenger") or {}, "serving": release}


def has_strayed(identifier: str, state: dict[str, Any]) -> bool:
    """Whether what serves is not what the last update left, so that the next `pulumi up` sets it right unasked."""
    now = read(identifier, state)
    return now is None or any(now[key] != state.get(key) for key in ("release", "challenger", "serving"))


def update(identifier: str, _old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """State what is new and have the running server swap to it; if it can't, both stay as they were."""
    file, token = Path(identifier), Path(identifier).with_name("admin-token")
    before = file.read_bytes() if file.exists() else None
    stated = {"release": new["release"], **({"challenger": new["challenger"]} if new["challenger"] else {})}
    write_private(file, json.dumps(stated).encode())
    try:
        _swap(new["url"], token)
    except RuntimeError:
        if before is not None:
            write_private(file, before)
            with suppress(RuntimeError):  # one that answers too late may have swapped after all
                _swap(new["url"], token)
        raise
    return {"serving": new["release"]}


def delete(identifier: str, _state: dict[str, Any]) -> None:
    """State nothing."""
    Path(identifier).unlink(missing_ok=True)


def _serving(url: str) -> str | None:
    """The release that a running server names, None where none runs or has loaded one."""
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=READY_TIMEOUT_S) as response:  # noqa: S310
            return json.load(response).get("release")
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _swap(url: str, token: Path) -> None:
    """Ask the server, where one runs, to serve what the file states; it answers when it does."""
    if not token.exists():
        return
    request = urllib.request.Request(  # noqa: S310 # the stack's own loopback URL
        f"{url}/admin/reload", method="POST", headers={"Authorization": f"Bearer {token.read_text().strip()}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SWAP_TIMEOUT_S):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        detail = error.read().decode(errors="replace")
        raise RuntimeError(f"The model server keeps the release it has: {detail}") from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(getattr(error, "reason", None), ConnectionRefusedError):
            return  # no server runs: it reads the file when it starts
        raise RuntimeError(
            f"The model server did not say within {SWAP_TIMEOUT_S:.0f} s that it serves the new release: {error}"
        ) from error
