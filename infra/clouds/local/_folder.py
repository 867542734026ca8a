"""A folder as an object store. Destroying the resource never deletes data: `make down` asks and does."""

from pathlib import Path
from typing import Any

from infra.clouds.local._private import private_folder

replaced_by = ("path",)


def refuse(_old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """A path where something other than a folder is."""
    path = Path(new["path"])
    if path.exists() and not path.is_dir():
        return {"path": f"{path} is not a folder. Move it away, or set mlops:local.root to another folder."}
    return {}


def create(new: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Make the folder; one that is there, with data of an earlier stack, is taken over."""
    path = Path(new["path"])
    private_folder(path)
    return str(path), {"uri": path.as_uri()}


def read(identifier: str, state: dict[str, Any]) -> dict[str, Any] | None:
    """None when the folder is gone."""
    return state if Path(identifier).is_dir() else None


def update(_identifier: str, _old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Tags are all that can change in place."""
    return {"uri": Path(new["path"]).as_uri()}


def delete(identifier: str, _state: dict[str, Any]) -> None:
    """Remove the folder if it is empty; data stays."""
    path = Path(identifier)
    if path.is_dir() and not any(path.iterdir()):
        path.rmdir()
