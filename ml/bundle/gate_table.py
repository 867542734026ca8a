"""Gates for people to read: what was measured, on how much, what was demanded, and how each ended."""

from typing import get_args

from ml.bundle.manifest import Evidence, Gate, GateResult

__all__ = ["counts", "judged_on", "refusing", "result_of", "shown", "table", "verdict"]


def refusing(gates: tuple[Gate, ...]) -> list[str]:
    """The names of the gates that a release would be refused for."""
    return [gate.name for gate in gates if not gate.lets_pass]


def counts(gates: tuple[Gate, ...]) -> dict[GateResult, int]:
    """How many gates ended how, all four results."""
    return {result: sum(gate.result == result for gate in gates) for result in get_args(GateResult)}


def verdict(gates: tuple[Gate, ...]) -> str:
    """What the gates mean for a release, in a sentence."""
    names = refusing(gates)
    return f"Would not be released: {', '.join(names)}." if names else "Every gate is passed or waived."


def table(gates: tuple[Gate, ...]) -> str:
    """The gates as a plain-text table: gate, measured, demanded, on what, result, and by how much a failed one missed.

    Below it, the groups that were too small to judge.
    """
    rows = [("gate", "measured", "demanded", "judged on", "result")]
    rows += [(g.name, shown(g.measured), g.demanded, judged_on(g.evidence), result_of(g)) for g in gates]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {measured:>{widths[1]}}  {demanded:<{widths[2]}}  {on:<{widths[3]}}  {result}"
        for name, measured, demanded, on, result in rows
    ]
    return "\n".join([*lines, *_left_out(gates)])


def shown(measured: float | None) -> str:
    """A figure with four places, a dash where there is none."""
    return "-" if measured is None else f"{measured:.4f}"


def judged_on(evidence: Evidence | None) -> str:
    """What a figure was measured on: how many groups, or rows and positives."""
    if evidence is None:
        return ""
    if evidence.groups is not None:
        return f"{len(evidence.groups)} of {len(evidence.groups) + len(evidence.groups_left_out or {})} groups"
    if evidence.rows is None:
        return ""
    return f"{evidence.rows:,}" + ("" if evidence.positives is None else f", {evidence.positives:,} positive")


def result_of(gate: Gate) -> str:
    """How a gate ended, until when a waiver holds, by how much it failed, and why it was not judged."""
    until = f" until {gate.waiver_expires:%Y-%m-%d}" if gate.waiver_expires else ""
    missed = f", missed by {gate.missed_by:.4g}" if gate.missed_by else ""
    note = f": {gate.note}" if gate.note else ""
    return f"{gate.result.replace('_', ' ')}{until}{missed}{note}"


def _left_out(gates: tuple[Gate, ...]) -> list[str]:
    said: dict[str, str] = {}
    for gate in gates:
        if gate.evidence and gate.evidence.groups_left_out and gate.evidence.groups:
            groups = ", ".join(f"{group} ({rows:,})" for group, rows in gate.evidence.groups_left_out.items())
            said[groups] = f"{said[groups]}, {gate.name}" if groups in said else gate.name
    return [f"Too small to judge by {names}: {groups}" for groups, names in said.items()]
