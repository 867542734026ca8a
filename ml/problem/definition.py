"""The whole definition, and how it is read."""

import os
from functools import cache
from pathlib import Path
from typing import Self

import yaml
from pydantic import Field, ValidationError, model_validator

from ml.errors import InputRefused
from ml.problem.data import Condition, Datasets, Feature, Split, Target
from ml.problem.decision import Baseline, Costs, Decision, Protected
from ml.problem.domain import Domain
from ml.problem.frozen import Frozen
from ml.problem.gates import Gates, Waiver
from ml.problem.live import Canary, PredictionLogRules, Retraining, Review
from ml.problem.monitoring import Monitoring

__all__ = ["Problem", "load_problem", "read_problem"]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's takes a tenth of the time, where it is there
DEFAULT_FILE = Path(__file__).parents[1] / "problem.yaml"
VARIABLE = "MLOPS_PROBLEM"  # another definition than the checkout's: the tests of a fork are about the reference's


class Problem(Frozen):
    """The whole definition, validated once."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")
    title: str
    decision: Decision
    baseline: Baseline
    target: Target
    identifier: str
    time: str
    population: tuple[Condition, ...]
    features: tuple[Feature, ...] = Field(min_length=1)
    datasets: Datasets
    split: Split
    costs: Costs
    protected: tuple[Protected, ...]
    gates: Gates
    prediction_log: PredictionLogRules
    canary: Canary
    review: Review
    retraining: Retraining
    monitoring: Monitoring
    waivers: tuple[Waiver, ...] = ()

    @property
    def feature_names(self) -> list[str]:
        """The features' names, in the order of the model's input columns."""
        return [feature.name for feature in self.features]

    @property
    def columns(self) -> list[str]:
        """Every column of a raw data file, in order."""
        return [self.identifier, self.time, *self.feature_names, self.target.column]

    @property
    def domains(self) -> dict[str, Domain]:
        """What each feature and the target may hold."""
        return {feature.name: feature.domain for feature in self.features} | {self.target.column: self.target.domain}

    @property
    def cost_threshold(self) -> float:
        """The score above which 'positive' has the lower expected cost, for calibrated scores (Elkan, 2001)."""
        fp, fn = self.costs.false_positive.cost, self.costs.false_negative.cost
        return fp / (fp + fn)

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> Self:
        known, names = set(self.columns), self.feature_names
        if len(known) != len(self.columns):
            raise ValueError(
                f"columns are named twice: {sorted({c for c in self.columns if self.columns.count(c) > 1})}"
            )
        for where, conditions in (
            ("baseline.when", self.baseline.when),
            ("population", self.population),
            ("split.shifted.when", self.split.shifted.when),
        ):
            for condition in conditions:
                if condition.column not in known:
                    raise ValueError(f"{where} names the column {condition.column!r}, which no feature defines")
        for attribute in self.protected:
            if attribute.column not in names:
                raise ValueError(f"protected names the column {attribute.column!r}, which no feature defines")
        self._says_what_is_logged()
        if self.target.positive not in self.target.codes:
            raise ValueError(
                f"target.positive is {self.target.positive}, "
                f"which is not one of target.codes {sorted(self.target.codes)}"
            )
        for role in ("train", "test", "live"):
            if getattr(self.split, role) not in self.datasets.files:
                raise ValueError(f"split.{role} is {getattr(self.split, role)!r}, which datasets.files doesn't define")
        return self

    def _says_what_is_logged(self) -> None:
        rules, sensitive = self.prediction_log.sensitive, {f.name for f in self.features if f.sensitive}
        if different := sorted(rules.keys() ^ sensitive):
            raise ValueError(
                f"prediction_log.sensitive must have a rule for each feature marked sensitive, and for no other: "
                f"see {', '.join(different)}"
            )
        bands = {attribute.column for attribute in self.protected if attribute.bands}
        if bandless := sorted(name for name, rule in rules.items() if rule.logged == "banded" and name not in bands):
            raise ValueError(f"prediction_log.sensitive bands {', '.join(bandless)}, but protected gives it no bands")


def read_problem(file: Path) -> Problem:
    """Read and validate a problem definition; InputRefused names the file and every entry that is wrong."""
    try:
        return Problem.model_validate(yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER))  # noqa: S506 # safe, either
    except OSError as error:
        raise InputRefused(f"The problem definition {file} can't be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise InputRefused(f"The problem definition {file} is not YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'as a whole'}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        )
        raise InputRefused(f"The problem definition {file} is not valid. {wrong}.") from error


@cache
def load_problem() -> Problem:
    """The problem this project is about."""
    return read_problem(Path(os.environ.get(VARIABLE) or DEFAULT_FILE))
