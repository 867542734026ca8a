"""What the installed SDKs say of each resource type and function, read from their sources."""

from infra.simulation.schema.cache import cache_folder, function_schema, keep, resource_schema
from infra.simulation.schema.packages import installed_packages, resource_types, version_of
from infra.simulation.schema.types import FunctionSchema, Problem, Property, ResourceSchema, Type, problems

__all__ = [
    "FunctionSchema",
    "Problem",
    "Property",
    "ResourceSchema",
    "Type",
    "cache_folder",
    "function_schema",
    "installed_packages",
    "keep",
    "problems",
    "resource_schema",
    "resource_types",
    "version_of",
]
