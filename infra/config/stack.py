"""The typed configuration of a stack, read and validated once; nothing else in infra reads Pulumi configuration."""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from infra.config.adjusted import FIXED, Adjusted
from infra.config.aws import AwsSettings
from infra.config.ci import Ci
from infra.config.databricks import DatabricksSettings
from infra.config.environments import ENVIRONMENTS, Environment, EnvironmentName
from infra.config.platforms import TARGETS, Target, target
from infra.config.reader import NAMESPACE, ConfigInvalid, read_values

__all__ = [
    "NAMESPACE",
    "Challenger",
    "ConfigInvalid",
    "LocalSettings",
    "Ports",
    "StackConfig",
    "decoded",
    "parse_stack_name",
]

Port = Annotated[int, Field(ge=1024, le=65535)]
Made = TypeVar("Made")
DIGEST = r"^sha256:[0-9a-f]{64}$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ports(_Frozen):
    """The loopback ports of a local environment; each must be free."""

    tracking: Port
    endpoint: Port
    monitor: Port
    metrics: Port

    @model_validator(mode="after")
    def _are_distinct(self) -> Self:
        ports = list(self.model_dump().values())
        if len(set(ports)) != len(ports):
            raise ValueError(f"two of them are the same: {ports}; give each its own")
        return self

    @classmethod
    def from_first(cls, first: int) -> Self:
        """Four ports in a row."""
        return cls(tracking=first, endpoint=first + 1, monitor=first + 2, metrics=first + 3)


class LocalSettings(_Frozen):
    """What only the `local` cloud has: a folder, its ports, and whether Prometheus runs.

    `root` is relative to the project's folder. `prometheus: null` runs it where the binary is on PATH.
    """

    root: str
    ports: Ports
    prometheus: bool | None = None


class Challenger(_Frozen):
    """A release that is tried beside the pinned one, on the share `weight` of requests.

    A canary answers them; a shadow scores them for the log after the pinned release has answered.
    """

    release: str = Field(pattern=DIGEST, description="The challenger's digest")
    mode: Literal["canary", "shadow"] = "shadow"
    weight: float = Field(default=0.1, gt=0, le=1, description="The share of requests, more than 0 and up to 1")


class StackConfig(_Frozen):
    """Everything that a stack's program may depend on."""

    stack: str
    cloud: str
    platform: str
    environment: Environment
    release: str | None = Field(default=None, pattern=DIGEST, description="The pinned release's digest")
    ledger: str | None = Field(
        default=None,
        pattern=r"^[1-9][0-9]{0,8} sha256:[0-9a-f]{64}$",
        description="The newest entry of the ledger that a command here wrote, which must still be in it",
    )
    challenger: Challenger | None = Field(default=None, description="A release that is tried beside the pinned one")
    image: str | None = Field(
        default=None, pattern=DIGEST, description="The digest of the container image, in the environment's own registry"
    )
    owner: str = Field(
        default="ml-platform", pattern=r"^[a-z0-9-]{1,40}$", description="The team that answers for the stack"
    )
    cost_centre: str = Field(default="unassigned", pattern=r"^[a-z0-9-]{1,40}$", description="Who pays for it")
    data_class: Literal["public", "internal", "confidential", "personal"] = Field(
        default="personal", description="The most sensitive data that it holds"
    )
    alert_emails: tuple[Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = Field(
        default=(), description="Who is told of alarms and spending"
    )
    time_zone: str = Field(default="UTC", pattern=r"^[A-Za-z_]+(/[A-Za-z_]+)*$", description="Of the office hours")
    ci: Ci = Field(default=Ci(), description="Whose pipelines may act for the stack")
    local: LocalSettings
    aws: AwsSettings | None = None
    databricks: DatabricksSettings | None = None

    @property
    def target(self) -> Target:
        """The row of its cloud and platform."""
        return next(each for each in TARGETS if (each.cloud, each.platform) == (self.cloud, self.platform))

    @model_validator(mode="after")
    def _challenges_another_release(self) -> Self:
        if self.challenger and self.release in (None, self.challenger.release):
            why = "nothing is pinned that it could challenge" if self.release is None else "it is the pinned release"
            raise ValueError(f"the challenger makes no sense: {why}; remove {NAMESPACE}:challenger")
        return self

    @model_validator(mode="after")
    def _can_be_challenged_so(self) -> Self:
        if self.challenger and self.challenger.mode == "shadow" and not self.target.has_shadow:
            raise ValueError(
                f"{self.platform} has no shadow: a call is answered by one version. Set {NAMESPACE}:challenger.mode to "
                "canary, or remove the challenger"
            )
        return self

    @model_validator(mode="after")
    def _has_its_clouds_settings(self) -> Self:
        for name in (self.cloud, self.platform):
            if name in type(self).model_fields and getattr(self, name) is None:
                raise ValueError(f"there is no {NAMESPACE}:{name}; see docs/{name}.md for what it must say")
        return self

    @model_validator(mode="after")
    def _has_an_image_to_serve_with(self) -> Self:
        if self.release and self.image is None and self.target.needs_image:
            raise ValueError(
                f"a release is pinned, and no image to serve it with; set {NAMESPACE}:image to the digest of the image "
                f"in the registry of {self.stack} (docs/{self.cloud}.md says how it gets there)"
            )
        return self

    @classmethod
    def parse(cls, stack: str, values: Mapping[str, str]) -> Self:
        """Build the configuration of `stack` from the engine's `mlops:` values (objects come as JSON text)."""
        cloud, platform, environment = parse_stack_name(stack)
        given = {
            key.partition(":")[2]: decoded(value) for key, value in values.items() if key.startswith(f"{NAMESPACE}:")
        }
        if reserved := sorted({"stack", "cloud", "platform", "environment"} & given.keys()):
            raise ConfigInvalid(
                f"{NAMESPACE}:{reserved[0]} can't be set: the stack's name {stack!r} says it. Remove the key."
            )
        if given.get("release") == "latest":
            raise ConfigInvalid(
                f"{NAMESPACE}:release is 'latest' in stack {stack!r}. A release is pinned by digest, so that every "
                "environment runs the bytes that were approved: run `mlops release`, or set sha256:<64 digits>."
            )
        if fixed := sorted(given.keys() & set(FIXED)):
            raise ConfigInvalid(
                f"{NAMESPACE}:{fixed[0]} can't be set for stack {stack!r}: it is the same for every stack of an "
                "environment (infra/config/environments.py). Remove the key."
            )
        of_a_target = {name for each in TARGETS for name in (each.cloud, each.platform)} & cls.model_fields.keys()
        if strange := sorted(given.keys() & of_a_target - {cloud, platform}):
            raise ConfigInvalid(
                f"{NAMESPACE}:{strange[0]} can't be set for stack {stack!r}, which is on {cloud} with {platform}. "
                "Remove the key, or set it in a stack of its own cloud."
            )
        usual = ENVIRONMENTS[environment]
        given["local"] = _with_defaults(given.get("local"), stack, usual)
        base = {"stack": stack, "cloud": cloud, "platform": platform}
        own = {key: given.pop(key) for key in Adjusted.model_fields if key in given}
        wrong: list[ErrorDetails] = []
        adjusted = _or_wrong(lambda: Adjusted.model_validate(own, context=usual).of(usual), wrong)
        made = _or_wrong(lambda: cls.model_validate(base | {"environment": adjusted or usual} | given), wrong)
        if made is None or wrong:
            raise ConfigInvalid(_sentences(stack, wrong))
        return made

    @classmethod
    def read(cls, stack: str, file: Path, decrypt: Callable[[], Mapping[str, str]] | None = None) -> Self:
        """The configuration as the stack's file states it; `decrypt` is asked for all values where some are secrets."""
        values = read_values(file)
        if values.encrypted and decrypt is None:
            raise ConfigInvalid(
                f"{values.encrypted[0]} in {file} is a secret, which only Pulumi's engine can read. Nothing in this "
                f"project's configuration is one: set it again without --secret."
            )
        decrypted = decrypt() if values.encrypted and decrypt else {}
        return cls.parse(stack, values.plain | {key: decrypted[key] for key in values.encrypted})

    def local_root(self, project: Path) -> Path:
        """The absolute folder of a local environment."""
        return (project / self.local.root).resolve()


def parse_stack_name(stack: str) -> tuple[str, str, EnvironmentName]:
    """Split `<cloud>-<platform>-<environment>`, or `local-<environment>`, into its parts."""
    environments = "|".join(ENVIRONMENTS)
    match = re.fullmatch(rf"(?P<target>[a-z]+(-[a-z]+)?)-(?P<environment>{environments})", stack)
    named = target(match["target"]) if match else None
    if match is None or named is None:
        raise ConfigInvalid(
            f"The stack name {stack!r} is not <target>-<environment>: the targets are "
            f"{', '.join(each.name for each in TARGETS)}, the environments {', '.join(ENVIRONMENTS)}. "
            "Example: local-dev."
        )
    return named.cloud, named.platform, match["environment"]  # pyright: ignore[reportReturnType] # the pattern lists the names


def _with_defaults(given: Any, stack: str, environment: Environment) -> Any:
    if given is not None and not isinstance(given, dict):
        return given  # pydantic says what is wrong with it
    settings: dict[str, Any] = {"root": f".mlops/{stack}"} | (given or {})
    ports = Ports.from_first(environment.first_port).model_dump()
    if isinstance(settings.get("ports", {}), dict):
        settings["ports"] = ports | settings.get("ports", {})
    return settings


def decoded(value: str) -> Any:
    """Objects come as JSON text; a word may begin like one."""
    if value[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _or_wrong(validated: Callable[[], Made], wrong: list[ErrorDetails]) -> Made | None:
    """What was validated; None, and what is wrong with it, where something is."""
    try:
        return validated()
    except ValidationError as error:
        wrong += error.errors()
        return None


def _known_keys() -> list[str]:
    schema = StackConfig.model_json_schema()
    defined = [each for name, each in schema["$defs"].items() if name != Environment.__name__]
    return sorted(
        {name for each in (schema, *defined) for name in each.get("properties", {})} | set(Adjusted.model_fields)
    )


def _sentences(stack: str, problems: list[ErrorDetails]) -> str:
    lines: list[str] = []
    for problem in problems:
        says = problem["msg"].removeprefix("Value error, ")
        if not problem["loc"]:
            lines.append(f"{says.removesuffix('.')}.")
            continue
        key = f"{NAMESPACE}:{'.'.join(str(part) for part in problem['loc'])}"
        if problem["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(), 1)
            meant = f"Did you mean {near[0]}? Else remove it" if near else "Remove it"
            lines.append(f"{key} is not a known key. {meant}, or see stacks/schema.json for the keys there are.")
        else:
            lines.append(f"{key} is {problem['input']!r}: {says}. See stacks/schema.json.")
    return f"The configuration of stack {stack!r} (stacks/Pulumi.{stack}.yaml) can't be used:\n  " + "\n  ".join(lines)
