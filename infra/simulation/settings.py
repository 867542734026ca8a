"""What one provider instance of a program is configured with: region, account, default tags."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.simulation.rules import Package, package_rules
from infra.simulation.schema import Problem

__all__ = ["Settings", "configuration_problems"]

LONGEST_NAME = 64


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
        known = {name: value for name in (*rules.settings, "region") if (value := _configured(rules, given, name))}
        values = dict(rules.settings) | {name: str(value) for name, value in known.items()}
        if rules.account_setting and (accounts := _structured(_configured(rules, given, rules.account_setting))):
            values["account"] = _short(str(accounts[0] if isinstance(accounts, list) else accounts))
        tags = _structured(given.get(rules.tags.defaults)) or {}
        tags = tags.get("tags", tags) or {}
        return cls(package, values, {str(k): str(v) for k, v in tags.items()})

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
    for name in rules.required_settings:
        if not _configured(rules, given, name):
            also = "".join(f", or {variable}" for variable in rules.variables.get(name, ()))
            return [Problem(name, f"no {name} is configured: set {package}:{name} in the stack's file{also}")]
    region = _configured(rules, given, "region")
    if region and rules.regions and region not in rules.regions:
        return [Problem("region", f"{region!r} is not a region that the simulation knows: {', '.join(rules.regions)}")]
    return []


def _configured(rules: Package, given: Mapping[str, Any], name: str) -> Any:
    variables = rules.variables.get(name, ())
    return given.get(name) or next((os.environ[each] for each in variables if os.environ.get(each)), None)


def _structured(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value[:1] in "[{" else value


def _short(account: str) -> str:
    """A number or name as it is; of a whole file, which may hold secrets, a hash."""
    return account if len(account) <= LONGEST_NAME else hashlib.sha256(account.encode()).hexdigest()[:12]
