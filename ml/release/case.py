"""What somebody who approves a release is shown: its figures by the gates in force, and what differs from what serves.

The second pair of eyes must see something: the gates with their evidence, the metrics with their intervals beside those
of the release in service, the groups, the code's state, the waivers, and which limits its author judged by.
"""

from dataclasses import dataclass
from datetime import datetime

from pydantic import JsonValue

from ml.bundle.bundle import read_manifest
from ml.bundle.gate_table import shown, table
from ml.bundle.manifest import Gate, Manifest, MetricResult
from ml.errors import ReleaseRefused
from ml.problem import Problem
from ml.release.in_force import code_objection, judged_here
from ml.release.policy import SoundRelease
from ml.release.stage import Stage
from ml.trust.history import passing_gate, serving
from ml.trust.ledger import Entry

__all__ = ["Case", "as_json", "as_text", "case_of"]


@dataclass(frozen=True)
class Case:
    """A release that may be approved; `gates` are judged here, `in_service` is what serves now, if anything does."""

    stack: str
    release: SoundRelease
    gates: tuple[Gate, ...]
    checks: Entry | None
    in_service: Manifest | None
    in_service_digest: str | None

    @property
    def limits_of_its_author(self) -> dict[str, tuple[str, str]]:
        """The gates whose author demanded something else: what they did, and what is demanded here."""
        theirs = {gate.name: gate.demanded for gate in self.release.manifest.gates}
        return {
            gate.name: (theirs.get(gate.name, "nothing"), gate.demanded)
            for gate in self.gates
            if gate.name != "definition" and theirs.get(gate.name) != gate.demanded
        }

    @property
    def metrics(self) -> list[tuple[MetricResult, float | None]]:
        """Each metric with that of the release in service."""
        served = {metric.name: metric.value for metric in self.in_service.metrics} if self.in_service else {}
        return [(metric, served.get(metric.name)) for metric in self.release.manifest.metrics]

    @property
    def differences(self) -> dict[str, tuple[str, str]]:
        """What else differs from the release in service: what it has, and what this one has."""
        if self.in_service is None:
            return {}
        before, now = _facts(self.in_service), _facts(self.release.manifest)
        return {name: (before.get(name, "none"), value) for name, value in now.items() if before.get(name) != value}


def case_of(stage: Stage, release: SoundRelease, problem: Problem, now: datetime) -> Case:
    """The case of a release that is proven."""
    entries = stage.ledger.entries()
    current = serving(entries)
    served = current.release if current and current.release != release.digest else None
    gates = judged_here(problem, release.manifest, now.date())
    manifest = _manifest(stage, served)
    return Case(stage.stack, release, gates, passing_gate(entries, release.digest), manifest, served)


def _manifest(stage: Stage, digest: str | None) -> Manifest | None:
    try:
        return read_manifest(stage.store, digest) if digest else None
    except ReleaseRefused:
        return None  # `mlops verify` says what is wrong with it


def _facts(manifest: Manifest) -> dict[str, str]:
    return {
        "version": manifest.version,
        "candidate": manifest.candidate,
        "decision threshold": f"{manifest.decision_threshold:.4g}",
        "code": manifest.code_commit[:12],
        "problem definition": manifest.problem_digest[:19],
        **{f"data {name}": digest[:19] for name, digest in sorted(manifest.data.items())},
    }


def as_text(case: Case, expires_at: datetime) -> str:
    """Everything, to be read before the question."""
    manifest = case.release.manifest
    objection = code_objection(manifest)
    parts = [
        f"Release   {case.release.digest}\n"
        f"Model     {manifest.name} version {manifest.version} ({manifest.candidate})\n"
        f"Made      {manifest.created_at:%Y-%m-%d %H:%M} UTC by {manifest.created_by}, "
        f"signed by {case.release.author.name}\n"
        f"Code      {objection or f'commit {manifest.code_commit}'}\n"
        f"For       {case.stack}, to be deployed before {expires_at:%Y-%m-%d %H:%M} UTC",
        f"Gates in force here\n{table(case.gates)}",
        _limits(case),
        _waivers(case),
        _metrics(case),
        _differences(case),
        _groups(manifest),
        _checks(case),
    ]
    return "\n\n".join(part for part in parts if part)


def _limits(case: Case) -> str:
    lines = [f"  {name}: {theirs}; here {ours}" for name, (theirs, ours) in case.limits_of_its_author.items()]
    return "\n".join(["Its author judged it by other limits", *lines]) if lines else "Its author had the same limits."


def _waivers(case: Case) -> str:
    lines = [f"  {g.name} until {g.waiver_expires:%Y-%m-%d}" for g in case.gates if g.waiver_expires]
    lines += [
        f"  {check.get('name')} until {str(check.get('waiver_expires'))[:10]}: {check.get('note')}"
        for check in _recorded(case)
        if check.get("result") == "waived"
    ]
    return "\n".join(["Waived", *lines]) if lines else "Nothing is waived."


def _metrics(case: Case) -> str:
    digest = case.in_service_digest
    beside = f"beside those of {digest[:19]}…, which serves now" if digest else "nothing else serves there now"
    lines = [f"{'metric':<19}{'this':>9}{'over the baseline':>22}{'in service':>12}{'change':>10}"]
    for metric, served in case.metrics:
        known = metric.difference_low is not None and metric.difference_high is not None
        interval = f"{metric.difference_low:+.4f} to {metric.difference_high:+.4f}" if known else "-"
        change = "-" if metric.value is None or served is None else f"{metric.value - served:+.4f}"
        lines.append(f"{metric.name:<19}{shown(metric.value):>9}{interval:>22}{shown(served):>12}{change:>10}")
    return "\n".join([f"Metrics, {beside}", *lines])


def _differences(case: Case) -> str:
    lines = [f"  {name}: {before}, now {now}" for name, (before, now) in case.differences.items()]
    return "\n".join(["What differs from what serves now", *lines]) if lines else ""


def _groups(manifest: Manifest) -> str:
    if not manifest.fairness:
        return "No group is protected."
    lines = ["Groups on the test set"]
    for group in manifest.fairness:
        rates = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in group.rates.items())
        positives = "" if group.positives is None else f", {group.positives:,} positive"
        small = "" if group.judged else " (not judged: too few)"
        lines.append(f"  {group.attribute} {group.group}: {group.rows:,} rows{positives}{small}; {rates or 'no rate'}")
    return "\n".join(lines)


def _checks(case: Case) -> str:
    lines = [f"  {check.get('name')} {check.get('result')}: {check.get('note')}" for check in _recorded(case)]
    return "\n".join([f"Checks of {case.stack}", *lines]) if lines else ""


def _recorded(case: Case) -> list[dict[str, JsonValue]]:
    """The environment's own checks; those of the first are the gates, which stand above."""
    checks = case.checks.details.get("checks") if case.checks else None
    gates = {gate.name for gate in case.gates}
    return [c for c in checks if isinstance(c, dict) and c.get("name") not in gates] if isinstance(checks, list) else []


def as_json(case: Case) -> dict[str, JsonValue]:
    """The same for a script."""
    manifest = case.release.manifest
    return {
        "release": case.release.digest,
        "version": manifest.version,
        "made_by": manifest.created_by,
        "signed_by": case.release.author.name,
        "code_commit": manifest.code_commit,
        "code_objection": code_objection(manifest),
        "gates": [gate.model_dump(mode="json") for gate in case.gates],
        "limits_of_its_author": {name: list(both) for name, both in case.limits_of_its_author.items()},
        "metrics": [metric.model_dump(mode="json") | {"in_service": served} for metric, served in case.metrics],
        "in_service": case.in_service_digest,
        "differences": {name: list(both) for name, both in case.differences.items()},
        "fairness": [group.model_dump(mode="json") for group in manifest.fairness],
        "checks": [*_recorded(case)],
    }
