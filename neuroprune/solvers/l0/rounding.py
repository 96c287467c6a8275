"""What rounding can have done to moments, and to what is computed from them: the one margin of all certificates.

Let every entry of the moments of columns i and j, targets included, be off by at most ``sqrt(n_i n_j)`` times their
lengths: n is the *noise* of a column. For unit columns and a unit target the objective of weights w is then off by at
most ``1/2 (sqrt(n_y) + sum_i sqrt(n_i) |w_i|)^2``. With m weights or fewer that is at most (Cauchy-Schwarz, twice)

    n_y + m sum_i n_i w_i^2,

which is quadratic in w. So it is no bound on the weights that makes a certificate safe, but a problem that is a little
too easy: columns whose squares are ``2 m n_i`` shorter than they are, with the same products. Whatever is below all
objectives of that problem is below all of the real one, less n_y, however large the weights of its optimum are. Where
columns are so close to each other that the shorter ones have no positive definite Gram any more, it bounds nothing.

Noise has three sources. The sum of n products of floats, added up in any order, is off by at most n units of rounding
relative to the sum of their magnitudes (Higham 2002, section 3.1), which by Cauchy-Schwarz is at most the product of
the lengths. Scaling adds a few units. And a Cholesky factor of p columns, bordered by the target, is the exact one of a
matrix whose entries differ by at most p + 1 units times the lengths (Higham 2002, theorem 10.3).
"""

import numpy as np
from numpy.typing import NDArray

UNIT = 2.0**-53
"""Largest relative error of an operation."""
SPARE = 16
"""Operations on an entry besides those that are counted: scaling, square roots, terms of second order."""


def noise_of_sums(longest: int, batches: int) -> float:
    """Return the noise of moments added up over batches of rows, of which the longest has so many."""
    return UNIT * (longest + batches + 4)


def noise_of_centred_sums(
    longest: int, batches: int, raw: NDArray[np.float64], centred: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the noise of each column where the moments about a shift became those about the mean.

    Parameters
    ----------
    raw, centred : (p,) array of float64
        Squares of the columns before and after. Both products and (twice) sums are off in the units of the former.
    """
    share = np.divide(raw, centred, out=np.ones_like(raw), where=centred > 0.0)
    return 3.0 * noise_of_sums(longest, batches) * share


def noise_of_arithmetic(columns: int) -> float:
    """Return the noise that scaling so many columns and factorising their Gram adds."""
    return UNIT * (columns + SPARE)


def shortening(noise: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Return the share of its square that each column gives up, so that the problem is too easy for `most` weights."""
    return 2.0 * most * noise


def moments_error(size: NDArray[np.float64], noise: NDArray[np.float64], energy: float, target_noise: float) -> float:
    """Return what an objective computed from moments can be off.

    Parameters
    ----------
    size : (s,) array of float64
        Magnitudes of the coefficients times the lengths of their columns.
    """
    return 0.5 * float(np.sqrt(target_noise * energy) + np.sqrt(noise) @ size) ** 2


def residual_error(size: NDArray[np.float64], length: float, residual: float, rows: int) -> float:
    """Return what an objective computed from residuals, on the data, can be off.

    Parameters
    ----------
    size : (s,) array of float64
        Magnitudes of the coefficients times the lengths of their columns.
    length, residual : float
        Of the target and of the residual.
    """
    each = UNIT * (size.size + SPARE) * (length + float(size.sum()))  # of the residual, as a vector
    return each * residual + 0.5 * each**2 + UNIT * (rows + SPARE) * 0.5 * residual**2
