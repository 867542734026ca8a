"""Judge a release's figures by the problem definition of this checkout: its author's may have been another.

Every gate is judged anew by the limits, the minimum evidence and the waivers that hold here, and `definition` says
whether the figures were measured under the same definition at all. A release of code that no commit holds needs a
waiver outside the first environment, since nobody could have reviewed it.
"""

import re
from datetime import date

from ml.bundle.definition import measured_under
from ml.bundle.gate_table import result_of, shown
from ml.bundle.judgement import CHAMPION, Figure, fairness_figures, judged, waived
from ml.bundle.manifest import Evidence, Gate, Manifest
from ml.problem import Problem

__all__ = ["code_objection", "judged_here", "objections"]

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def judged_here(problem: Problem, manifest: Manifest, today: date) -> tuple[Gate, ...]:
    """Every gate of `problem` with the result that the manifest's figures have on `today`; the last is `definition`."""
    known = {gate.name: Figure(gate.measured, gate.evidence or Evidence(), _unjudged(gate)) for gate in manifest.gates}
    figures = known | fairness_figures(problem, manifest.fairness)
    never = {f"fairness.{a.column}.{rate}" for a in problem.protected for rate in a.limits} - known.keys()
    gates = judged(problem, {name: figure for name, figure in figures.items() if name not in never}, today)
    return (*gates, waived(_definition(problem, manifest, gates), problem.waivers, today))


def objections(gates: tuple[Gate, ...]) -> str:
    """The gates that refuse, one a line, each with its figure."""
    return "\n".join(
        f"  {gate.name}: {shown(gate.measured)}, {gate.demanded} demanded: {result_of(gate)}"
        for gate in gates
        if not gate.lets_pass
    )


def code_objection(manifest: Manifest) -> str | None:
    """Why nobody can have reviewed the code that made a release; None where a commit holds it."""
    if not COMMIT.fullmatch(manifest.code_commit):
        return f"it was made by code of no known commit ({manifest.code_commit!r})"
    if manifest.code_modified:
        return f"it was made by a checkout that differed from commit {manifest.code_commit[:12]}"
    return None


def _unjudged(gate: Gate) -> str | None:
    """Why a latency could not be measured; all else is judged anew by its counts."""
    return gate.note if gate.result == "not_judged" and gate.name == "latency_ms" else None


def _definition(problem: Problem, manifest: Manifest, gates: tuple[Gate, ...]) -> Gate:
    expected, found = measured_under(problem), manifest.measured_under
    unknown = sorted({gate.name for gate in manifest.gates} - {gate.name for gate in gates} - {CHAMPION})
    wrong: list[str] = []
    if found is None:
        wrong.append("it doesn't say under which definition it was measured: train and release again")
    elif different := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        wrong.append(f"it was measured under another definition of {', '.join(different)}")
    if unknown:
        wrong.append(f"it was judged by gates that are not in force: {', '.join(unknown)}")
    return Gate(
        name="definition",
        measured=None,
        demanded="that of this checkout",
        result="not_judged" if found is None else "failed" if wrong else "passed",
        note="; ".join(wrong) or None,
    )
