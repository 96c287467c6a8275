"""The kernel of switches under further constraints: reciprocity, or the length of edges."""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import row_starts
from neuroprune.netsci.chains import ONE, add, below, contains, discard, next64, pair_key, pair_set

MOST_SWITCHES = 8
"""Most switches of one attempt."""


@njit(cache=True, nogil=True)
def length_bin(positions, edges, u, v):  # pragma: no cover
    """Return how many edges of bins, float64 ascending, are below the distance between two nodes."""
    square = 0.0
    for axis in range(positions.shape[1]):
        square += (positions[u, axis] - positions[v, axis]) ** 2
    return np.searchsorted(edges, np.sqrt(square))


@njit(cache=True, nogil=True)
def reverse_cycle(n, start, tail, head, ordered, table, shift, state):  # pragma: no cover
    """Draw a path u -> v -> w; where w -> u closes it and no arc of it is mutual, reverse it and return True.

    Each 3-cycle is as likely to be drawn as its reverse, because the out-degrees of its nodes are the same.
    """
    e = below(state, start[n])
    u, v = tail[e], head[e]
    if start[v] == start[v + 1]:
        return False
    f = start[v] + below(state, start[v + 1] - start[v])
    w = head[f]
    g = start[w]
    while g < start[w + 1] and head[g] != u:
        g += 1
    if w == u or g == start[w + 1]:
        return False
    if ordered:
        vu, wv, uw = pair_key(n, v, u, True), pair_key(n, w, v, True), pair_key(n, u, w, True)
        if contains(table, shift, vu) or contains(table, shift, wv) or contains(table, shift, uw):
            return False
        discard(table, shift, pair_key(n, u, v, True))
        discard(table, shift, pair_key(n, v, w, True))
        discard(table, shift, pair_key(n, w, u, True))
        add(table, shift, vu)
        add(table, shift, wv)
        add(table, shift, uw)
    head[e], head[f], head[g] = w, u, v
    return True


@njit(cache=True, nogil=True)
def switch_within(n, tail, head, arcs, ordered, positions, edges, attempts, state):  # pragma: no cover
    """Switch ends of arcs among arcs and of pairs among pairs, in place; return how many attempts changed the graph.

    The first `arcs` edges are arcs, sorted by tail, the others pairs without direction. Two edges exclude each other
    where they join the same nodes, in the same order if `ordered`. With positions, shape (n, dimensions), the new
    edges together have the length bins of those they replace.

    One attempt in eight (where there are arcs) is the reversal of a 3-cycle. Others make a switch, or with
    probability 1/4 each a further one, and are judged by the graph at their end alone: with constraints, single
    switches may not lead from one valid graph to the next. The second switch often takes up an edge of the first.
    A sequence of switches is as likely to be drawn as its reverse, so all graphs within reach become equally likely.
    """
    size = tail.size
    start = row_starts(n, tail[:arcs])
    table, shift = pair_set(n, size)
    for e in range(size):
        add(table, shift, pair_key(n, tail[e], head[e], ordered))
    touched = np.empty(2 * MOST_SWITCHES, np.int64)
    old_tail = np.empty(2 * MOST_SWITCHES, np.int32)
    old_head = np.empty(2 * MOST_SWITCHES, np.int32)
    gain = np.zeros(edges.size + 1, np.int64)
    accepted = 0
    for _ in range(attempts):
        bits = next64(state)
        if arcs and not bits >> np.uint64(61):
            accepted += reverse_cycle(n, start, tail, head, ordered, table, shift, state)
            continue
        count = 0
        e = below(state, size)
        for switch in range(MOST_SWITCHES):
            f = below(state, arcs) if e < arcs else arcs + below(state, size - arcs)
            for edge in (e, f):
                i = 0
                while i < count and touched[i] != edge:
                    i += 1
                if i == count:
                    touched[i], old_tail[i], old_head[i] = edge, tail[edge], head[edge]
                    count += 1
            bits = next64(state)
            if e >= arcs and bits & ONE:
                head[e], tail[f] = tail[f], head[e]
            else:
                head[e], head[f] = head[f], head[e]
            if (bits >> np.uint64(61)) & np.uint64(3):
                break
            e = below(state, size) if bits >> np.uint64(63) else f

        for i in range(count):
            discard(table, shift, pair_key(n, old_tail[i], old_head[i], ordered))
        placed = 0
        changed = False
        while placed < count:
            u, v = tail[touched[placed]], head[touched[placed]]
            key = pair_key(n, u, v, ordered)
            if u == v or contains(table, shift, key):
                break
            add(table, shift, key)
            changed |= key != pair_key(n, old_tail[placed], old_head[placed], ordered)
            placed += 1
        valid = placed == count
        if valid and changed and edges.size:
            for i in range(count):
                gain[length_bin(positions, edges, old_tail[i], old_head[i])] -= 1
                gain[length_bin(positions, edges, tail[touched[i]], head[touched[i]])] += 1
            valid = not gain.any()
            gain[:] = 0
        if valid:
            accepted += changed
            continue
        for i in range(placed):
            discard(table, shift, pair_key(n, tail[touched[i]], head[touched[i]], ordered))
        for i in range(count):
            tail[touched[i]], head[touched[i]] = old_tail[i], old_head[i]
            add(table, shift, pair_key(n, old_tail[i], old_head[i], ordered))
    return accepted
