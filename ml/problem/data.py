"""The data: the columns and what they may hold, the files, and what each is for."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from ml.problem.domain import LARGEST, Domain, WholeNumbers
from ml.problem.frozen import Frozen

__all__ = ["Categorical", "Condition", "Datasets", "Feature", "Numeric", "Split", "Target"]

Number = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
OUTCOMES: Final = 2


class Condition(Frozen):
    """One test of one column; every bound that is given must hold."""

    column: str
    at_least: int | None = None
    at_most: int | None = None
    is_in: tuple[int, ...] | None = None


class Target(Frozen):
    """The label, which of its codes counts as positive, and when it becomes known."""

    column: str
    positive: int
    codes: dict[Number, str]
    event: str

    @property
    def domain(self) -> Domain:
        """What the target's column may hold."""
        return WholeNumbers.of_codes(tuple(self.codes))

    @model_validator(mode="after")
    def _is_one_outcome_or_the_other(self) -> Self:
        if len(self.codes) != OUTCOMES:
            raise ValueError(
                f"{len(self.codes)} codes ({', '.join(map(str, self.codes))}); a model here tells two outcomes apart. "
                "Give two codes, and recode the column where it has others"
            )
        return self


class Numeric(Frozen):
    """An ordered integer feature between `minimum` and `maximum`, both included."""

    kind: Literal["numeric"]
    name: str
    title: str
    minimum: Number
    maximum: Number
    nullable: bool = False
    sensitive: bool = False

    @property
    def domain(self) -> Domain:
        """What the column may hold."""
        return WholeNumbers(self.minimum, self.maximum, nullable=self.nullable)

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"the minimum {self.minimum} is above the maximum {self.maximum}")
        return self


class Categorical(Frozen):
    """A feature that takes one of the listed integer codes."""

    kind: Literal["categorical"]
    name: str
    title: str
    codes: dict[Number, str] = Field(min_length=1)
    nullable: bool = False
    sensitive: bool = False

    @property
    def domain(self) -> Domain:
        """What the column may hold."""
        return WholeNumbers.of_codes(tuple(self.codes), nullable=self.nullable)


Feature = Annotated[Numeric | Categorical, Field(discriminator="kind")]


class DatasetFile(Frozen):
    """A file below the datasets' root and the SHA-256 of its bytes."""

    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class DataSheet(Frozen):
    """What a data sheet says that no file shows: headings of Gebru et al., "Datasheets for Datasets" (2021)."""

    motivation: str
    composition: str
    collection: str
    preprocessing: str
    uses: str
    distribution: str
    maintenance: str


class Datasets(Frozen):
    """The data files by name, with their source and licence."""

    root: str
    license: str
    source: str
    sheet: DataSheet
    files: dict[str, DatasetFile]


class Shifted(Frozen):
    """A part of the live population, to see what drift looks like."""

    title: str
    when: tuple[Condition, ...] = Field(min_length=1)


class Split(Frozen):
    """Which dataset trains, tests and plays live traffic; the fraction of the training set held out for choices."""

    train: str
    validation_fraction: float = Field(gt=0, lt=0.5)
    test: str
    live: str
    shifted: Shifted
    seed: int
