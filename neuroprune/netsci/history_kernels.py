"""Kernels of histories: dyads in time, one walk over the triangles, one sweep over the events.

The time of a dyad is cut into *segments* in which its code stays the same. Three segments that meet in a triangle
and overlap in time hold one closed triad of one class while they overlap, so the triangles of the graph of all arcs
that ever lived, met once each, give every step as differences in time. What depends on the dyads of each node alone
follows from a sweep over the births and deaths of segments.

A segment is a row of an int32 array: ``birth << 2 | code`` and ``death``.
"""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK, reverse, row_starts


@njit(cache=True, nogil=True)
def merge_lives(source, target, birth, death):  # pragma: no cover
    """Merge, in place, lives of the same arc that overlap or adjoin; return how many are left.

    Lives are sorted by (source, target, birth).
    """
    last = 0
    for e in range(1, source.size):
        if source[e] == source[last] and target[e] == target[last] and birth[e] <= death[last]:
            death[last] = max(death[last], death[e])
        else:
            last += 1
            source[last], target[last], birth[last], death[last] = source[e], target[e], birth[e], death[e]
    return min(last + 1, source.size)


@njit(cache=True, nogil=True)
def forward_arcs(n, start, packed, f_start, order, rank, source, target):  # pragma: no cover
    """Return the arcs of each forward dyad, from the lower rank and to it, -1 for none, and its higher rank."""
    out_start = row_starts(n, source)
    in_start = row_starts(n, target)
    into = np.empty(source.size, np.int32)
    place = in_start[:-1].copy()
    for e in range(source.size):
        into[place[target[e]]] = e
        place[target[e]] += 1
    dyads = f_start[n]
    higher = np.empty(dyads, np.uint32)
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
                higher[p] = w
                outward[p] = into[b] if code & 2 else -1
                inward[p] = a if code & 1 else -1
                place[r] += 1
            a += np.int64(code & 1)
            b += np.int64(code >> 1)
    return higher, outward, inward


@njit(cache=True, nogil=True)
def build_segments(outward, inward, life, birth, death, directed):  # pragma: no cover
    """Cut the time of each dyad into segments of one code; without direction, the code is always 3.

    Lives of arc `a` are ``life[a]:life[a + 1]``, disjoint and ascending. Returns where the segments of each dyad
    start, shape (dyads + 1,), and the segments.
    """
    never = np.int32(2**31 - 1)
    first = np.zeros(outward.size + 1, np.int64)
    segments = np.empty((2 * birth.size, 2), np.int32)
    k = 0
    for p in range(outward.size):
        i = i_end = j = j_end = np.int64(0)
        if outward[p] >= 0:
            i, i_end = life[outward[p]], life[outward[p] + 1]
        if inward[p] >= 0:
            j, j_end = life[inward[p]], life[inward[p] + 1]
        now = np.int32(0)
        while i < i_end or j < j_end:
            out_birth = max(birth[i], now) if i < i_end else never
            in_birth = max(birth[j], now) if j < j_end else never
            out_death = death[i] if i < i_end else never
            in_death = death[j] if j < j_end else never
            now = min(out_death, in_death)
            if out_birth < in_birth:
                now = min(now, in_birth)
            elif in_birth < out_birth:
                now = min(now, out_birth)
            born = min(out_birth, in_birth)
            code = np.int32(out_birth == born) + np.int32(2) * np.int32(in_birth == born)
            if directed or k == first[p] or segments[k - 1, 1] < born:
                segments[k, 0] = born << 2 | (code if directed else np.int32(3))
                segments[k, 1] = now
                k += 1
            else:
                segments[k - 1, 1] = now
            i += np.int64(out_death == now)
            j += np.int64(in_death == now)
        first[p + 1] = k
    return first, segments[:k].copy()


@njit(cache=True, nogil=True)
def closed_differences(n, steps, start, higher, first, segments):  # pragma: no cover
    """Return how the closed triads of each code change from step to step, shape (steps + 1, 64)."""
    change = np.zeros((steps + 1, 64), np.int64)
    at = np.zeros(n, np.int32)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            at[higher[e]] = e + 1
        for e in range(lo, hi):
            v = higher[e]
            for f in range(start[v], start[v + 1]):
                g = at[higher[f]]
                if g == 0:
                    continue
                for x in range(first[e], first[e + 1]):
                    for y in range(first[g - 1], first[g]):
                        for z in range(first[f], first[f + 1]):
                            a, b, c = segments[x, 0], segments[y, 0], segments[z, 0]
                            born = max(a, b, c) >> 2
                            died = min(segments[x, 1], segments[y, 1], segments[z, 1])
                            if born < died:
                                code = (a & 3) << 4 | (b & 3) << 2 | (c & 3)
                                change[born, code] += 1
                                change[died, code] -= 1
        for e in range(lo, hi):
            at[higher[e]] = 0
    return change


@njit(cache=True, nogil=True)
def numerator_differences(n, since, until, start, higher, first, segments):  # pragma: no cover
    """Return how the sums over triangles at each node change in steps [since, until), shape (steps, n), by rank.

    A triangle counts the product of the arcs of its dyads, 1 or 2 each; one that lives at `since` is born there.
    """
    arcs = np.array([0, 1, 1, 2])
    change = np.zeros((until - since, n), np.int64)
    at = np.zeros(n, np.int32)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            at[higher[e]] = e + 1
        for e in range(lo, hi):
            v = higher[e]
            for f in range(start[v], start[v + 1]):
                w = higher[f]
                g = at[w]
                if g == 0:
                    continue
                for x in range(first[e], first[e + 1]):
                    for y in range(first[g - 1], first[g]):
                        for z in range(first[f], first[f + 1]):
                            a, b, c = segments[x, 0], segments[y, 0], segments[z, 0]
                            born = max(np.int64(max(a, b, c) >> 2), since)
                            died = np.int64(min(segments[x, 1], segments[y, 1], segments[z, 1]))
                            if born < died and born < until:
                                product = arcs[a & 3] * arcs[b & 3] * arcs[c & 3]
                                row = change[born - since]
                                row[u] += product
                                row[v] += product
                                row[w] += product
                                if died < until:
                                    row = change[died - since]
                                    row[u] -= product
                                    row[v] -= product
                                    row[w] -= product
        for e in range(lo, hi):
            at[higher[e]] = 0
    return change


@njit(cache=True, nogil=True)
def events_by_step(n, steps, start, higher, first, segments):  # pragma: no cover
    """Return births and deaths of segments in the order of time.

    Returns where the events of each step start, shape (steps + 1,), and for each event ``lower rank << 2 | code``
    and ``higher rank << 1 | whether it is a death``.
    """
    begin = np.zeros(steps + 2, np.int64)
    for x in range(segments.shape[0]):
        begin[(segments[x, 0] >> 2) + 1] += 1
        begin[segments[x, 1] + 1] += 1
    for t in range(steps + 1):
        begin[t + 1] += begin[t]
    place = begin[:-1].copy()
    low = np.empty(begin[steps + 1], np.uint32)
    high = np.empty(begin[steps + 1], np.uint32)
    for u in range(n):
        for p in range(start[u], start[u + 1]):
            for x in range(first[p], first[p + 1]):
                for dies in range(2):
                    t = segments[x, 1] if dies else segments[x, 0] >> 2
                    low[place[t]] = np.uint32(u) << 2 | np.uint32(segments[x, 0] & 3)
                    high[place[t]] = higher[p] << 1 | np.uint32(dies)
                    place[t] += 1
    return begin[:-1].copy(), low, high


@njit(cache=True, nogil=True)
def sweep_dyads(n, steps, begin, low, high):  # pragma: no cover
    """Return pairs of dyads at the nodes, in the order of `WEDGES`, dyads, and nodes with two of them, by step.

    Shapes (steps, 6), (steps, 2) for asymmetric and mutual dyads, and (steps,).
    """
    degrees = np.zeros((n, 4), np.int64)
    pairs = np.zeros((4, 4), np.int64)
    number = np.zeros(4, np.int64)
    defined = np.int64(0)
    wedges = np.empty((steps, 6), np.int64)
    dyads = np.empty((steps, 2), np.int64)
    nodes = np.empty(steps, np.int64)
    for t in range(steps):
        for x in range(begin[t], begin[t + 1]):
            code = low[x] & CODE_MASK
            dies = np.int64(high[x] & 1)
            sign = 1 - 2 * dies
            number[code] += sign
            for end in range(2):
                at = degrees[high[x] >> 1 if end else low[x] >> CODE_BITS]
                seen = reverse(code) if end else code
                at[seen] -= dies  # the pairs of the one that goes, as of the one that comes, are with all others
                defined += sign * np.int64(at[1] + at[2] + at[3] == 1)
                for other in range(1, 4):
                    pairs[seen, other] += sign * at[other]
                at[seen] += 1 - dies
        wedges[t, 0], wedges[t, 1], wedges[t, 2] = pairs[1, 1], pairs[2, 2], pairs[3, 3]
        wedges[t, 3] = pairs[1, 2] + pairs[2, 1]
        wedges[t, 4] = pairs[1, 3] + pairs[3, 1]
        wedges[t, 5] = pairs[2, 3] + pairs[3, 2]
        dyads[t, 0], dyads[t, 1] = number[1] + number[2], number[3]
        nodes[t] = defined
    return wedges, dyads, nodes


@njit(cache=True, nogil=True)
def sweep_clustering(since, begin, low, high, change, degrees, numerator, denominator):  # pragma: no cover
    """Return the sum of Fagiolo's local coefficients at each step from `since` on, for which `change` has a row.

    State, changed in place, as it was before `since`: dyads of each node by code (n, 4), numerators (n,) as they
    are at `since`, to which the first row of `change` adds, and denominators (n,), 1 where there is none.
    """
    total = np.zeros(change.shape[0])
    for row in range(change.shape[0]):
        for x in range(begin[since + row], begin[since + row + 1]):
            code = low[x] & CODE_MASK
            sign = np.int64(1) - 2 * np.int64(high[x] & 1)
            for end in range(2):
                u = high[x] >> 1 if end else low[x] >> CODE_BITS
                at = degrees[u]
                at[reverse(code) if end else code] += sign
                d = at[1] + at[2] + 2 * at[3]
                denominator[u] = max(d * (d - 1) - 2 * at[3], 1)
        mean = 0.0
        for u in range(numerator.size):
            numerator[u] += change[row, u]
            mean += numerator[u] / denominator[u]
        total[row] = mean
    return total
