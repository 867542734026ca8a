"""Databricks, on whichever cloud: private workspaces, compute that ends, data that stay apart."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from infra.config import ENVIRONMENTS
from infra.policies.rule import Controls, Resource, Rule

__all__ = ["RULES"]

PROVIDER = "pulumi:providers:databricks"
WORKSPACE = "databricks:index/mwsWorkspaces:MwsWorkspaces"
ACCESS = "databricks:index/mwsPrivateAccessSettings:MwsPrivateAccessSettings"
CLUSTER = "databricks:index/cluster:Cluster"
CLUSTER_POLICY = "databricks:index/clusterPolicy:ClusterPolicy"
JOB = "databricks:index/job:Job"
SERVING = "databricks:index/modelServing:ModelServing"
CATALOG = "databricks:index/catalog:Catalog"
SCHEMA = "databricks:index/schema:Schema"
VOLUME = "databricks:index/volume:Volume"
GRANTS = "databricks:index/grants:Grants"
REACHES = tuple(f"databricks:index/{name[:1].lower()}{name[1:]}:{name}" for name in ("StorageCredential", "Credential"))
LOCATION = "databricks:index/externalLocation:ExternalLocation"
OWN = ("networkId", "privateAccessSettingsId", "storageCustomerManagedKeyId", "managedServicesCustomerManagedKeyId")
SECRETS = ("token", "password", "clientSecret", "azureClientSecret", "googleCredentials")
LONGEST_IDLE_MINUTES = 60
APART = ("SINGLE_USER", "USER_ISOLATION", "DATA_SECURITY_MODE_DEDICATED", "DATA_SECURITY_MODE_STANDARD")
EVERYBODY = ("account users", "users")
KEEPS = (WORKSPACE, CATALOG, SCHEMA, VOLUME, LOCATION, SERVING)
FORCED = (CATALOG, SCHEMA, LOCATION)


def _own(workspace: Resource) -> Iterator[str]:
    if missing := [name for name in OWN if not workspace.values.has(name)]:
        yield f"the workspace has no {', '.join(missing)}"


def _named_entries(access: Resource) -> Iterator[str]:
    if access.values.at("privateAccessLevel", "ACCOUNT") != "ENDPOINT":
        yield "machines come by any entry point of the Databricks account"
    elif not access.values.has("allowedVpcEndpointIds"):
        yield "no entry point is named, so no machine comes in"


def _no_secret(provider: Resource) -> Iterator[str]:
    yield from (
        f"the provider is given {name}, which lies in the state" for name in SECRETS if provider.values.has(name)
    )


def _definition(policy: Resource) -> Mapping[str, Any]:
    try:
        return json.loads(policy.values.at("definition", "{}"))
    except ValueError:
        return {}  # the cloud itself says that it is no JSON


def _ends(resource: Resource) -> Iterator[str]:
    minutes: Any = resource.values.at("autoterminationMinutes", 0)
    if resource.type == CLUSTER_POLICY:
        bound = _definition(resource).get("autotermination_minutes", {})
        minutes = bound.get("value", bound.get("maxValue", 0))
    if not 0 < minutes <= LONGEST_IDLE_MINUTES:
        yield f"an idle cluster runs for {minutes or 'ever'}{' minutes' if minutes else ''}"


def _apart(resource: Resource) -> Iterator[str]:
    mode = resource.values.at("dataSecurityMode", "NONE")
    if resource.type == CLUSTER_POLICY:
        mode = _definition(resource).get("data_security_mode", {}).get("value", "NONE")
    if mode not in APART:
        yield f"the cluster's data security mode is {mode}: who shares it sees each other's data"


def _job_ends(job: Resource) -> Iterator[str]:
    tasks = job.values.each("tasks")
    if not job.values.has("timeoutSeconds") and not (tasks and all(task.has("timeoutSeconds") for task in tasks)):
        yield "nothing ends a job that hangs"


def _isolated(resource: Resource) -> Iterator[str]:
    if resource.values.at("isolationMode") not in ("ISOLATED", "ISOLATION_MODE_ISOLATED"):
        yield "every workspace of the metastore may use it"


def _not_for_everybody(grants: Resource) -> Iterator[str]:
    for grant in grants.values.each("grants"):
        given = grant.texts("privileges")
        if grant.at("principal") in EVERYBODY:
            yield f"everybody of the account is given {', '.join(given)}"
        elif all_of_it := [each for each in ("ALL_PRIVILEGES", "MANAGE") if each in given]:
            yield f"the principal {grant.at('principal')} is given {', '.join(all_of_it)}"


def _pinned(endpoint: Resource) -> Iterator[str]:
    for entity in endpoint.values.each("config.servedEntities"):
        if not str(entity.at("entityVersion", "")).isdigit():
            yield f"the model {entity.at('name', '')} is served in no pinned version"


def _sleeps(endpoint: Resource) -> Iterator[str]:
    if endpoint.environment == "dev":
        for entity in endpoint.values.each("config.servedEntities"):
            if entity.at("scaleToZeroEnabled") is not True:
                yield f"the model {entity.at('name', '')} runs when nobody asks"


def _logged(endpoint: Resource) -> Iterator[str]:
    if endpoint.values.at("aiGateway.inferenceTableConfig.enabled") is not True:
        yield "requests and answers are not kept, so nobody sees drift"


def _protected(resource: Resource) -> Iterator[str]:
    if ENVIRONMENTS[resource.environment].is_protected and not resource.is_protected:
        yield "one `pulumi destroy` or a changed name would delete it"


def _not_forced(resource: Resource) -> Iterator[str]:
    if resource.values.at("forceDestroy") is True and resource.environment != "dev":
        yield "it would be deleted with all that is in it"


_ACCESS = Controls(gdpr=("32(1)(b)",), hipaa=("164.312(a)(1)",), app=("11.1",))
_APART = Controls(gdpr=("25(2)", "32(1)(b)"), hipaa=("164.312(a)(1)", "164.308(a)(4)(ii)(B)"), app=("6", "11.1"))
_KEPT = Controls(gdpr=("32(1)(c)",), hipaa=("164.308(a)(7)(ii)(A)",), app=("11.1",))

RULES: tuple[Rule, ...] = (
    Rule(
        "workspace-has-own-network-and-keys",
        "Every workspace is in our network, reached privately, and encrypted with our keys.",
        "Set network_id, private_access_settings_id and both customer managed key ids",
        Controls(gdpr=("32(1)(a)", "32(1)(b)"), hipaa=("164.312(a)(2)(iv)", "164.312(e)(1)"), app=("11.1",)),
        (WORKSPACE,),
        _own,
    ),
    Rule(
        "workspace-knows-its-entries",
        "Machines come to a workspace by entry points that it names.",
        "Set private_access_level to ENDPOINT and allowed_vpc_endpoint_ids",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(e)(1)",), app=("11.1",)),
        (ACCESS,),
        _named_entries,
    ),
    Rule(
        "databricks-provider-has-no-secret",
        "Databricks' provider is given no credential.",
        "Remove it: the environment, a CI system's own token or single sign-on says who acts",
        Controls(gdpr=("32(1)(b)",), hipaa=("164.312(d)",), app=("11.1",)),
        (PROVIDER,),
        _no_secret,
    ),
    Rule(
        "cluster-ends-when-idle",
        "Clusters, and policies for clusters, end what is idle within an hour.",
        "Set autotermination_minutes to 60 or less",
        Controls(),
        (CLUSTER, CLUSTER_POLICY),
        _ends,
    ),
    Rule(
        "cluster-keeps-users-apart",
        "Clusters, and policies for clusters, keep users' data apart.",
        "Set the data security mode to SINGLE_USER or USER_ISOLATION",
        _APART,
        (CLUSTER, CLUSTER_POLICY),
        _apart,
    ),
    Rule(
        "databricks-job-ends",
        "Every job has a time after which it is ended.",
        "Set timeout_seconds",
        Controls(),
        (JOB,),
        _job_ends,
    ),
    Rule(
        "catalog-stays-in-its-workspace",
        "Catalogs, locations and credentials are bound to the stack's workspace.",
        "Set isolation_mode to ISOLATED, of locations and credentials ISOLATION_MODE_ISOLATED",
        _APART,
        (CATALOG, LOCATION, *REACHES),
        _isolated,
    ),
    Rule(
        "grants-are-for-somebody",
        "Nothing is granted to everybody, and to nobody everything.",
        "Name the principals and the privileges that they use",
        _ACCESS,
        (GRANTS,),
        _not_for_everybody,
    ),
    Rule(
        "databricks-endpoint-serves-a-version",
        "An endpoint serves a numbered version of a model.",
        "Set entity_version to the release's version",
        Controls(gdpr=("5(1)(f)", "32(1)(b)"), hipaa=("164.312(c)(1)",), app=("10.2", "11.1")),
        (SERVING,),
        _pinned,
    ),
    Rule(
        "databricks-endpoint-sleeps",
        "In DEV an endpoint costs nothing when nobody asks.",
        "Set scale_to_zero_enabled to True",
        Controls(),
        (SERVING,),
        _sleeps,
    ),
    Rule(
        "databricks-endpoint-keeps-what-it-answers",
        "Requests and answers are kept in an inference table.",
        "Set ai_gateway.inference_table_config.enabled to True",
        Controls(gdpr=("5(2)",), hipaa=("164.312(b)",), app=("10.2",)),
        (SERVING,),
        _logged,
    ),
    Rule(
        "databricks-keeps-are-protected",
        "In PROD workspaces, catalogs, schemas, volumes, locations and endpoints are protected.",
        "Set opts=ResourceOptions(protect=config.environment.is_protected)",
        _KEPT,
        KEEPS,
        _protected,
    ),
    Rule(
        "databricks-keeps-are-not-forced",
        "Outside DEV no catalog, schema or location is deleted with its content.",
        "Set force_destroy to False; empty it by hand before it goes",
        _KEPT,
        FORCED,
        _not_forced,
    ),
)
