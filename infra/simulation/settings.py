"""What one provider instance of a program is configured with: region, account, default tags."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.simulation.rules import Package, package_rules
from infra.simulation.schema import Problem

__all__ = ["Settings", "configuration_problems"]

REGION_VARIABLES = {"aws": ("AWS_REGION", "AWS_DEFAULT_REGION")}


@dataclass(frozen=True)
class Settings:
    """The provider's configuration, completed from the package's rules."""

    package: str
    values: Mapping[str, str]
    default_tags: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, package: str, given: Mapping[str, Any]) -> "Settings":
        """From what the engine hands over; nested values come as JSON text."""
        rules = package_rules(package)
        values = dict(rules.settings)
        if region := _region(package, given):
            values["region"] = region
        if rules.account_setting and (accounts := _structured(given.get(rules.account_setting))):
            values["account"] = str(accounts[0] if isinstance(accounts, list) else accounts)
        tags = _structured(given.get("defaultTags")) or {}
        return cls(package, values, {str(k): str(v) for k, v in (tags.get("tags") or {}).items()})

    @property
    def region(self) -> str:
        """The region of what has none of its own."""
        return self.values.get("region", "")

    @property
    def rules(self) -> Package:
        """What holds for the whole cloud."""
        return package_rules(self.package)


def configuration_problems(package: str, given: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a provider's configuration."""
    rules = package_rules(package)
    region = _region(package, given)
    if "region" in rules.required_settings and not region:
        where = f"set {package}:region in the stack's file, or {REGION_VARIABLES[package][0]}"
        return [Problem("region", f"no region is configured: {where}")]
    for name in rules.required_settings:
        if name != "region" and not given.get(name):
            return [
                Problem(
                    name, f"is not configured: the provider of {package} needs {', '.join(rules.required_settings)}"
                )
            ]
    if region and rules.regions and region not in rules.regions:
        return [Problem("region", f"{region!r} is not a region that the simulation knows: {', '.join(rules.regions)}")]
    return []


def _region(package: str, given: Mapping[str, Any]) -> str | None:
    names = REGION_VARIABLES.get(package, ())
    return given.get("region") or next((os.environ[name] for name in names if os.environ.get(name)), None)


def _structured(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value
