"""Distances between all pairs of nodes, by breadth-first searches from 512 sources at once.

Each node has a row of 512 bits, one for each source of a pass: the sources that have reached it (`seen`), and
those that reached it in the last step (`frontier`). One step of all searches is one ``or`` of rows along each arc
(Then et al. 2014). While few arcs leave the frontier it is pushed along them; otherwise each node that some source
has yet to reach pulls from its in-neighbours (Beamer et al. 2012) and stops as soon as all sources have reached it.
"""

import numpy as np
from numba import njit

WORDS = 8
"""Words of 64 sources in a row: one cache line."""

PULL_SHARE = 4
"""Pull when more than a fourth of all arcs leave the frontier: pulling stops early and writes each row once."""


@njit(cache=True, inline="always")
def count_bits(word):  # pragma: no cover
    """Return how many bits are set, in the form that compilers turn into one instruction (Warren 2012)."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def pull(n, start, neighbour, everyone, seen, frontier, reached, touched):  # pragma: no cover
    """Gather the frontier into each node with sources missing, from its in-neighbours; return how many there are."""
    gathered = np.zeros(WORDS, np.uint64)
    met = 0
    for v in range(n):
        missing = np.uint64(0)
        for w in range(WORDS):
            gathered[w] = seen[v, w]
            missing |= everyone[w] & ~seen[v, w]
        if missing == 0:
            continue
        touched[met] = v
        met += 1
        e = start[v]
        while e < start[v + 1] and missing:
            pause = min(e + 8, start[v + 1])
            while e < pause:
                u = neighbour[e]
                for w in range(WORDS):
                    gathered[w] |= frontier[u, w]
                e += 1
            missing = np.uint64(0)
            for w in range(WORDS):
                missing |= everyone[w] & ~gathered[w]
        for w in range(WORDS):
            reached[v, w] = gathered[w]
    return met


@njit(cache=True, nogil=True)
def push(active, count, start, neighbour, frontier, reached, touched):  # pragma: no cover
    """Scatter the rows of the active nodes to their out-neighbours; return how many nodes they touched."""
    met = 0
    for i in range(count):
        u = active[i]
        for e in range(start[u], start[u + 1]):
            v = neighbour[e]
            before = np.uint64(0)
            for w in range(WORDS):
                before |= reached[v, w]
                reached[v, w] |= frontier[u, w]
            if before == 0:
                touched[met] = v
                met += 1
    return met


@njit(cache=True, nogil=True)
def settle(d, touched, met, seen, reached, harmonic, active):  # pragma: no cover
    """Keep in `reached` who is new, at distance d; return how many nodes became active and how many pairs are new."""
    count, pairs = 0, 0
    for i in range(met):
        v = touched[i]
        new = 0
        for w in range(WORDS):
            reached[v, w] &= ~seen[v, w]
            seen[v, w] |= reached[v, w]
            new += count_bits(reached[v, w])
        if new:
            active[count] = v
            count += 1
            pairs += new
            harmonic[v] += new / d
    return count, pairs


@njit(cache=True, nogil=True)
def count_distances(n, in_start, in_neighbour, out_start, out_neighbour):  # pragma: no cover
    """Count the ordered pairs of nodes at each distance.

    Rows of in- and of out-neighbours ascend. Returns the pairs at distance 0 ... n, int64, shape (n + 1,), without
    those of a node and itself, and for each node the sum of 1 / d over the nodes that reach it, shape (n,).
    """
    pairs = np.zeros(n + 1, np.int64)
    harmonic = np.zeros(n)
    seen = np.zeros((n, WORDS), np.uint64)
    frontier = np.zeros((n, WORDS), np.uint64)
    reached = np.zeros((n, WORDS), np.uint64)
    active = np.empty(n, np.int32)
    touched = np.empty(n, np.int32)
    place = in_start[:-1].copy()
    for first in range(0, n, 64 * WORDS):
        last = min(first + 64 * WORDS, n)
        everyone = np.zeros(WORDS, np.uint64)
        for s in range(last - first):
            everyone[s >> 6] |= np.uint64(1) << np.uint64(s & 63)
        # Who is at distance 1 stands in the rows: those in-neighbours of a node that are sources of this pass.
        count = 0
        for v in range(n):
            e = place[v]
            while e < in_start[v + 1] and in_neighbour[e] < last:
                s = np.int64(in_neighbour[e]) - first
                frontier[v, s >> 6] |= np.uint64(1) << np.uint64(s & 63)
                e += 1
            if e > place[v]:
                active[count] = v
                count += 1
                pairs[1] += e - place[v]
                harmonic[v] += e - place[v]
                place[v] = e
            for w in range(WORDS):
                seen[v, w] = frontier[v, w]
            if first <= v < last:
                seen[v, (v - first) >> 6] |= np.uint64(1) << np.uint64((v - first) & 63)
        d = 1
        while count:
            d += 1
            leaving = np.int64(0)
            for i in range(count):
                u = active[i]
                leaving += out_start[u + 1] - out_start[u]
            if leaving * PULL_SHARE > in_neighbour.size:
                met = pull(n, in_start, in_neighbour, everyone, seen, frontier, reached, touched)
            else:
                met = push(active, count, out_start, out_neighbour, frontier, reached, touched)
            for i in range(count):
                for w in range(WORDS):
                    frontier[active[i], w] = 0
            count, new = settle(d, touched, met, seen, reached, harmonic, active)
            pairs[d] += new
            frontier, reached = reached, frontier
    return pairs, harmonic


@njit(cache=True, nogil=True)
def local_efficiencies(n, start, packed, in_codes, out_codes):  # pragma: no cover
    """Return the efficiency of the graph that the neighbours of each node induce; NaN with fewer than two.

    An entry of a row is an in-neighbour if its code has a bit of `in_codes`, an out-neighbour if of `out_codes`.
    """
    efficiency = np.full(n, np.nan)
    number = np.full(n, -1, np.int32)
    for v in range(n):
        k = start[v + 1] - start[v]
        if k < 2:
            continue
        bound = np.int64(0)
        for i in range(k):
            u = packed[start[v] + i] >> np.uint32(2)
            number[u] = i
            bound += start[u + 1] - start[u]
        bound = min(bound, k * (k - 1))
        in_start, out_start = np.zeros(k + 1, np.int64), np.zeros(k + 1, np.int64)
        in_neighbour, out_neighbour = np.empty(bound, np.int32), np.empty(bound, np.int32)
        ins, outs = 0, 0
        for i in range(k):
            u = packed[start[v] + i] >> np.uint32(2)
            for e in range(start[u], start[u + 1]):
                j = number[packed[e] >> np.uint32(2)]
                if j >= 0:
                    if packed[e] & in_codes:
                        in_neighbour[ins] = j
                        ins += 1
                    if packed[e] & out_codes:
                        out_neighbour[outs] = j
                        outs += 1
            in_start[i + 1], out_start[i + 1] = ins, outs
        for i in range(k):
            number[packed[start[v] + i] >> np.uint32(2)] = -1
        _, harmonic = count_distances(k, in_start, in_neighbour[:ins], out_start, out_neighbour[:outs])
        efficiency[v] = harmonic.sum() / (k * (k - 1))
    return efficiency
