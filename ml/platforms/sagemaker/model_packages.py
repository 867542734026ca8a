"""SageMaker's registry of models: a release there is a version of the stack's group, and says what the ledger says.

Nothing is served from it: the endpoint's image and bundle are what the stack's file pins, which a plan shows and the
check of the pinned release has seen, while a version's number would hide both.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from ml.bundle.bundle import MANIFEST_FILE, key_of
from ml.bundle.manifest import Manifest
from ml.errors import InputRefused, MlopsError
from ml.platform import Registered, Standing
from ml.platforms.aws.client import aws_errors, client, region_of
from ml.store import Store

__all__ = ["ModelPackages"]

STATUS: Final = {"approved": "Approved", "pending": "PendingManualApproval", "rejected": "Rejected"}
RELEASE: Final = "release"  # the property that names the digest
CONTENT_TYPES: Final = ("application/json", "application/jsonlines", "text/csv")  # as the container takes them
LONGEST_TEXT: Final = 1024
LONGEST_TOKEN: Final = 36
MOST_METRICS: Final = 40  # of the 50 properties that a version may have


@dataclass(frozen=True)
class ModelPackages:
    """The group of a stack, by its ARN."""

    group: str

    def register(self, release: Registered, say: Callable[[str], None]) -> str:
        """The ARN of the version of a release in its image; made where there is none."""
        digest, image, standing = release.digest, release.image, release.standing
        if image is None:
            raise InputRefused(f"{self.group} lists releases with the image that serves them, and the stack has none.")
        for arn, package in self._of(digest):
            if package["InferenceSpecification"]["Containers"][0]["Image"] == image:
                say(f"It is there already: {arn}")
                self._say_standing(arn, package, standing)
                return arn
        manifest = release.verified()
        say(f"Registering it in {self._name}")
        package = {
            "ModelApprovalStatus": STATUS[standing.status],
            "CustomerMetadataProperties": _properties(manifest, digest),
        }
        made: str = _asked(
            self._client.create_model_package,
            ModelPackageGroupName=self._name,
            ModelPackageDescription=_description(digest),
            InferenceSpecification=_container(release.store, digest, image),
            ModelMetrics={"ModelQuality": {"Statistics": _manifest(release.store, digest)}},
            ClientToken=_token(digest, image),
            **package,
        )["ModelPackageArn"]
        self._say_standing(made, package, standing)
        return made

    def follow(self, digest: str, standing: Standing) -> None:
        """Have the versions of a release, where there are any, say what the ledger says of it now."""
        for arn, package in self._of(digest):
            self._say_standing(arn, package, standing)

    def _say_standing(self, arn: str, package: dict[str, Any], standing: Standing) -> None:
        status, why = STATUS[standing.status], standing.why
        if (package.get("ModelApprovalStatus"), package.get("ApprovalDescription")) != (status, _text(why)):
            _asked(
                self._client.update_model_package,
                ModelPackageArn=arn,
                ModelApprovalStatus=status,
                ApprovalDescription=_text(why),
                CustomerMetadataProperties=package["CustomerMetadataProperties"],
            )

    def _of(self, digest: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The versions of a release: one for each image that it was registered with."""
        pages = self._client.get_paginator("list_model_packages")
        try:
            listed = [
                each["ModelPackageArn"]
                for page in pages.paginate(ModelPackageGroupName=self._name)
                for each in page["ModelPackageSummaryList"]
                if each.get("ModelPackageDescription") == _description(digest)
            ]
        except aws_errors() as error:
            raise MlopsError(f"SageMaker doesn't say what {self.group} holds: {error}") from error
        for arn in listed:
            package = _asked(self._client.describe_model_package, ModelPackageName=arn)
            if package.get("CustomerMetadataProperties", {}).get(RELEASE) == digest:
                yield arn, package

    @property
    def _name(self) -> str:
        return self.group.rpartition("/")[2]

    @property
    def _client(self) -> Any:
        return client("sagemaker", region_of(self.group))


def _container(store: Store, digest: str, image: str) -> dict[str, Any]:
    """What the endpoint's model is made of."""
    bundle = {"S3Uri": f"{store.url(key_of(digest))}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {
        "Containers": [
            {
                "Image": image,
                "ModelDataSource": {"S3DataSource": bundle},
                "Environment": {"MLOPS_STORE_URI": store.uri, "MLOPS_RELEASE": digest},
            }
        ],
        "SupportedContentTypes": list(CONTENT_TYPES),
        "SupportedResponseMIMETypes": list(CONTENT_TYPES),
    }


def _manifest(store: Store, digest: str) -> dict[str, str]:
    """The release's digest is that of its manifest, which holds every metric and gate."""
    uri = store.url(f"{key_of(digest)}/{MANIFEST_FILE}")
    return {"ContentType": "application/json", "ContentDigest": digest, "S3Uri": uri}


def _description(digest: str) -> str:
    """How a listing, which shows no properties, lets a release be found."""
    return f"Release {digest}"


def _properties(manifest: Manifest, digest: str) -> dict[str, str]:
    measured = [(metric.name, metric.value) for metric in manifest.metrics if metric.value is not None]
    metrics = {f"metric.{name}": f"{value:.6g}" for name, value in measured[:MOST_METRICS]}
    return {RELEASE: digest, "name": manifest.name, "version": manifest.version, **metrics}


def _token(digest: str, image: str) -> str:
    """The same for the same request, so that two at once make one version."""
    return hashlib.sha256(f"{digest} {image}".encode()).hexdigest()[:LONGEST_TOKEN]


def _text(why: str) -> str:
    return " ".join(why.split())[:LONGEST_TEXT]


def _asked(operation: Callable[..., dict[str, Any]], **what: Any) -> dict[str, Any]:
    try:
        return operation(**what)
    except aws_errors() as error:
        raise MlopsError(f"SageMaker's registry of models refuses: {error}") from error
