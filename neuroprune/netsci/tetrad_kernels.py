"""Kernels that count what lies around each dyad: closed triads, four-cliques, four-cycles.

All nodes are ranks (see `adjacency`), and codes are those of dyads. What triads a dyad u-v, u < v, is a side of is
counted by the codes of the other two sides: column ``3 (c_uw - 1) + (c_vw - 1)`` for the third node w.
"""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK, reverse

FIELD = np.uint64(21)
"""Bits of a counter, three of which share a word of 64."""

MOST = (1 << 21) - 1
"""What a counter can hold."""

SWEEP = 4
"""How many counters one sweep clears in the time of walking to one of them again."""


@njit(cache=True, nogil=True)
def closed_on_dyads(n, start, packed, cliques):  # pragma: no cover
    """Return the closed triads on each forward dyad, int32, shape (dyads, 9), and the four-cliques by code.

    Cliques u < v < w < x, int64, shape (4096,), are left at zero unless `cliques`. For each dyad u-v, the third
    nodes of its triads are marked with both their codes, and the forward rows of all w among them are searched for
    marks. What is found is first gathered, without a branch, and then counted: marks are too irregular to predict.
    """
    triads = np.zeros((packed.size, 9), np.int32)
    clique_counts = np.zeros(4096, np.int64)
    place = np.zeros(n, np.int64)
    mark = np.zeros(n, np.uint32)
    longest = np.int64(0)
    for u in range(n):
        longest = max(longest, start[u + 1] - start[u])
    third = np.empty(longest + 1, np.uint32)
    third_mark = np.empty(longest + 1, np.uint32)
    found = np.empty(longest + 1, np.uint32)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            place[packed[e] >> CODE_BITS] = e + 1
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            code = packed[e] & CODE_MASK
            c_uv, c_vu = np.int64(code), np.int64(reverse(code))
            size = 0
            for f in range(start[v], start[v + 1]):
                w = packed[f] >> CODE_BITS
                g = place[w] - 1
                if g < 0:
                    continue
                c_uw, c_vw = packed[g] & CODE_MASK, packed[f] & CODE_MASK
                triads[e, 3 * np.int64(c_uw) + np.int64(c_vw) - 4] += 1
                triads[g, 3 * c_uv + np.int64(reverse(c_vw)) - 4] += 1
                triads[f, 3 * c_vu + np.int64(reverse(c_uw)) - 4] += 1
                third[size] = w
                third_mark[size] = (c_uw << np.uint32(4)) | (c_vw << np.uint32(8))
                size += 1
            if not cliques or size < 2:
                continue
            for i in range(size):
                mark[third[i]] = third_mark[i]
            for i in range(size - 1):
                w = third[i]
                base = code | (third_mark[i] >> np.uint32(2))
                hits = 0
                for h in range(start[w], start[w + 1]):
                    x = packed[h]
                    both = mark[x >> CODE_BITS]
                    found[hits] = both | ((x & CODE_MASK) << np.uint32(10))
                    hits += np.int64(both != 0)
                for h in range(hits):
                    clique_counts[base | found[h]] += 1
            for i in range(size):
                mark[third[i]] = np.uint32(0)
        for e in range(lo, hi):
            place[packed[e] >> CODE_BITS] = 0
    return triads, clique_counts


@njit(cache=True, nogil=True)
def ranked_rows(n, start, packed, order, rank):  # pragma: no cover
    """Return the whole adjacency between ranks; rows come out sorted because ranks are visited in order."""
    r_start = np.zeros(n + 1, np.int64)
    for r in range(n):
        r_start[r + 1] = r_start[r] + start[order[r] + 1] - start[order[r]]
    place = r_start[:-1].copy()
    r_packed = np.empty(packed.size, np.uint32)
    for w in range(n):
        x = order[w]
        for e in range(start[x], start[x + 1]):
            r = rank[packed[e] >> CODE_BITS]
            r_packed[place[r]] = (np.uint32(w) << CODE_BITS) | reverse(packed[e] & CODE_MASK)
            place[r] += 1
    return r_start, r_packed


@njit(cache=True, nogil=True)
def count_cycles(n, start, packed):  # pragma: no cover
    """Return the number of four-cycles, from ranked rows, whatever the codes.

    Each is seen from its highest rank u: two paths u-v-w that end at the same w (Chiba & Nishizeki 1985).
    """
    paths = np.zeros(n, np.uint32)
    cycles = np.int64(0)
    for u in range(n):
        walked = 0
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            if v >= u:
                break
            for f in range(start[v], start[v + 1]):
                w = packed[f] >> CODE_BITS
                if w >= u:
                    break
                cycles += np.int64(paths[w])
                paths[w] += np.uint32(1)
                walked += 1
        if SWEEP * walked > u:
            for w in range(u):
                paths[w] = np.uint32(0)
            continue
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            if v >= u:
                break
            for f in range(start[v], start[v + 1]):
                w = packed[f] >> CODE_BITS
                if w >= u:
                    break
                paths[w] = np.uint32(0)
    return cycles


@njit(cache=True, nogil=True)
def empty_fields(fields, cycles):  # pragma: no cover
    """Move what the packed counters hold to the totals."""
    for k in range(9):
        for c in range(3):
            for b in range(3):
                count = (fields[k, c] >> (FIELD * np.uint64(b))) & np.uint64(MOST)
                cycles[k, 3 * b + c] += np.int64(count)
        for i in range(4):
            fields[k, i] = np.uint64(0)


@njit(cache=True, nogil=True)
def count_cycles_by_code(n, start, packed, most):  # pragma: no cover
    """Return the four-cycles by the codes of their two paths from the highest rank, int64, shape (9, 9).

    A path u-v-w is of type ``3 (c_uv - 1) + (c_vw - 1)``. For each w, nine counters of 21 bits say how many paths
    of each type end there so far, and each further path adds all nine, in one step of four words (the fourth is
    there to align them), to the totals of its own type. `most` is the most paths that any u and w can share; the
    totals are emptied before they could overflow.
    """
    cycles = np.zeros((9, 9), np.int64)
    fields = np.zeros((9, 4), np.uint64)
    paths = np.zeros((n, 4), np.uint64)
    room = MOST // most
    for u in range(n):
        taken = 0
        walked = 0
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            if v >= u:
                break
            b = (packed[e] & CODE_MASK) - np.uint32(1)
            one = np.uint64(1) << (FIELD * np.uint64(b))
            for f in range(start[v], start[v + 1]):
                x = packed[f]
                w = x >> CODE_BITS
                if w >= u:
                    break
                c = (x & CODE_MASK) - np.uint32(1)
                k = np.uint32(3) * b + c
                for i in range(4):
                    fields[k, i] += paths[w, i]
                paths[w, c] += one
                walked += 1
                taken += 1
                if taken == room:
                    empty_fields(fields, cycles)
                    taken = 0
        if walked == 0:
            continue
        empty_fields(fields, cycles)
        if SWEEP * walked > u:
            for w in range(u):
                for i in range(4):
                    paths[w, i] = np.uint64(0)
            continue
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            if v >= u:
                break
            for f in range(start[v], start[v + 1]):
                w = packed[f] >> CODE_BITS
                if w >= u:
                    break
                for i in range(4):
                    paths[w, i] = np.uint64(0)
    return cycles


@njit(cache=True, nogil=True)
def sums_over_dyads(n, start, packed, degrees, triads):  # pragma: no cover
    """Return paths, paws and diamonds by code, from the dyad degrees (n, 4) and closed triads (dyads, 9).

    paths[c, a, b] : the middle dyad u-v of code c, the outer ones of code a at u and b at v; shape (4, 4, 4).
    paws[c, d, g, a] : dyads u-v, u-w, v-w of codes c, d, g and a fourth node at u of code a, each counted twice
    (once for u-v, once for u-w); shape (4, 4, 4, 4).
    diamonds[c, i, j] : the dyad u-v of code c in two triads of columns i <= j; shape (4, 9, 9).
    """
    paths = np.zeros((4, 4, 4), np.int64)
    paws = np.zeros((4, 4, 4, 4), np.int64)
    diamonds = np.zeros((4, 9, 9), np.int64)
    for u in range(n):
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            c = np.int64(packed[e] & CODE_MASK)
            r = np.int64(reverse(packed[e] & CODE_MASK))
            for a in range(1, 4):
                at_u = degrees[u, a] - np.int64(a == c)
                for b in range(1, 4):
                    paths[c, a, b] += at_u * (degrees[v, b] - np.int64(b == r))
            for i in range(9):
                t = np.int64(triads[e, i])
                if t == 0:
                    continue
                d, g = i // 3 + 1, i % 3 + 1
                paths[c, d, g] -= t
                for a in range(1, 4):
                    paws[c, d, g, a] += t * (degrees[u, a] - np.int64(a == c) - np.int64(a == d))
                    paws[r, g, d, a] += t * (degrees[v, a] - np.int64(a == r) - np.int64(a == g))
                diamonds[c, i, i] += t * (t - 1) // 2
                for j in range(i + 1, 9):
                    diamonds[c, i, j] += t * np.int64(triads[e, j])
    return paths, paws, diamonds
