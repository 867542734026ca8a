"""CloudWatch Logs keeps for certain numbers of days only."""

__all__ = ["LONGEST_LOG_GROUP", "retention_days"]

LONGEST_LOG_GROUP = 128
KEPT_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


def retention_days(wanted: int) -> int:
    """The shortest time that is there and not shorter than `wanted`; the longest is ten years."""
    return next((days for days in KEPT_DAYS if days >= wanted), KEPT_DAYS[-1])
