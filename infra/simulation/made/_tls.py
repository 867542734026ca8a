"""Keys and certificates, made by `cryptography` as the provider `tls` makes them."""

import base64
import datetime as dt
import hashlib
import ipaddress
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.simulation.made._refused import NotMade

__all__ = ["MAKERS"]

Properties = dict[str, Any]
PEM, RAW = serialization.Encoding.PEM, serialization.Encoding.OpenSSH
CURVES = {"P224": ec.SECP224R1, "P256": ec.SECP256R1, "P384": ec.SECP384R1, "P521": ec.SECP521R1}
SUBJECT = {
    "commonName": NameOID.COMMON_NAME,
    "country": NameOID.COUNTRY_NAME,
    "locality": NameOID.LOCALITY_NAME,
    "organization": NameOID.ORGANIZATION_NAME,
    "organizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "postalCode": NameOID.POSTAL_CODE,
    "province": NameOID.STATE_OR_PROVINCE_NAME,
    "serialNumber": NameOID.SERIAL_NUMBER,
}
USAGES = {  # of the key: the names of `x509.KeyUsage`
    "digital_signature": "digital_signature",
    "content_commitment": "content_commitment",
    "key_encipherment": "key_encipherment",
    "data_encipherment": "data_encipherment",
    "key_agreement": "key_agreement",
    "cert_signing": "key_cert_sign",
    "crl_signing": "crl_sign",
    "encipher_only": "encipher_only",
    "decipher_only": "decipher_only",
}
PURPOSES = {
    "any_extended": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email_protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}


def _private_key(inputs: Properties) -> Properties:
    key = _new_key(inputs)
    public = key.public_key()
    nothing = serialization.NoEncryption()
    formats = serialization.PrivateFormat
    pem = public.public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    traditional = formats.PKCS8 if isinstance(key, ed25519.Ed25519PrivateKey) else formats.TraditionalOpenSSL
    made = {
        "privateKeyPem": key.private_bytes(PEM, traditional, nothing).decode(),
        "privateKeyPemPkcs8": key.private_bytes(PEM, formats.PKCS8, nothing).decode(),
        "publicKeyPem": pem.decode(),
        "fingerprint": hashlib.sha1(pem, usedforsecurity=False).hexdigest(),
    }
    if inputs.get("ecdsaCurve") == "P224":  # OpenSSH has none
        return made | dict.fromkeys(OF_OPENSSH, "")
    openssh = public.public_bytes(RAW, serialization.PublicFormat.OpenSSH)
    blob = base64.b64decode(openssh.split()[1])
    return made | {
        "privateKeyOpenssh": key.private_bytes(PEM, formats.OpenSSH, nothing).decode(),
        "publicKeyOpenssh": f"{openssh.decode()}\n",
        "publicKeyFingerprintMd5": hashlib.md5(blob, usedforsecurity=False).digest().hex(":"),
        "publicKeyFingerprintSha256": f"SHA256:{base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip('=')}",
    }


OF_OPENSSH = ("privateKeyOpenssh", "publicKeyOpenssh", "publicKeyFingerprintMd5", "publicKeyFingerprintSha256")


def _new_key(inputs: Properties) -> Any:
    if inputs["algorithm"] == "RSA":
        return rsa.generate_private_key(65537, int(inputs.get("rsaBits") or 2048))
    if inputs["algorithm"] == "ECDSA":
        return ec.generate_private_key(CURVES[inputs.get("ecdsaCurve") or "P224"]())
    return ed25519.Ed25519PrivateKey.generate()


def _certificate_request(inputs: Properties) -> Properties:
    key = _key(inputs, "privateKeyPem")
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(inputs))
    if names := _names(inputs):
        builder = builder.add_extension(names, critical=False)
    signed = builder.sign(key, _digest(key))
    return {"certRequestPem": signed.public_bytes(PEM).decode(), "keyAlgorithm": _algorithm(key)}


def _self_signed(inputs: Properties) -> Properties:
    key = _key(inputs, "privateKeyPem")
    subject = _subject(inputs)
    made = _signed(inputs, subject, subject, key.public_key(), key, _names(inputs))
    return made | {"keyAlgorithm": _algorithm(key)}


def _locally_signed(inputs: Properties) -> Properties:
    key = _key(inputs, "caPrivateKeyPem")
    issuer = _loaded(x509.load_pem_x509_certificate, inputs, "caCertPem", "certificate")
    request = _loaded(x509.load_pem_x509_csr, inputs, "certRequestPem", "certificate request")
    if issuer.public_key() != key.public_key():
        raise NotMade("caPrivateKeyPem is not the key of caCertPem")
    listed = [each.value for each in request.extensions if isinstance(each.value, x509.SubjectAlternativeName)]
    made = _signed(inputs, request.subject, issuer.subject, request.public_key(), key, listed[0] if listed else None)
    return made | {"caKeyAlgorithm": _algorithm(key)}


def _signed(inputs: Properties, subject: x509.Name, issuer: x509.Name, public: Any, key: Any, names: Any) -> Properties:
    start = dt.datetime.now(dt.UTC).replace(microsecond=0)
    end = start + dt.timedelta(hours=int(inputs["validityPeriodHours"]))
    uses = [str(each) for each in inputs["allowedUses"]]
    usage = {of: name in uses for name, of in USAGES.items()}
    is_authority = bool(inputs.get("isCaCertificate"))
    builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number(), start, end)
    builder = builder.add_extension(x509.BasicConstraints(is_authority, inputs.get("maxPathLength")), critical=True)
    if any(usage.values()):
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
    if purposes := [oid for name, oid in PURPOSES.items() if name in uses]:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if names:
        builder = builder.add_extension(names, critical=False)
    return {
        "certPem": builder.sign(key, _digest(key)).public_bytes(PEM).decode(),
        "readyForRenewal": False,
        "validityStartTime": start.isoformat(),
        "validityEndTime": end.isoformat(),
    }


def _subject(inputs: Properties) -> x509.Name:
    given = inputs.get("subject") or {}
    named = [x509.NameAttribute(oid, str(given[name])) for name, oid in SUBJECT.items() if given.get(name)]
    streets = [x509.NameAttribute(NameOID.STREET_ADDRESS, str(each)) for each in given.get("streetAddresses") or []]
    return x509.Name(named + streets)


def _names(inputs: Properties) -> x509.SubjectAlternativeName | None:
    try:
        addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in inputs.get("ipAddresses") or []]
        names = [x509.DNSName(each) for each in inputs.get("dnsNames") or []]
        places = [x509.UniformResourceIdentifier(each) for each in inputs.get("uris") or []]
    except ValueError as error:
        raise NotMade(f"ip_addresses, dns_names or uris can't be used: {error}") from error
    return x509.SubjectAlternativeName([*names, *addresses, *places]) if names or addresses or places else None


def _key(inputs: Properties, name: str) -> Any:
    name = name if inputs.get(name) else f"{name}Wo"
    return _loaded(lambda pem: serialization.load_pem_private_key(pem, None), inputs, name, "private key")


def _loaded(load: Callable[[bytes], Any], inputs: Properties, name: str, what: str) -> Any:
    try:
        return load(str(inputs.get(name) or "").encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise NotMade(f"{name} is no {what} in PEM without a password") from error


def _digest(key: Any) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _algorithm(key: Any) -> str:
    kinds = {rsa.RSAPrivateKey: "RSA", ec.EllipticCurvePrivateKey: "ECDSA", ed25519.Ed25519PrivateKey: "ED25519"}
    return next(name for kind, name in kinds.items() if isinstance(key, kind))


MAKERS: Mapping[str, Callable[[Properties], Properties]] = MappingProxyType(
    {
        "tls_private_key": _private_key,
        "tls_certificate_request": _certificate_request,
        "tls_self_signed": _self_signed,
        "tls_locally_signed": _locally_signed,
    }
)
