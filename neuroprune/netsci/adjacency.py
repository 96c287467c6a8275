"""The structure that every kernel walks: one sorted adjacency with a two-bit code for each dyad.

Node `u` and its neighbour `v` share a *dyad*. Seen from `u`, its code is 1 where only ``u -> v`` exists, 2 where
only ``v -> u`` does, 3 where both do. A row of the adjacency holds the neighbours of a node in ascending order,
each packed with its code as ``neighbour << 2 | code``.

The *forward* adjacency keeps each dyad once. Nodes are ranked by ascending number of neighbours, and a row holds
the neighbours of higher rank, as ranks. Rows are short then even at hubs, and each triangle ``u < v < w`` is met
exactly once (Chiba & Nishizeki 1985; Latapy 2008).
"""

from typing import NamedTuple

import numpy as np
from numba import njit

CODE_BITS = np.uint32(2)
CODE_MASK = np.uint32(3)


class Adjacency(NamedTuple):
    """Rows of packed neighbours: row `u` is ``packed[start[u]:start[u + 1]]``.

    Parameters
    ----------
    start : array of int64, shape (n + 1,)
    packed : array of uint32, shape (entries,)
        ``neighbour << 2 | code``, ascending in each row.
    """

    start: np.ndarray
    packed: np.ndarray


class Forward(NamedTuple):
    """The adjacency of ranks, each dyad once, from the lower to the higher rank.

    Parameters
    ----------
    start : array of int64, shape (n + 1,)
    packed : array of uint32, shape (dyads,)
        ``rank << 2 | code``, the code as the lower rank sees it; ascending in each row.
    order : array of uint32, shape (n,)
        Node of each rank.
    rank : array of uint32, shape (n,)
        Rank of each node.
    """

    start: np.ndarray
    packed: np.ndarray
    order: np.ndarray
    rank: np.ndarray


@njit(cache=True, inline="always")
def reverse(code):  # pragma: no cover
    """Return the code of a dyad as the other node sees it."""
    return ((code & np.uint32(1)) << np.uint32(1)) | (code >> np.uint32(1))


@njit(cache=True, nogil=True)
def row_starts(n, index):  # pragma: no cover
    """Return where each row starts when entries are grouped by `index` in [0, n)."""
    start = np.zeros(n + 1, np.int64)
    for e in range(index.size):
        start[index[e] + 1] += 1
    for u in range(n):
        start[u + 1] += start[u]
    return start


@njit(cache=True, nogil=True)
def is_sorted_and_simple(source, target):  # pragma: no cover
    """Return whether arcs ascend strictly in (source, target) and none is a self-loop."""
    if source.size and source[0] == target[0]:
        return False
    for e in range(1, source.size):
        if source[e] == target[e] or source[e] < source[e - 1]:
            return False
        if source[e] == source[e - 1] and target[e] <= target[e - 1]:
            return False
    return True


@njit(cache=True, nogil=True)
def sorting_order(n, source, target):  # pragma: no cover
    """Return the stable order that sorts arcs by (source, target), by two counting passes."""
    by_target = np.empty(source.size, np.int64)
    place = row_starts(n, target)
    for e in range(source.size):
        by_target[place[target[e]]] = e
        place[target[e]] += 1
    order = np.empty(source.size, np.int64)
    place = row_starts(n, source)
    for i in range(source.size):
        e = by_target[i]
        order[place[source[e]]] = e
        place[source[e]] += 1
    return order


@njit(cache=True, nogil=True)
def build_adjacency(n, source, target):  # pragma: no cover
    """Merge the out- and in-neighbours of arcs sorted by (source, target) into coded rows."""
    out_start = row_starts(n, source)
    in_start = row_starts(n, target)
    in_neighbour = np.empty(source.size, np.uint32)
    place = in_start[:-1].copy()
    for e in range(source.size):
        v = target[e]
        in_neighbour[place[v]] = source[e]
        place[v] += 1
    start = np.zeros(n + 1, np.int64)
    packed = np.empty(2 * source.size, np.uint32)
    k = 0
    for u in range(n):
        a, a_end = out_start[u], out_start[u + 1]
        b, b_end = in_start[u], in_start[u + 1]
        while a < a_end and b < b_end:
            x = np.uint32(target[a])
            y = in_neighbour[b]
            if x < y:
                packed[k] = (x << CODE_BITS) | np.uint32(1)
                a += 1
            elif y < x:
                packed[k] = (y << CODE_BITS) | np.uint32(2)
                b += 1
            else:
                packed[k] = (x << CODE_BITS) | np.uint32(3)
                a += 1
                b += 1
            k += 1
        while a < a_end:
            packed[k] = (np.uint32(target[a]) << CODE_BITS) | np.uint32(1)
            a += 1
            k += 1
        while b < b_end:
            packed[k] = (in_neighbour[b] << CODE_BITS) | np.uint32(2)
            b += 1
            k += 1
        start[u + 1] = k
    return start, packed[:k].copy()


@njit(cache=True, nogil=True)
def rank_by_degree(n, start):  # pragma: no cover
    """Return order and rank of nodes by ascending number of neighbours, stable, by counting."""
    largest = np.int64(0)
    for u in range(n):
        largest = max(largest, start[u + 1] - start[u])
    place = np.zeros(largest + 2, np.int64)
    for u in range(n):
        place[start[u + 1] - start[u] + 1] += 1
    for d in range(largest + 1):
        place[d + 1] += place[d]
    order = np.empty(n, np.uint32)
    rank = np.empty(n, np.uint32)
    for u in range(n):
        d = start[u + 1] - start[u]
        rank[u] = place[d]
        order[place[d]] = u
        place[d] += 1
    return order, rank


@njit(cache=True, nogil=True)
def build_forward(n, start, packed):  # pragma: no cover
    """Rank the nodes and keep each dyad once; rows come out sorted because ranks are visited in order."""
    order, rank = rank_by_degree(n, start)
    f_start = np.zeros(n + 1, np.int64)
    for u in range(n):
        r = rank[u]
        k = 0
        for e in range(start[u], start[u + 1]):
            if rank[packed[e] >> CODE_BITS] > r:
                k += 1
        f_start[r + 1] = k
    for u in range(n):
        f_start[u + 1] += f_start[u]
    place = f_start[:-1].copy()
    f_packed = np.empty(f_start[n], np.uint32)
    for w in range(n):
        x = order[w]
        for e in range(start[x], start[x + 1]):
            r = rank[packed[e] >> CODE_BITS]
            if r < w:
                f_packed[place[r]] = (np.uint32(w) << CODE_BITS) | reverse(packed[e] & CODE_MASK)
                place[r] += 1
    return f_start, f_packed, order, rank


@njit(cache=True, nogil=True)
def count_dyads(n, start, packed):  # pragma: no cover
    """Return for each node how many of its dyads have each code, shape (n, 4); column 0 is zero."""
    degrees = np.zeros((n, 4), np.int64)
    for u in range(n):
        for e in range(start[u], start[u + 1]):
            degrees[u, packed[e] & CODE_MASK] += 1
    return degrees


@njit(cache=True, nogil=True)
def find_arcs(n, start, packed, f_start, order, rank, source, target):  # pragma: no cover
    """Return the arcs of each forward dyad, from its lower rank and to it, -1 for none."""
    out_start = row_starts(n, source)
    in_start = row_starts(n, target)
    into = np.empty(source.size, np.int32)
    place = in_start[:-1].copy()
    for e in range(source.size):
        into[place[target[e]]] = e
        place[target[e]] += 1
    dyads = f_start[n]
    outward = np.empty(dyads, np.int32)
    inward = np.empty(dyads, np.int32)
    place = f_start[:-1].copy()
    for w in range(n):  # rows come out sorted because ranks are visited in order
        x = order[w]
        a, b = out_start[x], in_start[x]
        for k in range(start[x], start[x + 1]):
            code = packed[k] & CODE_MASK
            r = rank[packed[k] >> CODE_BITS]
            if r < w:
                p = place[r]
                outward[p] = into[b] if code & 2 else -1
                inward[p] = a if code & 1 else -1
                place[r] += 1
            a += np.int64(code & 1)
            b += np.int64(code >> 1)
    return outward, inward


def first_of_equal(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return whether each arc of a sorted list is the first of those that are equal to it, bool, shape (arcs,)."""
    first = np.ones(source.size, bool)
    first[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    return first
