"""What a release expects of a request: written into the bundle, so that a server needs no problem definition."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ml.errors import ReleaseRefused
from ml.problem import Categorical, Feature, Problem

__all__ = ["SCHEMA_FILE", "BundleSchema"]

SCHEMA_FILE: Final = "schema.json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class BundleSchema(BaseModel):
    """The features in the order of the model's columns, the JSON Schema of a row, an example of one, the outcomes.

    `outcomes` says what each code of the target means; `positive` is the code that a score is the probability of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    schema_version: Literal[1] = 1
    title: str
    features: tuple[Feature, ...]
    row: dict[str, Any]
    example: dict[str, int]
    positive: int
    negative: int
    outcomes: dict[int, str]

    @classmethod
    def of(cls, problem: Problem) -> "BundleSchema":
        """The schema that follows from a problem definition."""
        target = problem.target
        return cls(
            title=problem.title,
            features=problem.features,
            row=_row_schema(problem),
            example={feature.name: _typical(feature) for feature in problem.features},
            positive=target.positive,
            negative=next(code for code in target.codes if code != target.positive),
            outcomes=target.codes,
        )

    @classmethod
    def parse(cls, data: bytes) -> "BundleSchema":
        """Read a bundle's schema.json; ReleaseRefused when this version can't."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "as a whole"
            raise ReleaseRefused(
                f"The bundle's {SCHEMA_FILE} is not one that this version reads: {where}: {first['msg']}. "
                "Release the model again with this version."
            ) from error

    def dump(self) -> bytes:
        """The bytes of schema.json."""
        return self.model_dump_json(indent=2).encode() + b"\n"


def _row_schema(problem: Problem) -> dict[str, Any]:
    return {
        "$schema": DIALECT,
        "title": f"One row for the model {problem.name}",
        "type": "object",
        "additionalProperties": False,
        "required": problem.feature_names,
        "properties": {feature.name: _value_schema(feature) for feature in problem.features},
    }


def _value_schema(feature: Feature) -> dict[str, Any]:
    if isinstance(feature, Categorical):
        labelled = [{"const": code, "title": meaning} for code, meaning in feature.codes.items()]
        return {"title": feature.title, "oneOf": [*labelled, {"type": "null"}] if feature.nullable else labelled}
    kind = ["integer", "null"] if feature.nullable else "integer"
    return {"title": feature.title, "type": kind, "minimum": feature.minimum, "maximum": feature.maximum}


def _typical(feature: Feature) -> int:
    if isinstance(feature, Categorical):
        return next(iter(feature.codes))
    return (feature.minimum + feature.maximum) // 2
