"""Who may do what: one role a workload, and one for each CI system, which has no key but what it signs itself."""

from collections.abc import Sequence
from typing import ClassVar

import pulumi
from pulumi_aws import iam

from infra.clouds.aws import _actions as actions
from infra.clouds.aws._account import arn, in_every_region, settings
from infra.clouds.aws._ci import CiTrust, trusts
from infra.clouds.aws._names import tracking_name
from infra.clouds.aws._platform import Permissions
from infra.clouds.aws._policy import Statement, allow, document, trust
from infra.clouds.aws._promotion import borrows
from infra.contracts import IdentityArgs, Keys, ObjectStore
from infra.naming import logical, physical

__all__ = ["Identity", "RoleIdentity", "store_access"]

LONGEST_ROLE_NAME = 64
SESSION_S = 3600
ERASED = ("privacy/erasures", "privacy/left-out")  # whose labels join no prediction
# What each workload reads and writes, by prefix of the store.
READS = {
    "training": ("runtime", "data", "datasets", "bundles", "signatures", "ledger", "labels", "predictions", *ERASED),
    "scoring": ("runtime", "bundles", "signatures", "ledger", "scoring"),
    "serving": ("bundles", "signatures", "ledger", "privacy"),  # whose predictions are not to be kept
    "monitoring": (
        "runtime",
        "data",
        "bundles",
        "signatures",
        "ledger",
        "predictions",
        "labels",
        "monitoring",
        "capture",
        "retraining",
        *ERASED,
    ),
    # Where the endpoint writes no log of its own, the monitor brings it there: Databricks' inference table.
    "logging": (
        "runtime",
        "bundles",
        "signatures",
        "ledger",
        "predictions",
        "labels",
        "monitoring",
        "retraining",
        "privacy",
    ),
    "tracking": ("tracking",),
    "ci": (
        *("data", "datasets", "training", "tracking", "bundles", "signatures", "ledger"),
        *("monitoring", "predictions", "labels", *ERASED),
    ),
}
WRITES = {
    "training": ("data", "tracking", "training", "retraining"),  # a job of SageMaker leaves its output as this role
    "scoring": ("scoring",),
    # The key is made by whoever needs it first; what comes after its person's erasure is left out, and noted.
    "serving": ("predictions", "capture", "privacy/pseudonym.key", "privacy/left-out"),
    "monitoring": ("monitoring", "retraining"),
    "logging": ("monitoring", "retraining", "predictions", "privacy/pseudonym.key", "privacy/left-out"),
    "tracking": ("tracking",),
    "ci": ("data", "datasets", "bundles", "signatures", "ledger", "releases"),
}
BELOW = ("", "/*")
# Parts of a scoring are moved to where they are published; predictions on people who were erased meanwhile go.
DELETES = {"scoring": ("scoring",), "serving": ("predictions",), "logging": ("predictions",)}


class Identity(pulumi.ComponentResource):
    """Who works here, and what CI may do; a platform says who its workloads are.

    Roles name their resources. `*` stands only where the service knows no resource, for single actions.
    """

    training: pulumi.Output[str]
    scoring: pulumi.Output[str] | None
    serving: pulumi.Output[str]
    monitoring: pulumi.Output[str]
    tracking: pulumi.Output[str]
    scheduling: pulumi.Output[str]
    orchestrating: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("mlops:aws:Identity", name, None, opts)
        self._args, self._name = args, name
        self._child = pulumi.ResourceOptions(parent=self)
        self._workloads()
        for ci in trusts(args.config):
            self._ci(ci)
        self.register_outputs({"training": self.training, "serving": self.serving})

    def _workloads(self) -> None:
        raise NotImplementedError

    def _trains(self) -> Sequence[Statement]:
        """What CI needs beside the store and the image: to train, and to log and follow it."""
        raise NotImplementedError

    def _role(self, role: str, trusted: pulumi.Input[str], statements: Sequence[Statement]) -> pulumi.Output[str]:
        made = iam.Role(
            logical(self._name, role),
            name=physical(self._args.config.stack, role, maximum_length=LONGEST_ROLE_NAME),
            assume_role_policy=trusted,
            max_session_duration=SESSION_S,
            opts=self._child,
        )
        policy = iam.RolePolicy(
            logical(self._name, f"{role}-policy"), role=made.name, policy=document(*statements), opts=self._child
        )
        # Whoever is given the role may rely on what it may do.
        return pulumi.Output.all(made.arn, policy.id).apply(lambda both: both[0])

    def _ci(self, ci: CiTrust) -> None:
        """A pipeline of CI builds, trains, releases and promotes. What it may deploy is not given here: docs/aws.md."""
        config, account = self._args.config, settings(self._args.config)
        provider: pulumi.Input[str] = in_every_region(config, "iam", f"oidc-provider/{ci.host}")
        if not account.account_is_shared:
            provider = iam.OpenIdConnectProvider(
                logical(self._name, f"{ci.name}-provider"),
                url=f"https://{ci.host}",
                client_id_lists=[ci.audience],
                opts=self._child,
            ).arn
        claims = {"StringEquals": {f"{ci.host}:aud": ci.audience, f"{ci.host}:sub": ci.subject}}
        trusted = document(
            {
                "Sid": "Trust",
                "Effect": "Allow",
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Principal": {"Federated": provider},
                "Condition": claims,
            }
        )
        self._role(
            ci.name,
            trusted,
            [
                *store_access("ci", self._args.store, self._args.keys),
                allow("Image", [*actions.PULL_IMAGE, *actions.PUSH_IMAGE], [self._args.images.identifier]),
                allow("RegistryToken", ["ecr:GetAuthorizationToken"], ["*"]),
                *self._trains(),
            ],
        )


class RoleIdentity(Identity):
    """A role for each workload, with what the platform's services let it do."""

    permissions: ClassVar[Permissions]

    def _workloads(self) -> None:
        args = self._args
        self.training = self._runs("training", *self._tracks())
        self.scoring = self._runs("scoring") if "scoring" in self.permissions.SERVICES else None
        self.serving = self._runs("serving")
        self.monitoring = self._runs("monitoring")
        self.tracking = self._workload("tracking", "sagemaker", store_access("tracking", args.store, args.keys))
        orchestrates = self.permissions.orchestrates(args, self.training)
        self.orchestrating = self._workload("orchestrating", self.permissions.SERVICES["orchestrating"], orchestrates)
        schedules = self.permissions.schedules(args)
        self.scheduling = self._workload("scheduling", ["scheduler", "events"], schedules)

    def _trains(self) -> Sequence[Statement]:
        return [*self.permissions.trains(self._args.config), *borrows(self._args.config), *self._tracks()]

    def _tracks(self) -> list[Statement]:
        """What it takes to log a training."""
        server = arn(self._args.config, "sagemaker", f"mlflow-tracking-server/{tracking_name(self._args.config)}")
        return [allow("Tracking", actions.MLFLOW, [server])]

    def _runs(self, workload: str, *more: Statement) -> pulumi.Output[str]:
        access = store_access(workload, self._args.store, self._args.keys)
        statements = [*access, *self.permissions.runs(self._args, workload), *more]
        return self._workload(workload, self.permissions.SERVICES[workload], statements)

    def _workload(
        self, workload: str, service: str | Sequence[str], statements: Sequence[Statement]
    ) -> pulumi.Output[str]:
        return self._role(workload, trust(service, settings(self._args.config).account_id), statements)


def store_access(workload: str, objects: ObjectStore, keys: Keys) -> list[Statement]:
    """What a workload reads and writes of the store, and no more of it."""
    store = objects.identifier
    prefixes = sorted({*READS[workload], *(p for p in WRITES[workload] if "." not in p)})
    below = {"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes] + prefixes}}
    removes = [pulumi.Output.concat(store, f"/{p}/*") for p in DELETES.get(workload, ())]
    return [
        *([allow("Remove", ["s3:DeleteObject"], removes)] if removes else []),
        allow("List", ["s3:ListBucket"], [store], when=below),
        # The bare prefix too: a client first asks whether it is an object, and a refusal is no "no".
        allow("Read", ["s3:GetObject"], [pulumi.Output.concat(store, f"/{p}{s}") for p in prefixes for s in BELOW]),
        allow(
            "Write",
            ["s3:PutObject", "s3:AbortMultipartUpload"],
            [pulumi.Output.concat(store, f"/{p}" if "." in p else f"/{p}/*") for p in WRITES[workload]],
        ),
        allow("Encrypted", actions.USE_KEY, [keys.data]),
    ]
