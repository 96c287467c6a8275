"""Kernels of the local search: one column in or out of the support, everything else updated exactly.

The state of a support S of n columns, with a unit-diagonal Gram A, is

- ``order`` (capacity,), its columns, and ``place`` (p,), where each is in there (-1: nowhere);
- ``inverse`` (capacity, capacity), H = A_SS^-1, and ``weights`` (capacity,), b = H c_S;
- ``fits`` (capacity, p): row i is row i of H A_S:, how the columns of A are composed of those of S;
- ``left`` (p,), r = c - A_:S b, what correlation is left, and ``free`` (p,), s, the share of each column's square that
  is not in the span of S (a Schur complement).

Adding j lowers half the sum of squares by r_j^2 / 2 s_j, dropping i raises it by b_i^2 / 2 H_ii, and after dropping i
column j has r_j + b_i f_ij / H_ii and s_j + f_ij^2 / H_ii (Miller 2002; the sweep operator of Beaton 1964).
"""

import numpy as np
from numba import njit

from neuroprune.solvers.l0.problem import DEPENDENT

IMPROVEMENT = 1e-13
"""Least gain of a move, in units of the energy of the target: less is rounding, and moves might go in circles."""
MOVES = 200
"""Moves after which the state is computed afresh: rounding adds up."""


@njit(cache=True, nogil=True)
def add_column(A, j, n, order, place, inverse, weights, fits, left, free):  # pragma: no cover
    """Put column j into the support; return its new size."""
    p = left.size
    share = free[j]
    beta = left[j] / share
    step = np.empty(n)
    for i in range(n):
        step[i] = fits[i, j]
    # The part of column j that the support cannot compose, over its share.
    rest = fits[n]
    rest[:] = A[j]
    for i in range(n):
        weight = A[j, order[i]]
        if weight != 0.0:
            rest -= weight * fits[i]
    left -= beta * rest
    for x in range(p):
        free[x] = max(0.0, free[x] - rest[x] * rest[x] / share)
    rest /= share
    for i in range(n):
        fits[i] -= step[i] * rest
        weights[i] -= step[i] * beta
        for k in range(n):
            inverse[i, k] += step[i] * step[k] / share
        inverse[i, n] = inverse[n, i] = -step[i] / share
    inverse[n, n] = 1.0 / share
    weights[n] = beta
    order[n] = j
    place[j] = n
    return n + 1


@njit(cache=True, nogil=True)
def drop_column(i, n, order, place, inverse, weights, fits, left, free):  # pragma: no cover
    """Take the column at place i out of the support; return its new size."""
    pivot = inverse[i, i]
    shift = weights[i] / pivot
    gone = fits[i]
    left += shift * gone
    free += gone * gone / pivot
    row = inverse[i, :n].copy()
    for k in range(n):
        if k != i:
            fits[k] -= row[k] / pivot * gone
            weights[k] -= row[k] * shift
            for x in range(n):
                inverse[k, x] -= row[k] * row[x] / pivot
    last = n - 1
    place[order[i]] = -1
    if i != last:
        order[i] = order[last]
        place[order[i]] = i
        weights[i] = weights[last]
        fits[i] = fits[last]
        inverse[i, :n] = inverse[last, :n]
        inverse[:n, i] = inverse[:n, last]
    return last


@njit(cache=True, nogil=True)
def best_addition(place, left, free, banned):  # pragma: no cover
    """Return the column whose addition lowers half the sum of squares most, and by how much (-1 and 0 if none can)."""
    best, chosen = 0.0, -1
    for j in range(left.size):
        if place[j] < 0 and free[j] > DEPENDENT and not banned[j]:
            gain = left[j] * left[j] / free[j]
            if gain > best:
                best, chosen = gain, j
    return chosen, 0.5 * best


@njit(cache=True, nogil=True)
def cheapest_drop(n, inverse, weights):  # pragma: no cover
    """Return the place whose column is missed least, and by how much half the sum of squares rises without it."""
    best, chosen = np.inf, -1
    for i in range(n):
        loss = 0.5 * weights[i] * weights[i] / inverse[i, i]
        if loss < best:
            best, chosen = loss, i
    return chosen, best


@njit(cache=True, nogil=True)
def best_exchange(n, place, inverse, weights, fits, left, free, banned):  # pragma: no cover
    """Return the exchange (place out, column in) that lowers half the sum of squares most, and by how much."""
    p = left.size
    best, out, into = 0.0, -1, -1
    for i in range(n):
        pivot = inverse[i, i]
        shift = weights[i] / pivot
        loss = weights[i] * shift
        row = fits[i]
        for j in range(p):
            r = left[j] + shift * row[j]
            s = free[j] + row[j] * row[j] / pivot
            if r * r > (best + loss) * s and place[j] < 0 and s > DEPENDENT and not banned[j]:
                best, out, into = r * r / s - loss, i, j
    return out, into, 0.5 * best


@njit(cache=True, nogil=True)
def grow(A, size, by_correlation, banned, n, order, place, inverse, weights, fits, left, free):  # pragma: no cover
    """Add columns one by one up to a size; return the size reached.

    By correlation it is orthogonal matching pursuit, else forward selection by gain.
    """
    while n < size:
        chosen = -1
        if by_correlation:
            best = 0.0
            for j in range(left.size):
                if place[j] < 0 and free[j] > DEPENDENT and not banned[j] and abs(left[j]) > best:
                    best, chosen = abs(left[j]), j
        else:
            chosen, _ = best_addition(place, left, free, banned)
        if chosen < 0:
            break
        n = add_column(A, chosen, n, order, place, inverse, weights, fits, left, free)
    return n


@njit(cache=True, nogil=True)
def shrink(size, n, order, place, inverse, weights, fits, left, free):  # pragma: no cover
    """Drop the columns that are missed least, one by one down to a size."""
    while n > size:
        i, _ = cheapest_drop(n, inverse, weights)
        n = drop_column(i, n, order, place, inverse, weights, fits, left, free)
    return n


@njit(cache=True, nogil=True)
def descend(A, penalty, limit, banned, n, order, place, inverse, weights, fits, left, free):  # pragma: no cover
    """Make the best addition, drop or exchange until none helps; return the size, and whether that is so.

    It stops before where the arrays are full, and after some moves, so that the caller can start them afresh.
    """
    for _ in range(MOVES):
        i, loss = cheapest_drop(n, inverse, weights)
        j, gain = best_addition(place, left, free, banned)
        gain_add = gain - penalty if n < limit else 0.0
        gain_drop = penalty - loss if n > 0 else 0.0
        if max(gain_add, gain_drop) > IMPROVEMENT:
            if gain_add >= gain_drop:
                if n == order.size:
                    break
                n = add_column(A, j, n, order, place, inverse, weights, fits, left, free)
            else:
                n = drop_column(i, n, order, place, inverse, weights, fits, left, free)
        else:
            i, j, gain = best_exchange(n, place, inverse, weights, fits, left, free, banned)
            if gain <= IMPROVEMENT:
                return n, True
            n = drop_column(i, n, order, place, inverse, weights, fits, left, free)
            n = add_column(A, j, n, order, place, inverse, weights, fits, left, free)
    return n, False
