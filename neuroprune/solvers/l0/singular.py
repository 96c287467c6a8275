"""Bounds where columns depend on each other and there is no ridge: the relaxation has no curvature to use."""

import numpy as np
from numba import njit

from neuroprune.solvers.l0.problem import DEPENDENT, Problem
from neuroprune.solvers.l0.relaxation import EPSILON, FREE, IN, OUT


@njit(cache=True, nogil=True)
def project(A, c, independent, status, take_free):  # pragma: no cover
    """Return the share of the target's energy in the span of columns, and of what each adds to those before it.

    Columns that are in come first, then those that are free if they are taken. One that is composed of others adds
    nothing.
    """
    p = c.size
    factor = np.empty((independent + 1, independent + 1))
    chosen = np.empty(independent, np.int64)
    z = np.empty(independent)
    added = np.zeros(p)
    n, total = 0, 0.0
    for turn in (IN, FREE):
        if turn == FREE and not take_free:
            break
        for j in range(p):
            if status[j] != turn or n == independent:
                continue
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
            if square > DEPENDENT:
                row[n] = np.sqrt(square)
                z[n] = rest / row[n]
                added[j] = z[n] * z[n]
                total += added[j]
                chosen[n] = j
                n += 1
    return total, added


@njit(cache=True, nogil=True)
def solve_singular_node(A, c, independent, penalty, limit, cutoff, status):  # pragma: no cover
    """Bound a node by the best fit of all columns that may be used; status in place.

    Parameters and returns are those of :func:`.relaxation.solve_node`.
    """
    p = c.size
    inside = 0
    for j in range(p):
        inside += status[j] == IN
    explained, added = project(A, c, independent, status, limit < 0 or inside < limit)
    margin = EPSILON * (p + 8) * 16.0
    bound = 0.5 * (1.0 - explained) + penalty * inside - margin
    chosen, most = -1, 0.0
    for j in range(p):
        if status[j] == FREE and added[j] > most:
            chosen, most = j, added[j]
    if chosen < 0 or bound + penalty >= cutoff:
        # No free column is worth its price, or can be had, or adds anything.
        chosen = -1
        for j in range(p):
            if status[j] == FREE:
                status[j] = OUT
        explained, added = project(A, c, independent, status, False)
        bound = 0.5 * (1.0 - explained) + penalty * inside - margin
    return bound if bound < cutoff else np.inf, penalty, chosen


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
