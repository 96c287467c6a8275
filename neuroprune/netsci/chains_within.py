"""The kernel of moves of several switches at once, for null models in which single ones may find no way."""

import numpy as np
from numba import njit

from neuroprune.netsci.chains import (
    LOW_HALF,
    ONE,
    THIRTY_TWO,
    ZERO,
    add,
    below,
    contains,
    discard,
    next64,
    pair_key,
    turned,
)
from neuroprune.netsci.spatial import distance

MOST_SWITCHES = 8
"""Most switches of one move."""

THREE, SIXTY_ONE, SIXTY_THREE = np.uint64(3), np.uint64(61), np.uint64(63)


@njit(cache=True, nogil=True)
def edge_lengths(positions, edges):  # pragma: no cover
    """Return the lengths of packed edges, with the rounding that :func:`move_edges` meets again."""
    lengths = np.empty(edges.size)
    for e in range(edges.size):
        lengths[e] = distance(positions, edges[e] >> THIRTY_TWO, edges[e] & LOW_HALF)
    return lengths


@njit(cache=True, nogil=True)
def edge_key(n, edge, order):  # pragma: no cover
    """Return the key of a packed edge in a set of pairs."""
    return pair_key(n, edge >> THIRTY_TWO, edge & LOW_HALF, order)


@njit(cache=True, nogil=True)
def reverse_cycle(n, start, edges, order, table, shift, state):  # pragma: no cover
    """Draw a path u -> v -> w; where w -> u closes it and no arc of it is mutual, reverse it and return True.

    Each 3-cycle is as likely to be drawn as its reverse, because the out-degrees of its nodes stay the same.
    """
    e = below(state, start[n])
    u, v = edges[e] >> THIRTY_TWO, edges[e] & LOW_HALF
    if start[v] == start[v + ONE]:
        return False
    f = start[v] + below(state, start[v + ONE] - start[v])
    w = edges[f] & LOW_HALF
    g = start[w]
    while g < start[w + ONE] and edges[g] & LOW_HALF != u:
        g += 1
    if w == u or g == start[w + ONE]:
        return False
    if order is None:
        vu, wv, uw = pair_key(n, v, u, order), pair_key(n, w, v, order), pair_key(n, u, w, order)
        if contains(table, shift, vu) or contains(table, shift, wv) or contains(table, shift, uw):
            return False
        discard(table, shift, pair_key(n, u, v, order))
        discard(table, shift, pair_key(n, v, w, order))
        discard(table, shift, pair_key(n, w, u, order))
        add(table, shift, vu)
        add(table, shift, wv)
        add(table, shift, uw)
    edges[e] = (u << THIRTY_TWO) | w
    edges[f] = (v << THIRTY_TWO) | u
    edges[g] = (w << THIRTY_TWO) | v
    return True


@njit(cache=True, nogil=True)
def move_edges(n, start, edges, order, positions, limits, table, shift, attempts, state):  # pragma: no cover
    """Switch ends of arcs among arcs and of pairs among pairs, in place; return how many attempts changed the graph.

    Of the packed edges, the first ``start[n]`` are arcs, those from node `u` being ``start[u]`` to ``start[u + 1]``;
    the others are pairs without direction. Edges exclude each other where they are the same pair under
    `order`; those that exist are in the set of `table` and `shift`. With `limits`, the upper limits of
    length bins, new edges together have the bins of those they replace; positions have the shape (n, dimensions).

    One attempt in eight (where there are arcs) is the reversal of a 3-cycle. Any other makes a switch, then with
    probability 1/4 one more, and so on, and is judged by the graph at its end alone: with constraints, single
    switches may not lead from one valid graph to another. Half of the further switches take up the edge before. A
    sequence of switches is as likely to be drawn as its reverse, so all graphs within reach become equally likely.
    """
    arcs = start[n]
    touched = np.empty(2 * MOST_SWITCHES, np.int64)
    old = np.empty(2 * MOST_SWITCHES, np.uint64)
    gain = np.zeros(limits.size + 1, np.int64)
    accepted = 0
    for _ in range(attempts):
        if arcs and next64(state) >> SIXTY_ONE == ZERO:
            accepted += reverse_cycle(n, start, edges, order, table, shift, state)
            continue
        count = 0
        e = below(state, edges.size)
        for _switch in range(MOST_SWITCHES):
            f = below(state, arcs) if e < arcs else arcs + below(state, edges.size - arcs)
            for edge in (e, f):
                i = 0
                while i < count and touched[i] != edge:
                    i += 1
                if i == count:
                    touched[i], old[i] = edge, edges[edge]
                    count += 1
            bits = next64(state)
            if e != f:
                x, y = edges[e], edges[f]
                if e >= arcs:
                    x, y = turned(x, bits), turned(y, bits >> ONE)
                edges[e] = (x & ~LOW_HALF) | (y & LOW_HALF)
                edges[f] = (y & ~LOW_HALF) | (x & LOW_HALF)
            if (bits >> SIXTY_ONE) & THREE:
                break
            e = below(state, edges.size) if bits >> SIXTY_THREE else f

        valid = True
        if limits.size:
            for i in range(count):
                new = edges[touched[i]]
                gain[np.searchsorted(limits, distance(positions, old[i] >> THIRTY_TWO, old[i] & LOW_HALF))] -= 1
                gain[np.searchsorted(limits, distance(positions, new >> THIRTY_TWO, new & LOW_HALF))] += 1
            valid = not gain.any()
            gain[:] = 0
        if valid:
            for i in range(count):
                discard(table, shift, edge_key(n, old[i], order))
            placed = 0
            changed = False
            while placed < count:
                new = edges[touched[placed]]
                key = edge_key(n, new, order)
                if new >> THIRTY_TWO == new & LOW_HALF or contains(table, shift, key):
                    break
                add(table, shift, key)
                changed |= key != edge_key(n, old[placed], order)
                placed += 1
            if placed == count:
                accepted += changed
                continue
            for i in range(placed):
                discard(table, shift, edge_key(n, edges[touched[i]], order))
            for i in range(count):
                add(table, shift, edge_key(n, old[i], order))
        for i in range(count):
            edges[touched[i]] = old[i]
    return accepted
