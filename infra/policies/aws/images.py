"""Image registries: tags that never move, images that are scanned, encrypted and not public."""

import json
from collections.abc import Iterable, Iterator

from infra.policies.aws import _types as aws
from infra.policies.aws._policies import own_accounts
from infra.policies.documents import statements
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]

SCANNING = ("SCAN_ON_PUSH", "CONTINUOUS_SCAN")
FETCHING = ("ecr:Get", "ecr:BatchGet", "ecr:BatchCheck", "ecr:Describe", "ecr:List")


def _immutable(repository: Resource) -> Iterator[str]:
    kind = repository.values.at("imageTagMutability", "MUTABLE")
    if kind != "IMMUTABLE":
        yield f"tags are {kind}: what was approved under a tag can be exchanged"


def _scanned(repository: Resource) -> Iterator[str]:
    if repository.values.at("imageScanningConfiguration.scanOnPush") is not True:
        yield "images are not scanned when they arrive"


def _registry_scans(registry: Resource) -> Iterator[str]:
    """The registry's settings go before a repository's own."""
    if not any(rule.at("scanFrequency") in SCANNING for rule in registry.values.each("rules")):
        yield "the registry scans no image when it arrives, whatever its repositories say"


def _sealed(repository: Resource) -> Iterator[str]:
    given = repository.values.each("encryptionConfigurations")
    if not given or any(
        not each.at("encryptionType", "").startswith("KMS") or not each.has("kmsKey") for each in given
    ):
        yield "images are not encrypted with a key of the stack"


def _forgets(repository: Resource, stack: Stack) -> Iterator[str]:
    if not stack.about(repository, aws.REPOSITORY_LIFECYCLE, "repository"):
        yield "what no tag names is kept and paid for ever"


def _closed(policy: Resource) -> Iterator[str]:
    for statement in statements(policy, "policy"):
        if statement.allows and statement.is_for_everybody:
            yield f"everybody may {', '.join(statement.actions)}"


def _from_here_alone(policy: Resource) -> Iterator[str]:
    for statement in statements(policy, "policy"):
        if more := [each for each in statement.actions if statement.allows and not each.startswith(FETCHING)]:
            yield f"others may {', '.join(more)}"


def _tagged_stay(lifecycle: Resource) -> Iterator[str]:
    given = lifecycle.values.at("policy", lifecycle.values.at("lifecyclePolicy", "{}"))
    try:
        rules = json.loads(given).get("rules", [])
    except ValueError:
        return  # the cloud itself says that it is no JSON
    if any(rule.get("selection", {}).get("tagStatus") != "untagged" for rule in rules):
        yield "images are forgotten that a release may still be of"


def _copied_at_home(copies: Resource, stack: Stack) -> Iterator[str]:
    """And by a template, without which ECR makes a repository with settings of its own."""
    ours, homes = own_accounts(stack), {each.values.at("region") for each in stack.of(aws.PROVIDER)}
    templates = [
        each for each in stack.of(aws.REPOSITORY_TEMPLATE) if "REPLICATION" in each.values.texts("appliedFors")
    ]
    for rule in copies.values.each("replicationConfiguration.rules"):
        for destination in rule.each("destinations"):
            account, region = destination.at("registryId"), destination.at("region")
            if ours and account not in ours:
                yield f"images are copied into the account {account}, which is not the stack's"
            if region in homes:
                yield f"images are copied to where they are, {region}"
            if region not in [each.values.at("region") for each in templates]:
                yield f"ECR makes the repository in {region} with settings of its own: tags that move, AWS's key"


def _no_public(resource: Resource) -> Iterable[str]:
    return ["the repository is public"]


_CHAIN = Controls(fsbp=("ECR.2",), gdpr=("32(1)(b)",), hipaa=("164.312(c)(1)",), app=("11.1",))
_OPEN = Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",))

RULES: tuple[Rule, ...] = (
    Rule(
        "image-tags-never-move",
        "A tag of an image is given once.",
        "Set image_tag_mutability to IMMUTABLE",
        _CHAIN,
        (aws.REPOSITORY, aws.REPOSITORY_TEMPLATE),
        _immutable,
    ),
    Rule(
        "images-are-scanned",
        "Images are scanned for known weaknesses when they arrive.",
        "Set image_scanning_configuration.scan_on_push to True",
        Controls(fsbp=("ECR.1",), gdpr=("32(1)(d)",), hipaa=("164.308(a)(5)(ii)(B)",), app=("11.1",)),
        (aws.REPOSITORY,),
        _scanned,
    ),
    Rule(
        "registry-scans-what-arrives",
        "A registry's own settings scan every image when it arrives.",
        "Give it a rule with scan_frequency SCAN_ON_PUSH for the filter *",
        Controls(fsbp=("ECR.1",), gdpr=("32(1)(d)",), hipaa=("164.308(a)(5)(ii)(B)",), app=("11.1",)),
        (aws.REGISTRY_SCANNING,),
        _registry_scans,
    ),
    Rule(
        "images-are-encrypted",
        "Images are encrypted with a key of the stack.",
        "Set encryption_configurations with encryption_type KMS and kms_key",
        Controls(gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",)),
        (aws.REPOSITORY, aws.REPOSITORY_TEMPLATE),
        _sealed,
    ),
    Rule(
        "images-are-forgotten",
        "Every repository forgets what no tag names.",
        "Give it a LifecyclePolicy that expires untagged images",
        Controls(fsbp=("ECR.3",), gdpr=("5(1)(e)",), app=("11.2",)),
        (aws.REPOSITORY,),
        check_among=_forgets,
    ),
    Rule(
        "images-are-not-for-everybody",
        "No repository's policy gives anything to everybody.",
        "Name the accounts as Principal",
        _OPEN,
        (aws.REPOSITORY_POLICY,),
        _closed,
    ),
    Rule(
        "images-come-from-here-alone",
        "Others may fetch images, never push or delete them.",
        "Allow ecr:BatchGetImage, ecr:GetDownloadUrlForLayer and their like alone",
        _CHAIN,
        (aws.REPOSITORY_POLICY,),
        _from_here_alone,
    ),
    Rule(
        "images-with-tags-stay",
        "What has a tag is never forgotten by itself: a release is run by the digest of its image.",
        "Set tagStatus to untagged in every rule of the lifecycle",
        _CHAIN,
        (aws.REPOSITORY_LIFECYCLE, aws.REPOSITORY_TEMPLATE),
        _tagged_stay,
    ),
    Rule(
        "images-are-copied-as-they-lie",
        "Images are copied to another region of the stack's account, into a repository made by a template.",
        "Name the account and the other region, and give that region a RepositoryCreationTemplate for REPLICATION",
        _CHAIN,
        (aws.REPOSITORY_COPIES,),
        check_among=_copied_at_home,
    ),
    Rule(
        "images-are-not-published",
        "No stack has a public repository.",
        "Use ecr.Repository",
        _OPEN,
        ("aws:ecrpublic/repository:Repository",),
        _no_public,
    ),
)
