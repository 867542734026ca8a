"""The rules for AWS, one module an area."""

from infra.policies.aws import (
    copies,
    cost,
    functions,
    identity,
    images,
    keys,
    logs,
    network,
    ownership,
    protection,
    releases,
    retention,
    running,
    serving,
    storage,
    trail,
)

__all__ = ["AREAS"]

AREAS = {
    "Storage": (*storage.RULES, *copies.RULES),
    "Keys and secrets": keys.RULES,
    "Network": network.RULES,
    "Identity": identity.RULES,
    "Logs and alerts": (*logs.RULES, *trail.RULES),
    "Models and endpoints": (*serving.RULES, *releases.RULES),
    "Image registries": images.RULES,
    "Functions and batch jobs": (*functions.RULES, *running.RULES),
    "Cost": cost.RULES,
    "Tags and accounts": ownership.RULES,
    "Protection": protection.RULES,
    "Retention": retention.RULES,
}
