"""Schedules as EventBridge writes them."""

__all__ = ["every"]


def every(number: int, unit: str) -> str:
    """A rate: `every(1, "day")`, `every(6, "hour")`."""
    return f"rate({number} {unit}{'s' if number > 1 else ''})"
