"""Kernels of histories: dyads in time, one walk over the triangles, one sweep over the events.

The time of a dyad is cut into *segments* in which its code stays the same. Three segments that meet in a triangle
and overlap in time hold one closed triad of one class while they overlap, so the triangles of the graph of all arcs
that ever lived, met once each, give every step as differences in time. What depends on the dyads of each node alone
follows from a sweep over the births and deaths of segments.

A segment is a row of an int32 array: ``birth << 2 | code`` and ``death``.
"""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK, reverse


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
def build_segments(n, f_start, f_packed, outward, inward, life, birth, death, directed):  # pragma: no cover
    """Cut the time of each dyad into segments of one code; without direction, the code is always 3.

    Lives of arc `a` are ``life[a]:life[a + 1]``, disjoint and ascending. Returns where the row of each rank starts,
    the higher rank of each segment, and the segments; those of one dyad lie together, in the order of time.
    """
    never = np.int32(2**31 - 1)
    start = np.zeros(n + 1, np.int64)
    higher = np.empty(2 * birth.size, np.uint32)
    segments = np.empty((2 * birth.size, 2), np.int32)
    k = 0
    for u in range(n):
        for p in range(f_start[u], f_start[u + 1]):
            i = i_end = j = j_end = np.int64(0)
            if outward[p] >= 0:
                i, i_end = life[outward[p]], life[outward[p] + 1]
            if inward[p] >= 0:
                j, j_end = life[inward[p]], life[inward[p] + 1]
            first = k
            now = np.int32(0)
            while i < i_end or j < j_end:
                out_birth = max(birth[i], now) if i < i_end else never
                in_birth = max(birth[j], now) if j < j_end else never
                out_death = death[i] if i < i_end else never
                in_death = death[j] if j < j_end else never
                born = min(out_birth, in_birth)
                now = min(out_death, in_death)
                if out_birth != in_birth:
                    now = min(now, max(out_birth, in_birth))
                code = np.int32(out_birth == born) + np.int32(2) * np.int32(in_birth == born)
                if directed or k == first or segments[k - 1, 1] < born:
                    higher[k] = f_packed[p] >> CODE_BITS
                    segments[k, 0] = born << 2 | (code if directed else np.int32(3))
                    segments[k, 1] = now
                    k += 1
                else:
                    segments[k - 1, 1] = now
                i += np.int64(out_death == now)
                j += np.int64(in_death == now)
        start[u + 1] = k
    return start, higher[:k].copy(), segments[:k].copy()


@njit(cache=True, nogil=True)
def longest_row(start):  # pragma: no cover
    """Return the length of the longest row."""
    longest = np.int64(0)
    for u in range(start.size - 1):
        longest = max(longest, start[u + 1] - start[u])
    return longest


@njit(cache=True, nogil=True)
def meet(v, start, higher, at, hit):  # pragma: no cover
    """Write down the segments of row `v` whose dyad closes a triangle; return how many.

    A marked row has the place of the first segment of each dyad, plus one, in `at`. No branch, because whether an
    edge closes cannot be foreseen. `hit` holds the place in row `v` and that in the marked row.
    """
    hits = 0
    for z in range(start[v], start[v + 1]):
        y = at[higher[z]]
        hit[hits, 0] = z
        hit[hits, 1] = y - 1
        hits += np.int64(y != 0)
    return hits


@njit(cache=True, nogil=True)
def closed_differences(n, steps, start, higher, segments):  # pragma: no cover
    """Return how the closed triads of each code change from step to step, shape (steps + 1, 64)."""
    change = np.zeros((steps + 1, 64), np.int64)
    at = np.zeros(n, np.int32)
    hit = np.empty((longest_row(start) + 1, 2), np.int32)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        for x in range(hi - 1, lo - 1, -1):
            at[higher[x]] = x + 1
        hits = 0
        for x in range(lo, hi):
            if x == lo or higher[x] != higher[x - 1]:
                hits = meet(higher[x], start, higher, at, hit)
            for i in range(hits):
                z, y = hit[i, 0], hit[i, 1]
                w = higher[z]
                a, c = segments[x, 0], segments[z, 0]
                latest = max(a, c)
                earliest = min(segments[x, 1], segments[z, 1])
                code = (a & 3) << 4 | (c & 3)
                while y < hi and higher[y] == w:
                    b = segments[y, 0]
                    born = max(latest, b) >> 2
                    died = max(min(earliest, segments[y, 1]), born)  # if they never meet, nothing is left
                    change[born, code | (b & 3) << 2] += 1
                    change[died, code | (b & 3) << 2] -= 1
                    y += 1
        for x in range(lo, hi):
            at[higher[x]] = 0
    return change


@njit(cache=True, nogil=True)
def numerator_differences(n, since, until, start, higher, segments):  # pragma: no cover
    """Return how the sums over triangles at each node change in steps [since, until), shape (steps + 1, n), by rank.

    A triangle counts the product of the arcs of its dyads, 1 or 2 each; one that lives at `since` is born there.
    """
    change = np.zeros((until - since + 1, n), np.int64)
    at = np.zeros(n, np.int32)
    hit = np.empty((longest_row(start) + 1, 2), np.int32)
    arcs = np.array([0, 1, 1, 2])
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        for x in range(hi - 1, lo - 1, -1):
            at[higher[x]] = x + 1
        hits = 0
        for x in range(lo, hi):
            v = higher[x]
            if x == lo or v != higher[x - 1]:
                hits = meet(v, start, higher, at, hit)
            for i in range(hits):
                z, y = hit[i, 0], hit[i, 1]
                w = higher[z]
                a, c = segments[x, 0], segments[z, 0]
                latest = max(a, c)
                earliest = min(segments[x, 1], segments[z, 1])
                while y < hi and higher[y] == w:
                    b = segments[y, 0]
                    born = max(np.int64(max(latest, b) >> 2), since)
                    died = min(np.int64(min(earliest, segments[y, 1])), until)
                    y += 1
                    if born < died:
                        product = arcs[a & 3] * arcs[b & 3] * arcs[c & 3]
                        row = change[born - since]
                        row[u] += product
                        row[v] += product
                        row[w] += product
                        row = change[died - since]
                        row[u] -= product
                        row[v] -= product
                        row[w] -= product
        for x in range(lo, hi):
            at[higher[x]] = 0
    return change


@njit(cache=True, nogil=True)
def events_by_step(n, steps, start, higher, segments):  # pragma: no cover
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
        for x in range(start[u], start[u + 1]):
            for dies in range(2):
                t = segments[x, 1] if dies else segments[x, 0] >> 2
                low[place[t]] = np.uint32(u) << 2 | np.uint32(segments[x, 0] & 3)
                high[place[t]] = higher[x] << 1 | np.uint32(dies)
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
def sweep_clustering(since, begin, low, high, change, degrees, denominator):  # pragma: no cover
    """Return the sum of Fagiolo's local coefficients at each step from `since` on, for which `change` has a row.

    The last row of `change` is not needed. State of the sweep, changed in place: dyads of each node by code (n, 4)
    and denominators (n,), 1 where there is none, as they were before `since`.
    """
    steps, n = change.shape[0] - 1, change.shape[1]
    numerator = np.zeros(n, np.int64)
    total = np.zeros(steps)
    for row in range(steps):
        for x in range(begin[since + row], begin[since + row + 1]):
            code = low[x] & CODE_MASK
            sign = np.int64(1) - 2 * np.int64(high[x] & 1)
            for end in range(2):
                u = high[x] >> 1 if end else low[x] >> CODE_BITS
                at = degrees[u]
                at[reverse(code) if end else code] += sign
                d = at[1] + at[2] + 2 * at[3]
                denominator[u] = max(d * (d - 1) - 2 * at[3], 1)
        coefficients = 0.0
        for u in range(n):
            numerator[u] += change[row, u]
            coefficients += numerator[u] / denominator[u]
        total[row] = coefficients
    return total
