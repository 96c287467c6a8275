"""Kernels on the rows of a directed graph: curveball trades, sorting, reversal of 3-cycles, dealing of weights.

The row of a node holds its targets. Whatever moves between rows, each keeps its length, the out-degree.
"""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import row_starts
from neuroprune.netsci.chains import ONE, ZERO, below, next64

SHARED, KEPT = np.uint8(1), np.uint8(2)
THREE, SIXTEEN, LANE = np.uint64(3), np.uint64(16), np.uint64(0xFFFF)


@njit(cache=True, nogil=True)
def trade_rows(n, start, target, trades, state):  # pragma: no cover
    """Make global trades, in place, and return how many pairs of nodes had something to trade.

    In a global trade all nodes are paired at random. The two of a pair put the targets that only one of them has
    into a pool, and each takes back as many as it gave, every choice equally likely. A target that is the other
    node of the pair stays where it is, as it would become a loop.

    A target of the pool goes to `u` or `v` by 16 random bits, with about the chance that gives each its number; of
    those that one has too many, randomly chosen ones then move. By symmetry all choices are equally likely whatever
    the chance, with fewer draws and fewer mispredicted branches than a shuffle. Indices are unsigned, which spares
    the test for negative ones.
    """
    longest = np.int64(0)
    for u in range(n):
        longest = max(longest, start[u + 1] - start[u])
    for_u = np.empty(2 * longest + 1, np.int32)
    for_v = np.empty(2 * longest + 1, np.int32)
    seen = np.zeros(n, np.uint8)
    order = np.arange(n).astype(np.uint32)
    traded = 0
    for _ in range(trades):
        for i in range(n - 1, 0, -1):
            j = np.uint64(below(state, i + 1))
            order[i], order[j] = order[j], order[i]
        for pair in range(0, n - 1, 2):
            u, v = order[pair], order[pair + 1]
            row_u, row_v = target[start[u] : start[u + ONE]], target[start[v] : start[v + ONE]]
            if row_u.size == 0 or row_v.size == 0:
                continue
            chance = np.uint64((row_u.size << 16) // (row_u.size + row_v.size))
            for i in range(row_v.size):
                seen[np.uint32(row_v[i])] = SHARED
            seen[v] = SHARED
            word = size_u = size_v = kept_u = kept_v = ZERO
            for i in range(row_u.size):
                x = np.uint32(row_u[i])
                if seen[x]:
                    seen[x] |= KEPT
                    row_u[kept_u] = x
                    kept_u += ONE
                    continue
                # Of the pool, one more target is written to both and counted in one.
                if (size_u + size_v) & THREE == ZERO:
                    word = next64(state)
                goes_to_u = np.uint64((word & LANE) < chance)
                word >>= SIXTEEN
                for_u[size_u] = for_v[size_v] = x
                size_u += goes_to_u
                size_v += ONE - goes_to_u
            given_u = size_u + size_v
            for i in range(row_v.size):
                x = np.uint32(row_v[i])
                stays = seen[x] & KEPT or x == u
                seen[x] = 0
                if stays:
                    row_v[kept_v] = x
                    kept_v += ONE
                    continue
                if (size_u + size_v) & THREE == ZERO:
                    word = next64(state)
                goes_to_u = np.uint64((word & LANE) < chance)
                word >>= SIXTEEN
                for_u[size_u] = for_v[size_v] = x
                size_u += goes_to_u
                size_v += ONE - goes_to_u
            seen[v] = 0
            traded += ZERO < given_u < size_u + size_v
            while size_u > given_u:
                size_u -= ONE
                j = np.uint64(below(state, size_u + ONE))
                for_v[size_v], for_u[j] = for_u[j], for_u[size_u]
                size_v += ONE
            while size_u < given_u:
                size_v -= ONE
                j = np.uint64(below(state, size_v + ONE))
                for_u[size_u], for_v[j] = for_v[j], for_v[size_v]
                size_u += ONE
            row_u, row_v = row_u[kept_u:], row_v[kept_v:]
            for i in range(row_u.size):
                row_u[i] = for_u[i]
            for i in range(row_v.size):
                row_v[i] = for_v[i]
    return traded


@njit(cache=True, nogil=True)
def sort_rows(n, start, source, target):  # pragma: no cover
    """Sort each row, in place, by transposing twice; return starts and sources of the rows of incoming arcs."""
    in_start = row_starts(n, target)
    in_source = np.empty(source.size, np.int32)
    place = in_start[:-1].copy()
    for e in range(source.size):
        v = np.uint32(target[e])
        in_source[np.uint64(place[v])] = source[e]
        place[v] += 1
    place = start[:-1].copy()
    for v in range(n):
        row = in_source[in_start[v] : in_start[v + 1]]
        for i in range(row.size):
            u = np.uint32(row[i])
            target[np.uint64(place[u])] = v
            place[u] += 1
    return in_start, in_source


@njit(cache=True, nogil=True)
def single_difference(a, b):  # pragma: no cover
    """Return the one entry that only `a` has and the one that only `b` has; (-1, -1) if sorted rows differ more."""
    only_a = only_b = np.int32(-1)
    if a.size == b.size:
        i = j = 0
        while i < a.size or j < b.size:
            if j == b.size or (i < a.size and a[i] < b[j]):
                if only_a >= 0:
                    return np.int32(-1), np.int32(-1)
                only_a = a[i]
                i += 1
            elif i == a.size or b[j] < a[i]:
                if only_b >= 0:
                    return np.int32(-1), np.int32(-1)
                only_b = b[j]
                j += 1
            else:
                i += 1
                j += 1
    return only_a, only_b


@njit(cache=True, nogil=True)
def reverse_twin_cycles(n, start, target, in_start, in_source, state):  # pragma: no cover
    """Reverse each 3-cycle among twins with probability 1/2, in place, in sorted rows.

    The nodes of a 3-cycle are twins where all other nodes treat them alike. Then no switch may be able to take the
    cycle apart, and chains of switches or trades never reverse it. Any other 3-cycle they can reverse: with an arc
    x -> b but none x -> a, a -> b -> c -> a is turned in three switches. As switches and reversals of 3-cycles
    together reach every graph of a degree sequence (Rao et al. 1996), what chains leave out is just which way these
    cycles turn. They share no node, and reversing one leaves the others as they are; so fair coins for all of them,
    after the chain, make all graphs equally likely where those within its reach were.
    """
    for u in range(n):
        row_u, in_u = target[start[u] : start[u + 1]], in_source[in_start[u] : in_start[u + 1]]
        for e in range(start[u], start[u + 1]):
            v = target[e]
            if v < u or in_u.size != in_start[v + 1] - in_start[v]:
                continue
            row_v, in_v = target[start[v] : start[v + 1]], in_source[in_start[v] : in_start[v + 1]]
            x, w = single_difference(row_u, row_v)
            if x != v or w < u:
                continue
            row_w, in_w = target[start[w] : start[w + 1]], in_source[in_start[w] : in_start[w + 1]]
            x, y = single_difference(row_v, row_w)
            if x != w or y != u:
                continue
            x, y = single_difference(in_u, in_v)
            if x != w or y != u:
                continue
            x, y = single_difference(in_v, in_w)
            if x != u or y != v:
                continue
            if next64(state) & ONE:
                # Apart from the cycle the rows are equal, so it turns where each takes the next one's row.
                for i in range(row_u.size):
                    row_u[i], row_v[i], row_w[i] = row_v[i], row_w[i], row_u[i]
            break
    return


@njit(cache=True, nogil=True)
def shuffle_rows(start, values, state):  # pragma: no cover
    """Shuffle the values of each row, in place."""
    for u in range(start.size - 1):
        for e in range(start[u + 1] - 1, start[u], -1):
            f = start[u] + below(state, e - start[u] + 1)
            values[e], values[f] = values[f], values[e]
