"""The rules for AWS, one module an area."""

from infra.policies.aws import (
    cost,
    functions,
    identity,
    images,
    keys,
    logs,
    network,
    ownership,
    protection,
    retention,
    serving,
    storage,
)

__all__ = ["AREAS"]

AREAS = {
    "Storage": storage.RULES,
    "Keys and secrets": keys.RULES,
    "Network": network.RULES,
    "Identity": identity.RULES,
    "Logs and alerts": logs.RULES,
    "Models and endpoints": serving.RULES,
    "Image registries": images.RULES,
    "Functions and batch jobs": functions.RULES,
    "Cost": cost.RULES,
    "Tags and accounts": ownership.RULES,
    "Protection": protection.RULES,
    "Retention": retention.RULES,
}
