"""Wrong programs for Databricks, each refused with the sentence that its author needs."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulated import DATABRICKS_ACCOUNT, UNKNOWN, Cloud, Refused, cloud

AWS_ACCOUNT = "123456789012"
METASTORE = "12a345b6-9012-4c3d-9ef0-123456789abc"
OWN = {"accountId": DATABRICKS_ACCOUNT}


class Account:
    """A Databricks account and the AWS account beside it."""

    def __init__(self, databricks: Cloud, aws: Cloud) -> None:
        self.databricks, self.aws = databricks, aws

    def create(self, kind: str, name: str, /, **inputs: Any) -> dict[str, Any]:
        type_ = f"index/{kind}:{kind[0].upper()}{kind[1:]}"
        return self.databricks.create(type_, name, **inputs)

    def role(self, name: str, external_id: str = "") -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::414351767826:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return self.aws.create("iam/role:Role", name, name=name, assumeRolePolicy=trust)["arn"]

    def workspace(self, name: str = "mlops", **inputs: Any) -> str:
        """Its id."""
        credentials = self.create("mwsCredentials", f"{name}-c", **OWN, credentialsName=name, roleArn=self.role(name))
        bucket = self.aws.create("s3/bucket:Bucket", f"{name}-root", bucket=f"{name}-root")["id"]
        storage = self.create(
            "mwsStorageConfigurations", f"{name}-s", **OWN, storageConfigurationName=name, bucketName=bucket
        )
        given = {
            "workspaceName": name,
            "awsRegion": "eu-central-1",
            "credentialsId": credentials["credentialsId"],
            "storageConfigurationId": storage["storageConfigurationId"],
        }
        return self.create("mwsWorkspaces", name, **OWN, **given | inputs)["workspaceId"]

    def unity(self) -> dict[str, Any]:
        """`providerConfig` of a workspace with Unity Catalog."""
        workspace = self.workspace()
        self.create("metastoreAssignment", "metastore", workspaceId=workspace, metastoreId=METASTORE)
        return {"workspaceId": workspace}

    def location(self, here: dict[str, Any], *, trusted: bool = True) -> dict[str, Any]:
        arn = f"arn:aws:iam::{AWS_ACCOUNT}:role/catalog"
        credential = self.create(
            "storageCredential", "credential", name="store", awsIamRole={"roleArn": arn}, providerConfig=here
        )
        self.role("catalog", credential["awsIamRole"]["externalId"] if trusted else "somebody-else")
        return self.create(
            "externalLocation", "location", name="store", url="s3://store", credentialName="store", providerConfig=here
        )

    def schema(self) -> dict[str, Any]:
        """`providerConfig`, once there is a catalog `mlops` with a schema `ml`."""
        here = self.unity()
        self.location(here)
        self.create("catalog", "catalog", name="mlops", storageRoot="s3://store/unity", providerConfig=here)
        self.create("schema", "schema", name="ml", catalogName="mlops", providerConfig=here)
        return here

    def job(self, **inputs: Any) -> dict[str, Any]:
        task = {"taskKey": "train", "environmentKey": "wheel", "pythonWheelTask": WHEEL}
        environment = {"environmentKey": "wheel", "spec": {"environmentVersion": "4"}}
        return self.create("job", "job", **{"name": "train", "tasks": [task], "environments": [environment]} | inputs)

    def endpoint(self, entity: dict[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
        served = {"name": "champion", "entityName": "mlops.ml.release", "entityVersion": "1", "workloadSize": "Small"}
        routes = [{"servedEntityName": "champion", "trafficPercentage": 100}]
        config = {"servedEntities": [served | (entity or {})], "trafficConfig": {"routes": routes}}
        return self.create("modelServing", "endpoint", **{"name": "income", "config": config} | inputs)


WHEEL = {"packageName": "mlops-reference", "entryPoint": "mlops-databricks"}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with cloud(tmp_path, package="databricks") as databricks, cloud(tmp_path) as aws:
        yield Account(databricks, aws)


def routes(*shares: int) -> dict[str, Any]:
    served = [{"name": f"m{i}", "entityName": "a.b.c", "entityVersion": "1"} for i in range(len(shares))]
    routed = [{"servedEntityName": f"m{i}", "trafficPercentage": share} for i, share in enumerate(shares)]
    return {"servedEntities": served, "trafficConfig": {"routes": routed}}


def principal_in_a_grant(account: Account) -> Any:
    account.schema()
    return account.create("grants", "g", catalog="mlops", grants=[{"principal": "nobody", "privileges": ["SELECT"]}])


def twice_granted(account: Account) -> Any:
    account.schema()
    someone = account.create("servicePrincipal", "p", displayName="p")["applicationId"]
    granted = [{"principal": someone, "privileges": ["USE_CATALOG"]}]
    account.create("grants", "one", catalog="mlops", grants=granted)
    return account.create("grants", "other", catalog="mlops", grants=granted)


def used_workspace(account: Account) -> Any:
    here = account.unity()
    name = f"{DATABRICKS_ACCOUNT}/{here['workspaceId']}"
    return account.databricks.delete("index/mwsWorkspaces:MwsWorkspaces", "mlops", name)


def used_principal(account: Account) -> Any:
    someone = account.create("servicePrincipal", "p", displayName="p")
    account.job(runAs={"servicePrincipalName": someone["applicationId"]})
    return account.databricks.delete("index/servicePrincipal:ServicePrincipal", "p", someone["id"])


def catalog_elsewhere(account: Account) -> Any:
    here = account.unity()
    account.location(here)
    return account.create("catalog", "c", name="mlops", storageRoot="s3://other/unity", providerConfig=here)


WRONG: dict[str, tuple[Callable[[Account], Any], str]] = {
    # what the SDK's own types say
    "misspelt property": (lambda a: a.job(taks=[]), "taks: there is no such property; did you mean 'tasks'"),
    "missing property": (lambda a: a.create("mwsCredentials", "c", credentialsName="c"), "roleArn: is required"),
    # what the published client says
    "no such use of a key": (
        lambda a: a.create("mwsCustomerManagedKeys", "k", **OWN, useCases=["EVERYTHING"], awsKeyInfo={"keyArn": "x"}),
        r"useCases\[0\]: 'EVERYTHING' is not one of MANAGED_SERVICES, STORAGE .*EncryptionKeysAPI.create",
    ),
    "no such privilege": (
        lambda a: a.create("grants", "g", catalog="c", grants=[{"principal": "p", "privileges": ["READ"]}]),
        r"grants\[0\].privileges\[0\]: 'READ' is not one of .*GrantsAPI.update",
    ),
    "no such permission": (
        lambda a: a.create("permissions", "p", jobId="1", accessControls=[{"permissionLevel": "MAY_RUN"}]),
        "'MAY_RUN' is not one of",
    ),
    "no such kind of volume": (
        lambda a: a.create("volume", "v", name="v", catalogName="c", schemaName="s", volumeType="LOCAL"),
        "volumeType: 'LOCAL' is not one of EXTERNAL, MANAGED .*VolumesAPI.create",
    ),
    "no such unit of time": (
        lambda a: a.job(trigger={"periodic": {"interval": 1, "unit": "MONTHS"}}),
        "trigger.periodic.unit: 'MONTHS' is not one of DAYS, HOURS",
    ),
    "wheel without an entry point": (
        lambda a: a.job(tasks=[{"taskKey": "t", "pythonWheelTask": {"packageName": "p"}}]),
        r"tasks\[0\].pythonWheelTask.entryPoint: is required .*JobsAPI.create",
    ),
    "no such purpose of a credential": (
        lambda a: a.create("credential", "c", name="c", purpose="ANY", awsIamRole={"roleArn": "r"}),
        "purpose: 'ANY' is not one of",
    ),
    "no such level of private access": (
        lambda a: a.create(
            "mwsPrivateAccessSettings", "p", privateAccessSettingsName="p", region="r", privateAccessLevel="ALL"
        ),
        "privateAccessLevel: 'ALL' is not one of ACCOUNT, ENDPOINT",
    ),
    # names, ranges and alternatives
    "key of ours in a tier without": (
        lambda a: a.workspace(pricingTier="PREMIUM", storageCustomerManagedKeyId="x"),
        "storageCustomerManagedKeyId: needs the tier ENTERPRISE",
    ),
    "newest environment": (
        lambda a: a.job(environments=[{"environmentKey": "wheel", "spec": {"environmentVersion": "latest"}}]),
        "'latest' is no version of serverless environments",
    ),
    "endpoint's name with a space": (lambda a: a.endpoint(name="my model"), "'my model' is no name of an endpoint"),
    "model without a catalog": (lambda a: a.endpoint({"entityName": "income"}), "is no model in Unity Catalog"),
    "latest version": (lambda a: a.endpoint({"entityVersion": "latest"}), "'latest' is no version of a model"),
    "size that there is none of": (lambda a: a.endpoint({"workloadSize": "Tiny"}), "'Tiny' is not one of Small"),
    "traffic that is not all": (lambda a: a.endpoint(config=routes(80, 10)), "80 \\+ 10 is not 100"),
    "route to nothing": (
        lambda a: a.endpoint({"name": "other"}),
        r"routes\[0\].servedEntityName: 'champion' is none of config.servedEntities\[\].name: other",
    ),
    "task in no environment": (
        lambda a: a.job(environments=[]),
        r"environments: has 0 elements|tasks\[0\].environmentKey: 'wheel' is none of",
    ),
    "task after one that there isn't": (
        lambda a: a.job(tasks=[{"taskKey": "a", "dependsOns": [{"taskKey": "b"}]}]),
        r"dependsOns\[0\].taskKey: 'b' is none of tasks\[\].taskKey: a",
    ),
    "schedule of cron, not of Quartz": (
        lambda a: a.job(schedule={"quartzCronExpression": "0 3 * * *", "timezoneId": "UTC"}),
        "'0 3 \\* \\* \\*' is no schedule of Quartz",
    ),
    "schedule and trigger": (
        lambda a: a.job(
            schedule={"quartzCronExpression": "0 0 3 * * ?", "timezoneId": "UTC"},
            trigger={"periodic": {"interval": 1, "unit": "DAYS"}},
        ),
        "schedule and trigger exclude each other",
    ),
    "policy that is no JSON": (
        lambda a: a.create("clusterPolicy", "p", name="p", definition="{spark_version: 1}"),
        "definition: is not JSON",
    ),
    "file outside volumes": (
        lambda a: a.create("file", "f", path="/Workspace/x.whl", source="x.whl"),
        "'/Workspace/x.whl' is no file of a volume",
    ),
    "schema's name with a dot": (
        lambda a: a.create("schema", "s", name="a.b", catalogName="c"),
        "'a.b' is no name in Unity Catalog",
    ),
    "network of one subnet": (
        lambda a: a.create("mwsNetworks", "n", **OWN, networkName="n", vpcId="v", subnetIds=["s"]),
        "subnetIds: has 1 elements; 2 to 1000 are allowed",
    ),
    "rule set of another kind": (
        lambda a: a.create("accessControlRuleSet", "r", name="accounts/x/ruleSets/default"),
        "is no rule set",
    ),
    "budget policy's tag that Databricks sets": (
        lambda a: a.create("budgetPolicy", "b", policyName="b", customTags=[{"key": "budget-policy-id"}]),
        "is a tag that Databricks sets itself",
    ),
    # what else there is
    "role that isn't there": (
        lambda a: a.create("mwsCredentials", "c", **OWN, credentialsName="c", roleArn="arn:aws:iam::1:role/none"),
        "roleArn refers to .*no such aws:iam/role:Role in any account of aws",
    ),
    "workspace's name taken": (
        lambda a: (a.workspace(), a.create("mwsWorkspaces", "other", **OWN, workspaceName="mlops")),
        "'mlops' is taken: there is databricks:index/mwsWorkspaces:MwsWorkspaces 'mlops'",
    ),
    "workspace without its network": (
        lambda a: a.workspace(networkId="00000000-0000-4000-8000-000000000000"),
        "networkId refers to .*no such index/mwsNetworks:MwsNetworks",
    ),
    "catalog where Unity Catalog isn't": (
        lambda a: a.create("catalog", "c", name="c", providerConfig={"workspaceId": a.workspace()}),
        "Unity Catalog is not attached to the workspace",
    ),
    "role that trusts another": (
        lambda a: a.location(a.unity(), trusted=False),
        "leads to aws:iam/role:Role 'catalog', whose trust doesn't name the external id",
    ),
    "catalog in no external location": (catalog_elsewhere, "'s3://other/unity' is in no index/externalLocation"),
    "grant to nobody": (principal_in_a_grant, r"grants\[0\].principal refers to 'nobody'"),
    "two owners of a catalog's grants": (
        twice_granted,
        "'mlops' is taken: there is databricks:index/grants:Grants 'one'",
    ),
    "inference table in no schema": (
        lambda a: (
            a.schema(),
            a.endpoint(aiGateway={"inferenceTableConfig": {"catalogName": "mlops", "schemaName": "none"}}),
        ),
        "schemaName refers to 'mlops.none'",
    ),
    "workspace in use": (used_workspace, "can't be deleted: it is used by .*MetastoreAssignment 'metastore'"),
    "principal that a job runs as": (used_principal, "can't be deleted: it is used by databricks:index/job:Job 'job'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_program_is_refused_with_a_sentence(account: Account, case: str) -> None:
    wrong, sentence = WRONG[case]
    with pytest.raises(Refused) as refused:
        wrong(account)
    assert re.search(sentence, str(refused.value), re.DOTALL), str(refused.value)


def test_a_right_program_is_accepted(account: Account) -> None:
    here = account.schema()
    volume = account.create(
        "volume", "v", name="wheels", catalogName="mlops", schemaName="ml", volumeType="MANAGED", providerConfig=here
    )
    assert volume["volumePath"] == "/Volumes/mlops/ml/wheels"
    account.create("file", "f", path=f"{volume['volumePath']}/a.whl", source="a.whl", providerConfig=here)
    account.job(providerConfig=here)
    account.endpoint(providerConfig=here)


def test_a_preview_knows_the_external_id_only_later(account: Account) -> None:
    here = account.unity()
    planned = account.databricks.plan(
        "index/storageCredential:StorageCredential",
        "c",
        name="c",
        awsIamRole={"roleArn": f"arn:aws:iam::{AWS_ACCOUNT}:role/later"},
        providerConfig=here,
    )
    assert planned["awsIamRole"]["externalId"] is UNKNOWN


@pytest.mark.parametrize(
    ("kind", "old", "new", "replaced"),
    [
        ("mwsWorkspaces", {"awsRegion": "eu-west-1"}, {"awsRegion": "eu-west-2"}, ["awsRegion"]),
        ("mwsWorkspaces", {"networkId": "a"}, {"networkId": "b"}, []),
        ("catalog", {"storageRoot": "s3://a"}, {"storageRoot": "s3://b"}, ["storageRoot"]),
        ("catalog", {"name": "a"}, {"name": "b"}, []),
        ("schema", {"name": "a"}, {"name": "b"}, ["name"]),
        ("job", {"name": "a"}, {"name": "b"}, []),
        ("modelServing", {"config": routes(100)}, {"config": routes(50, 50)}, []),
        ("modelServing", {"name": "a"}, {"name": "b"}, ["name"]),
    ],
)
def test_what_is_replaced_is_what_databricks_can_not_change(
    account: Account, kind: str, old: dict[str, Any], new: dict[str, Any], replaced: list[str]
) -> None:
    type_ = f"index/{kind}:{kind[0].upper()}{kind[1:]}"
    assert list(account.databricks.diff(type_, "x", old, new).replaces) == replaced


def test_a_provider_without_an_account_is_refused(account: Account) -> None:
    with pytest.raises(Refused, match="accountId: no accountId is configured"):
        account.databricks.configure({"host": "https://accounts.cloud.databricks.com"})
