"""Which SDKs are installed, and where in them a resource type or function is written."""

import importlib.util
import json
import re
from functools import cache
from importlib import metadata
from pathlib import Path

__all__ = ["class_file", "folder_of", "function_file", "installed_packages", "resource_types", "version_of"]

RESOURCE_MODULES = re.compile(r'resource_modules="""\s*(\[.*?\])\s*"""', re.DOTALL)
# Not an SDK of a cloud: the engine's own.
OWN = {"pulumi", "pulumi-policy", "pulumi-command"}


@cache
def installed_packages() -> tuple[str, ...]:
    """The engine's names of the installed SDKs: `aws`, `azure-native`, `random`."""
    names = {str(each.metadata["Name"]).lower().replace("_", "-") for each in metadata.distributions()}
    return tuple(
        sorted(name.removeprefix("pulumi-") for name in names if name.startswith("pulumi-") and name not in OWN)
    )


def version_of(package: str) -> str:
    """The installed version of the SDK."""
    return metadata.version(f"pulumi-{package}")


@cache
def folder_of(package: str) -> Path | None:
    """The SDK's sources; None when it isn't installed. Found without importing it, which takes seconds."""
    specification = importlib.util.find_spec(f"pulumi_{package.replace('-', '_')}")
    return Path(specification.origin).parent if specification and specification.origin else None


def class_file(token: str) -> tuple[Path, str] | None:
    """The file and the class of a resource type; None when the SDK has no such type."""
    package = token.partition(":")[0]
    located = _resource_index(package).get(token)
    folder = folder_of(package)
    if located is None or folder is None:
        return None
    module, name = located
    directory = folder.joinpath(*module.split(".")[1:])
    header = re.compile(rf"^class {name}\(pulumi\.CustomResource\)", re.MULTILINE)
    guesses = [directory / f"{_snake(name)}.py", directory / f"{name}.py"]
    for file in [*(guess for guess in guesses if guess.exists()), *sorted(directory.glob("*.py"))]:
        if header.search(file.read_text(encoding="utf-8")):
            return file, name
    return None


def resource_types(package: str) -> tuple[str, ...]:
    """All that the SDK has; none where it isn't installed."""
    return tuple(_resource_index(package))


def function_file(token: str) -> Path | None:
    """The file of a function `aws:iam/getPolicyDocument:getPolicyDocument`; None when the SDK has no such function."""
    package, module, name = token.split(":")
    folder = folder_of(package)
    if folder is None:
        return None
    service = module.partition("/")[0].lower()
    candidates = [folder / service, folder / f"{service}_", folder] if service != "index" else [folder]
    for directory in candidates:
        file = directory / f"{_snake(name)}.py"
        if file.exists() and f"'{token}'" in file.read_text(encoding="utf-8"):
            return file
    return None


@cache
def _resource_index(package: str) -> dict[str, tuple[str, str]]:
    folder = folder_of(package)
    if folder is None:
        return {}
    match = RESOURCE_MODULES.search((folder / "__init__.py").read_text(encoding="utf-8"))
    modules = json.loads(match[1]) if match else []
    return {token: (module["fqn"], name) for module in modules for token, name in module["classes"].items()}


def _snake(name: str) -> str:
    spaced = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", spaced).lower()
