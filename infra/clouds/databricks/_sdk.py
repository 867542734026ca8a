"""`pulumi_databricks` by what is used of it: its `__init__` imports all of it, for twice the time and 50 MB more."""

import importlib
import re
import sys
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

__all__ = ["databricks"]

PACKAGE = "pulumi_databricks"

if TYPE_CHECKING:
    import pulumi_databricks as databricks
else:

    class _OnDemand(ModuleType):
        """The package without its `__init__`: a class is taken from its own module when it is asked for."""

        def __getattr__(self, name: str) -> Any:
            if not name[:1].isupper():
                raise AttributeError(name)
            module = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
            return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)

    def _package() -> ModuleType:
        if PACKAGE in sys.modules:
            return sys.modules[PACKAGE]
        specification = find_spec(PACKAGE)
        if specification is None:
            raise ImportError(f"{PACKAGE} is not installed: install this project with its extra `databricks`.")
        package = _OnDemand(PACKAGE)
        package.__spec__, package.__file__ = specification, specification.origin
        package.__path__ = list(specification.submodule_search_locations or [])
        sys.modules[PACKAGE] = package
        return package

    databricks = _package()
