"""What is said to a program that asks for something that can't be."""

import difflib
import re

from infra.simulation.rules import all_rules
from infra.simulation.schema import resource_schema, resource_types

__all__ = ["Refused", "unknown_type"]


class Refused(Exception):
    """The simulated cloud says no; the message says to what and why."""


def unknown_type(token: str) -> str:
    """Why there is nothing of this type: the SDK doesn't have it, or nobody has written a rule for it."""
    package, module, name = token.split(":")
    service, _, version = module.partition("/")
    if not resource_types(package):
        return (
            f"no installed SDK has a resource type {token}; there is an extra for each cloud: uv sync --extra {package}"
        )
    if resource_schema(token) is None:
        latest = f"{package}:{service}:{name}"
        if re.fullmatch(r"v\d{8}(preview)?", version) and resource_schema(latest):
            return (
                f"the SDK has one version of each API, and no type {token}: take {latest}, or have an SDK of that "
                f"version made with `pulumi package add {package} {service} {version}`, which is not simulated"
            )
        near = difflib.get_close_matches(token, resource_types(package), 1)
        return f"no installed SDK has a resource type {token}" + (f"; did you mean {near[0]}?" if near else "")
    others = [each for each in all_rules() if re.fullmatch(rf"{package}:{re.escape(service)}/v\w+:{name}", each)]
    if others:
        return f"{token} is a version that no cluster of today serves: take {others[0]}"
    return (
        f"the simulated cloud has no rule for {token}, so it can't say what the real one would do. Write one "
        f"in infra/simulation/rules/{package.replace('-', '_')}/{service}.yaml"
    )
