"""Why a job trains, which whoever starts it says in its environment: it decides what the training learns from."""

from typing import Final

__all__ = ["PERSON", "REASON", "is_challenge"]

REASON: Final = "MLOPS_TRAINING_REASON"
PERSON: Final = "person"
SCHEDULE: Final = "schedule"


def is_challenge(reason: str) -> bool:
    """Whether the monitor asked, whose reasons are the triggers that held: persons and schedules ask for no more."""
    return reason not in (PERSON, SCHEDULE)
