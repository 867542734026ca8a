"""SageMaker's registry of models: a release there is a version of the stack's group, and says what the ledger says.

Nothing is served from it: the endpoint's image and bundle are what the stack's file pins, which a plan shows and the
check of the pinned release has seen, while a version's number would hide both.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ml.aws.client import aws_errors, client, region_of
from ml.bundle.bundle import MANIFEST_FILE, key_of
from ml.bundle.manifest import Manifest
from ml.errors import MlopsError, ReleaseRefused
from ml.problem import load_problem
from ml.release.policy import PREVIOUS, Rules, require_deployable, require_sound
from ml.release.stage import Stage
from ml.trust.history import retirement

__all__ = ["ModelPackages", "is_group"]

APPROVED, PENDING, REJECTED = "Approved", "PendingManualApproval", "Rejected"
RELEASE: Final = "release"  # the property that names the digest
CONTENT_TYPES: Final = ("application/json", "application/jsonlines", "text/csv")  # as the container takes them
LONGEST_TEXT: Final = 1024
LONGEST_TOKEN: Final = 36
MOST_METRICS: Final = 40  # of the 50 properties that a version may have


def is_group(registry: str) -> bool:
    """Whether a stack's registry of models is a group of SageMaker's."""
    return registry.startswith("arn:") and ":model-package-group/" in registry


@dataclass(frozen=True)
class ModelPackages:
    """The group of a stack, by its ARN, and how many approvals the stack's environment asks for."""

    stage: Stage
    group: str
    approvals_required: int

    def register(self, digest: str, image: str, say: Callable[[str], None]) -> str:
        """The ARN of the version of a release in an image, `<repository>@sha256:…`; made where there is none.

        ReleaseRefused for a release that is altered or that nobody known has signed.
        """
        for arn, package in self._of(digest):
            if package["InferenceSpecification"]["Containers"][0]["Image"] == image:
                say(f"It is there already: {arn}")
                self._say_standing(arn, package, self._standing(digest))
                return arn
        say("Verifying the release")
        stage = self.stage
        manifest = require_sound(stage.store, digest, stage.trusted, datetime.now(UTC)).manifest
        say(f"Registering it in {self._name}")
        standing = self._standing(digest)
        package = {
            "ModelApprovalStatus": standing[0],
            "CustomerMetadataProperties": _properties(manifest, digest),
        }
        made: str = _asked(
            self._client.create_model_package,
            ModelPackageGroupName=self._name,
            ModelPackageDescription=_description(digest),
            InferenceSpecification=self._container(digest, image),
            ModelMetrics={"ModelQuality": {"Statistics": self._manifest(digest)}},
            ClientToken=_token(digest, image),
            **package,
        )["ModelPackageArn"]
        self._say_standing(made, package, standing)
        return made

    def follow(self, digest: str) -> None:
        """Have the versions of a release, where there are any, say what the ledger says of it now."""
        for arn, package in self._of(digest):
            self._say_standing(arn, package, self._standing(digest))

    def _standing(self, digest: str) -> tuple[str, str]:
        """The status, and why: Approved is what `pulumi up` would take."""
        stage = self.stage
        if retired := retirement(stage.ledger.entries(), digest):
            reason = retired.details.get("reason")
            return REJECTED, f"Retired on {retired.at:%Y-%m-%d} by {retired.actor}: {reason}"
        previous = PREVIOUS.get(stage.environment)
        rules = Rules(stage.environment, previous, self.approvals_required, load_problem())
        try:
            require_deployable(stage.store, stage.ledger, digest, rules, datetime.now(UTC))
        except ReleaseRefused as refused:
            return PENDING, str(refused)
        return APPROVED, f"May be deployed to {stage.stack}, as its ledger says"

    def _say_standing(self, arn: str, package: dict[str, Any], standing: tuple[str, str]) -> None:
        status, why = standing
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

    def _container(self, digest: str, image: str) -> dict[str, Any]:
        """What the endpoint's model is made of."""
        store = self.stage.store
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

    def _manifest(self, digest: str) -> dict[str, str]:
        """The release's digest is that of its manifest, which holds every metric and gate."""
        uri = self.stage.store.url(f"{key_of(digest)}/{MANIFEST_FILE}")
        return {"ContentType": "application/json", "ContentDigest": digest, "S3Uri": uri}

    @property
    def _name(self) -> str:
        return self.group.rpartition("/")[2]

    @property
    def _client(self) -> Any:
        return client("sagemaker", region_of(self.group))


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
