"""One program of five more SDKs under the real engine: planned, failed half-way, resumed, changed, ended."""

import re
from pathlib import Path
from typing import Any

from infra.simulation.faults import Fault
from tests.simulated_engine import Simulation, simulation

PROGRAM = """\
import pulumi
import pulumi_gcp as gcp, pulumi_kubernetes as k8s, pulumi_random as random, pulumi_tls as tls
from pulumi_azure_native import keyvault, resources, storage

wanted = pulumi.Config()
random_id = random.RandomId("suffix", byte_length=4, keepers={"generation": wanted.get("generation") or "1"})
password = random.RandomPassword("password", length=24, min_numeric=4)
key = tls.PrivateKey("key", algorithm="ED25519")
certificate = tls.SelfSignedCert("certificate", private_key_pem=key.private_key_pem, allowed_uses=["server_auth"],
    validity_period_hours=24, dns_names=["mlops.local"], subject={"common_name": "mlops.local"})

group = resources.ResourceGroup("group", location="westeurope")
account = storage.StorageAccount("store", resource_group_name=group.name, kind=storage.Kind.STORAGE_V2,
    account_name=random_id.hex.apply(lambda text: f"mlops{text}"), sku={"name": storage.SkuName.STANDARD_LRS},
    minimum_tls_version=wanted.get("tls") or storage.MinimumTlsVersion.TLS1_2)
storage.BlobContainer("releases", resource_group_name=group.name, account_name=account.name, container_name="releases")

identity = gcp.serviceaccount.Account("trainer", account_id="mlops-trainer")
bucket = gcp.storage.Bucket("bucket", name=random_id.hex.apply(lambda text: f"mlops-{text}"), location="EU",
    uniform_bucket_level_access=True, labels={"owner": "ml"})
gcp.storage.BucketIAMMember("reads", bucket=bucket.name, role="roles/storage.objectViewer", member=identity.member)

space = k8s.core.v1.Namespace("space", metadata={"name": "mlops"})
secret = k8s.core.v1.Secret("login", metadata={"name": "login", "namespace": space.metadata.name},
    string_data={"password": password.result})
app = wanted.get("app") or "server"
container = {"name": "server", "image": "mlops:1", "env_from": [{"secret_ref": {"name": secret.metadata.name}}]}
k8s.apps.v1.Deployment("server", metadata={"name": "server", "namespace": space.metadata.name}, spec={
    "replicas": wanted.get_int("replicas") or 1, "selector": {"match_labels": {"app": app}},
    "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}}})

pulumi.export("store", account.name)
pulumi.export("certificate", certificate.cert_pem)
pulumi.export("password", password.result)
"""


# What the real providers make anew after a change of the generation and of the app's name.
REPLACED = {"suffix", "store", "releases", "bucket", "reads", "server"}


def test_five_sdks_live_under_one_engine(tmp_path: Path) -> None:
    with simulation(tmp_path, program=PROGRAM, moto=False) as clouds:
        clouds.pulumi("stack", "init", stack="dev")
        clouds.pulumi("config", "set", "gcp:project", "mlops-dev", stack="dev")
        clouds.fail(
            Fault("throttled", type="random:*", times=2),
            Fault("slow", type="tls:*", delay_s=0.1),
            Fault("fails", type="azure-native:storage:*", message="SkuNotAvailable: try another region"),
            Fault("throttled", type="gcp:storage/*", times=9),
            Fault(
                "fails", type="kubernetes:apps/*", at=1, message="the server is currently unable to handle the request"
            ),
        )
        failed = clouds.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", stack="dev", fails=True)
        for sentence in ("SkuNotAvailable: try another region", "Rate exceeded", "unable to handle the request"):
            assert sentence in failed
        clouds.fail()
        clouds.pulumi("up", "--yes", "--skip-preview", stack="dev")
        clouds.pulumi("preview", "--refresh", "--expect-no-changes", stack="dev")
        before = _by_name(clouds)
        _assert_secrets_are_kept(clouds)

        for key, value in {"generation": "2", "app": "scorer", "replicas": "3", "tls": "TLS1_3"}.items():
            clouds.pulumi("config", "set", key, value, stack="dev")
        changed = clouds.pulumi("up", "--yes", "--skip-preview", stack="dev")
        assert set(re.findall(r"[+]-\s+\S+\s+(\S+)\s+replaced", changed)) == REPLACED, changed
        after = _by_name(clouds)
        assert after.keys() == before.keys()
        assert {name for name in after if after[name]["seed"] != before[name]["seed"]} == REPLACED
        assert after["store"]["inputs"]["minimumTlsVersion"] == "TLS1_3"

        clouds.pulumi("destroy", "--yes", "--skip-preview", stack="dev")
        assert clouds.things("dev") == []


def _by_name(clouds: Simulation) -> dict[str, Any]:
    return {thing["urn"].rpartition("::")[2]: thing for thing in clouds.things("dev")}


def _assert_secrets_are_kept(clouds: Simulation) -> None:
    """What is secret is in clear neither in the engine's state nor in the simulated accounts."""
    password = clouds.pulumi("stack", "output", "password", "--show-secrets", stack="dev").strip()
    written = [file.read_text(errors="replace") for file in clouds.folder.rglob("*") if file.is_file()]
    assert len(password) == 24
    assert any("-----BEGIN CERTIFICATE-----" in text for text in written)
    assert not any(password in text or "PRIVATE KEY-----" in text for text in written)
