"""Faults on purpose: a throttled, slow, failing or dying cloud, at the n-th moment that the file describes."""

import fnmatch
import os
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec
import yaml

__all__ = ["Dies", "Fails", "Faults"]

ATTEMPTS = 5  # as often as AWS's own clients try
FIRST_DELAY_S = 0.02
VARIABLE = "SIMULATION_FAULTS"


class Fails(Exception):
    """The operation is refused by the cloud; the message is what its API would say."""


class Dies(Exception):
    """The provider's process ends at this moment."""


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of the file."""

    fault: Literal["throttled", "slow", "fails", "dies"]
    operation: Literal["create", "read", "update", "delete"] = "create"
    type: str = "*"  # a pattern, as in a shell
    name: str = "*"
    at: int = 1  # the n-th operation that matches, counted from 1
    times: int = 1  # how many from then on
    when: Literal["before", "after"] = "before"  # after: the cloud has done it, the engine never hears
    delay_s: float = 0.0
    message: str = "InternalFailure: the request processing has failed because of an unknown error"


class Faults:
    """The entries of the file that `SIMULATION_FAULTS` names, and how often each has matched."""

    def __init__(self, entries: list[Fault]) -> None:
        self._lock = threading.Lock()
        self.replace(entries)

    @classmethod
    def read(cls, file: Path | None = None) -> "Faults":
        """From a YAML list; none where no file is named. ValueError says what is wrong with it."""
        path = file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
        if path is None:
            return cls([])
        try:
            return cls(msgspec.convert(yaml.safe_load(path.read_text()) or [], type=list[Fault]))
        except (OSError, msgspec.ValidationError, yaml.YAMLError) as error:
            raise ValueError(f"The faults in {path} can't be used: {error}") from error

    def replace(self, entries: list[Fault]) -> None:
        """Other faults from now on, counted anew."""
        with self._lock:
            self.entries = entries
            self._seen = [0] * len(entries)

    def strike(self, operation: str, type_: str, name: str, when: str = "before") -> None:
        """Let happen what is due now; Fails or Dies where something is."""
        for fault in self._due(operation, type_, name, when):
            if fault.fault == "slow":
                time.sleep(fault.delay_s)
            elif fault.fault == "throttled":
                self._throttle(fault)
            elif fault.fault == "fails":
                raise Fails(fault.message)
            else:
                raise Dies

    def _due(self, operation: str, type_: str, name: str, when: str) -> list[Fault]:
        due: list[Fault] = []
        with self._lock:
            for index, fault in enumerate(self.entries):
                matches = fnmatch.fnmatch(type_, fault.type) and fnmatch.fnmatch(name, fault.name)
                if (fault.operation, fault.when) == (operation, when) and matches:
                    self._seen[index] += 1
                    if fault.at <= self._seen[index] < fault.at + (1 if fault.fault == "throttled" else fault.times):
                        due.append(fault)
        return due

    def _throttle(self, fault: Fault) -> None:
        """The cloud refuses `times` attempts; the provider tries again, each time after twice as long."""
        for attempt in range(fault.times):
            if attempt + 1 == ATTEMPTS:
                raise Fails(f"ThrottlingException: Rate exceeded (tried {ATTEMPTS} times)")
            time.sleep(FIRST_DELAY_S * 2**attempt)
