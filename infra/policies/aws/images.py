"""Image registries: tags that never move, images that are scanned, encrypted and not public."""

from collections.abc import Iterable, Iterator

from infra.policies.aws import _types as aws
from infra.policies.documents import statements
from infra.policies.rule import Controls, Resource, Rule, Stack

__all__ = ["RULES"]


def _immutable(repository: Resource) -> Iterator[str]:
    kind = repository.values.at("imageTagMutability", "MUTABLE")
    if kind != "IMMUTABLE":
        yield f"tags are {kind}: what was approved under a tag can be exchanged"


def _scanned(repository: Resource) -> Iterator[str]:
    if repository.values.at("imageScanningConfiguration.scanOnPush") is not True:
        yield "images are not scanned when they arrive"


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
        (aws.REPOSITORY,),
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
        "images-are-encrypted",
        "Images are encrypted with a key of the stack.",
        "Set encryption_configurations with encryption_type KMS and kms_key",
        Controls(gdpr=("32(1)(a)",), hipaa=("164.312(a)(2)(iv)",), app=("11.1",)),
        (aws.REPOSITORY,),
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
        "images-are-not-published",
        "No stack has a public repository.",
        "Use ecr.Repository",
        _OPEN,
        ("aws:ecrpublic/repository:Repository",),
        _no_public,
    ),
)
