"""Real values as integers, so that sums are exact and comparisons decide."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scaled:
    """Values as integers: ``value = units * unit``, rounded down.

    Parameters
    ----------
    units : int64 array
    unit : float
        A power of two.
    lost : float
        What rounding took from all values together.
    """

    units: np.ndarray
    unit: float
    lost: float


def scale(values: np.ndarray, bits: int, total: float | None = None) -> Scaled:
    """Return real values as integers, as fine as possible if `total` is to stay below ``2**bits``.

    Every float is an integer times a power of two. If one power serves all of them and the total then fits, nothing
    is rounded: so it is for counts, and for a few dozen values of like size. Otherwise each loses less than a unit,
    which is at most ``2**(1 - bits)`` of the total.

    Parameters
    ----------
    values : float array
        Finite.
    bits : int
        Up to 62.
    total : float, optional
        At least as large as every value; the sum of their magnitudes without it.
    """
    total = math.fsum(np.abs(values)) if total is None else total
    if total == 0:
        return Scaled(np.zeros(values.shape, np.int64), 1.0, 0.0)
    mantissa, exponent = np.frexp(values[values != 0])
    digits = np.ldexp(np.abs(mantissa), 53).astype(np.int64)
    zeros = np.log2((digits & -digits).astype(float)).astype(np.int64)
    needed = int((53 - exponent - zeros).max(initial=0))
    shift = min(needed, bits - math.frexp(total)[1])
    units = np.floor(np.ldexp(values, shift)).astype(np.int64)
    # Rounding down leaves no more than the 53 bits that a value had, so this is exact.
    lost = math.fsum(values - np.ldexp(units.astype(float), -shift))
    return Scaled(units, math.ldexp(1.0, -shift), lost)
