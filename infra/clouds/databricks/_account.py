"""What a stack's configuration says of its Databricks account, and the names of things in it."""

from infra.config import StackConfig
from infra.config.databricks import DatabricksSettings
from infra.naming import physical

__all__ = [
    "INFERENCE_TABLE",
    "INFERENCE_TABLES",
    "SCHEMA",
    "catalog_name",
    "endpoint_name",
    "model_name",
    "named",
    "rule_set",
    "settings",
    "workload_name",
]

SCHEMA = "ml"  # of whatever the environment keeps in its catalog
INFERENCE_TABLES = "predictions"  # what the names of the endpoint's begin with
INFERENCE_TABLE = f"{INFERENCE_TABLES}_payload"  # as the AI gateway calls it, in that schema
LONGEST_NAME = 255  # of whatever Unity Catalog has
LONGEST_ENDPOINT_NAME = 63


def settings(config: StackConfig) -> DatabricksSettings:
    """It can't be missing where this package is loaded."""
    if config.databricks is None:
        raise LookupError(f"{config.stack} has no settings for databricks")
    return config.databricks


def named(config: StackConfig, role: str) -> str:
    """A thing that only has to be told from its like."""
    return physical(config.stack, role, maximum_length=100)


def catalog_name(config: StackConfig) -> str:
    """The environment's catalog: a metastore has those of all environments."""
    return physical(config.stack, "", maximum_length=LONGEST_NAME, separator="_")


def endpoint_name(config: StackConfig) -> str:
    """The endpoint, whatever it serves."""
    return physical(config.stack, "endpoint", maximum_length=LONGEST_ENDPOINT_NAME)


def model_name(release: str) -> str:
    """A release's registered model, in the catalog's schema: it has one version, for its name says all of it."""
    return f"release_{release.removeprefix('sha256:')}"


def workload_name(config: StackConfig, workload: str) -> str:
    """A workload's service principal, and its way to the store."""
    return named(config, workload)


def rule_set(config: StackConfig, application_id: str) -> str:
    """The rules of who may act as a service principal."""
    return f"accounts/{settings(config).account_id}/servicePrincipals/{application_id}/ruleSets/default"
