"""What an environment checks of a release that came to it: does it pass the gates in force here, was its code reviewed,
does it load and answer, fit, stay fast, decide alike."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import JsonValue

from ml.arrow import in_memory
from ml.bundle.evaluation import REFERENCE_FILE
from ml.bundle.manifest import Manifest
from ml.bundle.schema import BundleSchema
from ml.errors import MlopsError
from ml.model.model import ServedModel
from ml.predictions import PREFIX, partition
from ml.problem import Problem, ShadowGate
from ml.release.in_force import code_objection, judged_here, objections
from ml.release.latency import served_latency
from ml.store import Store

__all__ = ["Check", "CodeWaiver", "run_checks", "table"]

BATCH_ROWS: Final = 1000
CHAMPION: Final = "champion"
WAIVABLE: Final = {"latency": "latency_ms", "shadow": "shadow"}  # by the waivers of the problem definition


@dataclass(frozen=True)
class CodeWaiver:
    """Why a release of code that no commit holds may go on, and until when it may be deployed (that day included)."""

    reason: str
    until: date


@dataclass(frozen=True)
class Check:
    """One check, and in `note` why it ended so.

    `not_judged`, for want of evidence, blocks as `failed` does; `not_applicable` is where there is nothing to ask.
    """

    name: str
    result: Literal["passed", "failed", "not_judged", "not_applicable", "waived"]
    note: str
    measured: float | None = None
    demanded: str | None = None
    waiver_expires: str | None = None

    @property
    def lets_pass(self) -> bool:
        """Whether it doesn't refuse the release."""
        return self.result not in ("failed", "not_judged")

    def as_json(self) -> dict[str, JsonValue]:
        """What the ledger keeps of it."""
        return {key: value for key, value in vars(self).items() if value is not None}


def run_checks(
    bundle: Path,
    manifest: Manifest,
    problem: Problem,
    store: Store,
    replaced: str | None,
    code_waiver: CodeWaiver | None,
    say: Callable[[str], None],
) -> tuple[Check, ...]:
    """Check the verified release in `bundle`; `store` holds the requests that `replaced`, the one before, answered."""
    today = datetime.now(UTC).date()
    evidence = (_gates(problem, manifest, today), _code(manifest, code_waiver))
    say("Checking that it loads and answers its example")
    try:
        model = ServedModel.load(bundle, manifest, maximum_rows=max(BATCH_ROWS, problem.gates.latency.rows))
    except MlopsError as error:
        return (*evidence, Check("smoke", "failed", str(error)))
    say("Checking its contract, its latency and its decisions on logged requests")
    return (
        *evidence,
        Check("smoke", "passed", "it loads and answers its example row"),
        _contract(model, problem),
        _waived(_latency(model, problem, bundle), problem, today),
        _waived(_shadow(model, problem, store, replaced), problem, today),
    )


def table(checks: tuple[Check, ...]) -> str:
    """The checks as plain text, one a line."""
    width = max(len(check.result) for check in checks)
    return "\n".join(f"{check.name:<10}{check.result.replace('_', ' '):<{width}}  {check.note}" for check in checks)


def _gates(problem: Problem, manifest: Manifest, today: date) -> Check:
    """The figures that it was released with, judged by the gates of this checkout."""
    gates = judged_here(problem, manifest, today)
    if refusing := objections(gates):
        return Check("gates", "failed", f"judged by the gates in force here, it does not pass:\n{refusing}")
    waived = [gate.name for gate in gates if gate.result == "waived"]
    note = f"it passes the {len(gates)} gates in force here"
    return Check("gates", "passed", f"{note}, of them waived: {', '.join(waived)}" if waived else note)


def _code(manifest: Manifest, waiver: CodeWaiver | None) -> Check:
    """What made it can be read by a reviewer: a commit holds all of it."""
    objection = code_objection(manifest)
    if objection is None:
        return Check("code", "passed", f"commit {manifest.code_commit[:12]} holds all of it")
    if waiver is None:
        advice = "commit, train and release again, or say why it may go on with --waive-modified-code and --until"
        return Check("code", "failed", f"{objection}: {advice}")
    expires = datetime.combine(waiver.until, time.max, UTC)
    return Check("code", "waived", f"{objection}; {waiver.reason}", waiver_expires=expires.isoformat())


def _waived(check: Check, problem: Problem, today: date) -> Check:
    """A check that refuses, unless the problem definition waives it today."""
    name = WAIVABLE[check.name]
    own = [waiver for waiver in problem.waivers if waiver.gate == name and waiver.expires >= today]
    if check.lets_pass or not own:
        return check
    waiver = max(own, key=lambda each: each.expires)
    expires = datetime.combine(waiver.expires, time.max, UTC).isoformat()
    return replace(check, result="waived", note=f"{check.note}; waived: {waiver.reason}", waiver_expires=expires)


def _contract(model: ServedModel, problem: Problem) -> Check:
    """The requests and answers of this environment's callers are the problem definition's."""
    expected = BundleSchema.of(problem)
    different = [name for name in BundleSchema.model_fields if getattr(model.schema, name) != getattr(expected, name)]
    if different:
        note = f"its schema differs from the problem definition's in {', '.join(different)}"
        return Check("contract", "failed", note)
    return Check("contract", "passed", f"its schema is the problem definition's, {len(expected.features)} features")


def _latency(model: ServedModel, problem: Problem, bundle: Path) -> Check:
    gate = problem.gates.latency
    found, demanded = served_latency(model, gate, bundle / REFERENCE_FILE), f"at most {gate.maximum_ms:g} ms"
    if found.why_not is not None or found.ms is None:
        return Check("latency", "not_judged", found.why_not or "nothing was measured", found.ms, demanded)
    note = f"{found.ms:.1f} ms at the {gate.quantile:.0%} quantile, at most {gate.maximum_ms:g} demanded"
    return Check("latency", "passed" if found.ms <= gate.maximum_ms else "failed", note, found.ms, demanded)


def _shadow(model: ServedModel, problem: Problem, store: Store, replaced: str | None) -> Check:
    """The share of logged requests that this release decides otherwise than the one it replaces did."""
    gate = problem.gates.shadow
    if replaced in (None, model.release):
        return Check("shadow", "not_applicable", "it replaces no other release")
    if coarse := problem.prediction_log.coarse:
        note = (
            f"the prediction log does not keep {', '.join(coarse)} as asked, so no request can be asked again: compare "
            "the two in another way, and waive `shadow` in the problem definition until a date"
        )
        return Check("shadow", "not_judged", note)
    logged = _logged(store, problem, str(replaced), gate)
    if logged.num_rows < gate.minimum_rows:
        note = (
            f"{logged.num_rows:,} requests that {_short(replaced)} answered are logged, at least {gate.minimum_rows:,} "
            "are needed: let it answer more (`mlops replay` sends some), or waive `shadow` in the problem definition"
        )
        return Check("shadow", "not_judged", note)
    try:
        scores, decisions = _answers(model, problem, logged)
    except MlopsError as error:
        return Check("shadow", "failed", f"it can't answer a request that {_short(replaced)} answered: {error}")
    rows = logged.num_rows
    changed = float(np.mean(decisions != logged["decision"].to_numpy()))
    moved = float(np.mean(np.abs(scores - logged["score"].to_numpy())))
    note = (
        f"of {rows} logged requests {changed:.1%} are decided otherwise than by {_short(replaced)}, at most "
        f"{gate.maximum_changed_decisions:.0%} demanded; scores move by {moved:.3f} on average"
    )
    passed = changed <= gate.maximum_changed_decisions
    demanded = f"at most {gate.maximum_changed_decisions:g}"
    return Check("shadow", "passed" if passed else "failed", note, changed, demanded)


def _logged(store: Store, problem: Problem, release: str, gate: ShadowGate) -> pa.Table:
    """The newest requests that a release answered as the champion, at most as many as the gate asks for."""
    columns = [*problem.feature_names, "score", "decision"]
    tables: list[pa.Table] = []
    wanted = gate.maximum_rows
    for key in _log_keys(store, release):
        file = in_memory(store.read(key))
        part = pq.read_table(file, columns=[*columns, "role"], filters=pc.field("role") == CHAMPION)
        tables.append(part.select(columns).slice(max(0, part.num_rows - wanted)))
        wanted -= tables[-1].num_rows
        if wanted <= 0:
            break
    return pa.concat_tables(tables) if tables else pa.table({name: pa.array([], pa.int32()) for name in columns})


def _log_keys(store: Store, release: str) -> Iterator[str]:
    """The files of a release's logged predictions, newest day first."""
    of_release = partition(date.min, release).rpartition("/")[2]  # the same on every day
    for key in sorted(store.list(PREFIX), reverse=True):
        if key.endswith(".parquet") and of_release in key.split("/"):
            yield key


def _answers(model: ServedModel, problem: Problem, logged: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The scores and decisions of the logged requests, (rows,) each."""
    batches = logged.select(problem.feature_names).to_batches(max_chunksize=BATCH_ROWS)
    bodies = (msgspec.json.encode(batch.to_pylist()) for batch in batches if batch.num_rows)
    answers = [model.answer(body, "shadow")[1:] for body in bodies]
    scores, decisions = zip(*answers, strict=True)
    return np.concatenate(scores), np.concatenate(decisions)


def _short(release: str | None) -> str:
    return f"{release}"[:19]
