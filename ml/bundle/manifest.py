"""The manifest: what a release is made of, how good it is, and which gates it passed."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "DIGEST_PATTERN",
    "NO_GROUP",
    "Evidence",
    "Gate",
    "GateResult",
    "GroupRates",
    "Manifest",
    "MetricResult",
    "ScorerEvidence",
]

Digest = str  # "sha256:" and 64 hexadecimal digits
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
NO_GROUP = "none of the groups"  # of rows whose value no group of a protected attribute has

# Only the first and the last let a release pass.
GateResult = Literal["passed", "failed", "not_judged", "waived"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class MetricResult(_Frozen):
    """A metric of the model beside the baseline's, with the bootstrap interval of their difference.

    None where the rows don't define it: there is no ROC AUC of one class.
    """

    name: str
    value: float | None
    baseline: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


class Evidence(_Frozen):
    """What a figure was measured on: rows (calls, for a latency), how many of them positive, and groups by their rows.

    The groups that were left out had too few.
    """

    rows: int | None = None
    positives: int | None = None
    groups: dict[str, int] | None = None
    groups_left_out: dict[str, int] | None = None


class Gate(_Frozen):
    """One gate: what was measured, what was demanded, by how much it was missed (0 when met), and how it ended.

    `not_judged` is the result where the evidence is too little, for the reason in `note`; it refuses as `failed` does.
    """

    name: str
    measured: float | None
    demanded: str
    missed_by: float = 0.0
    result: GateResult
    waiver_expires: datetime | None = None
    evidence: Evidence | None = None
    note: str | None = None

    @property
    def lets_pass(self) -> bool:
        """Whether it doesn't refuse the release."""
        return self.result in ("passed", "waived")


class GroupRates(_Frozen):
    """The rates of one group of a protected attribute on the test set; `judged` is False for groups too small.

    `positives` of the `rows` are known to be positive; None in a manifest from before it was counted.
    """

    attribute: str
    group: str
    rows: int
    rates: dict[str, float]
    judged: bool
    positives: int | None = None


class ScorerEvidence(_Frozen):
    """What scores: tables made from `trees` or an `additive` model, or the `exact` model itself, for `reason`.

    Where tables were made they were compared with the model on `rows` of the evaluation set and on `random_rows`.
    """

    kind: Literal["trees", "additive", "exact"]
    reason: str | None = None
    rows: int | None = None
    random_rows: int | None = None
    largest_difference: float | None = None
    changed_decisions: int | None = None


class Manifest(_Frozen):
    """Everything a release claims; its canonical JSON is hashed into the release's digest.

    `files` names every other file of the bundle with its digest, and `bundle_digest` is the digest of that
    listing: the same inputs give the same `bundle_digest`, while the release's digest also covers who and when.
    `measured_under` has a digest of each part of the problem definition that the figures depend on.
    """

    schema_version: Literal[1] = 1
    name: str
    version: str
    created_at: datetime
    created_by: str
    bundle_digest: Digest = Field(pattern=DIGEST_PATTERN)
    files: dict[str, Digest]
    data: dict[str, Digest]
    code_commit: str
    code_modified: bool
    problem_digest: Digest = Field(pattern=DIGEST_PATTERN)
    image_digest: Digest | None = None
    candidate: str
    parameters: dict[str, str | int | float | bool | None]
    decision_threshold: float
    metrics: tuple[MetricResult, ...]
    gates: tuple[Gate, ...]
    fairness: tuple[GroupRates, ...]
    tracking_run: str | None = None
    scorer: ScorerEvidence | None = None
    measured_under: dict[str, Digest] | None = None

    @property
    def passed(self) -> bool:
        """Whether there are gates, and every one passed or is waived."""
        return bool(self.gates) and all(gate.lets_pass for gate in self.gates)
