"""In which triads each node and each arc takes part, and in which role.

Only closed triads are enumerated, on the dyads that they consist of. All pairs of dyads that meet at a node are
counted from degrees, and each closed triad takes three of them back.
"""

from itertools import product

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK, reverse
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.tetrad_kernels import closed_on_dyads
from neuroprune.netsci.triads import CONNECTED_TRIADS, WEDGES, flipped, triad_class

CODES = (1, 2, 3)
SIDES = tuple(product(CODES, repeat=2))
"""Codes of the two other sides of a closed triad, in the order in which they are counted on a dyad."""


def _role(a: int, b: int, c: int) -> tuple[str, str]:
    """Return the class of nodes 0, 1, 2 and the role of node 0, from the codes of the dyads 0-1, 0-2 and 1-2."""
    own = "-".join(("out", "in", "mutual")[code - 1] for code in sorted((a, b)) if code)
    return triad_class(a, b, c), own


def _all_roles() -> tuple[tuple[str, str], ...]:
    """Return the roles, by class in the order of `CONNECTED_TRIADS`."""
    roles = dict.fromkeys(_role(*codes) for codes in product(range(4), repeat=3))
    return tuple(role for name in CONNECTED_TRIADS for role in roles if role[0] == name)


TRIAD_ROLES = _all_roles()
"""The 30 places that a node can have in a connected triad, as (class, role).

A role says what the dyads of the node in the triad are: ``("030T", "out-in")`` is the middle of a feed-forward loop.
Nodes of a class in the same role are those that its symmetries exchange.
"""

ROLE_CLASSES = np.array([[name == role[0] for name in CONNECTED_TRIADS] for role in TRIAD_ROLES], np.int64)


def _role_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what closed triads (27), pairs of dyads at a node (6) and paths from it (9) add to the 30 roles."""
    closed = np.zeros((27, len(TRIAD_ROLES)), np.int64)
    for row, (a, b, c) in zip(closed, product(CODES, repeat=3), strict=True):
        row[TRIAD_ROLES.index(_role(a, b, c))] += 1
        for open_triad in ((a, b, 0), (a, 0, c), (0, b, c)):
            row[TRIAD_ROLES.index(_role(*open_triad))] -= 1
    centre = np.array([[role == _role(a, b, 0) for role in TRIAD_ROLES] for a, b in WEDGES], np.int64)
    end = np.array([[role == _role(a, 0, c) for role in TRIAD_ROLES] for a, c in SIDES], np.int64)
    return closed, centre, end


def _dyad_table() -> np.ndarray:
    """Return what adds to the 13 classes on a dyad of each code, shape (4, 15, 13).

    Rows: its closed triads (9), further dyads of each code at its lower rank (3) and at its higher one (3).
    """
    names = np.array(CONNECTED_TRIADS)
    table = np.zeros((4, 15, 13))
    for c, a in product(CODES, repeat=2):
        table[c, 8 + a] = names == triad_class(c, a, 0)
        table[c, 11 + a] = names == triad_class(c, 0, a)
    for c, (k, (a, b)) in product(CODES, enumerate(SIDES)):
        table[c, k] = (names == triad_class(c, a, b)) - table[c, 8 + a] - table[c, 11 + b]
    return table


CLOSED_ROLES, CENTRE_ROLES, END_ROLES = _role_tables()
ON_DYAD = _dyad_table()


@njit(cache=True, nogil=True)
def sums_at_nodes(n, start, packed, degrees, triads):  # pragma: no cover
    """Return for each rank the closed triads and the two-edge paths that leave it, by code, shapes (n, 27), (n, 9).

    Closed triads are counted twice, on both dyads that meet at the node: at ``9 (c_uv - 1)`` plus the column of
    `triads`, and once more with v and w exchanged.
    """
    closed = np.zeros((n, 27), np.int64)
    paths = np.zeros((n, 9), np.int64)
    for u in range(n):
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            c = np.int64(packed[e] & CODE_MASK)
            r = np.int64(reverse(packed[e] & CODE_MASK))
            for a in range(1, 4):
                paths[u, 3 * c + a - 4] += degrees[v, a] - np.int64(a == r)
                paths[v, 3 * r + a - 4] += degrees[u, a] - np.int64(a == c)
            for i in range(3):
                for j in range(3):
                    t = np.int64(triads[e, 3 * i + j])
                    closed[u, 9 * (c - 1) + 3 * i + j] += t
                    closed[v, 9 * (r - 1) + 3 * j + i] += t
    return closed, paths


def _triads_on_dyads(graph: Graph) -> np.ndarray:
    """Return the closed triads on each forward dyad by the codes of their other sides, int32, shape (dyads, 9)."""
    return closed_on_dyads(graph.n, graph.forward.start, graph.forward.packed, False)[0]


def _on_arcs(graph: Graph, values: np.ndarray) -> np.ndarray:
    """Return values of forward dyads as values of arcs, along the first axis."""
    dyad = np.empty(graph.arcs, np.int64)
    for arc in graph.forward_arcs:
        dyad[arc[arc >= 0]] = np.flatnonzero(arc >= 0)
    return values[dyad]


def triad_participation(graph: Graph, roles: bool = False) -> np.ndarray:
    """Count the connected induced triads in which each node takes part.

    Parameters
    ----------
    graph : Graph
        Weights are ignored; an undirected graph has mutual dyads only.
    roles : bool, default False
        Count the places that a node has in a triad apart.

    Returns
    -------
    array of int64, shape (n, 13) or (n, 30)
        Triads of each class in the order of ``CONNECTED_TRIADS``, or of each class and role in the order of
        `TRIAD_ROLES`. Each triad has three nodes: a class sums to three times its census.

    References
    ----------
    .. [1] McDonnell et al. (2014) PLoS ONE 9:e114503.

    Examples
    --------
    >>> counts = triad_participation(Graph.from_coo([0, 1, 0, 2], [1, 2, 2, 3]))
    >>> counts[:, CONNECTED_TRIADS.index("030T")].tolist()
    [1, 1, 1, 0]
    """
    start, packed, order, _ = graph.forward
    degrees = graph.dyad_degrees[order]
    closed, paths = sums_at_nodes(graph.n, start, packed, degrees, _triads_on_dyads(graph))
    pairs = np.stack(
        [degrees[:, a] * (degrees[:, b] - (a == b)) // (2 if a == b else 1) for a, b in WEDGES],
        axis=1,
    )
    by_role = closed @ CLOSED_ROLES // 2 + pairs @ CENTRE_ROLES + paths @ END_ROLES
    counts = np.empty_like(by_role)
    counts[order] = by_role
    return counts if roles else counts @ ROLE_CLASSES


def edge_triad_participation(graph: Graph) -> np.ndarray:
    """Count the connected induced triads that contain each arc.

    Parameters
    ----------
    graph : Graph
        Weights are ignored; an undirected graph has mutual dyads only.

    Returns
    -------
    array of int64, shape (arcs, 13)
        Triads of each class in the order of ``CONNECTED_TRIADS``, for each arc in the order of the graph's. Both arcs
        of a mutual dyad lie in the same triads.

    Examples
    --------
    >>> counts = edge_triad_participation(Graph.from_coo([0, 1, 0, 2], [1, 2, 2, 3]))
    >>> counts[:, CONNECTED_TRIADS.index("030T")].tolist()
    [1, 1, 1, 0]
    """
    start, packed, order, _ = graph.forward
    degrees = graph.dyad_degrees[order]
    low = np.repeat(np.arange(graph.n), np.diff(start))
    high, code = packed >> CODE_BITS, packed & CODE_MASK
    # Float64 multiplies matrices far faster, and all numbers are far below the 2^53 to which it is exact.
    around = np.empty((packed.size, 15))
    around[:, :9] = _triads_on_dyads(graph)
    around[:, 9:12] = degrees[low, 1:]
    around[:, 12:] = degrees[high, 1:]
    counts = np.empty((packed.size, len(CONNECTED_TRIADS)), np.int64)
    for c in CODES:
        of = around[code == c]
        of[:, 8 + c] -= 1  # the dyad itself
        of[:, 11 + flipped(c)] -= 1
        counts[code == c] = of @ ON_DYAD[c]
    return _on_arcs(graph, counts)


def triangles_per_edge(graph: Graph) -> np.ndarray:
    """Count the triangles on each arc, whatever their direction: the common neighbours of its two ends.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    array of int64, shape (arcs,)

    Examples
    --------
    >>> triangles_per_edge(Graph.from_coo([0, 1, 0, 2], [1, 2, 2, 3])).tolist()
    [1, 1, 1, 0]
    """
    return _on_arcs(graph, _triads_on_dyads(graph).sum(axis=1, dtype=np.int64))


def edges_in_no_triangle(graph: Graph) -> np.ndarray:
    """Return which arcs lie in no triangle, whatever its direction; bool, shape (arcs,).

    Removing such arcs leaves every triangle: it lowers no clustering coefficient.
    """
    return triangles_per_edge(graph) == 0


def fraction_in_no_triangle(graph: Graph) -> float:
    """Return the fraction of connected pairs of nodes that have no common neighbour; NaN without edges.

    A mutual pair counts once.

    Examples
    --------
    >>> fraction_in_no_triangle(Graph.from_coo([0, 1, 0, 2], [1, 2, 2, 3]))
    0.25
    """
    triads = _triads_on_dyads(graph)
    return float(np.mean(~triads.any(axis=1))) if len(triads) else float("nan")
