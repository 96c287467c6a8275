"""Bounds where the relaxation has no curvature to use: columns depend on each other, or nearly, and there is no ridge.

The arithmetic here is that of a Cholesky factor bordered by the target, so that what is found is exact for a problem
that differs by less than the margin of :mod:`.rounding`, of which the Gram is made. It needs none of its own.
"""

import numpy as np
from numba import njit

from neuroprune.solvers.l0.problem import DEPENDENT, Problem
from neuroprune.solvers.l0.relaxation import EPSILON, FREE, IN, OUT


@njit(cache=True, nogil=True)
def extend(A, c, j, n, chosen, factor, z):  # pragma: no cover
    """Fill row n of the Cholesky factor of the chosen columns with that of column j.

    Returns
    -------
    square : float
        What of the column is free of those before it; not positive where rounding leaves nothing.
    rest : float
        Its product with what of the target is free of them.
    """
    row = factor[n]
    square, rest = A[j, j], c[j]
    for a in range(n):
        x = A[j, chosen[a]]
        for b in range(a):
            x -= row[b] * factor[a, b]
        x /= factor[a, a]
        row[a] = x
        square -= x * x
        rest -= x * z[a]
    return square, rest


@njit(cache=True, nogil=True)
def composed(square, lost, n, factor):  # pragma: no cover
    """Return whether the column of row n is composed of those before it for certain, given its free square.

    As an entry of a quadratic form of 1 and minus the weights b that compose it, that may be too low by twice `lost`
    (what columns gave up, and what their moments are off) times the square of these.
    """
    if square > DEPENDENT:
        return False
    b, size = factor[n, :n].copy(), 1.0
    for i in range(n - 1, -1, -1):
        for a in range(i + 1, n):
            b[i] -= factor[a, i] * b[a]
        b[i] /= factor[i, i]
        size += b[i] * b[i]
    return square + 2.0 * lost * size <= DEPENDENT


@njit(cache=True, nogil=True)
def solve_singular_node(A, c, lost, independent, penalty, limit, cutoff, status):  # pragma: no cover
    """Bound a node by the best fit of all columns that may be used; status in place.

    Supports with a column that is composed of others in it are left out: the columns that are in decide which of the
    free ones can still follow. Where those that may are not independent for certain, nothing is known of their fit.

    Other parameters and returns are those of :func:`.relaxation.solve_node`.

    Parameters
    ----------
    lost : float
        Share of a column's square that it has given up at most.
    independent : int
        Most columns that are independent of each other.
    """
    p = c.size
    inside, allowed = 0, 0
    for j in range(p):
        inside += status[j] == IN
    if inside > independent:
        return np.inf, penalty, -1
    size = min(independent, np.sum(status != OUT)) + 1
    factor, z = np.empty((size, size)), np.empty(size)
    chosen = np.empty(size, np.int64)
    n, explained, unknown = 0, 0.0, False
    for j in range(p):
        if status[j] != IN:
            continue
        square, rest = extend(A, c, j, n, chosen, factor, z)
        if composed(square, lost, n, factor):
            return np.inf, penalty, -1
        if square <= 0.0:
            unknown = True
            break
        factor[n, n] = np.sqrt(square)
        z[n] = rest / factor[n, n]
        explained += z[n] * z[n]
        chosen[n] = j
        n += 1
    alone = penalty * inside + (0.0 if unknown else 0.5 * (1.0 - explained))
    room = limit < 0 or inside < limit
    for j in range(p):
        if status[j] == FREE:
            if not room or (not unknown and composed(extend(A, c, j, n, chosen, factor, z)[0], lost, n, factor)):
                status[j] = OUT
            else:
                allowed += 1
    branch, most = -1, -1.0
    unknown |= allowed > independent - inside
    for j in range(p):
        if status[j] != FREE:
            continue
        if n == size or n < inside:
            branch = j if branch < 0 else branch
            break
        square, rest = extend(A, c, j, n, chosen, factor, z)
        if square <= 0.0:
            # Without this column the others may be independent; where many must go, the best ones are decided first.
            if not unknown:
                branch = j
            unknown = True
            break
        factor[n, n] = np.sqrt(square)
        z[n] = rest / factor[n, n]
        gain = z[n] * z[n]
        explained += gain
        if gain > most:
            branch, most = j, gain
        chosen[n] = j
        n += 1
    with_more = penalty * (inside + 1) + (0.0 if unknown else max(0.0, 0.5 * (1.0 - explained)))
    if branch >= 0 and with_more >= cutoff:  # no free column is worth its price
        for j in range(p):
            if status[j] == FREE:
                status[j] = OUT
        branch = -1
    bound = alone if branch < 0 else min(alone, with_more)
    return bound if bound < cutoff else np.inf, penalty, branch


def coherence_bound(problem: Problem) -> float:
    """Return a lower bound on the objective from the largest correlation of two columns alone.

    Notes
    -----
    With coherence :math:`\\mu = \\max_{i \\ne j} |A_{ij}|` the least eigenvalue of any s columns is at least
    :math:`1 - (s - 1)\\mu` (Gershgorin), so that they explain no more than the s largest :math:`c_j^2` together,
    divided by that (Tropp 2004).
    """
    ranked = np.cumsum(np.sort(problem.correlation**2)[::-1])[: problem.limit]
    sizes = np.arange(1, ranked.size + 1)
    if ranked.size == 0:
        return 0.5
    off = problem.gram - np.diag(np.diag(problem.gram))
    least = 1.0 - (sizes - 1) * max(float(off.max()), -float(off.min()))
    explained = np.ones_like(ranked)
    np.divide(ranked, least, out=explained, where=least > ranked)
    values = 0.5 * (1.0 - np.minimum(explained, 1.0)) + problem.penalty * sizes
    lowest = float(values.min()) if problem.penalty > 0.0 else float(values[-1])
    return max(0.0, min(0.5, lowest) - 8.0 * EPSILON * problem.columns)
