"""Who may do what: workloads are service principals of Databricks, CI has a role of AWS and a principal as well."""

from collections.abc import Mapping, Sequence

import pulumi

from infra.clouds.aws import identity
from infra.clouds.aws._ci import trusts
from infra.clouds.aws._policy import Statement
from infra.clouds.aws._promotion import borrows
from infra.clouds.databricks.identity import Issuer, Principal, service_principals

__all__ = ["Identity"]


class Identity(identity.Identity):
    """How the principals reach the store is made with the workspace, which says by what it is to be recognised."""

    principals: Mapping[str, Principal]
    scoring: pulumi.Output[str] | None

    def _workloads(self) -> None:
        issuers = [Issuer(ci.name, f"https://{ci.host}", ci.subject) for ci in trusts(self._args.config)]
        self.principals = service_principals(self, self._name, self._args.config, issuers)
        names = {workload: principal.application_id for workload, principal in self.principals.items()}
        self.training, self.scoring = names["training"], names["scoring"]
        self.serving, self.monitoring = names["serving"], names["monitoring"]
        # The workspace tracks, starts and schedules by itself, as the principal whose job it is.
        self.tracking = self.orchestrating = self.scheduling = names["training"]

    def _trains(self) -> Sequence[Statement]:
        """Jobs are started at Databricks, by CI's own service principal, and logged in the workspace's MLflow."""
        return borrows(self._args.config)
