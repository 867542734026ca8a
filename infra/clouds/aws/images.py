"""The registry of the one container image."""

import json
from collections.abc import Sequence

import pulumi
from pulumi_aws import ecr

from infra.clouds.aws._account import arn, in_every_region, settings
from infra.clouds.aws._actions import FETCH_IMAGE, PULL_IMAGE
from infra.clouds.aws._names import IMAGE, LONGEST_REPOSITORY_NAME
from infra.clouds.aws._policy import Statement, allow
from infra.contracts import ImageRegistryArgs
from infra.naming import logical, physical

__all__ = ["ImageRegistry"]

UNTAGGED_DAYS = 14
FETCHED_BY_LAMBDA = ("serverless",)


class ImageRegistry(pulumi.ComponentResource):
    """A repository whose tags never move and whose images are scanned when they arrive.

    `image` is the pinned image by digest; a registry without one is what a first `pulumi up` leaves to push to.
    """

    image: pulumi.Output[str] | None
    identifier: pulumi.Output[str]

    def __init__(self, name: str, args: ImageRegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:ImageRegistry", name, None, opts)
        self._args, self._child = args, pulumi.ResourceOptions(parent=self)
        config, account = args.config, settings(args.config)
        repository_name = physical(config.stack, IMAGE, maximum_length=LONGEST_REPOSITORY_NAME)
        repository = ecr.Repository(
            logical(name, "repository"),
            name=repository_name,
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": args.keys.data}],
            force_delete=False,
            opts=pulumi.ResourceOptions(parent=self, protect=config.environment.is_protected),
        )
        self.identifier = repository.arn
        self._forget_untagged(name, repository)
        if readers := self._readers():
            self._share(name, repository, readers)
        if account.replica_region and not account.account_is_shared:
            self._replicate(name, repository_name, account.replica_region)
        self.image = pulumi.Output.concat(repository.repository_url, "@", config.image) if config.image else None
        self.register_outputs({"image": self.image})

    def _forget_untagged(self, name: str, repository: ecr.Repository) -> None:
        """What is deployed has a tag; what has none is left over from builds."""
        counted = {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": UNTAGGED_DAYS,
        }
        rule = {"rulePriority": 1, "selection": counted, "action": {"type": "expire"}}
        ecr.LifecyclePolicy(
            logical(name, "lifecycle"),
            repository=repository.name,
            policy=json.dumps({"rules": [rule]}),
            opts=self._child,
        )

    def _readers(self) -> list[Statement]:
        """The next environment copies the image by its digest; Lambda fetches it as itself, not as the function."""
        config, account = self._args.config, settings(self._args.config)
        found: list[Statement] = []
        if account.next_account_id:
            reader = {"AWS": in_every_region(config, "iam", "root", account_id=account.next_account_id)}
            found.append(allow("PromotedFrom", PULL_IMAGE, [], to=reader))
        if config.platform in FETCHED_BY_LAMBDA:
            ours = {"ArnLike": {"aws:SourceArn": arn(config, "lambda", "function:*")}}
            reader = {"Service": "lambda.amazonaws.com"}
            found.append(allow("Functions", FETCH_IMAGE, [], to=reader, when=ours))
        return found

    def _share(self, name: str, repository: ecr.Repository, readers: Sequence[Statement]) -> None:
        """A repository's policy names no resource."""
        statements = [{k: v for k, v in statement.items() if k != "Resource"} for statement in readers]
        ecr.RepositoryPolicy(
            logical(name, "policy"),
            repository=repository.name,
            policy=json.dumps({"Version": "2012-10-17", "Statement": statements}),
            opts=self._child,
        )

    def _replicate(self, name: str, repository_name: str, region: str) -> None:
        """An account has this once, for all its repositories; the filter keeps others out."""
        ecr.ReplicationConfiguration(
            logical(name, "replication"),
            replication_configuration={
                "rules": [
                    {
                        "destinations": [{"region": region, "registry_id": settings(self._args.config).account_id}],
                        "repository_filters": [{"filter": repository_name, "filter_type": "PREFIX_MATCH"}],
                    }
                ]
            },
            opts=self._child,
        )
