"""The services' published contracts: what an operation accepts, and how properties become its parameters."""

from infra.simulation.api.compiled import contract_of
from infra.simulation.api.contract import Contract, contract_problems, parameters

__all__ = ["Contract", "contract_of", "contract_problems", "parameters"]
