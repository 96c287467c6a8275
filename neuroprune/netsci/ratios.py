"""Fractions of what may be nothing: undefined is NaN, never zero and never an error."""

import numpy as np


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return part / whole, NaN where the whole is 0 or undefined.

    Parameters
    ----------
    part, whole : array
        Of one shape; the whole is not negative.

    Examples
    --------
    >>> ratio(np.array([1, 2]), np.array([2, 0])).tolist()
    [0.5, nan]
    """
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
