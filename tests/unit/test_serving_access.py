"""Who is let in, and that nothing tells a key or a token."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ml.access.check import Access
from ml.access.command import serve_keys
from ml.access.keys import ApiKeys, add_key, read_keys, revoke_key
from ml.access.settings import AccessSettings, TokenSettings
from ml.bundle.schema import BundleSchema
from ml.errors import InputRefused
from ml.model.requests import RequestRefused
from ml.problem import Problem
from ml.serving.app import ModelServer
from ml.store import Store
from tests.unit.test_serving_app import JSON, ask, play, serving, settings_of

ISSUER, AUDIENCE = "https://login.example.org", "model-server"
MAKERS = {
    "rsa": ("RS256", lambda: rsa.generate_private_key(65537, 2048)),
    "ec": ("ES256", lambda: ec.generate_private_key(ec.SECP256R1())),
    "ed": ("EdDSA", ed25519.Ed25519PrivateKey.generate),
}
PRIVATE: dict[str, Any] = {name: make() for name, (_, make) in MAKERS.items()}


def jwks(*names: str) -> str:
    keys: list[dict[str, Any]] = []
    for name in names:
        algorithm = jwt.get_algorithm_by_name(MAKERS[name][0])
        keys.append(json.loads(algorithm.to_jwk(PRIVATE[name].public_key())) | {"kid": name, "use": "sig"})
    return json.dumps({"keys": keys})


def claims(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + timedelta(minutes=5), "iat": now, **changes}


def token(name: str = "rsa", *, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    given = {key: value for key, value in claims(**changes).items() if value is not None}
    return jwt.encode(given, PRIVATE[name], MAKERS[name][0], headers={"kid": name} | (headers or {}))


@pytest.fixture
def body(small_problem: Problem) -> bytes:
    return json.dumps(BundleSchema.of(small_problem).example).encode()


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "serve-keys.json"


def bearer(secret: str) -> dict[str, str]:
    return JSON | {"authorization": f"Bearer {secret}"}


async def failures(app: ModelServer, headers: dict[str, str]) -> dict[str, float]:
    text = (await ask(app, "GET", "/metrics", headers=headers)).body.decode()
    lines = [x.split() for x in text.splitlines() if x.startswith("mlops_access_failures_total{")]
    return {name.split('"')[1]: float(value) for name, value in lines}


def test_without_keys_or_tokens_nobody_is_asked(tmp_path: Path, store: Store, published: str, body: bytes) -> None:
    async def scenario() -> None:
        async with serving(settings_of(tmp_path, store), published) as app:
            assert (await ask(app, "POST", "/predict", body, JSON)).status == 200

    play(scenario())


def test_with_keys_whoever_has_one_is_let_in(
    tmp_path: Path, store: Store, published: str, body: bytes, keys_file: Path
) -> None:
    first, second = add_key(keys_file, "shop"), add_key(keys_file, "batch")
    expired = add_key(keys_file, "old", datetime.now(UTC) - timedelta(seconds=1))
    for secret in (first, second, expired):
        assert secret not in keys_file.read_text()

    async def scenario() -> None:
        settings = settings_of(tmp_path, store, access=AccessSettings(keys=keys_file))
        async with serving(settings, published) as app:
            for good in (bearer(first), bearer(second), JSON | {"x-api-key": first}):
                assert (await ask(app, "POST", "/predict", body, good)).status == 200
            refused = [
                JSON,
                JSON | {"authorization": f"Basic {first}"},
                bearer(""),
                bearer(first[:-1]),
                bearer(first.upper()),
                bearer(expired),
                JSON | {"x-api-key": "ä"},
                bearer(first) | {"x-api-key": first},
            ]
            for headers in refused:
                answered = await ask(app, "POST", "/predict", body, headers)
                assert (answered.status, answered.headers["www-authenticate"]) == (401, "Bearer")
                assert "Authorization: Bearer" in answered.json["error"]
            assert await failures(app, bearer(second)) == {
                "missing": 2,
                "key_unknown": 4,
                "key_expired": 1,
                "several": 1,
            }

    play(scenario())


@pytest.mark.parametrize("open_metrics", [True, False])
def test_what_platforms_ask_stays_open_and_nothing_else(
    tmp_path: Path, store: Store, published: str, keys_file: Path, open_metrics: bool
) -> None:
    add_key(keys_file, "shop")

    async def scenario() -> None:
        settings = settings_of(tmp_path, store, access=AccessSettings(keys=keys_file, open_metrics=open_metrics))
        async with serving(settings, published) as app:
            open_paths = {"/", "/health", "/ready", "/ping", "/v2/health/live", "/v2/health/ready"}
            open_paths |= {"/metrics"} if open_metrics else set()
            for path in [*app._routes.paths, "/nothing"]:
                for method in ("GET", "POST"):
                    answered = await ask(app, method, path.replace("{", "").replace("}", ""))
                    asked = answered.status == 401 and "valid key" in answered.body.decode()
                    assert asked == (path not in open_paths and path != "/admin/reload"), path
            token = settings.deployment.with_name("admin-token").read_text()
            reloaded = await ask(app, "POST", "/admin/reload", headers={"authorization": f"Bearer {token}"})
            assert reloaded.status == 200

    play(scenario())


def test_keys_are_rotated_while_the_server_runs(keys_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = add_key(keys_file, "shop-1")
    keys = ApiKeys(keys_file)
    monkeypatch.setattr("ml.access.keys.LOOKED_AT_EVERY_S", 0.0)
    new = add_key(keys_file, "shop-2")
    assert [(k.name if (k := keys.find(s)) else None) for s in (old, new)] == ["shop-1", "shop-2"]
    revoke_key(keys_file, "shop-1")
    assert keys.find(old) is None
    assert keys.find(new) is not None
    keys_file.write_text("{broken")
    assert keys.find(new) is not None
    keys_file.unlink()
    assert keys.find(new) is not None


def test_the_command_shows_a_key_once_and_keeps_its_hash(keys_file: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(serve_keys, [*arguments, "--file", str(keys_file)])

    made = run("add", "shop", "--expires-days", "30")
    assert made.stdout.startswith("mlops_")
    assert made.stdout.strip() not in keys_file.read_text()
    assert "shop" in run("list").stdout
    (entry,) = json.loads(run("list", "--json").stdout)
    assert (entry["name"], "sha256" in entry) == ("shop", False)
    assert entry["expires_at"] > entry["created_at"]
    for wrong in (("add", "shop"), ("add", "Shop!"), ("revoke", "nobody")):
        assert isinstance(run(*wrong).exception, InputRefused)
    assert [key.name for key in read_keys(keys_file)] == ["shop"]
    assert run("revoke", "shop").exit_code == 0
    assert "refuses everybody" in run("list").stdout


@pytest.mark.parametrize("text", ["{", "[]", '{"keys": [{"name": "a"}]}', "\xff", None])
def test_a_spoilt_file_of_keys_starts_no_server(
    tmp_path: Path, store: Store, keys_file: Path, text: str | None
) -> None:
    if text is not None:
        keys_file.write_text(text, encoding="latin-1")
    with pytest.raises(InputRefused, match="API keys"):
        ModelServer(settings_of(tmp_path, store, access=AccessSettings(keys=keys_file)))


def unsigned() -> str:
    return jwt.encode(claims(), "", "none", headers={"kid": "rsa"})


def confused() -> str:
    """Signed with the published key, as if that were a shared secret."""
    import base64
    import hashlib
    import hmac

    public = PRIVATE["rsa"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    now = int(datetime.now(UTC).timestamp())
    content = claims(exp=now + 300, iat=now)
    signed = part(b'{"alg":"HS256","typ":"JWT","kid":"rsa"}') + b"." + part(json.dumps(content).encode())
    return (signed + b"." + part(hmac.new(pem, signed, hashlib.sha256).digest())).decode()


def nested() -> str:
    import base64

    return base64.urlsafe_b64encode(b"[" * 5000).decode().rstrip("=") + ".e30.e30"


TOKENS: dict[str, tuple[Callable[[], str], str | None]] = {
    "rsa": (token, None),
    "ec": (lambda: token("ec"), None),
    "ed": (lambda: token("ed"), None),
    "one of several audiences": (lambda: token(aud=["another", AUDIENCE]), None),
    "expired": (lambda: token(exp=datetime.now(UTC) - timedelta(minutes=2)), "token_expired"),
    "without an end": (lambda: token(exp=None), "token_invalid"),
    "an end that is no number": (lambda: token(exp="soon"), "token_invalid"),
    "an end in no calendar": (lambda: token(exp=10**400), "token_malformed"),
    "an end just past the last year": (lambda: token(exp=253_402_300_800), "token_malformed"),
    "an endless end": (lambda: token(exp=float("inf")), "token_invalid"),
    "an end as text": (lambda: token(exp=str(2**33)), "token_malformed"),
    "a beginning as text": (lambda: token(nbf="0"), "token_malformed"),
    "made before time": (lambda: token(iat=-1), "token_malformed"),
    "made when it is true": (lambda: token(iat=True), "token_malformed"),
    "not yet": (lambda: token(nbf=datetime.now(UTC) + timedelta(hours=1)), "token_invalid"),
    "another audience": (lambda: token(aud="another"), "token_foreign"),
    "no audience": (lambda: token(aud=None), "token_invalid"),
    "another issuer": (lambda: token(iss="https://evil.example.org"), "token_foreign"),
    "nobody": (lambda: token(sub=None), "token_invalid"),
    "unsigned": (unsigned, "token_invalid"),
    "a public key as a secret": (confused, "token_invalid"),
    "another's key": (lambda: token("rsa", headers={"kid": "ec"}), "token_invalid"),
    "an unknown key": (lambda: token("rsa", headers={"kid": "unknown"}), "token_key_unknown"),
    "no key": (lambda: jwt.encode(claims(), PRIVATE["rsa"], "RS256"), "token_key_unknown"),
    "a key's name that is a path": (lambda: token("rsa", headers={"kid": "../../etc/passwd"}), "token_key_unknown"),
    "an altered signature": (lambda: token()[:-8] + "AAAAAAAA", "token_invalid"),
    "not a token": (lambda: "mlops_no", "token_invalid"),
    "deep nesting": (nested, "token_invalid"),
    "far too long": (lambda: "a." * 10_000, "token_malformed"),
}


@pytest.mark.parametrize("case", TOKENS)
def test_only_valid_tokens_of_the_provider_count(tmp_path: Path, case: str) -> None:
    make, reason = TOKENS[case]
    (tmp_path / "jwks.json").write_text(jwks("rsa", "ec", "ed"))
    failed: list[str] = []
    tokens = TokenSettings(str(tmp_path / "jwks.json"), AUDIENCE, ISSUER)
    access = Access(AccessSettings(tokens=tokens), failed.append)
    headers = [(b"authorization", f"Bearer {make()}".encode())]
    if reason is None:
        assert access.caller({"headers": headers}, "/predict") == "ada"
    else:
        with pytest.raises(RequestRefused) as refused:
            access.caller({"headers": headers}, "/predict")
        assert refused.value.status == 401
    assert failed == ([reason] if reason else [])


def test_tokens_and_keys_count_side_by_side(
    tmp_path: Path, store: Store, published: str, body: bytes, keys_file: Path
) -> None:
    (tmp_path / "jwks.json").write_text(jwks("rsa"))
    secret = add_key(keys_file, "shop")
    tokens = TokenSettings(str(tmp_path / "jwks.json"), AUDIENCE, ISSUER)

    async def scenario() -> None:
        settings = settings_of(tmp_path, store, access=AccessSettings(keys_file, tokens))
        async with serving(settings, published) as app:
            for headers in (bearer(secret), JSON | {"x-api-key": secret}, bearer(token())):
                assert (await ask(app, "POST", "/predict", body, headers)).status == 200
            for headers in (bearer(token("ec")), JSON | {"x-api-key": token()}, bearer("mlops_no")):
                assert (await ask(app, "POST", "/predict", body, headers)).status == 401

    play(scenario())


@contextmanager
def provider() -> Iterator[tuple[str, dict[str, Any]]]:
    """An identity provider's published keys; what it says may be changed."""
    says: dict[str, Any] = {"body": jwks("rsa"), "status": 200, "asked": 0}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            says["asked"] += 1
            self.send_response(says["status"])
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(says["body"].encode())

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwks", says
    finally:
        server.shutdown()
        server.server_close()


def test_the_keys_of_a_url_are_fetched_again_when_a_new_one_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    from ml.access.settings import NotLetIn
    from ml.access.tokens import Tokens

    monkeypatch.setattr("ml.access.tokens.SOONEST_S", 0.05)
    with provider() as (url, says):
        tokens = Tokens(TokenSettings(url, AUDIENCE, ISSUER))
        try:
            assert tokens.subject(token()) == "ada"
            says["body"] = jwks("rsa", "ec")
            deadline = datetime.now(UTC) + timedelta(seconds=20)
            while True:
                try:
                    assert tokens.subject(token("ec")) == "ada"
                    break
                except NotLetIn:
                    assert datetime.now(UTC) < deadline
                    threading.Event().wait(0.02)
            says["status"], asked = 302, says["asked"]  # to somewhere that nobody configured: not followed
            with pytest.raises(NotLetIn):
                tokens.subject(token("ed"))
            while says["asked"] == asked:
                threading.Event().wait(0.02)
            assert tokens.subject(token("ec")) == "ada"
        finally:
            tokens.close()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jwks": "http://login.example.org/jwks"}, "not https"),
        ({"jwks": "/nowhere/jwks.json"}, "can't be read"),
        ({"algorithms": ("HS256",)}, "HS256 can't be used"),
        ({"algorithms": ("none",)}, "none can't be used"),
    ],
)
def test_what_would_let_in_too_many_starts_no_server(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    from ml.access.tokens import Tokens

    (tmp_path / "jwks.json").write_text(jwks("rsa"))
    given = {"jwks": str(tmp_path / "jwks.json"), "audience": AUDIENCE, "issuer": ISSUER} | changes
    with pytest.raises(InputRefused, match=said):
        Tokens(TokenSettings(**given))
    (tmp_path / "secret.json").write_text(json.dumps({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"}]}))
    with pytest.raises(InputRefused, match="no public key"):
        Tokens(TokenSettings(str(tmp_path / "secret.json"), AUDIENCE, ISSUER))
