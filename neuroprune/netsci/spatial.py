"""Graphs in space: lengths of edges, what wiring costs, and how connection depends on distance."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.ratios import ratio


@dataclass(frozen=True, eq=False, repr=False)
class ConnectionProbability:
    """How many pairs of nodes there are at each distance, and how many of them are connected.

    Parameters
    ----------
    edges : array of float64, shape (bins + 1,)
        Borders of the bins, in the unit of the positions; each holds its lower border, the last both.
    pairs : array of int64, shape (bins,)
        Ordered pairs of nodes of a directed graph, unordered ones of an undirected one.
    connected : array of int64, shape (bins,)
        Edges.
    """

    edges: np.ndarray
    pairs: np.ndarray
    connected: np.ndarray

    @property
    def probability(self) -> np.ndarray:
        """Edges over pairs, shape (bins,); NaN where there are no pairs."""
        return ratio(self.connected, self.pairs)

    def __repr__(self) -> str:
        return (
            f"<ConnectionProbability: {int(self.connected.sum()):,} edges among {int(self.pairs.sum()):,} pairs "
            f"in {self.pairs.size} bins from {self.edges[0]:g} to {self.edges[-1]:g}>"
        )


def edge_lengths(graph: Graph) -> np.ndarray:
    """Return the straight distance that each arc spans.

    Parameters
    ----------
    graph : Graph
        With positions.

    Returns
    -------
    array of float64, shape (arcs,)
        In the unit of the positions, for ``graph.source`` and ``graph.target``: an undirected edge appears twice.

    Raises
    ------
    GraphError
        If the graph has no positions.

    Examples
    --------
    >>> edge_lengths(Graph.from_coo([0], [1], positions=[[0.0, 0.0], [3.0, 4.0]]))
    array([5.])
    """
    positions = _positions(graph)
    return np.sqrt(((positions[graph.source] - positions[graph.target]) ** 2).sum(axis=1))


def wiring_cost(graph: Graph, weighted: bool = False) -> float:
    """Return the total length of all edges, an undirected one counted once.

    Parameters
    ----------
    graph : Graph
        With positions.
    weighted : bool, default False
        Whether a length counts as often as the weight of its edge says.

    Raises
    ------
    GraphError
        If the graph has no positions, or is binary where weights are asked for.
    """
    lengths = edge_lengths(graph)
    if weighted:
        if graph.weight is None:
            raise GraphError("a binary graph has no weights; leave weighted=False")
        lengths = lengths * graph.weight
    return float(lengths.sum()) / (1 if graph.directed else 2)


def connection_probability(graph: Graph, bins: int | ArrayLike = 20) -> ConnectionProbability:
    """Return which fraction of the pairs of nodes is connected, by distance.

    Parameters
    ----------
    graph : Graph
        With positions.
    bins : int or array_like of float, shape (bins + 1,)
        Number of equal bins from 0 to the largest distance between two nodes, or the ascending borders of bins.

    Returns
    -------
    ConnectionProbability

    Raises
    ------
    GraphError
        If the graph has no positions, or bins are not a positive number or ascending borders.

    Notes
    -----
    All pairs are measured, one after the other, O(n^2) time without further memory.
    """
    positions = _positions(graph)
    edges = _borders(positions, bins)
    pairs = count_pairs(positions, edges)
    connected = count_arcs(positions, edges, graph.source, graph.target)
    if graph.directed:
        return ConnectionProbability(edges, 2 * pairs, connected)
    return ConnectionProbability(edges, pairs, connected // 2)


def _positions(graph: Graph) -> np.ndarray:
    if graph.positions is None:
        raise GraphError("this graph has no positions: give Graph.from_coo(..., positions=...) one for each node")
    return graph.positions


def _borders(positions: np.ndarray, bins: int | ArrayLike) -> np.ndarray:
    borders = np.array(bins, np.float64)
    if borders.ndim == 0:
        if borders < 1 or borders != np.floor(borders):
            raise GraphError(f"bins={bins!r}: it must be a number of bins, at least 1, or their ascending borders")
        # With all nodes in one place any width will do.
        return np.linspace(0.0, farthest(positions) or 1.0, int(borders) + 1)
    if borders.ndim != 1 or borders.size < 2 or not (np.diff(borders) > 0).all():
        raise GraphError(f"bins={bins!r}: borders must be at least 2 and ascend")
    return borders


@njit(cache=True, nogil=True)
def distance(positions, u, v):  # pragma: no cover
    """Return the Euclidean distance of two nodes."""
    square = 0.0
    for axis in range(positions.shape[1]):
        square += (positions[u, axis] - positions[v, axis]) ** 2
    return np.sqrt(square)


@njit(cache=True, nogil=True)
def farthest(positions):  # pragma: no cover
    """Return the largest distance of two nodes; 0 with fewer than two."""
    largest = 0.0
    for u in range(positions.shape[0]):
        for v in range(u):
            largest = max(largest, distance(positions, u, v))
    return largest


@njit(cache=True, nogil=True)
def bin_of(edges, length):  # pragma: no cover
    """Return the bin that holds a length, by bisection, or -1."""
    low, high = 0, edges.size - 1
    if not edges[low] <= length <= edges[high]:
        return -1
    while high - low > 1:
        middle = (low + high) >> 1
        if length < edges[middle]:
            high = middle
        else:
            low = middle
    return low


@njit(cache=True, nogil=True)
def count_pairs(positions, edges):  # pragma: no cover
    """Return the unordered pairs of nodes in each bin, int64, shape (bins,)."""
    counts = np.zeros(edges.size - 1, np.int64)
    for u in range(positions.shape[0]):
        for v in range(u):
            i = bin_of(edges, distance(positions, u, v))
            if i >= 0:
                counts[i] += 1
    return counts


@njit(cache=True, nogil=True)
def count_arcs(positions, edges, source, target):  # pragma: no cover
    """Return the arcs in each bin, int64, shape (bins,)."""
    counts = np.zeros(edges.size - 1, np.int64)
    for e in range(source.size):
        i = bin_of(edges, distance(positions, source[e], target[e]))
        if i >= 0:
            counts[i] += 1
    return counts
