"""Kernels of the live census: rows that are edited in place, and what an arc changes in the triads it is in.

A *slot* is an entry of a row; its code may be 0, where both arcs of the dyad are gone.
"""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK, reverse

SEARCH_COST = 8
"""How many marks take about the time of one search in a row."""


@njit(cache=True, nogil=True)
def find_slot(start, packed, u, v):  # pragma: no cover
    """Return the place of neighbour `v` in the row of `u`, -1 if it has none."""
    lo, hi = start[u], start[u + 1]
    while lo < hi:
        middle = (lo + hi) >> 1
        if np.int64(packed[middle] >> CODE_BITS) < v:
            lo = middle + 1
        else:
            hi = middle
    return lo if lo < start[u + 1] and np.int64(packed[lo] >> CODE_BITS) == v else np.int64(-1)


@njit(cache=True, nogil=True)
def find_codes(start, packed, source, target):  # pragma: no cover
    """Return the code of each dyad as its source sees it, -1 where it has no slot."""
    codes = np.empty(source.size, np.int64)
    for e in range(source.size):
        slot = find_slot(start, packed, source[e], target[e])
        codes[e] = np.int64(packed[slot] & CODE_MASK) if slot >= 0 else -1
    return codes


@njit(cache=True, nogil=True)
def flip_arc(start, packed, degrees, u, v):  # pragma: no cover
    """Take away the arc ``u -> v`` or put it there, in place; return the codes of its dyad before and after."""
    here, there = find_slot(start, packed, u, v), find_slot(start, packed, v, u)
    before = packed[here] & CODE_MASK
    after = before ^ np.uint32(1)
    packed[here] ^= np.uint32(1)
    packed[there] ^= np.uint32(2)
    degrees[u, before] -= 1
    degrees[u, after] += 1
    degrees[v, reverse(before)] -= 1
    degrees[v, reverse(after)] += 1
    return before, after


@njit(cache=True, nogil=True)
def flip_arcs(start, packed, degrees, source, target):  # pragma: no cover
    """Flip arcs without counting."""
    for e in range(source.size):
        flip_arc(start, packed, degrees, source[e], target[e])


@njit(cache=True, nogil=True)
def flip_and_count(start, packed, degrees, closed, source, target, order, hub, mark):  # pragma: no cover
    """Flip arcs one after the other and count in the closed triads each of them is in, in place.

    `hub` is the end of each arc with the longer row, and `order` brings arcs of one hub together: then its row is
    marked once and each arc walks its shorter row alone. A hub with too few arcs to repay marking is searched
    instead, so that no arc costs more than its shorter row. `mark` has a zero for each node and is left so.
    """
    found = np.empty(16, np.int64)
    i = 0
    while i < order.size:
        h = hub[order[i]]
        lo, hi = start[h], start[h + 1]
        j = i
        walked = np.int64(0)
        while j < order.size and hub[order[j]] == h:
            e = order[j]
            s = source[e] + target[e] - h
            walked += start[s + 1] - start[s]
            j += 1
        marked = SEARCH_COST * walked > hi - lo
        if marked:
            for x in range(lo, hi):
                mark[packed[x] >> CODE_BITS] = packed[x] & CODE_MASK
        for k in range(i, j):
            e = order[k]
            s = source[e] + target[e] - h
            before, after = flip_arc(start, packed, degrees, source[e], target[e])
            if source[e] != h:
                before, after = reverse(before), reverse(after)
            found[:] = 0
            for x in range(start[s], start[s + 1]):
                w = packed[x] >> CODE_BITS
                if marked:
                    code = np.uint32(mark[w])
                else:
                    slot = find_slot(start, packed, h, np.int64(w))
                    code = packed[slot] & CODE_MASK if slot >= 0 else np.uint32(0)
                found[code << CODE_BITS | (packed[x] & CODE_MASK)] += 1
            for a in range(1, 4):
                for b in range(1, 4):
                    pair = a << 2 | b
                    if before:
                        closed[np.int64(before) << 4 | pair] -= found[pair]
                    if after:
                        closed[np.int64(after) << 4 | pair] += found[pair]
            if marked:
                mark[s] = after
        if marked:
            for x in range(lo, hi):
                mark[packed[x] >> CODE_BITS] = 0
        i = j
