"""The registry of the one container image."""

import json
from collections.abc import Callable, Sequence

import pulumi
from pulumi_aws import ecr, iam

from infra.clouds.aws._account import arn, in_every_region, settings
from infra.clouds.aws._actions import PULL_IMAGE
from infra.clouds.aws._names import IMAGE, LONGEST_REPOSITORY_NAME
from infra.clouds.aws._policy import Statement, allow, document, trust
from infra.clouds.aws.keys import replica_key
from infra.config import StackConfig
from infra.contracts import ImageRegistryArgs
from infra.naming import logical, physical, tags

__all__ = ["ImageRegistry"]

UNTAGGED_DAYS = 14
EVERY_REPOSITORY = "ROOT"  # as ECR calls it: those that no other template is for


class ImageRegistry(pulumi.ComponentResource):
    """A repository whose tags never move and whose images are scanned when they arrive.

    `image` is the pinned image by digest; a registry without one is what a first `pulumi up` leaves to push to.
    """

    image: pulumi.Output[str] | None
    repository: pulumi.Output[str] | None
    identifier: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        args: ImageRegistryArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        readers: Callable[[StackConfig], Sequence[Statement]],
    ) -> None:
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
        self.identifier, self.repository = repository.arn, repository.repository_url
        self._forget_untagged(name, repository)
        if may_read := [*self._promoted_from(), *readers(config)]:
            self._share(name, repository, may_read)
        if not account.account_is_shared:
            self._scan(name)
            if account.replica_region:
                template = self._template(name, repository_name, account.replica_region)
                self._replicate(name, repository_name, account.replica_region, template)
        self.image = pulumi.Output.concat(repository.repository_url, "@", config.image) if config.image else None
        self.register_outputs({"image": self.image})

    def _forget_untagged(self, name: str, repository: ecr.Repository) -> None:
        """What is deployed has a tag; what has none is left over from builds."""
        ecr.LifecyclePolicy(
            logical(name, "lifecycle"), repository=repository.name, policy=_untagged_expire(), opts=self._child
        )

    def _scan(self, name: str) -> None:
        """An account has this once a region; copies in the second one are scanned when they arrive, too."""
        account = settings(self._args.config)
        every = ecr.RegistryScanningConfigurationRuleRepositoryFilterArgs(filter="*", filter_type="WILDCARD")
        rule = ecr.RegistryScanningConfigurationRuleArgs(scan_frequency="SCAN_ON_PUSH", repository_filters=[every])
        for what, region in (("scanning", account.region), ("scanning-of-copies", account.replica_region)):
            if region:
                ecr.RegistryScanningConfiguration(
                    logical(name, what),
                    region=region,
                    scan_type="BASIC",
                    rules=[rule],
                    opts=self._child,
                )

    def _promoted_from(self) -> list[Statement]:
        """The next environment copies the image by its digest."""
        config, account = self._args.config, settings(self._args.config)
        if not account.next_account_id:
            return []
        reader = {"AWS": in_every_region(config, "iam", "root", account_id=account.next_account_id)}
        return [allow("PromotedFrom", PULL_IMAGE, [], to=reader)]

    def _share(self, name: str, repository: ecr.Repository, readers: Sequence[Statement]) -> None:
        """A repository's policy names no resource."""
        statements = [{k: v for k, v in statement.items() if k != "Resource"} for statement in readers]
        ecr.RepositoryPolicy(
            logical(name, "policy"),
            repository=repository.name,
            policy=json.dumps({"Version": "2012-10-17", "Statement": statements}),
            opts=self._child,
        )

    def _template(self, name: str, repository_name: str, region: str) -> ecr.RepositoryCreationTemplate:
        """What ECR makes of its own accord to copy into is as closed as what it copies from."""
        config = self._args.config
        key = replica_key(self, logical(name, "copies-key"), config, region, f"The copies of images of {config.stack}")
        role = iam.Role(
            logical(name, "copies-role"),
            name=physical(config.stack, "image-copies", maximum_length=64),
            assume_role_policy=trust("ecr", None),
            opts=self._child,
        )
        repositories = arn(config, "ecr", f"repository/{repository_name}*", region=region)
        policy = iam.RolePolicy(
            logical(name, "copies-policy"),
            role=role.name,
            policy=document(
                allow("Make", ["ecr:CreateRepository", "ecr:ReplicateImage", "ecr:TagResource"], [repositories]),
                allow("Encrypt", ["kms:CreateGrant", "kms:RetireGrant", "kms:DescribeKey"], [key]),
            ),
            opts=self._child,
        )
        return ecr.RepositoryCreationTemplate(
            logical(name, "copies"),
            region=region,
            prefix=EVERY_REPOSITORY,
            applied_fors=["REPLICATION"],
            description=f"Copies of images of {config.stack}",
            custom_role_arn=role.arn,
            image_tag_mutability="IMMUTABLE",
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": key}],
            lifecycle_policy=_untagged_expire(),
            resource_tags=tags(config),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )

    def _replicate(self, name: str, repository_name: str, region: str, template: pulumi.Resource) -> None:
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
            opts=pulumi.ResourceOptions(parent=self, depends_on=[template]),
        )


def _untagged_expire() -> str:
    counted = {
        "tagStatus": "untagged",
        "countType": "sinceImagePushed",
        "countUnit": "days",
        "countNumber": UNTAGGED_DAYS,
    }
    return json.dumps({"rules": [{"rulePriority": 1, "selection": counted, "action": {"type": "expire"}}]})
