"""Whose everything is: tags on all that is made, in the stack's own account."""

import json
from collections.abc import Iterator, Mapping

from infra.policies.aws import _types as aws
from infra.policies.rule import Controls, Resource, Rule

__all__ = ["RULES"]

DATA_CLASSES = ("public", "internal", "confidential", "personal")
NEEDED = ("project", "stack", "environment", "owner", "cost-centre", "data-class")


def _default_tags(provider: Resource) -> Mapping[str, str]:
    given = provider.values.at("defaultTags", {})
    held = json.loads(given) if isinstance(given, str) else given  # a provider's nested values come as text
    return held.get("tags") or {}


def _tagged(provider: Resource) -> Iterator[str]:
    tags = _default_tags(provider)
    if missing := [name for name in NEEDED if not tags.get(name)]:
        yield f"what the provider makes has no tag {', '.join(missing)}"
    elif tags["environment"] != provider.environment:
        yield f"what the provider makes is tagged as {tags['environment']}"
    elif tags["data-class"] not in DATA_CLASSES:
        yield f"{tags['data-class']} is no class of data"


def _own_account(provider: Resource) -> Iterator[str]:
    if not provider.values.at("allowedAccountIds"):
        yield "the provider would work in whatever account the credentials are of"
    for key in ("accessKey", "secretKey", "token"):
        if key in provider.properties:
            yield f"the provider is given {key}, a credential that lies in the state"


def _same_tags(resource: Resource) -> Iterator[str]:
    if own := [name for name in NEEDED if name in resource.values.at("tags", {})]:
        yield f"the resource has its own {', '.join(own)}, other than the stack's"


_INVENTORY = Controls(gdpr=("5(2)", "30(1)"), hipaa=("164.308(a)(1)(ii)(A)",), app=("1.2",))

RULES: tuple[Rule, ...] = (
    Rule(
        "everything-is-tagged",
        "Everything has an owner, a cost centre, an environment and a class of data.",
        "Set default_tags of the provider to tags(config)",
        _INVENTORY,
        (aws.PROVIDER,),
        _tagged,
    ),
    Rule(
        "nothing-overrides-the-tags",
        "No resource says otherwise than the stack whose it is.",
        "Remove the tag: the provider sets it",
        _INVENTORY,
        tuple(value for name, value in vars(aws).items() if name.isupper() and value != aws.PROVIDER),
        _same_tags,
    ),
    Rule(
        "provider-stays-in-its-account",
        "A provider works in the stack's account alone, with no credential of its own.",
        "Set allowed_account_ids, and take credentials from the environment",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)", "164.312(d)"), app=("8", "11.1")),
        (aws.PROVIDER,),
        _own_account,
    ),
)
