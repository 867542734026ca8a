"""Wrong programs of Azure, with what their author is told."""

from collections.abc import Callable
from typing import Any

from tests.wrong_programs.clouds import Clouds


def subnets(clouds: Clouds, *blocks: str) -> Any:
    clouds.network()
    return [clouds.subnet(f"subnet-{index}", block) for index, block in enumerate(blocks)]


def deleted_vault(clouds: Clouds) -> Any:
    clouds.group()
    clouds.azure.delete("keyvault:Vault", "v", clouds.vault()["id"])
    return clouds.vault()


def taken_elsewhere(clouds: Clouds) -> Any:
    clouds.group()
    clouds.store()
    clouds.azure.configure({"subscriptionId": "22222222-2222-4222-8222-222222222222"})
    clouds.azure.create("resources:ResourceGroup", "other", resourceGroupName="mlops", location="westeurope")
    return clouds.store("other")


def used_subnet(clouds: Clouds) -> Any:
    (subnet,) = subnets(clouds, "10.0.1.0/24")
    connection = {"name": "store", "privateLinkServiceId": clouds.store()["id"]}
    wanted = {
        "resourceGroupName": "mlops",
        "subnet": {"id": subnet["id"]},
        "privateLinkServiceConnections": [connection],
    }
    clouds.azure.create("network:PrivateEndpoint", "endpoint", **wanted)
    return clouds.azure.delete("network:Subnet", "subnet-0", subnet["id"])


def grouped(act: Callable[[Clouds], Any]) -> Callable[[Clouds], Any]:
    def after(clouds: Clouds) -> Any:
        clouds.group()
        return act(clouds)

    return after


AZURE: dict[str, tuple[Callable[[Clouds], Any], str]] = {
    "misspelt property": (
        grouped(lambda c: c.store(minimumTlsVersoin="TLS1_2")),
        "minimumTlsVersoin: there is no such property; did you mean 'minimum_tls_version'",
    ),
    "misspelt nested property": (
        grouped(lambda c: c.vault(enableSoftDelet=True)),
        "properties.enableSoftDelet: there is no such property; did you mean 'enable_soft_delete'",
    ),
    "wrong enum": (
        grouped(lambda c: c.store(sku={"name": "Standard_LSR"})),
        "sku.name: 'Standard_LSR' is not one of .*did you mean 'Standard_LRS'",
    ),
    "wrong type": (
        grouped(lambda c: c.store(allowBlobPublicAccess="no")),
        "allowBlobPublicAccess: must be true or false, not 'no'",
    ),
    "missing required": (grouped(lambda c: c.store(sku=None)), "sku: is required and missing"),
    "account with a hyphen": (
        grouped(lambda c: c.store(accountName="mlops-store")),
        "accountName: 'mlops-store' is no name for a storage account: 3 to 24 lower-case letters and digits",
    ),
    "account too long": (grouped(lambda c: c.store(accountName="m" * 25)), "3 to 24 lower-case"),
    "account taken in another subscription": (
        taken_elsewhere,
        "'mlopsstore' is taken: there is azure-native:storage:StorageAccount 's' in the world",
    ),
    "group that isn't there": (
        lambda c: c.store(),
        "resourceGroupName refers to 'mlops', but there is no such resources:ResourceGroup",
    ),
    "group with a dot at the end": (
        lambda c: c.azure.create("resources:ResourceGroup", "g", resourceGroupName="a.", location="westeurope"),
        "no dot at the end",
    ),
    "group without a location": (
        lambda c: c.azure.create("resources:ResourceGroup", "g"),
        "location: is needed here, or as azure-native:location",
    ),
    "region that isn't one": (
        lambda c: c.azure.create("resources:ResourceGroup", "g", location="west-europe"),
        "location: 'west-europe' is no region of Azure, such as westeurope",
    ),
    "vault's name": (
        grouped(
            lambda c: c.azure.check(
                "keyvault:Vault",
                "v",
                {
                    "resourceGroupName": "mlops",
                    "vaultName": "1-keys",
                    "properties": {
                        "tenantId": "11111111-1111-4111-8111-111111111111",
                        "sku": {"family": "A", "name": "standard"},
                    },
                },
            )
        ),
        "'1-keys' is no name for a key vault: 3 to 24",
    ),
    "vault's retention": (grouped(lambda c: c.vault(softDeleteRetentionInDays=3)), "3 is not between 7 and 90"),
    "vault that is deleted and kept": (
        deleted_vault,
        "vaultName 'mlops-keys' is the name of a vault that was deleted .* take it back with",
    ),
    "registry's name": (
        grouped(
            lambda c: c.azure.create(
                "containerregistry:Registry",
                "r",
                resourceGroupName="mlops",
                registryName="ml-ops",
                sku={"name": "Basic"},
            )
        ),
        "5 to 50 letters and digits",
    ),
    "registry's sku": (
        grouped(
            lambda c: c.azure.create(
                "containerregistry:Registry",
                "r",
                resourceGroupName="mlops",
                sku={"name": "Basic"},
                dataEndpointEnabled=True,
            )
        ),
        "dataEndpointEnabled: needs the SKU Premium",
    ),
    "workspace's name": (
        grouped(
            lambda c: c.azure.create(
                "machinelearningservices:Workspace",
                "w",
                resourceGroupName="mlops",
                workspaceName="ml",
                identity={"type": "SystemAssigned"},
            )
        ),
        "3 to 33 letters",
    ),
    "workspace on a vault that isn't there": (
        grouped(
            lambda c: c.azure.create(
                "machinelearningservices:Workspace",
                "w",
                resourceGroupName="mlops",
                identity={"type": "SystemAssigned"},
                storageAccount=c.store()["id"],
                keyVault="/subscriptions/00000000-0000-4000-8000-000000000000/resourceGroups/mlops/providers/Microsoft.KeyVault/vaults/gone",
            )
        ),
        "keyVault refers to .*vaults/gone', but there is no such keyvault:Vault",
    ),
    "container in an account that isn't there": (
        grouped(lambda c: c.azure.create("storage:BlobContainer", "b", resourceGroupName="mlops", accountName="gone")),
        "accountName refers to 'gone'",
    ),
    "container's name": (
        lambda c: (
            c.group(),
            c.store(),
            c.azure.create(
                "storage:BlobContainer",
                "b",
                resourceGroupName="mlops",
                accountName="mlopsstore",
                containerName="My_Data",
            ),
        ),
        "'My_Data' is no name for a container",
    ),
    "block that is none": (lambda c: subnets(c, "10.0.300.0/24"), "'10.0.300.0/24' is no block of IPv4 addresses"),
    "block with host bits": (lambda c: subnets(c, "10.0.1.5/24"), "has host bits set"),
    "subnet outside": (lambda c: subnets(c, "10.1.0.0/24"), "10.1.0.0/24 is not inside 10.0.0.0/16"),
    "subnets that overlap": (lambda c: subnets(c, "10.0.0.0/23", "10.0.1.0/24"), "10.0.1.0/24 overlaps 10.0.0.0/23"),
    "subnet in use": (used_subnet, "can't be deleted: it is used by azure-native:network:PrivateEndpoint 'endpoint'"),
    "role that is none": (
        lambda c: c.azure.create(
            "authorization:RoleAssignment",
            "r",
            principalId="11111111-1111-4111-8111-111111111111",
            roleDefinitionId="Reader",
            scope="/subscriptions/a",
        ),
        "'Reader' is no id of a role",
    ),
    "federated audience": (
        lambda c: c.azure.create(
            "managedidentity:FederatedIdentityCredential",
            "f",
            resourceGroupName="mlops",
            resourceName="x",
            issuer="http://token",
            subject="s",
            audiences=["a"],
        ),
        "issuer: 'http://token' is no issuer",
    ),
    "version of an API": (
        lambda c: c.azure.check("keyvault/v20230201:Vault", "v", {}),
        "take azure-native:keyvault:Vault, or have an SDK of that version made with `pulumi package add azure-native k",
    ),
    "type that isn't one": (
        lambda c: c.azure.check("storage:StorageAcount", "v", {}),
        "did you mean azure-native:storage:StorageAccount",
    ),
    "type without a rule": (
        lambda c: c.azure.check("cdn:Profile", "v", {}),
        "has no rule for azure-native:cdn:Profile.*rules/azure_native/cdn.yaml",
    ),
}
