"""Processes of one machine: our own server answers, and the command that trains or scores does it itself."""

from typing import Final

from ml.platform import Platform

__all__ = ["PLATFORM"]

PLATFORM: Final = Platform()
