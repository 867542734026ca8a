"""The same provider for five more SDKs: wrong programs are refused with what, where and what to do; real values."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pulumi.runtime.proto import provider_pb2

from infra.simulation.faults import Fault
from infra.simulation.wire import decode, encode, secret_names
from tests.simulated import UNKNOWN, Refused, cloud
from tests.wrong_programs import LATER, RIGHT, SDKS, WRONG, Clouds

pytestmark = pytest.mark.slow


@pytest.fixture
def clouds(tmp_path: Path) -> Iterator[Clouds]:
    with ExitStack() as opened:
        yield Clouds({package: opened.enter_context(cloud(tmp_path, package=package)) for package in SDKS})


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_program_is_refused_with_a_sentence(case: str, clouds: Clouds) -> None:
    act, sentence = WRONG[case]
    with pytest.raises(Refused, match=sentence):
        act(clouds)


@pytest.mark.parametrize("case", LATER, ids=lambda case: f"{case['sdk']}: {case['case']}")
def test_another_wrong_program_is_refused_or_said_not_to_be(case: dict[str, Any], tmp_path: Path) -> None:
    *before, (wrong, called, given) = case["makes"]
    made: dict[str, Any] = {}
    with cloud(tmp_path, package=case["sdk"]) as sdk:
        for type_, name, properties in before:
            made[name] = sdk.create(type_, name, **referring(properties, made))
        refused = nullcontext() if "because" in case else pytest.raises(Refused, match=re.escape(case["says"]))
        with refused:
            sdk.create(wrong, called, **referring(given, made))


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: f"{case['sdk']}: {case['case']}")
def test_what_is_near_a_mistake_is_let_through(case: dict[str, Any], tmp_path: Path) -> None:
    made: dict[str, Any] = {}
    with cloud(tmp_path, package=case["sdk"]) as sdk:
        for type_, name, properties in case["makes"]:
            made[name] = sdk.create(type_, name, **referring(properties, made))


def referring(value: Any, made: dict[str, Any]) -> Any:
    """With the id, or `its` output, of what was made before in the place of `{of: name}`."""
    if isinstance(value, dict) and "of" in value:
        return made[value["of"]][value.get("its", "id")]
    if isinstance(value, dict):
        return {key: referring(each, made) for key, each in value.items()}
    return [referring(each, made) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("type_", "inputs", "result", "shaped"),
    [
        ("randomId:RandomId", {"byteLength": 4, "prefix": "ml-"}, "hex", r"ml-[0-9a-f]{8}"),
        ("randomBytes:RandomBytes", {"length": 4}, "base64", r"[\w+/]{6}=="),
        ("randomPassword:RandomPassword", {"length": 12, "minNumeric": 12}, "result", r"\d{12}"),
        ("randomString:RandomString", {"length": 12, "special": False, "upper": False}, "result", r"[a-z0-9]{12}"),
        ("randomInteger:RandomInteger", {"min": 7, "max": 7}, "result", "7"),
        ("randomUuid:RandomUuid", {}, "result", r"[0-9a-f-]{36}"),
        ("randomPet:RandomPet", {"length": 3, "prefix": "ml"}, "id", r"ml(-[a-z]+){3}"),
        ("randomShuffle:RandomShuffle", {"inputs": ["a"], "resultCount": 2}, "results", r"\['a', 'a'\]"),
    ],
)
def test_random_values_are_drawn_once_as_they_are_asked_for(
    clouds: Clouds, type_: str, inputs: dict[str, Any], result: str, shaped: str
) -> None:
    token = f"index/{type_}"
    made = clouds.random.create(token, "r", **inputs)
    assert re.fullmatch(shaped, str(made[result]))
    assert clouds.random.plan(token, "planned", **inputs).get(result) in (UNKNOWN, "")
    difference = clouds.random.diff(token, "r", inputs, inputs | {"keepers": {"generation": "2"}})
    assert list(difference.replaces) == ["keepers"]


def test_two_draws_differ_unless_they_have_one_seed(clouds: Clouds) -> None:
    drawn = [clouds.random.create("index/randomUuid:RandomUuid", name)["result"] for name in "ab"]
    assert drawn[0] != drawn[1]
    seeded = {"inputs": list("abcdefgh"), "seed": "1"}
    shuffled = [clouds.random.create("index/randomShuffle:RandomShuffle", name, **seeded)["results"] for name in "ab"]
    assert shuffled[0] == shuffled[1]


@pytest.mark.parametrize("given", [{"algorithm": "RSA"}, {"algorithm": "ECDSA", "ecdsaCurve": "P224"}, {}])
def test_a_chain_of_certificates_is_real(clouds: Clouds, given: dict[str, Any]) -> None:
    pem = clouds.key(**given)["privateKeyPem"]
    common = {"validityPeriodHours": 24, "subject": {"commonName": "mlops"}}
    authority = clouds.tls.create(
        "index/selfSignedCert:SelfSignedCert",
        "authority",
        privateKeyPem=pem,
        isCaCertificate=True,
        allowedUses=["cert_signing"],
        **common,
    )["certPem"]
    request = {"privateKeyPem": clouds.key()["privateKeyPem"], "dnsNames": ["mlops.local"], "ipAddresses": ["10.0.0.1"]}
    signed = clouds.tls.create(
        "index/locallySignedCert:LocallySignedCert",
        "server",
        certRequestPem=clouds.tls.create("index/certRequest:CertRequest", "request", **request)["certRequestPem"],
        caCertPem=authority,
        caPrivateKeyPem=pem,
        allowedUses=["server_auth"],
        validityPeriodHours=1,
    )["certPem"]
    issuer, certificate = (x509.load_pem_x509_certificate(each.encode()) for each in (authority, signed))
    certificate.verify_directly_issued_by(issuer)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mlops.local"]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == dt.timedelta(hours=1)


def test_what_is_secret_is_marked_and_not_on_disk(clouds: Clouds, tmp_path: Path) -> None:
    urn = clouds.tls.urn("tls:index/privateKey:PrivateKey", "key")
    asked = encode({"algorithm": "RSA", "rsaBits": 1024})
    created = clouds.tls.stub.Create(provider_pb2.CreateRequest(urn=urn, properties=asked))
    assert secret_names(created.properties) == {"privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"}
    pem = decode(created.properties)["privateKeyPem"]
    key = serialization.load_pem_private_key(pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 1024
    assert "PRIVATE KEY" not in "".join(file.read_text() for file in tmp_path.glob("*.json"))
    read = clouds.tls.stub.Read(provider_pb2.ReadRequest(urn=urn, id=created.id, properties=created.properties))
    assert decode(read.properties)["privateKeyPem"] == pem


def test_a_vault_is_recovered_under_its_name(clouds: Clouds) -> None:
    clouds.group()
    clouds.azure.delete("keyvault:Vault", "v", clouds.vault()["id"])
    assert clouds.vault(createMode="recover")["properties"]["vaultUri"] == "https://mlops-keys.vault.azure.net/"
    with pytest.raises(Refused, match="taken"):
        clouds.azure.create(
            "keyvault:Vault",
            "w",
            resourceGroupName="mlops",
            vaultName="mlops-keys",
            properties={"tenantId": "11111111-1111-4111-8111-111111111111", "sku": {"family": "A", "name": "standard"}},
        )


@pytest.mark.parametrize(
    ("package", "type_", "old", "new", "replaced"),
    [
        ("azure", "storage:StorageAccount", {"accountName": "one"}, {"accountName": "two"}, ["accountName"]),
        ("azure", "storage:StorageAccount", {"kind": "StorageV2"}, {"kind": "Storage"}, []),
        ("azure", "storage:StorageAccount", {"isHnsEnabled": False}, {"isHnsEnabled": True}, ["isHnsEnabled"]),
        ("gcp", "storage/bucket:Bucket", {"location": "EU"}, {"location": "US"}, ["location"]),
        ("gcp", "storage/bucket:Bucket", {"labels": {"a": "b"}}, {"labels": {"a": "c"}}, []),
        ("k8s", "apps/v1:Deployment", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, []),
        (
            "k8s",
            "apps/v1:Deployment",
            {"spec": {"selector": {}}},
            {"spec": {"selector": {"matchLabels": {}}}},
            ["spec"],
        ),
        ("k8s", "core/v1:ConfigMap", {"data": {"a": "b"}}, {"data": {"a": "c"}}, ["data"]),
        ("k8s", "core/v1:Service", {"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, ["metadata"]),
    ],
)
def test_what_needs_a_new_resource(
    clouds: Clouds, package: str, type_: str, old: dict[str, Any], new: dict[str, Any], replaced: list[str]
) -> None:
    assert list(getattr(clouds, package).diff(type_, "x", old, new).replaces) == replaced


def test_names_are_made_up_as_each_provider_does(clouds: Clouds) -> None:
    group = clouds.azure.check("resources:ResourceGroup", "group", {"location": "westeurope"})
    assert re.fullmatch(r"group[0-9a-f]{8}", group["resourceGroupName"])
    bucket = clouds.gcp.check("storage/bucket:Bucket", "bucket", {"location": "EU"})
    assert re.fullmatch(r"bucket-[0-9a-f]{7}", bucket["name"])
    settings = clouds.k8s.check("core/v1:ConfigMap", "settings", {})
    assert re.fullmatch(r"settings-[0-9a-f]{8}", settings["metadata"]["name"])
    assert settings["metadata"]["namespace"] == "default"
    assert clouds.k8s.check("core/v1:ConfigMap", "settings", {}, old=settings) == settings


def test_labels_of_the_provider_reach_what_google_holds(clouds: Clouds) -> None:
    clouds.gcp.configure({"project": "mlops-dev", "defaultLabels": json.dumps({"owner": "ml"})})
    assert clouds.bucket(labels={"stage": "dev"})["effectiveLabels"] == {"owner": "ml", "stage": "dev"}


FIRST = {
    "azure-native": ("resources:ResourceGroup", {"location": "westeurope", "resourceGroupName": "mlops"}),
    "gcp": ("storage/bucket:Bucket", {"location": "EU", "name": "mlops-store"}),
    "kubernetes": ("core/v1:Namespace", {"metadata": {"name": "mlops"}}),
    "random": ("index/randomUuid:RandomUuid", {}),
    "tls": ("index/privateKey:PrivateKey", {"algorithm": "ED25519"}),
}


@pytest.mark.parametrize("package", SDKS)
def test_faults_strike_every_sdk_at_their_moment(package: str, tmp_path: Path) -> None:
    type_, inputs = FIRST[package]
    faults = (
        Fault("throttled", times=2),
        Fault("fails", at=2, message="QuotaExceeded"),
        Fault("dies", at=2, when="after"),
    )
    with cloud(tmp_path, *faults, package=package) as opened:
        first = opened.create(type_, "first", **inputs)
        opened.delete(type_, "first", first["id"])
        with pytest.raises(Refused, match="QuotaExceeded"):
            opened.create(type_, "second", **inputs)
        with pytest.raises(Refused):
            opened.create(type_, "third", **inputs)  # it is made, and the provider dies before it can say so
    things = json.loads((tmp_path / "aws-sagemaker-dev.json").read_text())
    assert [thing["urn"].rpartition("::")[2] for thing in things] == ["third"]
    with cloud(tmp_path, package=package) as opened:
        assert opened.read(type_, "third", things[0]["id"])
