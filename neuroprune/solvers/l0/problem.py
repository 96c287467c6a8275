"""One output's problem in the form that all solvers share: unit columns, a unit target, no row of data left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from neuroprune.solvers.l0.gram import Gram
from neuroprune.solvers.l0.rounding import noise_of_arithmetic, shortening

DEPENDENT = 1e-10
"""Share of a column's square, free of the other columns, below which it counts as composed of them."""


@dataclass(frozen=True)
class Problem:
    """Minimise ``1/2 (1 - 2 c.w + w.A.w) + penalty ||w||_0`` over w with at most `limit` non-zeros.

    Parameters
    ----------
    gram : (p, p) array of float64
        A, with a unit diagonal; the ridge is in it.
    correlation : (p,) array of float64
        c, at most 1 in magnitude.
    ridge : (p,) array of float64
        Share of the diagonal of A that is the ridge for certain: A less this is positive semidefinite.
    penalty : float
        Price of a column, in units of the energy of the target; 0 where there is a budget.
    limit : int
        Most columns that may be used.
    rank : int
        Most columns that are independent of each other without the ridge: no more than rows.
    independent : int
        Most columns that are independent of each other: all, if there is a ridge.
    lost : float
        Share of its square that a column has given up at most, so that bounds hold.
    """

    gram: NDArray[np.float64]
    correlation: NDArray[np.float64]
    ridge: NDArray[np.float64]
    penalty: float
    limit: int
    rank: int
    independent: int
    lost: float

    @property
    def columns(self) -> int:
        """Number of columns, p."""
        return self.correlation.size

    def restricted(self, columns: NDArray[np.int64]) -> "Problem":
        """Return the problem of some of the columns."""
        m = columns.size
        if m == self.columns:
            return self
        return Problem(
            np.ascontiguousarray(self.gram[np.ix_(columns, columns)]),
            self.correlation[columns],
            self.ridge[columns],
            self.penalty,
            min(self.limit, m),
            min(self.rank, m),
            min(self.independent, m),
            self.lost,
        )

    def fit(self, support: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
        """Return the weights of least squares on these independent columns, and the objective there."""
        b = self.correlation[support]
        if support.size == 0:
            return b, 0.5
        A = self.gram[np.ix_(support, support)]
        factor = cho_factor(A, lower=True)
        weights = cho_solve(factor, b)
        weights += cho_solve(factor, b - A @ weights)  # one step of refinement
        # As a quadratic form, an error of the weights enters squared.
        value = 0.5 * float(1.0 - 2.0 * b @ weights + weights @ A @ weights)
        return weights, max(0.0, value) + self.penalty * support.size


@dataclass(frozen=True)
class Standard:
    """A Gram scaled to unit columns and unit targets, without the columns that are zero.

    It is that of columns a little shorter than the real ones, so that lower bounds on its objectives, less `margin`,
    are lower bounds on the real ones (:mod:`.rounding`).

    Parameters
    ----------
    gram : (m, m) array of float64
        With the ridge, and a unit diagonal.
    correlation : (m, q) array of float64
    ridge : (m,) array of float64
        Share of the diagonal that is the ridge for certain.
    margin : (q,) array of float64
        In units of the energy of the target.
    kept : (m,) array of int64
        The features that are not zero.
    scale : (m,) array of float64
        Their lengths, shortened, ridge included.
    energy : (q,) array of float64
        Squares of the targets.
    independent : int
        Most features that are independent of each other: all, if there is a ridge.
    lost : float
        Share of its square that a column has given up at most.
    """

    gram: NDArray[np.float64]
    correlation: NDArray[np.float64]
    ridge: NDArray[np.float64]
    margin: NDArray[np.float64]
    kept: NDArray[np.int64]
    scale: NDArray[np.float64]
    energy: NDArray[np.float64]
    independent: int
    lost: float

    @classmethod
    def of(cls, moments: Gram, ridge: float, most: int | None = None) -> "Standard":
        """Return the moments scaled, with a ridge added, for solutions of at most so many features."""
        kept = np.flatnonzero(np.diag(moments.gram) > 0.0)
        square = np.diag(moments.gram)[kept]
        independent = kept.size if ridge > 0.0 else min(kept.size, moments.rank)
        noise = moments.feature_noise[kept] + noise_of_arithmetic(kept.size)
        given_up = shortening(noise, independent if most is None else min(most, independent))
        margin = moments.target_noise + noise_of_arithmetic(kept.size)
        lost = float(given_up.max(initial=0.0))
        if lost > 0.5:  # no digit of a column can be trusted: nothing is bounded
            given_up, margin = np.zeros_like(given_up), np.full_like(margin, np.inf)
        scale = np.sqrt(square * (1.0 - given_up) + ridge)
        # The Gram of the data is positive semidefinite, and what was made of it differs by no more than this.
        certain = np.maximum(0.0, ridge - (given_up + noise.sum()) * square)
        gram = moments.gram if kept.size == moments.features else moments.gram[np.ix_(kept, kept)]
        gram = gram / scale[:, None]
        gram /= scale
        np.fill_diagonal(gram, 1.0)
        length = np.sqrt(np.where(moments.energy > 0.0, moments.energy, 1.0))
        correlation = moments.correlation[kept] / scale[:, None] / length
        return cls(gram, correlation, certain / scale**2, margin, kept, scale, moments.energy, independent, lost)

    def problem(self, output: int, *, penalty: float | None, budget: int | None, rows: int) -> Problem:
        """Return the problem of one output with energy, under a penalty or a budget."""
        m = self.kept.size
        return Problem(
            self.gram,
            np.ascontiguousarray(self.correlation[:, output]),
            self.ridge,
            0.0 if penalty is None else penalty / float(self.energy[output]),
            min(m if budget is None else budget, self.independent),
            min(m, rows),
            self.independent,
            self.lost,
        )
