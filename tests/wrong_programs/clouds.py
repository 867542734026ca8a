"""The providers of five SDKs over the same accounts, and the few things that most programs begin with."""

from typing import Any

from tests.simulated import Cloud

__all__ = ["SDKS", "Clouds"]

SDKS = ("azure-native", "gcp", "kubernetes", "random", "tls")


class Clouds:
    """One provider for each SDK, over the same accounts, with the few things that most programs begin with."""

    def __init__(self, by_package: dict[str, Cloud]) -> None:
        self.azure, self.gcp, self.k8s, self.random, self.tls = (by_package[package] for package in SDKS)

    def group(self) -> str:
        return self.azure.create("resources:ResourceGroup", "g", resourceGroupName="mlops", location="westeurope")[
            "name"
        ]

    def store(self, name: str = "s", /, **given: Any) -> dict[str, Any]:
        wanted = {"resourceGroupName": "mlops", "accountName": "mlopsstore", "kind": "StorageV2"}
        return self.azure.create("storage:StorageAccount", name, **wanted | {"sku": {"name": "Standard_LRS"}} | given)

    def vault(self, **given: Any) -> dict[str, Any]:
        sku = {"family": "A", "name": "standard"}
        properties = {"tenantId": "11111111-1111-4111-8111-111111111111", "sku": sku} | given
        named = {"resourceGroupName": "mlops", "vaultName": "mlops-keys"}
        return self.azure.create("keyvault:Vault", "v", **named, properties=properties)

    def network(self) -> str:
        space = {"addressPrefixes": ["10.0.0.0/16"]}
        wanted = {"resourceGroupName": self.group(), "virtualNetworkName": "net", "addressSpace": space}
        return self.azure.create("network:VirtualNetwork", "n", **wanted)["name"]

    def subnet(self, name: str, block: str) -> dict[str, Any]:
        wanted = {"resourceGroupName": "mlops", "virtualNetworkName": "net", "addressPrefix": block, "subnetName": name}
        return self.azure.create("network:Subnet", name, **wanted)

    def bucket(self, **given: Any) -> dict[str, Any]:
        return self.gcp.create("storage/bucket:Bucket", "b", **{"name": "mlops-store", "location": "EU"} | given)

    def deployment(self, container: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
        pod = {"containers": [{"name": "server", "image": "mlops:1"} | (container or {})]} | given.pop("pod", {})
        template = {"metadata": {"labels": {"app": "server"}}, "spec": pod}
        spec = {"selector": {"matchLabels": {"app": "server"}}, "template": template} | given
        return self.k8s.create("apps/v1:Deployment", "d", spec=spec)

    def kind(self, type_: str, name: str, namespace: str = "default", **given: Any) -> dict[str, Any]:
        place = {} if type_ == "core/v1:Namespace" else {"namespace": namespace}
        return self.k8s.create(type_, name, metadata={"name": name} | place, **given)

    def key(self, **given: Any) -> dict[str, Any]:
        return self.tls.create("index/privateKey:PrivateKey", "k", **{"algorithm": "ED25519"} | given)
