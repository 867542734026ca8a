"""What every part of the definition is: validated once, and never changed."""

from pydantic import BaseModel, ConfigDict

__all__ = ["Frozen"]


class Frozen(BaseModel):
    """A part of the definition; what it doesn't know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
