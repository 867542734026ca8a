"""What every stack keeps: rules as plain checks, and as a policy pack for the engine."""

from pathlib import Path

__all__ = ["JUDGED", "PACK"]

PACK = Path(__file__).parent  # for `pulumi preview --policy-pack`
JUDGED = ("aws",)  # the clouds that there are rules for
