"""The experts' queue: doubtful and sampled predictions wait for a decision, and a decision becomes a label.

    review/cases/day=YYYY-MM-DD/<case>.json       waits; the day is that of the prediction
    review/decisions/day=YYYY-MM-DD/<case>.json   who decided what, when and why

A decision is created only if there is none, so that two experts can't both decide a case. Then come the label and,
last, the removal of the case: a decision that still has its case was cut short, and the next refresh completes it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel, ConfigDict

from ml.arrow import in_memory
from ml.errors import InputRefused
from ml.feedback._tables import parquet
from ml.feedback.labels import CLOCK_SKEW, LABELS, REVIEW, SCHEMA, latest_arrivals, live_predictions
from ml.feedback.ranges import training_ranges
from ml.feedback.selection import Why, select
from ml.predictions import partition
from ml.problem import Problem
from ml.store import Store

__all__ = ["CASES", "DECISIONS", "Case", "CaseTaken", "Decision", "ReviewQueue", "Verdict"]

CASES: Final = "review/cases"
DECISIONS: Final = "review/decisions"
MAXIMUM_NOTE: Final = 2000  # characters

Verdict = Literal["confirm", "overrule"]


class CaseTaken(InputRefused):
    """The case was decided by somebody else, or is no longer there."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Case(_Record):
    """A prediction that waits for an expert; its features stay in the log, `outside` names those out of range."""

    case: str
    prediction_id: str
    at: AwareDatetime
    release: str
    score: float
    threshold: float
    decision: int
    why: tuple[Why, ...]
    outside: tuple[str, ...]

    @property
    def name(self) -> str:
        """The key below CASES and DECISIONS."""
        return f"day={self.at.date().isoformat()}/{self.case}.json"


class Decision(_Record):
    """What an expert decided; `label` is the code of the target that the case now has."""

    case: Case
    verdict: Verdict
    label: int
    note: str
    reviewer: str
    at: AwareDatetime


class ReviewQueue:
    """The queue of one environment."""

    def __init__(self, store: Store, problem: Problem) -> None:
        self._store = store
        self._problem = problem

    def refresh(self, now: datetime) -> int:
        """Complete what was cut short, drop cases that were labelled by other ways, add new ones; returns how many."""
        self._settle_all()
        rules = self._problem.review
        since = now - timedelta(days=rules.window_days)
        arrived = latest_arrivals(self._store, (since - CLOCK_SKEW).date())
        waiting = self._drop_labelled(arrived)
        log = live_predictions(self._store, self._problem, since, now + CLOCK_SKEW)
        is_labelled = [_is_labelled(name, at, arrived) for name, at in log.select("prediction_id", "at").iter_rows()]
        log = log.filter(pl.col("prediction_id").is_unique() & ~pl.Series(is_labelled, dtype=pl.Boolean))
        log = log.filter(~pl.col("prediction_id").is_in([case.prediction_id for case in waiting]))
        ranges = training_ranges(self._store, self._problem, log["release"].unique().to_list())
        chosen = select(self._problem, log, ranges).head(max(0, rules.maximum_queue - len(waiting)))
        return sum(self._add(row) for row in chosen.iter_rows(named=True))

    def cases(self) -> list[Case]:
        """What waits, the sample first, then the rest by how close it is to the threshold."""
        decided = {key.removeprefix(DECISIONS) for key in self._store.list(DECISIONS)}
        names = [key for key in self._store.list(CASES) if key.removeprefix(CASES) not in decided]
        found = [case for key in names if (case := self._read(key))]
        return sorted(found, key=lambda c: ("sample" not in c.why, "out_of_range" not in c.why, _distance(c), c.case))

    def find(self, case_id: str) -> Case:
        """The waiting case of that name; CaseTaken when there is none, saying who decided it."""
        for case in self.cases():
            if case.case == case_id:
                return case
        for decision in self.decisions():
            if decision.case.case == case_id:
                raise _taken(decision)
        raise CaseTaken(f"The case {case_id} is not in the queue. `mlops review list` shows what is.")

    def decisions(self) -> Iterator[Decision]:
        """Every decision that is kept."""
        for key in self._store.list(DECISIONS):
            if decision := self._decision(key):
                yield decision

    def row(self, case: Case) -> dict[str, Any]:
        """The prediction as it was logged; CaseTaken, and the case is gone, when the log no longer has it."""
        for key in self._store.list(partition(case.at.date(), case.release)):
            file = in_memory(self._store.read(key))
            rows = pq.read_table(file, filters=pc.field("prediction_id") == case.prediction_id).to_pylist()
            for row in rows:
                if row["role"] != "shadow":
                    return row
        self._store.delete(f"{CASES}/{case.name}")
        raise CaseTaken(f"The prediction of case {case.case} was removed from the log; so was the case.")

    def decide(
        self, case_id: str, verdict: Verdict, reviewer: str, note: str, now: datetime, label: int | None = None
    ) -> Decision:
        """Decide a case: its prediction gets a label. CaseTaken when somebody else was faster, else InputRefused.

        `label` says which code is right where overruling leaves more than one.
        """
        self.require_reviewer(reviewer)
        note = note.strip()
        case = self.find(case_id)
        code = self._label(case, verdict, label)
        if verdict == "overrule" and not note:
            raise InputRefused("Overruling needs a note that says why: whoever learns from the label has nothing else.")
        if len(note) > MAXIMUM_NOTE or not all(c.isprintable() or c in "\n\t" for c in note):
            raise InputRefused(f"A note is text of at most {MAXIMUM_NOTE:,} characters, without control characters.")
        decision = Decision(case=case, verdict=verdict, label=code, note=note, reviewer=reviewer, at=now)
        try:
            self._store.create(f"{DECISIONS}/{case.name}", decision.model_dump_json().encode())
        except FileExistsError:
            earlier = self._decision(f"{DECISIONS}/{case.name}")
            raise _taken(earlier) if earlier else CaseTaken(f"The case {case_id} was decided just now.") from None
        self._settle(decision)
        return decision

    def require_reviewer(self, reviewer: str) -> None:
        """InputRefused for a person whom the problem definition doesn't let review."""
        allowed = self._problem.review.reviewers
        if allowed is not None and reviewer not in allowed:
            raise InputRefused(
                f"{reviewer} may not review: the problem definition lets {', '.join(allowed) or 'nobody'} "
                "(review.reviewers)."
            )

    def _label(self, case: Case, verdict: Verdict, label: int | None) -> int:
        others = [code for code in self._problem.target.codes if code != case.decision]
        if verdict == "confirm":
            return case.decision
        if label is None and len(others) == 1:
            return others[0]
        if label not in others:
            raise InputRefused(f"Overruling {case.decision} needs the right label: one of {others}.")
        return label

    def _add(self, row: dict[str, Any]) -> bool:
        identity = hashlib.sha256(row["prediction_id"].encode()).hexdigest()[:16]  # an id from outside is no key
        case = Case(case=identity, **{name: row[name] for name in Case.model_fields if name != "case"})
        if self._store.exists(f"{DECISIONS}/{case.name}"):
            return False
        try:
            self._store.create(f"{CASES}/{case.name}", case.model_dump_json().encode())
        except FileExistsError:
            return False  # another process refreshes too
        return True

    def _drop_labelled(self, arrived: Mapping[str, datetime]) -> list[Case]:
        waiting: list[Case] = []
        for case in self.cases():
            if _is_labelled(case.prediction_id, case.at, arrived):
                self._store.delete(f"{CASES}/{case.name}")
            else:
                waiting.append(case)
        return waiting

    def _settle_all(self) -> None:
        waiting = {key.removeprefix(CASES) for key in self._store.list(CASES)}
        for key in list(self._store.list(DECISIONS)):
            if key.removeprefix(DECISIONS) in waiting and (decision := self._decision(key)):
                self._settle(decision)

    def _settle(self, decision: Decision) -> None:
        """Write the label under a name that only this decision has, then take the case out of the queue."""
        label = {
            "prediction_id": decision.case.prediction_id,
            "label": decision.label,
            "source": REVIEW,
            "author": decision.reviewer,
            "note": decision.note,
            "at": decision.at,
            "arrived_at": decision.at,
        }
        key = f"{LABELS}/day={decision.at.date().isoformat()}/review-{decision.case.case}.parquet"
        self._store.write(key, parquet(pl.DataFrame([label], SCHEMA)))
        if not self._store.exists(f"{DECISIONS}/{decision.case.name}"):
            self._store.delete(key)  # the person was erased meanwhile
        self._store.delete(f"{CASES}/{decision.case.name}")

    def _read(self, key: str) -> Case | None:
        try:
            return Case.model_validate_json(self._store.read(key))
        except FileNotFoundError:
            return None  # decided, erased or expired since it was listed

    def _decision(self, key: str) -> Decision | None:
        try:
            return Decision.model_validate_json(self._store.read(key))
        except FileNotFoundError:
            return None


def _is_labelled(prediction_id: str, made_at: datetime, arrived: Mapping[str, datetime]) -> bool:
    """A label that came before the prediction was made is about another."""
    at = arrived.get(prediction_id)
    return at is not None and at + CLOCK_SKEW >= made_at


def _distance(case: Case) -> float:
    return abs(case.score - case.threshold)


def _taken(decision: Decision) -> CaseTaken:
    verb = "confirmed" if decision.verdict == "confirm" else "overruled"
    when = f"{decision.at:%Y-%m-%d at %H:%M} UTC"
    return CaseTaken(f"{decision.reviewer} {verb} the case {decision.case.case} on {when}. Take another.")
