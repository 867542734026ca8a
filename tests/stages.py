"""Environments in a temporary folder, as tests of keys, ledgers and promotion need them."""

from datetime import UTC, datetime
from pathlib import Path

from ml.problem import Problem
from ml.release.build import Origin, build
from ml.release.bundle import publish
from ml.release.keys import Signer, new_key, personal_folder, signer
from ml.release.manifest import Gate
from ml.release.register import register, sign_manifest
from ml.release.stage import Stage
from ml.runtime import Runtime
from ml.store import Store

AUTHOR, APPROVER = "author@example.org", "approver@example.org"
PASSED = Gate(name="roc_auc", measured=0.8, demanded="at least 0.5", result="passed")


def person(store: Store, name: str, root: Path) -> Signer:
    """Somebody with a key on this machine."""
    if not (personal_folder() / f"{name}.key").exists():
        new_key(name, share_in=None)
    return signer(store, name, root)


def stage(root: Path, environment: str, serves: str | None = None) -> Stage:
    """A stack of the local cloud below `root`, opened anew: nothing of it is remembered."""
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
    )
    return Stage.of(runtime, file, root)


def release_into(
    where: Stage,
    candidate: Path,
    problem: Problem,
    version: str = "1",
    gates: tuple[Gate, ...] = (PASSED,),
    created_by: str = "Author@Example.org",
) -> str:
    """Build, sign, publish and register a release, as `mlops release` does; its digest."""
    folder = where.file.parent / f"bundle-{version}"
    origin = Origin(version=version, created_at=datetime(2026, 1, 2, tzinfo=UTC), created_by=created_by, gates=gates)
    manifest = build(candidate, folder, problem, origin)
    me = where.signer(AUTHOR)
    sign_manifest(where.store, where.ledger, manifest, me)
    digest = publish(where.store, folder)
    register(where.ledger, manifest, me)
    return digest
