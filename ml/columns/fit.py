"""Which values of an array are in a domain."""

import numpy as np

from ml.problem.domain import Domain

__all__ = ["fits"]


def fits(domain: Domain, values: np.ndarray) -> np.ndarray:
    """For each number whether it is in the domain; NaN never is, be it missing or no number."""
    good = (values >= domain.minimum) & (values <= domain.maximum)
    if values.dtype.kind == "f":
        good &= values == np.floor(values)
    if domain.has_gaps:
        good &= np.isin(values, np.array(domain.codes))
    return good
