"""The life of every cloud stack at provider level: what is made, kept, changed, replaced, resumed and ended."""

import json
import pickle
import re
import shutil
from itertools import cycle
from pathlib import Path

import pytest

from infra.config import ENVIRONMENTS
from infra.simulation.faults import Fault
from tests.inputs import SHIPPED
from tests.planned import stated
from tests.shared import once
from tests.small_engine import Fails, Protected, SmallEngine

STACKS = [f"{target}-{environment}" for target in SHIPPED for environment in ENVIRONMENTS]
DEV = [stack for stack in STACKS if stack.endswith("-dev")]
OTHER_RELEASE = "sha256:" + "b" * 64
EACH = 12  # after the first, a failure at every twelfth creation
# What holds data, or is named by others: never made anew for another network or release.
KEPT = re.compile(
    r"aws:(s3/bucket:|kms/|ecr/|cloudtrail/|iam/).*|databricks:index/(mwsWorkspaces|catalog|schema|volume):.*"
)


def standing(stack: str, folder: Path) -> SmallEngine:
    """A stack that is up: made once a run of the suite, a copy of its own for each test."""

    def make(inside: Path) -> None:
        engine = SmallEngine(stack, inside / "account")
        made = engine.up()
        assert made.keys() == {"create"}
        (inside / "state").write_bytes(pickle.dumps(engine.state))

    made = once(f"life-{stack}", make)
    shutil.copytree(made / "account", folder / "account")
    return SmallEngine(stack, folder / "account", pickle.loads((made / "state").read_bytes()))  # noqa: S301 # ours


def fails(engine: SmallEngine) -> bool:
    try:
        engine.up()
    except Fails:
        return True
    return False


def other_network(stack: str) -> dict[str, str]:
    key = f"mlops:{stack.partition('-')[0]}"
    return {key: json.dumps(json.loads(stated(stack)[key]) | {"cidr": "10.200.0.0/16"})}


@pytest.mark.parametrize("stack", STACKS)
def test_a_preview_names_what_up_makes_and_makes_nothing(stack: str, tmp_path: Path) -> None:
    engine = SmallEngine(stack, tmp_path / "new")
    planned = engine.up(preview=True)
    assert engine.things() == []
    assert engine.state == {}
    made = {urn.rpartition("::")[2] for urn in standing(stack, tmp_path).state}
    assert planned == {"create": made}


@pytest.mark.parametrize("stack", STACKS)
def test_then_nothing_changes_and_a_refresh_finds_nothing(stack: str, tmp_path: Path) -> None:
    engine = standing(stack, tmp_path)
    assert engine.up().keys() == {"same"}
    assert engine.refresh() == set()


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_changed_by_hand_is_seen_and_mended(stack: str, tmp_path: Path) -> None:
    engine = standing(stack, tmp_path)
    changed = engine.change_by_hand(
        "aws:s3/bucketVersioning:BucketVersioning", versioningConfiguration={"status": "Suspended"}
    )
    assert engine.refresh() == {changed}
    assert engine.up()["update"] == {changed}
    assert engine.refresh() == set()


@pytest.mark.parametrize("stack", STACKS)
def test_another_owner_is_tagged_in_place(stack: str, tmp_path: Path) -> None:
    engine = standing(stack, tmp_path)
    assert engine.up(**{"mlops:owner": "fraud-team"}).keys() == {"update", "same"}
    assert engine.refresh() == set()


@pytest.mark.parametrize("stack", STACKS)
def test_another_network_replaces_nothing_that_holds_data(stack: str, tmp_path: Path) -> None:
    engine = standing(stack, tmp_path)
    if stack.endswith("-prod"):
        with pytest.raises(Protected, match="is protected and would be replaced, for cidrBlock"):
            engine.up(preview=True, **other_network(stack))
        engine.unprotect()
    replaced = engine.up(preview=True, **other_network(stack))["replace"]
    assert {"network-vpc", "network-private-1", "network-private-2", "network-private-3"} <= replaced
    kinds = {urn.rpartition("::")[2]: kept.type for urn, kept in engine.state.items()}
    assert not {name for name in replaced if KEPT.fullmatch(kinds[name])}


@pytest.mark.parametrize("stack", STACKS)
def test_another_release_replaces_nothing_that_holds_data_and_leaves_nothing_of_the_old_one(
    stack: str, tmp_path: Path
) -> None:
    engine = standing(stack, tmp_path)
    done = engine.up(released=OTHER_RELEASE)
    assert done.get("update")
    kinds = {urn.rpartition("::")[2]: kept.type for urn, kept in engine.state.items()}
    assert not {name for name in done.get("replace", ()) if KEPT.fullmatch(kinds[name])}
    assert engine.refresh() == set()
    assert {thing.urn for thing in engine.things()} <= engine.state.keys()


@pytest.mark.parametrize(("stack", "first"), list(zip(DEV, cycle((1, 5, 9)), strict=False)))
def test_an_up_that_fails_at_any_creation_is_resumed(stack: str, first: int, tmp_path: Path) -> None:
    """Each run fails at a later creation than the one before, and the next one goes on where it stopped."""
    whole = standing(stack, tmp_path / "whole")
    engine = SmallEngine(stack, tmp_path / "account")
    engine.faults = (Fault("fails", at=first),)
    stood = -1
    while fails(engine):
        assert len(engine.things()) > stood, "it goes on where it stopped"
        stood = len(engine.things())
        engine.faults = (Fault("fails", at=EACH),)
    assert engine.state.keys() == whole.state.keys()
    assert {thing.urn for thing in engine.things()} == {thing.urn for thing in whole.things()}


@pytest.mark.parametrize("stack", STACKS)
def test_destroy_leaves_nothing_and_is_refused_where_something_is_protected(stack: str, tmp_path: Path) -> None:
    engine = standing(stack, tmp_path)
    if stack.endswith("-prod"):
        before = [thing.urn for thing in engine.things()]
        with pytest.raises(Protected, match="store-bucket"):
            engine.destroy()
        assert [thing.urn for thing in engine.things()] == before
        engine.unprotect()
    engine.destroy()
    assert [thing.urn for thing in engine.things() if not thing.type.endswith("(deleted)")] == []
