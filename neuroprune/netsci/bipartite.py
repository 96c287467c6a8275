"""Measures of networks without odd cycles: afferent networks, and layers that project to the next one.

Climbing fibres to Purkinje cells, sensory to motor neurons, the layers of an artificial network: every closed walk
there alternates between two sides, so that triangles cannot occur and clustering, transitivity and closed triads
are zero or undefined by construction. The shortest closed structure is the four-cycle: two sources that share two
targets, the *bi-fan*. What clustering is elsewhere, sharing partners is here.

All measures but :func:`four_cycles` treat every node as a source (by the arcs it sends) and as a target (by those it
receives), which are apart. In an afferent network that is the network itself; in a layered one it is each pair of
successive layers; and it is defined for every directed graph. An undirected graph has both sides alike.
"""

from typing import Literal

import numpy as np
from numba import njit

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.tetrad_kernels import count_cycles, ranked_rows
from neuroprune.netsci.tetrads import tetrad_census

BIFAN = "204"
"""Name of the induced bi-fan in the tetrad census."""


@njit(cache=True, nogil=True)
def follow_layers(n, start, packed):  # pragma: no cover
    """Return the layer of each node, one more than that of its sources; an array of length 0 if that is impossible.

    Each component is walked from its first node, and then shifted until its lowest layer is 0.
    """
    layer = np.full(n, -1, np.int64)
    reached = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int64)
    for first in range(n):
        if reached[first] or start[first] == start[first + 1]:
            continue
        reached[first] = True
        layer[first] = 0
        queue[0] = first
        size = 1
        at = 0
        lowest = np.int64(0)
        while at < size:
            u = queue[at]
            at += 1
            for e in range(start[u], start[u + 1]):
                code = packed[e] & CODE_MASK
                if code == 3:
                    return np.empty(0, np.int64)
                v = packed[e] >> CODE_BITS
                expected = layer[u] + 1 if code == 1 else layer[u] - 1
                if not reached[v]:
                    reached[v] = True
                    layer[v] = expected
                    lowest = min(lowest, expected)
                    queue[size] = v
                    size += 1
                elif layer[v] != expected:
                    return np.empty(0, np.int64)
        for i in range(size):
            layer[queue[i]] -= lowest
    return layer


@njit(cache=True, nogil=True)
def mean_overlaps(first, last, start, packed):  # pragma: no cover
    """Return for each node the mean Jaccard overlap of its neighbours with those of the nodes it shares one with."""
    overlap = np.full(last - first, np.nan)
    shared = np.zeros(start.size - 1, np.int64)
    partner = np.empty(start.size - 1, np.int64)
    for u in range(first, last):
        size = 0
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            for f in range(start[v], start[v + 1]):
                w = packed[f] >> CODE_BITS
                if w != u:
                    if shared[w] == 0:
                        partner[size] = w
                        size += 1
                    shared[w] += 1
        total = 0.0
        for i in range(size):
            w = partner[i]
            total += shared[w] / (start[u + 1] - start[u] + start[w + 1] - start[w] - shared[w])
            shared[w] = 0
        if size:
            overlap[u - first] = total / size
    return overlap


def _two_sided(graph: Graph) -> Graph:
    """Return the bipartite graph of sources 0 to n - 1 and targets n to 2 n - 1 with the same arcs."""
    return Graph(2 * graph.n, graph.source, graph.target + np.int32(graph.n))


def sides(graph: Graph) -> np.ndarray | None:
    """Tell sources from targets in an afferent network.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    array of int64, shape (n,), or None
        0 for a node that only sends arcs, 1 for one that only receives them, -1 for one without any. None if a node
        does both, as always in an undirected graph.

    Examples
    --------
    >>> sides(Graph.from_coo([0, 1, 1], [2, 2, 3], n=5)).tolist()
    [0, 0, 1, 1, -1]
    """
    sends, receives = graph.out_degree > 0, graph.in_degree > 0
    return None if (sends & receives).any() else np.where(sends, 0, np.where(receives, 1, -1))


def layers(graph: Graph) -> np.ndarray | None:
    """Number the layers of a network in which each projects only to the next.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    array of int64, shape (n,), or None
        Layer of each node from 0; -1 for a node without arcs. Parts of the network that no path connects, whatever
        its direction, are numbered apart, each from 0. None if arcs skip a layer, stay in one or lead back.

    Examples
    --------
    >>> layers(Graph.from_coo([0, 0, 1, 2], [1, 2, 3, 3])).tolist()
    [0, 1, 1, 2]
    >>> layers(Graph.from_coo([0, 0, 1], [1, 2, 2])) is None
    True
    """
    layer = follow_layers(graph.n, *graph.adjacency)
    return layer if layer.size == graph.n else None


def four_cycles(graph: Graph) -> int:
    """Count the cycles of four edges, induced or not, whatever the direction of the edges.

    In an afferent network these are the bi-fans. In one of more layers they include those that span three layers,
    such as the bi-parallel.

    Examples
    --------
    >>> four_cycles(Graph.from_coo([0, 0, 1, 1, 2, 3], [2, 3, 2, 3, 4, 4]))
    3
    """
    return int(count_cycles(graph.n, *ranked_rows(graph.n, *graph.adjacency, graph.forward.order, graph.forward.rank)))


def bifans(graph: Graph, *, induced: bool = False) -> int:
    """Count the bi-fans: two sources that both send an arc to the same two targets.

    Parameters
    ----------
    graph : Graph
    induced : bool, default False
        Leave out those with any further arc between the four nodes. In an afferent or layered network there is
        none, and both counts agree.

    Returns
    -------
    int

    References
    ----------
    .. [1] Milo et al. (2002) Science 298:824.

    Examples
    --------
    >>> bifans(Graph.from_coo([0, 0, 1, 1], [2, 3, 2, 3]))
    1
    """
    if induced and layers(graph) is None:
        return tetrad_census(graph, directed=True)[BIFAN]
    return four_cycles(_two_sided(graph))


def bipartite_clustering(graph: Graph, side: Literal["source", "target"] = "source") -> np.ndarray:
    """Return how much each node shares its partners with the nodes of its side.

    Parameters
    ----------
    graph : Graph
    side : {"source", "target"}
        Whether nodes are compared by the targets they send arcs to, or by the sources they receive them from.

    Returns
    -------
    array of float64, shape (n,)
        From 0 to 1; NaN for a node that shares no partner with another one.

    Raises
    ------
    GraphError
        If there is no such side.

    Notes
    -----
    With ``N(u)`` the partners of `u`, the mean of ``|N(u) ∩ N(v)| / |N(u) ∪ N(v)|`` over all `v` that share a partner
    with `u`. networkx (``bipartite.clustering``, mode ``"dot"``) returns 0 where this returns NaN.

    References
    ----------
    .. [1] Latapy, Magnien & Del Vecchio (2008) Social Networks 30:31.

    Examples
    --------
    >>> bipartite_clustering(Graph.from_coo([0, 0, 1], [2, 3, 3])).tolist()
    [0.5, 0.5, nan, nan]
    """
    if side not in ("source", "target"):
        raise GraphError(f"side {side!r}: there are source and target")
    first = 0 if side == "source" else graph.n
    return mean_overlaps(first, first + graph.n, *_two_sided(graph).adjacency)


def robins_alexander(graph: Graph) -> float:
    """Return how many paths of three edges close to a four-cycle, the bipartite counterpart of transitivity.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    float
        ``4 C4 / L3`` with C4 four-cycles and L3 paths of three edges; NaN without such a path, where networkx
        (``bipartite.robins_alexander_clustering``) returns 0.

    References
    ----------
    .. [1] Robins & Alexander (2004) Computational & Mathematical Organization Theory 10:69.

    Examples
    --------
    >>> robins_alexander(Graph.from_coo([0, 0, 1, 1], [2, 3, 2, 3]))
    1.0
    """
    paths = int(((graph.out_degree[graph.source] - 1) * (graph.in_degree[graph.target] - 1)).sum())
    return 4 * bifans(graph) / paths if paths else float("nan")
