"""Who may do what on Databricks: a service principal for each workload, and none with a secret."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.clouds.databricks._account import rule_set, settings, workload_name
from infra.clouds.databricks._sdk import databricks
from infra.config import StackConfig
from infra.naming import logical

__all__ = ["WORKLOADS", "Issuer", "Principal", "service_principals"]

WORKLOADS = ("training", "scoring", "serving", "monitoring", "ci")
USE = "roles/servicePrincipal.user"


@dataclass(frozen=True)
class Issuer:
    """A CI system that signs who it is."""

    name: str
    url: str
    subject: str


@dataclass(frozen=True)
class Principal:
    """A workload's identity: `application_id` is its name in grants, `number` the one in the account."""

    application_id: pulumi.Output[str]
    number: pulumi.Output[str]


def service_principals(
    parent: pulumi.Resource, name: str, config: StackConfig, issuers: Sequence[Issuer]
) -> Mapping[str, Principal]:
    """One a workload. Whoever deploys may let jobs run as them; CI proves itself by what it signs."""
    child = pulumi.ResourceOptions(parent=parent)
    made: dict[str, Principal] = {}
    for workload in WORKLOADS:
        principal = databricks.ServicePrincipal(
            logical(name, workload), display_name=workload_name(config, workload), api="account", opts=child
        )
        databricks.AccessControlRuleSet(
            logical(name, f"{workload}-users"),
            name=principal.application_id.apply(lambda application_id: rule_set(config, application_id)),
            api="account",
            grant_rules=[{"role": USE, "principals": [f"servicePrincipals/{settings(config).deployer}"]}],
            opts=child,
        )
        made[workload] = Principal(principal.application_id, principal.id)
    for issuer in issuers:
        databricks.ServicePrincipalFederationPolicy(
            logical(name, issuer.name),
            service_principal_id=made["ci"].number.apply(int),
            description=f"Pipelines of {issuer.name} for {config.stack}",
            oidc_policy={
                "issuer": issuer.url,
                "subject": issuer.subject,
                "audiences": [settings(config).account_id],
            },
            opts=child,
        )
    return made
