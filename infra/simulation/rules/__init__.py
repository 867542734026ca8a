"""What services demand beyond their SDK's types: data, one file a service, read into these classes."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar

import msgspec
import yaml

__all__ = [
    "Api",
    "Call",
    "Condition",
    "Lingers",
    "Lookup",
    "Mirror",
    "Need",
    "Package",
    "Part",
    "Rule",
    "Tags",
    "Text",
    "all_rules",
    "package_rules",
    "rule_for",
]

HERE = Path(__file__).parent
READING = Lock()  # msgspec 0.22 ends the process where two threads meet a type for the first time
ALL_IN_ONE = "index"  # the module of an SDK without modules: its rules' files are named as one likes
T = TypeVar("T")


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a text property must look like, and the sentence for one that doesn't."""

    why: str
    pattern: str = ".*"
    forbids: str | None = None


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the value at `when` looks like `matches`: what must be given then, what must not, and what it must be."""

    when: str
    matches: str
    why: str  # the rest of a sentence that begins with the property's name
    at: str = ""  # where it holds, `rules[].transitions[]`: the other paths begin there
    needs: list[str] = []
    forbids: list[str] = []
    demands: dict[str, str] = {}  # path → pattern


class Need(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another resource that must be there first: its property `same` equals `here` of this one."""

    type: str
    same: str
    why: str
    here: str | None = None  # the same name where none is given
    unless: str | None = None  # `type.property`: or one of these, with this property set


class Trusted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role of AWS that is taken on the way: what refers to it at `role`, by `through`, must be known to its trust."""

    through: str  # path of what refers to a thing
    role: str  # the path there of the role's ARN
    knows: str  # the path there of a text that the role's trust must name
    unless: str  # a property that switches the check off


class Together(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Documents that share one limit of characters: at one path, of all things whose property `per` is the same."""

    most: int
    per: str | None = None  # of this thing alone where none is given


class Lingers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is deleted and still keeps its name for a while, unless the one that takes it says at `when` `matches`."""

    when: str
    matches: str
    why: str  # the rest of a sentence that begins with the name


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operations of the service's published contract; members have the properties' names unless `members` says."""

    service: str
    create: str
    members: dict[str, str | None] = {}
    supplied: list[str] = []  # required members that the provider fills where the program doesn't
    json: list[str] = []  # properties that are the member as JSON text


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"fixed": "with"}):
    """One call of the service's API, made in moto's server."""

    operation: str
    service: str | None = None  # that of the rule's `api` where none is given
    inputs: bool = False  # take the resource's properties as the contract names them
    fixed: dict[str, Any] = {}  # `with`: parameters as templates; one without a value is left out
    when: str | None = None  # only if this property is set
    each: str | None = None  # once for each value at this path, which `{each}` stands for
    returns: dict[str, str] = {}  # output → JMESPath into the answer
    gone: str | None = None  # of a read: a JMESPath expression that is true when the thing is as good as deleted


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a resource is really made in moto's server, seen there and ended."""

    create: list[Call]
    delete: list[Call] = []
    update: list[Call] = []
    read: Call | None = None
    sees: dict[str, str] = {}  # property → JMESPath into what `read` answers


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One resource type."""

    id: str  # a template, like all outputs
    outputs: dict[str, Any] = {}
    unset: list[str] = []  # outputs that stay empty here
    autoname: dict[str, int] = {}  # property → longest name that is made up where none is given
    unique: dict[str, Literal["region", "account", "world"]] = {}  # template → where no other may have the same
    texts: dict[str, Text] = {}
    keys: dict[str, Text] = {}  # path of a mapping → what its keys must look like
    defaults: dict[str, Any] = {}  # path → what the provider puts where the program puts nothing
    ranges: dict[str, tuple[int, int]] = {}
    values: dict[str, list[Any]] = {}  # the only ones allowed
    required: list[str] = []  # what the service asks for where the SDK doesn't, `containers[].image`
    configured: list[str] = []  # what the program or the provider's configuration must say
    parts: dict[str, str] = {}  # path → the package's part that stands there
    sizes: dict[str, tuple[int, int]] = {}  # path of a list or mapping → how many elements it has
    distinct: list[str] = []  # paths of what no two elements may have the same, `rules[].direction+priority` together
    several: list[str] = []  # paths of what each element must have where a list has more than one
    steps: dict[str, list[int]] = {}  # path of a number → what it must be a multiple of, and what is allowed besides
    timezones: list[str] = []
    sums: dict[str, list[int]] = {}  # path of numbers → what they may come to
    orders: list[list[str]] = []  # paths of numbers, none smaller than the one before; each in its own `rules[]`
    covered: dict[str, str] = {}  # path of a mapping → path of another that must have all that is in it
    among: dict[str, str] = {}  # path → path of the same resource where its value must be found
    cidrs: dict[str, tuple[int, int]] = {}  # path of an IPv4 block → its shortest and longest prefix
    zones: list[str] = []  # paths of availability zones
    regional: list[str] = []  # paths of texts that name the region
    about: dict[str, str] = {}  # path of an IAM document → property that names what alone it may speak of
    assumed: dict[str, str] = {}  # path of a role's ARN → the service that must be able to assume it
    replaces: list[str] | Literal["all"] = []
    updates: list[str] = []  # with `replaces: all`, what can be changed all the same
    exactly_one: list[list[str]] = []  # like `orders`, these hold in each place that the paths have in common
    at_most_one: list[list[str]] = []
    at_least_one: list[list[str]] = []
    # Path of a property → type (or `type.output`) of what must be there; `aws:type` is in whatever account of AWS,
    # and the path `catalogName/schemaName` leads to a name of two parts, with a dot between them.
    refers: dict[str, str] = {}
    needs: list[Need] = []
    conditions: list[Condition] = []
    counts: dict[str, str | None] = {}  # output that counts the changes from 1 → property without which it doesn't
    below: dict[str, str] = {}  # path of a place → `type.output`: it is in one of these, or is one
    trusted: "Trusted | None" = None
    lingers: Lingers | None = None
    makes: str | None = None  # the function of `infra/simulation/made` that makes its outputs, which stay as they are
    holds: list[str] = []  # those of them that keep what they refer to from being deleted
    documents: dict[str, Literal["identity", "inline", "resource", "repository", "key", "trust", "json"]] = {}
    together: dict[str, Together] = {}  # path of policies → what they may come to
    inside: dict[str, str] = {}  # path of a CIDR block → path of what refers to the network that must contain it
    blocks: list[str] = []  # where a network has its blocks, unless it is the place where what is inside has its own
    apart: dict[str, str] = {}  # path of a CIDR block → property that siblings share, which must not overlap
    alike: dict[str, list[str]] = {}  # property → paths of what this refers to: all have the same, and this too
    unlike: dict[str, list[str]] = {}  # property → paths of what this refers to: each has another
    api: Api | None = None
    mirror: Mirror | None = None


class Lookup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One function: a template for each result, or the type whose instance is looked up by the same properties."""

    returns: dict[str, Any] = {}
    finds: str | None = None
    by: list[str] = []


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds wherever something of the kind stands: in every type of a cloud, or in a pod of whatever has pods."""

    autoname: dict[str, int] = {}
    texts: dict[str, Text] = {}
    keys: dict[str, Text] = {}
    defaults: dict[str, Any] = {}
    ranges: dict[str, tuple[int, int]] = {}
    values: dict[str, list[Any]] = {}
    among: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    refers: dict[str, str] = {}
    distinct: list[str] = []
    required: list[str] = []
    replaces: list[str] = []
    orders: list[list[str]] = []
    exactly_one: list[list[str]] = []
    at_most_one: list[list[str]] = []
    conditions: list[Condition] = []
    parts: dict[str, str] = {}


class Tags(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a cloud calls its tags."""

    given: str = "tags"
    all: str = "tagsAll"  # the output with those that come from the provider's configuration
    defaults: str = "defaultTags"  # the provider's configuration


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for a whole cloud."""

    settings: dict[str, str] = {}  # provider configuration → the value where none is set
    variables: dict[str, list[str]] = {}  # provider configuration → environment variables that say it too
    account_setting: str | None = None  # the provider's configuration that says which account it is in
    required_settings: list[str] = []
    outputs: dict[str, Any] = {}  # of every type that has such an output
    identifiers: list[str] = []  # a text that looks like one of these must be the id of something
    arn: str | None = None  # a text that looks like this must be the ARN of something; has the groups named below
    public_arns: list[str] = []  # except these: the provider's own things
    regions: dict[str, list[str]] = {}  # region → its zones
    functions: dict[str, Lookup] = {}
    tags: Tags = Tags()
    suffix: str = "-{hex:7}"  # of a name that is made up
    every: Part = Part()  # where a type has such properties; its own rule comes first
    parts: dict[str, Part] = {}
    exists: dict[str, list[str]] = {}  # type → names of what is there without a program
    within: str | None = None  # path of what a thing and all that it refers to have in common, such as a namespace


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    types: dict[str, Rule]


@cache
def package_rules(package: str) -> Package:
    """The rules of a whole cloud; empty ones where nobody has written any."""
    file = HERE / package.replace("-", "_") / "package.yaml"
    return _read(file, Package) if file.exists() else Package()


@cache
def rule_for(token: str) -> Rule | None:
    """The rule of a resource type `aws:s3/bucket:Bucket`; None when nobody has written one."""
    package, module, _ = token.split(":")
    service = module.partition("/")[0]
    rules = _package_rules(package) if service == ALL_IN_ONE else _service_rules(package, service)
    rule = rules.get(token)
    return None if rule is None else _completed(rule, package_rules(package))


def _completed(rule: Rule, package: Package) -> Rule:
    """With what holds for every type, and with the parts that stand in it; what is null or empty holds not here."""
    parts = [("", package.every), *_standing(rule.parts, package)]
    mappings: dict[str, dict[str, Any]] = {}
    for name in ("autoname", "texts", "keys", "defaults", "ranges", "values", "among", "sizes", "refers"):
        below = {f"{at}{path}": value for at, part in parts for path, value in getattr(part, name).items()}
        mappings[name] = {
            path: value for path, value in (below | getattr(rule, name)).items() if value not in (None, "")
        }
    mappings["among"] |= {f"{at}{a}": f"{at}{b}" for at, part in parts for a, b in part.among.items()}
    listed = {
        name: [f"{at}{path}" for at, part in parts for path in getattr(part, name)] + getattr(rule, name)
        for name in ("required", "distinct")
    }
    grouped = {
        name: [[f"{at}{path}" for path in paths] for at, part in parts for paths in getattr(part, name)]
        + getattr(rule, name)
        for name in ("orders", "exactly_one", "at_most_one")
    }
    conditions = [
        msgspec.structs.replace(each, at=f"{at}{each.at}".rstrip(".")) for at, part in parts for each in part.conditions
    ]
    replaces = rule.replaces if rule.replaces == "all" else [*package.every.replaces, *rule.replaces]
    return msgspec.structs.replace(
        rule, **mappings, **listed, **grouped, conditions=conditions + rule.conditions, replaces=replaces
    )


def _standing(parts: dict[str, str], package: Package, at: str = "") -> Iterator[tuple[str, Part]]:
    """Where which part stands, those that stand in others too."""
    for path, name in parts.items():
        yield f"{at}{path}.", package.parts[name]
        yield from _standing(package.parts[name].parts, package, f"{at}{path}.")


def all_rules() -> dict[str, Rule]:
    """Every rule there is, by resource type, without what holds for every type of its cloud."""
    packages = [folder.name.replace("_", "-") for folder in sorted(HERE.iterdir()) if folder.is_dir()]
    return {token: rule for package in packages for token, rule in _package_rules(package).items()}


@cache
def _package_rules(package: str) -> dict[str, Rule]:
    files = [file for file in sorted((HERE / package.replace("-", "_")).glob("*.yaml")) if file.stem != "package"]
    return {token: rule for file in files for token, rule in _service_rules(package, file.stem).items()}


@cache
def _service_rules(package: str, service: str) -> dict[str, Rule]:
    file = HERE / package.replace("-", "_") / f"{service}.yaml"
    if not file.exists():
        return {}
    return {f"{package}:{short}": rule for short, rule in _read(file, _File).types.items()}


def _read(file: Path, type_: type[T]) -> T:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = yaml.load(file.read_bytes(), Loader=loader)  # noqa: S506 # a safe loader
        with READING:
            return msgspec.convert(found, type=type_)
    except (msgspec.ValidationError, yaml.YAMLError) as error:
        raise ValueError(f"{file}: {error}") from error
