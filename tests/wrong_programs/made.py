"""Wrong programs of what makes values by itself, with what their author is told."""

from collections.abc import Callable
from typing import Any

from tests.wrong_programs.clouds import Clouds


def foreign_authority(clouds: Clouds) -> Any:
    pems = [clouds.key()["privateKeyPem"] for _ in range(2)]
    common = {"validityPeriodHours": 1, "allowedUses": ["server_auth"]}
    authority = clouds.tls.create("index/selfSignedCert:SelfSignedCert", "ca", privateKeyPem=pems[0], **common)
    request = clouds.tls.create("index/certRequest:CertRequest", "r", privateKeyPem=pems[1])
    given = {"caCertPem": authority["certPem"], "caPrivateKeyPem": pems[1], **common}
    return clouds.tls.create(
        "index/locallySignedCert:LocallySignedCert", "c", certRequestPem=request["certRequestPem"], **given
    )


MADE: dict[str, tuple[Callable[[Clouds], Any], str]] = {
    "no length": (lambda c: c.random.create("index/randomId:RandomId", "r"), "byteLength: is required and missing"),
    "length of nothing": (
        lambda c: c.random.create("index/randomId:RandomId", "r", byteLength=0),
        "0 is not between 1 and",
    ),
    "misspelt": (
        lambda c: c.random.create("index/randomPassword:RandomPassword", "r", length=8, speical=True),
        "did you mean 'special'",
    ),
    "more than the length": (
        lambda c: c.random.create("index/randomPassword:RandomPassword", "r", length=8, minUpper=5, minLower=5),
        "length 8 is less than min_upper 5, min_lower 5 together",
    ),
    "no alphabet": (
        lambda c: c.random.create(
            "index/randomString:RandomString", "r", length=8, upper=False, lower=False, numeric=False, special=False
        ),
        "there is nothing to draw from",
    ),
    "upside down": (
        lambda c: c.random.create("index/randomInteger:RandomInteger", "r", min=9, max=3),
        "min: 9 is more than max, which is 3",
    ),
    "algorithm": (lambda c: c.key(algorithm="DSA"), "'DSA' is not one of RSA, ECDSA, ED25519"),
    "curve of another algorithm": (
        lambda c: c.key(algorithm="RSA", ecdsaCurve="P256"),
        "ecdsaCurve: is for keys of the algorithm ECDSA",
    ),
    "weak key": (lambda c: c.key(algorithm="RSA", rsaBits=512), "512 is not between 1024 and"),
    "no private key": (
        lambda c: c.tls.create(
            "index/selfSignedCert:SelfSignedCert", "c", privateKeyPem="secret", allowedUses=[], validityPeriodHours=1
        ),
        "is no private key in PEM",
    ),
    "broken private key": (
        lambda c: c.tls.create(
            "index/certRequest:CertRequest",
            "c",
            privateKeyPem="-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PRIVATE KEY-----\n",
        ),
        "privateKeyPem is no private key in PEM without a password",
    ),
    "use of a certificate": (
        lambda c: c.tls.create(
            "index/selfSignedCert:SelfSignedCert",
            "c",
            privateKeyPem=c.key()["privateKeyPem"],
            allowedUses=["server"],
            validityPeriodHours=1,
        ),
        "'server' is not one of .*server_auth",
    ),
    "address": (
        lambda c: c.tls.create(
            "index/certRequest:CertRequest", "c", privateKeyPem=c.key()["privateKeyPem"], ipAddresses=["10.0.0.300"]
        ),
        "ip_addresses, dns_names or uris can't be used: '10.0.0.300'",
    ),
    "key of another authority": (foreign_authority, "caPrivateKeyPem is not the key of caCertPem"),
}
