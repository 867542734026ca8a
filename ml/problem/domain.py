"""What a column may hold: said once, and asked by every reader of one."""

from decimal import Decimal
from numbers import Integral, Real
from typing import Final, NamedTuple

__all__ = ["LARGEST", "Domain", "WholeNumbers", "whole"]

# JSON, CSV, pandas and numpy hand numbers on as doubles, which hold every whole number up to here and not the next.
# A problem's bounds and codes lie within it, so what a double has rounded is out of every domain.
LARGEST: Final = 2**53 - 1
MOST_DIGITS: Final = 40


class WholeNumbers(NamedTuple):
    """Whole numbers from `minimum` to `maximum`, both included, or of these the `codes`; nothing where `nullable`."""

    minimum: int
    maximum: int
    codes: tuple[int, ...] | None = None
    nullable: bool = False

    @classmethod
    def of_codes(cls, codes: tuple[int, ...], *, nullable: bool = False) -> "WholeNumbers":
        """The domain of a column that takes one of these codes."""
        return cls(min(codes), max(codes), codes, nullable)

    @property
    def has_gaps(self) -> bool:
        """Whether the bounds alone don't tell what is in the domain."""
        return self.codes is not None and len(self.codes) != self.maximum - self.minimum + 1

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        null = " or null" if self.nullable else ""
        if self.codes is not None:
            return f"one of the codes {', '.join(map(str, self.codes))}{null}"
        return f"an integer from {self.minimum} to {self.maximum}{null}"

    def holds(self, value: object) -> bool:
        """Whether a value that has a type, as JSON and pandas give it, is in the domain; None is a missing one."""
        if value is None:
            return self.nullable
        number = whole(value)
        if number is None:
            return False
        return number in self.codes if self.codes is not None else self.minimum <= number <= self.maximum


Domain = WholeNumbers
"""What a column may hold. Other kinds of column join here."""


def whole(value: object) -> int | None:
    """The whole number that a value is; None for one that is none, for text, for true and false.

    A float past LARGEST is none: which whole number was meant is lost.
    """
    if type(value) is int:  # what nearly every value is
        return value
    if isinstance(value, bool | str):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= LARGEST else None
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Decimal):
        is_short = value.is_finite() and value.adjusted() < MOST_DIGITS  # 1E+1000000 has a million digits
        return int(value) if is_short and value == value.to_integral_value() else None
    if isinstance(value, Real):
        number = float(value)
        return int(number) if number.is_integer() and abs(number) <= LARGEST else None
    return None
