"""How much of a problem's curvature each column has to itself: what makes the relaxation tight.

The relaxation of a node needs a diagonal D such that A - D is positive semidefinite (:mod:`.relaxation`). The ridge is
one for certain. A multiple of the identity can be added, up to the least eigenvalue of A without its ridge; and what is
left of A after the best fit of the columns that are in has a larger one, all of which the free columns may have.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cholesky, eigvalsh, solve_triangular
from scipy.sparse.linalg import ArpackNoConvergence, eigsh

from neuroprune.solvers.l0.problem import Problem
from neuroprune.solvers.l0.relaxation import EPSILON, FREE, IN, OUT

DENSE = 1000
"""Columns up to which all eigenvalues cost less than iterations do."""
NODE = 200
"""Free columns up to which a node's own curvature is worth its eigenvalues."""
RENEWAL = 0.93
"""Share of the free columns that may be left before a node's curvature is measured again."""
BLEND = 0.01
"""Weight of the curvature of all columns in that of a node: those that are in must keep some too."""


@dataclass(frozen=True)
class Curvature:
    """What D is in a node: ``ridge + free`` for free columns, ``share (ridge + base)`` for those that are in.

    Parameters
    ----------
    share, base, free : float
    columns : int
        Free columns when it was measured.
    """

    share: float
    base: float
    free: float
    columns: int

    def root(self, problem: Problem, status: NDArray[np.int8]) -> NDArray[np.float64]:
        """Return the square roots of D."""
        inside = self.share * (problem.ridge + self.base)
        return np.sqrt(np.where(status == IN, inside, problem.ridge + self.free))


def measure(problem: Problem) -> Curvature:
    """Return the curvature of a problem with all columns free.

    Notes
    -----
    Eigenvalues are rounded down by what those of a matrix of this norm can be off. That of a large Gram is estimated by
    Lanczos iterations and then verified by a Cholesky factorisation.
    """
    p = problem.columns
    if problem.rank < p:
        return Curvature(1.0, 0.0, 0.0, p)
    bare = problem.gram - np.diag(problem.ridge)
    least = _least_eigenvalue(bare) if p <= DENSE else _least_of_large(bare)
    return Curvature(1.0, least, least, p)


def renew(problem: Problem, whole: Curvature, last: Curvature, status: NDArray[np.int8]) -> Curvature:
    """Return the curvature of a node, measured again if enough has been decided since.

    Parameters
    ----------
    whole : Curvature
        Of the problem; valid in every node.
    last : Curvature
        Of the node above; valid in this one.
    """
    free, inside = np.flatnonzero(status == FREE), np.flatnonzero(status == IN)
    singular = not problem.ridge.any() and last.free == 0.0
    if not 0 < free.size <= NODE or (free.size > RENEWAL * last.columns and not singular):
        return last
    if whole.free == 0.0:
        allowed = np.flatnonzero(status != OUT)
        least = 0.0 if allowed.size > problem.rank else _least_eigenvalue(_bare(problem, allowed))
        return Curvature(1.0, least, least, free.size)
    left = _bare(problem, free)
    if inside.size:
        across = problem.gram[np.ix_(inside, free)]
        try:
            factor = cholesky(problem.gram[np.ix_(inside, inside)], lower=True, check_finite=False)
        except LinAlgError:
            return last
        part = solve_triangular(factor, across, lower=True, check_finite=False)
        left -= part.T @ part
    # A - diag(0, ridge + t) and A - ridge - w I are positive semidefinite, so any blend of the two is. The former is
    # so up to the rounding of a Cholesky factor, for which the latter must have some of its curvature left.
    base = whole.free - _rounding(problem.columns) / BLEND
    if base <= 0.0:
        return last
    least = (1.0 - BLEND) * _least_eigenvalue(left) + BLEND * base
    return Curvature(BLEND, base, least, free.size) if least > last.free else last


def _bare(problem: Problem, columns: NDArray[np.int64]) -> NDArray[np.float64]:
    return problem.gram[np.ix_(columns, columns)] - np.diag(problem.ridge[columns])


def _least_eigenvalue(matrix: NDArray[np.float64]) -> float:
    value = float(eigvalsh(matrix, subset_by_index=[0, 0], check_finite=False)[0])
    return max(0.0, value - _rounding(len(matrix)))


def _least_of_large(matrix: NDArray[np.float64]) -> float:
    p = len(matrix)
    try:
        values = eigsh(matrix, 1, which="SA", maxiter=300, v0=np.ones(p), return_eigenvectors=False)
    except ArpackNoConvergence:
        return 0.0
    estimate = float(values[0])
    for share in (0.98, 0.9, 0.5):
        try:
            cho_factor(matrix - share * estimate * np.eye(p), overwrite_a=True, check_finite=False)
        except LinAlgError:
            continue
        return max(0.0, share * estimate - _rounding(p))
    return 0.0


def _rounding(columns: int) -> float:
    """Return what the eigenvalues of a matrix with a diagonal of at most 1 can be off."""
    return 8.0 * EPSILON * columns**2
