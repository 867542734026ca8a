"""For each rule a program that keeps it and programs that break it."""

from tests.policy_cases import access, data, evidence, lakehouse, operations, running, workloads
from tests.policy_cases.programs import Cases

__all__ = ["CASES"]

CASES: Cases = data.CASES | access.CASES | operations.CASES | workloads.CASES | lakehouse.CASES | evidence.CASES
CASES |= running.CASES
