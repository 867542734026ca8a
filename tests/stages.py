"""Environments in a temporary folder, as tests of keys, ledgers and promotion need them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from ml.bundle.bundle import key_of, publish
from ml.bundle.manifest import Gate
from ml.problem import Problem, Waiver
from ml.release.build import Origin, build, read_evaluation
from ml.release.register import register, sign_manifest
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.store import Store
from ml.training.gates import judge
from ml.training.latency import Latency
from ml.trust.keys import Signer, new_key, personal_folder, signer
from ml.trust.signing import signature_key

AUTHOR, APPROVER = "author@example.org", "approver@example.org"
PASSED = Gate(name="roc_auc", measured=0.8, demanded="at least 0.5", result="passed")


def person(store: Store, name: str, root: Path) -> Signer:
    """Somebody with a key on this machine."""
    if not (personal_folder() / f"{name}.key").exists():
        new_key(name, share_in=None)
    return signer(store, name, root)


def stage(root: Path, environment: str, serves: str | None = None, head: str | None = None) -> Stage:
    """A stack of the local cloud below `root`, opened anew: nothing of it is remembered, but what its outputs say."""
    file = root / f"Pulumi.local-{environment}.yaml"
    if not file.exists():
        file.write_text("config:\n  mlops:owner: ml-platform\n", encoding="utf-8")
    store = Store((root / environment / "store").as_uri())
    for name in (AUTHOR, APPROVER):
        person(store, name, root)
    runtime = Runtime(
        stack=f"local-{environment}",
        cloud="local",
        platform="process",
        environment=environment,
        store_uri=store.uri,
        tracking_uri="",
        monitor_url="",
        release=serves,
        ledger_head=head,
    )
    return Stage.of(runtime, file, root)


def without_shadow(problem: Problem) -> Problem:
    """The problem where nobody asks the environments anything, so that a shadow has nothing to compare."""
    expires = datetime.now(UTC).date() + timedelta(days=1)
    waiver = Waiver(gate="shadow", reason="nobody asks it here", approved_by="someone", expires=expires)
    return problem.model_copy(update={"waivers": (waiver,)})


def passing_gates(candidate: Path, problem: Problem) -> tuple[Gate, ...]:
    """Every gate of the problem, as the candidate's evaluation ends."""
    return judge(problem, read_evaluation(candidate), Latency(5.0, 100), date(2026, 1, 2))


def release_into(
    where: Stage,
    candidate: Path,
    problem: Problem,
    version: str = "1",
    gates: tuple[Gate, ...] | None = None,
    created_by: str = "Author@Example.org",
) -> str:
    """Build, sign, publish and register a release, as `mlops release` does; its digest. By default it passes."""
    folder = where.file.parent / f"bundle-{version}"
    gates = passing_gates(candidate, problem) if gates is None else gates
    origin = Origin(version=version, created_at=datetime(2026, 1, 2, tzinfo=UTC), created_by=created_by, gates=gates)
    manifest = build(candidate, folder, problem, origin)
    me = where.signer(AUTHOR)
    sign_manifest(where.store, where.ledger, manifest, me)
    digest = publish(where.store, folder)
    register(where.ledger, manifest, me)
    return digest


def brought(source: Stage, target: Stage, digest: str) -> None:
    """What `mlops promote` leaves, without its checks, which need the model's libraries."""
    for key in source.store.list(key_of(digest)):
        target.store.write(key, source.store.read(key))
    target.store.write(signature_key(digest), source.store.read(signature_key(digest)))
    evidence = next(e for e in reversed(source.ledger.entries()) if e.event == "gated" and e.release == digest)
    me = target.signer(AUTHOR)
    details = {"evidence": evidence.model_dump(mode="json"), "digest": evidence.digest}
    target.ledger.append("promoted", me, digest, details)
    target.ledger.append("gated", me, digest, {"passed": True, "checks": []})
