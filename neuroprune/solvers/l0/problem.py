"""One output's problem in the form that all solvers share: unit columns, a unit target, no row of data left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from neuroprune.solvers.l0.gram import Gram

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
        Share of the diagonal of A that is the ridge.
    penalty : float
        Price of a column, in units of the energy of the target; 0 where there is a budget.
    limit : int
        Most columns that may be used.
    rank : int
        Most columns that are independent of each other without the ridge: no more than rows.
    """

    gram: NDArray[np.float64]
    correlation: NDArray[np.float64]
    ridge: NDArray[np.float64]
    penalty: float
    limit: int
    rank: int

    @property
    def columns(self) -> int:
        """Number of columns, p."""
        return self.correlation.size

    @property
    def independent(self) -> int:
        """Most columns that are independent of each other: all, if there is a ridge."""
        return self.columns if self.ridge.any() else self.rank

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

    Parameters
    ----------
    gram : (m, m) array of float64
        With the ridge, and a unit diagonal.
    correlation : (m, q) array of float64
    ridge : (m,) array of float64
        Share of the diagonal that is the ridge.
    kept : (m,) array of int64
        The features that are not zero.
    scale : (m,) array of float64
        Their lengths, ridge included.
    energy : (q,) array of float64
        Squares of the targets.
    """

    gram: NDArray[np.float64]
    correlation: NDArray[np.float64]
    ridge: NDArray[np.float64]
    kept: NDArray[np.int64]
    scale: NDArray[np.float64]
    energy: NDArray[np.float64]

    @classmethod
    def of(cls, moments: Gram, ridge: float) -> "Standard":
        """Return the moments scaled, with a ridge added."""
        kept = np.flatnonzero(np.diag(moments.gram) > 0.0)
        scale = np.sqrt(np.diag(moments.gram)[kept] + ridge)
        gram = moments.gram if kept.size == moments.features else moments.gram[np.ix_(kept, kept)]
        gram = gram / scale[:, None]
        gram /= scale
        np.fill_diagonal(gram, 1.0)
        length = np.sqrt(np.where(moments.energy > 0.0, moments.energy, 1.0))
        correlation = moments.correlation[kept] / scale[:, None] / length
        return cls(gram, correlation, ridge / scale**2, kept, scale, moments.energy)

    def problem(self, output: int, *, penalty: float | None, budget: int | None, rows: int) -> Problem:
        """Return the problem of one output with energy, under a penalty or a budget."""
        m, rank = self.kept.size, min(self.kept.size, rows)
        return Problem(
            self.gram,
            np.ascontiguousarray(self.correlation[:, output]),
            self.ridge,
            0.0 if penalty is None else penalty / float(self.energy[output]),
            min(m if budget is None else budget, m if self.ridge.any() else rank),
            rank,
        )
