"""Shortest paths counted in steps: efficiency, mean path, diameter, local efficiency, components.

Distances are exact and between all ordered pairs of nodes. Weights are ignored; for weighted shortest paths hand
the graph over with :meth:`~neuroprune.netsci.graph.Graph.to_networkx` or ``to_igraph``.
"""

import math
from dataclasses import dataclass

import numpy as np

from neuroprune.netsci.adjacency import CODE_BITS, sorting_order
from neuroprune.netsci.distances import count_distances, local_efficiencies
from neuroprune.netsci.graph import Graph

IN, OUT, EITHER = np.uint32(2), np.uint32(1), np.uint32(3)
"""Bits of a dyad's code that make an in-neighbour, an out-neighbour, a neighbour."""


@dataclass(frozen=True, eq=False, repr=False)
class PathSummary:
    """Distances between all ordered pairs of different nodes, summarised.

    Parameters
    ----------
    histogram : array of int64, shape (diameter + 1,)
        Ordered pairs at each distance, from 0, which no pair has.
    harmonic : array of float64, shape (n,)
        Mean over all other nodes of 1 / d, d the distance from them to this node and 1 / infinity = 0 (harmonic
        closeness); NaN in a graph of one node.
    """

    histogram: np.ndarray
    harmonic: np.ndarray

    @property
    def pairs(self) -> int:
        """Number of ordered pairs, n (n - 1)."""
        return self.harmonic.size * (self.harmonic.size - 1)

    @property
    def diameter(self) -> int:
        """Largest finite distance; 0 where no node reaches another."""
        return self.histogram.size - 1

    @property
    def reachable(self) -> float:
        """Fraction of the ordered pairs that a path connects; NaN with fewer than two nodes."""
        return int(self.histogram.sum()) / self.pairs if self.pairs else math.nan

    @property
    def efficiency(self) -> float:
        """Mean of 1 / d over all ordered pairs, 1 / infinity = 0; NaN with fewer than two nodes."""
        if not self.pairs:
            return math.nan
        return float((self.histogram[1:] / np.arange(1, self.histogram.size)).sum() / self.pairs)

    @property
    def mean_path(self) -> float:
        """Mean of d over the reachable ordered pairs; NaN where there is none."""
        found = int(self.histogram.sum())
        return int(self.histogram @ np.arange(self.histogram.size)) / found if found else math.nan

    def __repr__(self) -> str:
        return (
            f"<Paths between {self.harmonic.size:,} nodes: efficiency {self.efficiency:.4f}, "
            f"mean path {self.mean_path:.4f} over {self.reachable:.1%} of the pairs, diameter {self.diameter:,}>"
        )


def path_summary(graph: Graph, directed: bool | None = None) -> PathSummary:
    """Return the distances between all ordered pairs of nodes, summarised.

    Parameters
    ----------
    graph : Graph
        Weights are ignored.
    directed : bool, optional
        Whether paths follow the direction of arcs. By default they do if the graph has one; False ignores it.

    Returns
    -------
    PathSummary
        A pruned graph falls apart: read `mean_path` with `reachable` beside it, or use `efficiency`, in which a
        pair without a path counts as 0.

    Notes
    -----
    Exact. One breadth-first search from each node, 512 of them together, so that the time is about
    O(n m L / 512), L the number of steps.

    References
    ----------
    .. [1] Latora & Marchiori (2001) Phys Rev Lett 87:198701.
    .. [2] Then et al. (2014) Proc VLDB Endowment 8:449.

    Examples
    --------
    >>> paths = path_summary(Graph.from_coo([0, 1], [1, 2]))
    >>> paths.histogram, paths.mean_path, paths.reachable
    (array([0, 2, 1]), 1.3333333333333333, 0.5)
    """
    pairs, harmonic = count_distances(graph.n, *_rows(graph, _follows_arcs(graph, directed)))
    diameter = int(np.flatnonzero(pairs).max(initial=0))
    return PathSummary(pairs[: diameter + 1], harmonic / (graph.n - 1) if graph.n > 1 else harmonic * math.nan)


def global_efficiency(graph: Graph, directed: bool | None = None) -> float:
    """Return the mean of 1 / d over all ordered pairs of nodes; see :func:`path_summary`."""
    return path_summary(graph, directed).efficiency


def mean_path(graph: Graph, directed: bool | None = None) -> float:
    """Return the mean distance over the ordered pairs that a path connects; see :func:`path_summary`."""
    return path_summary(graph, directed).mean_path


def local_efficiency(graph: Graph, directed: bool | None = None) -> np.ndarray:
    """Return for each node the efficiency of the graph that its neighbours induce.

    Parameters
    ----------
    graph : Graph
        Weights are ignored.
    directed : bool, optional
        As for :func:`path_summary`.

    Returns
    -------
    array of float64, shape (n,)
        NaN for nodes with fewer than two neighbours. networkx counts them as 0 in the average:
        ``np.nan_to_num(local_efficiency(graph)).mean()``.

    Notes
    -----
    In a directed graph, neighbours are those of either direction, and paths between them follow the arcs. (The
    Brain Connectivity Toolbox weights a mutual neighbour twice there; undirected graphs have the same values.)

    References
    ----------
    .. [1] Latora & Marchiori (2001) Phys Rev Lett 87:198701.

    Examples
    --------
    >>> local_efficiency(Graph.from_coo([0, 0, 1, 2], [1, 2, 2, 3], directed=False))
    array([1.        , 1.        , 0.33333333,        nan])
    """
    codes = (IN, OUT) if _follows_arcs(graph, directed) else (EITHER, EITHER)
    return local_efficiencies(graph.n, *graph.adjacency, *codes)


def components(graph: Graph, strong: bool = False) -> np.ndarray:
    """Return which component each node belongs to.

    Parameters
    ----------
    graph : Graph
    strong : bool, default False
        Whether two nodes of a component must reach each other along arcs (strong), or with directions ignored
        (weak).

    Returns
    -------
    array of int64, shape (n,)
        Components are numbered by descending size, so ``components(graph) == 0`` are the nodes of the giant
        component and ``np.bincount(components(graph))`` all sizes. Of equal ones, that of the lowest node comes
        first.

    Examples
    --------
    >>> components(Graph.from_coo([1, 2, 3], [2, 3, 2], n=4), strong=True)
    array([1, 2, 0, 0])
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    arcs = csr_array((np.ones(graph.arcs, np.int8), (graph.source, graph.target)), shape=(graph.n, graph.n))
    _, labels = connected_components(arcs, connection="strong" if strong else "weak")
    return largest_first(labels)


def largest_first(labels: np.ndarray) -> np.ndarray:
    """Renumber groups by descending size, equal ones by their first member.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Any numbers that say who belongs together.

    Returns
    -------
    array of int64, shape (n,)
        Numbers from 0.
    """
    _, first, group, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    number = np.empty(size.size, np.int64)
    number[np.lexsort((first, -size))] = np.arange(size.size)
    return number[group]


def _follows_arcs(graph: Graph, directed: bool | None) -> bool:
    return graph.directed if directed is None else graph.directed and directed


def _rows(graph: Graph, directed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of in-neighbours, then those of out-neighbours, each as starts and node numbers."""
    if not directed:
        start, packed = graph.adjacency
        neighbour = (packed >> CODE_BITS).astype(np.int32)
        return start, neighbour, start, neighbour
    by_target = sorting_order(graph.n, graph.target, graph.source)
    out_start, in_start = np.zeros((2, graph.n + 1), np.int64)
    np.cumsum(graph.out_degree, out=out_start[1:])
    np.cumsum(graph.in_degree, out=in_start[1:])
    return in_start, graph.source[by_target], out_start, graph.target
