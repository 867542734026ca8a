"""What every part of the definition is: validated once, and never changed."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Frozen"]


class Frozen(BaseModel):
    """A part of the definition; what it doesn't know is refused, and so is a number that nothing can be held to."""

    # A limit of NaN would let everything pass, for nothing is beyond it.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)
