"""A person's rights over what an environment holds: erase it and prove it, or hand it over.

An erasure is written down before anything is removed (`ml.erasures` says where): a run that was cut short is completed
by the next one. What stays of it is the pseudonym, the time and hashes of the predictions' identifiers, for as long as
predictions are kept: a server may hold predictions on their way to the store, and leaves out what it logged before the
erasure; a label of an erased prediction is not taken in; what arrives late in another way is removed by the next
`mlops erase` or `mlops retention`. Later predictions are new records.

What it can't reach, because it names nobody: the rows without identifier, time or pseudonym that a release keeps as
its reference when it was trained on live data. Retire the release if they must go too.
"""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, Field, JsonValue

from ml.erasures import ERASURES, Mark, erasure_key, left_out, left_out_prefix, prediction_digest
from ml.errors import MlopsError
from ml.governance._alone import alone, holder
from ml.governance.records import AREAS, Area, Person, Search, find, prediction_ids, read, remove
from ml.problem import Categorical, Problem
from ml.store import Store
from ml.subjects import pseudonym
from ml.trust.keys import Signer
from ml.trust.ledger import Ledger

__all__ = ["Erased", "erase", "erase_late", "subject_export"]

UNFINISHED_AFTER: Final = timedelta(hours=1)  # no write takes that long
ROUNDS: Final = 5

Progress = Callable[[str], None]


class Erased(BaseModel):
    """What an erasure removed, by area, and the number of the ledger's entry that says so.

    The proof: `searched_rows` rows and records in `searched_objects` objects held nothing of the person any more,
    `search_digest` is of the list of them. What a server logged before `until` and hasn't stored yet, it leaves out.
    """

    request: str
    removed: dict[Area, int]
    remaining: int
    searched_objects: int
    searched_rows: int
    search_digest: str
    until: AwareDatetime
    ledger_entry: int


class _Erasure(Mark):
    """An erasure that was asked for; `planned` is what each object held of the person before it was touched."""

    request: str
    pseudonym: str
    prediction_ids: list[str] = Field(default_factory=list[str])
    planned: dict[Area, dict[str, int]] = Field(default_factory=dict[Area, dict[str, int]])

    @property
    def person(self) -> Person:
        return Person(self.pseudonym, self.until, frozenset(self.prediction_ids), self.predictions)

    @property
    def removed(self) -> dict[Area, int]:
        return {area: sum(self.planned.get(area, {}).values()) for area in AREAS}


def erase(store: Store, ledger: Ledger, signer: Signer, subject: str, now: datetime, progress: Progress) -> Erased:
    """Remove everything held on a person and record it, without naming the person, in the ledger.

    Safe to repeat, and completes what a kill cut short. MlopsError when something can't be read, or won't go.
    """
    ledger.entries()  # a chain that doesn't hold is said before anything is removed
    name = pseudonym(store, subject)
    key = erasure_key(name)
    erasure = _read(store, key)
    if erasure is None or erasure.is_done:
        known = erasure.predictions if erasure else frozenset[str]()
        erasure = _Erasure(request=str(uuid.uuid4()), pseudonym=name, asked_at=now, predictions=known)
        _write(store, key, erasure)
    else:
        progress("Completing an erasure that was cut short")
    return _run(store, ledger, signer, key, erasure, progress)


def erase_late(store: Store, ledger: Ledger, signer: Signer, forget_before: datetime, progress: Progress) -> int:
    """Remove what arrived after its person's erasure, and forget erasures from before `forget_before`; the rows."""
    rows = 0
    erasures = [(key, erasure) for key in store.list(ERASURES) if (erasure := _read(store, key))]
    first = holder(store)  # cut short, it stands in the others' way
    for key, erasure in sorted(erasures, key=lambda each: each[0] != first):
        if not erasure.is_done or _searched(store, key, erasure)[1].found:
            update = {"request": str(uuid.uuid4()), "is_done": False} if erasure.is_done else {}
            again = erasure.model_copy(update=update)
            rows += sum(_run(store, ledger, signer, key, again, progress).removed.values())
        if erasure.asked_at < forget_before:
            store.delete(key)
            store.delete(left_out_prefix(key))
    return rows


def subject_export(store: Store, problem: Problem, subject: str) -> dict[str, Any]:
    """Everything held on a person, with what columns and codes mean; ready for JSON but for its times."""
    name = pseudonym(store, subject)
    now = datetime.now(UTC)
    ids = prediction_ids(store, Person(name, now))
    held = read(store, Person(name, now, ids))
    meanings = {
        feature.name: {"title": feature.title, **({"codes": feature.codes} if isinstance(feature, Categorical) else {})}
        for feature in problem.features
    }
    return {
        "subject": subject,
        "pseudonym": name,
        "exported_at": now,
        "decision": problem.decision.model_dump(),
        "columns": meanings | {"label": {"title": problem.target.event, "codes": problem.target.codes}},
        "records": held,
    }


def _run(store: Store, ledger: Ledger, signer: Signer, key: str, erasure: _Erasure, progress: Progress) -> Erased:
    with alone(store, key, datetime.now(UTC)):
        erasure, proof = _removed(store, key, erasure, progress)
        entry = _recorded(ledger, erasure) or ledger.append("erased", signer, None, _details(erasure, proof)).sequence
    rest = erasure.model_copy(update={"is_done": True, "prediction_ids": [], "planned": {}})
    _write(store, key, rest)
    return Erased(
        request=erasure.request,
        removed=erasure.removed,
        remaining=len(proof.found),
        searched_objects=proof.objects,
        searched_rows=proof.rows,
        search_digest=proof.digest,
        until=erasure.until,
        ledger_entry=entry,
    )


def _removed(store: Store, key: str, erasure: _Erasure, progress: Progress) -> tuple[_Erasure, Search]:
    """Remove until a search finds nothing: the erasure that knows what it was, and that search."""
    for prefix in AREAS.values():
        store.delete_unfinished(prefix, datetime.now(UTC) - UNFINISHED_AFTER)
    progress("Searching everything")
    erasure, search = _searched(store, key, erasure)
    rounds = 0
    while search.found and rounds < ROUNDS:  # labels and predictions may arrive while others are removed
        rounds += 1
        _write(store, key, erasure)
        for place in search.found:
            progress(f"Removing {place.rows:,} from {place.key}")
            remove(store, place, erasure.person)
        progress("Searching everything once more")
        erasure, search = _searched(store, key, erasure)
    if remaining := sum(place.rows for place in search.found):
        raise MlopsError(
            f"{remaining:,} records are still there after {ROUNDS} rounds: they arrive faster than they are removed. "
            "Stop what writes them, then run `mlops erase` again, which goes on."
        )
    return erasure, search


def _searched(store: Store, key: str, erasure: _Erasure) -> tuple[_Erasure, Search]:
    """What there is now of the person, and the erasure that knows of it.

    What an object held when it was first seen stays in `planned`, also once it was removed.
    """
    ids = prediction_ids(store, erasure.person) | set(erasure.prediction_ids)
    digests = erasure.predictions | set(map(prediction_digest, ids)) | left_out(store, left_out_prefix(key))
    known = erasure.model_copy(update={"prediction_ids": sorted(ids), "predictions": digests})
    search = find(store, known.person)
    planned: dict[Area, dict[str, int]] = {area: dict(keys) for area, keys in erasure.planned.items()}
    for place in search.found:
        keys = planned.setdefault(place.area, {})
        keys[place.key] = max(place.rows, keys.get(place.key, 0))
    return known.model_copy(update={"planned": planned}), search


def _recorded(ledger: Ledger, erasure: _Erasure) -> int | None:
    """The ledger's entry of this request, where a kill came after it."""
    entries = (e for e in ledger.entries() if e.event == "erased" and e.details.get("request") == erasure.request)
    return next((entry.sequence for entry in entries), None)


def _details(erasure: _Erasure, search: Search) -> dict[str, JsonValue]:
    removed: dict[str, JsonValue] = {str(area): rows for area, rows in erasure.removed.items()}
    proof: dict[str, JsonValue] = {"objects": search.objects, "rows": search.rows, "digest": search.digest}
    return {"request": erasure.request, "removed": removed, "remaining": len(search.found), "searched": proof}


def _read(store: Store, key: str) -> _Erasure | None:
    try:
        return _Erasure.model_validate_json(store.read(key))
    except FileNotFoundError:
        return None


def _write(store: Store, key: str, erasure: _Erasure) -> None:
    store.write(key, erasure.model_dump_json().encode())
