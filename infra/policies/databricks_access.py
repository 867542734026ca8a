"""Databricks: who acts, as whom, and who pays for what runs on nobody's machine."""

import json
import re
from collections.abc import Iterator
from typing import Any

from infra.policies import databricks
from infra.policies.documents import statements
from infra.policies.rule import Controls, Resource, Rule

__all__ = ["RULES"]

ROLE = "aws:iam/role:Role"
RULE_SET = "databricks:index/accessControlRuleSet:AccessControlRuleSet"
PERMISSIONS = "databricks:index/permissions:Permissions"
FEDERATION = "databricks:index/servicePrincipalFederationPolicy:ServicePrincipalFederationPolicy"
MADE = ("Token", "OboToken", "ServicePrincipalSecret")
SECRETS = tuple(f"databricks:index/{name[:1].lower()}{name[1:]}:{name}" for name in MADE)
DATABRICKS = "414351767826"  # its own account of AWS, the same for all who use it
SECRET_NAME = re.compile(r"password|passwd|secret|token|api_?key|access_?key|private_?key", re.IGNORECASE)
MACHINES = ("newCluster", "existingClusterId", "jobClusterKey")


def _made_secret(secret: Resource) -> Iterator[str]:
    yield f"{secret.type.rpartition(':')[2]} makes a secret, which lies in the state"


def _for_somebody(resource: Resource) -> Iterator[str]:
    for rule in resource.values.each("grantRules"):
        groups = [who.partition("/")[2] for who in rule.texts("principals") if who.startswith("groups/")]
        if any(group in databricks.EVERYBODY for group in groups):
            yield f"everybody of the account has {rule.at('role')}"
    for control in resource.values.each("accessControls"):
        if control.at("groupName") in databricks.EVERYBODY:
            yield f"everybody of the workspace has {control.at('permissionLevel')}"


def _named_subject(policy: Resource) -> Iterator[str]:
    subject = str(policy.values.at("oidcPolicy.subject", ""))
    if not subject:
        yield "whatever the issuer signs is believed, whoever it is about"
    elif "*" in subject:
        yield f"the subject {subject} is no pipeline: Databricks takes it by the letter, and believes nobody"


def _external_id(role: Resource) -> Iterator[str]:
    for statement in statements(role, "assumeRolePolicy"):
        by_databricks = any(kind == "AWS" and DATABRICKS in who for kind, who in statement.principals)
        if statement.allows and by_databricks and not statement.conditions_on("sts:ExternalId"):
            yield "Databricks may take the role on behalf of any of its customers"


def _bounded(policy: Resource) -> Iterator[str]:
    try:
        definition: dict[str, Any] = json.loads(policy.values.at("definition", "{}"))
    except ValueError:
        return  # the cloud itself says that it is no JSON
    sizes = [definition.get(name, {}) for name in ("num_workers", "autoscale.max_workers")]
    if not any("maxValue" in size or "value" in size for size in sizes):
        yield "a cluster may have any number of workers"
    if not policy.values.has("maxClustersPerUser"):
        yield "a person may have any number of clusters"


def _as_principal(job: Resource) -> Iterator[str]:
    if person := job.values.known("runAs.userName"):
        yield f"the job runs as the person {person}, and no more when that person leaves"
    elif not job.values.has("runAs.servicePrincipalName"):
        yield "the job runs as whoever deploys it, with all that a deployer may do"


def _charged(resource: Resource) -> Iterator[str]:
    on_machines = any(task.has(name) for task in resource.values.each("tasks") for name in MACHINES)
    if not on_machines and not resource.values.has("budgetPolicyId"):
        yield "what it uses is tagged with no stack, owner or cost centre"


def _no_secret(endpoint: Resource) -> Iterator[str]:
    for entity in endpoint.values.each("config.servedEntities"):
        for name, value in entity.at("environmentVars", {}).items():
            if SECRET_NAME.search(str(name)) and not str(value).startswith("{{secrets/"):
                yield f"the variable {name} holds a secret in clear"


_ACCESS = Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",))
_PROOF = Controls(gdpr=("32(1)(b)",), hipaa=("164.312(d)",), app=("11.1",))

RULES: tuple[Rule, ...] = (
    Rule(
        "databricks-makes-no-secret",
        "No token and no secret of a principal is made by a stack.",
        "Remove it: let who acts prove itself by federation, or by single sign-on",
        _PROOF,
        SECRETS,
        _made_secret,
    ),
    Rule(
        "databricks-access-is-for-somebody",
        "Nobody acts as a principal, runs a job or asks an endpoint because everybody may.",
        "Name the principals or a group of your own",
        _ACCESS,
        (RULE_SET, PERMISSIONS),
        _for_somebody,
    ),
    Rule(
        "databricks-federation-names-its-subject",
        "A token of a CI system is believed of one subject, by the letter.",
        "Set subject to the pipeline's, such as repo:owner/name:environment:prod",
        _PROOF,
        (FEDERATION,),
        _named_subject,
    ),
    Rule(
        "databricks-takes-roles-by-external-id",
        "Databricks takes a role only with the external id that stands for us.",
        "Add a condition on sts:ExternalId",
        _ACCESS,
        (ROLE,),
        _external_id,
    ),
    Rule(
        "cluster-policy-bounds-size",
        "A policy for clusters bounds how many a person has, and how large.",
        "Set maxValue of num_workers in the definition, and max_clusters_per_user",
        Controls(),
        (databricks.CLUSTER_POLICY,),
        _bounded,
    ),
    Rule(
        "databricks-job-runs-as-principal",
        "Every job runs as a service principal.",
        "Set run_as to a principal that may do what the job needs",
        _ACCESS,
        (databricks.JOB,),
        _as_principal,
    ),
    Rule(
        "databricks-serverless-is-charged",
        "Jobs and endpoints without machines of their own have a budget policy, whose tags stand on the bill.",
        "Set budget_policy_id",
        Controls(),
        (databricks.JOB, databricks.SERVING),
        _charged,
    ),
    Rule(
        "databricks-endpoint-has-no-secret",
        "No variable of a served model holds a secret.",
        "Keep it in a secret scope, and write {{secrets/scope/key}}",
        _PROOF,
        (databricks.SERVING,),
        _no_secret,
    ),
)
