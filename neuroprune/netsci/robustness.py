"""Robustness: how large the giant component stays while nodes or edges are taken away."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import CODE_BITS
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.peeling import hubs_first

ORDERS = ("degree", "recalculated degree", "random")


def removal_order(graph: Graph, by: str | ArrayLike = "degree", rng: Any = None) -> np.ndarray:
    """Return the nodes in the order in which an attack, or failure, takes them away.

    Parameters
    ----------
    graph : Graph
    by : str or array_like of float, shape (n,)
        ``"degree"``
            By descending number of neighbours, whatever the direction.
        ``"recalculated degree"``
            The node with the most neighbours left, at each step.
        ``"random"``
            In random order.
        scores
            By descending score.
    rng : None, int, Generator or SeedSequence
        Where a random order comes from; no other needs it.

    Returns
    -------
    array of int64, shape (n,)
        Node numbers. Nodes of equal degree or score come in ascending order; with ``"recalculated degree"``, in some
        fixed order.

    Raises
    ------
    GraphError
        If there is no such order, scores are of another length or one is NaN.

    Examples
    --------
    >>> removal_order(Graph.from_coo([0, 1, 2], [2, 2, 3]))
    array([2, 0, 1, 3])
    """
    if isinstance(by, str):
        if by == "random":
            return np.random.default_rng(rng).permutation(graph.n)
        if by == "degree":
            return np.argsort(-graph.degree, kind="stable")
        if by == "recalculated degree":
            return hubs_first(graph.n, *graph.adjacency)
        raise GraphError(f"by={by!r}: it must be one of {', '.join(ORDERS)}, or a score for each node")
    scores = np.asarray(by, np.float64)
    if scores.shape != (graph.n,) or np.isnan(scores).any():
        raise GraphError(f"scores of shape {scores.shape}: each of the {graph.n} nodes needs one that is not NaN")
    return np.argsort(-scores, kind="stable")


def giant_component(graph: Graph, order: ArrayLike) -> np.ndarray:
    """Return the size of the largest component after the first k nodes of an order are gone, for every k.

    Parameters
    ----------
    graph : Graph
        Directions are ignored: components are weak.
    order : array_like of int, shape (n,)
        Every node once; see :func:`removal_order`.

    Returns
    -------
    array of int64, shape (n + 1,)
        Entry k is after k removals: the first is that of the whole graph, the last 0.

    Raises
    ------
    GraphError
        If the order does not hold every node once.

    Notes
    -----
    One sweep backwards that adds the nodes again and unites components, O(m) up to a factor that does not matter
    [1]_.

    References
    ----------
    .. [1] Newman & Ziff (2000) Phys Rev Lett 85:4104.

    Examples
    --------
    >>> path = Graph.from_coo([0, 1, 2, 3], [1, 2, 3, 4])
    >>> giant_component(path, [2, 0, 1, 3, 4])
    array([5, 2, 2, 2, 1, 0])
    """
    return unite_nodes(graph.n, *graph.adjacency, _permutation("nodes", order, graph.n))


def giant_component_of_edges(graph: Graph, order: ArrayLike) -> np.ndarray:
    """Return the size of the largest component after the first k edges of an order are gone, for every k.

    Parameters
    ----------
    graph : Graph
        Directions are ignored: components are weak.
    order : array_like of int, shape (m,)
        Every edge once, by its number: that of the arc in ``graph.source`` and ``graph.target``; in an undirected
        graph, its number among the arcs whose source is less than their target.

    Returns
    -------
    array of int64, shape (m + 1,)
        Entry k is after k removals; the last is 1, or 0 in a graph without nodes.

    Raises
    ------
    GraphError
        If the order does not hold every edge once.

    Examples
    --------
    >>> ring = Graph.from_coo([0, 1, 2, 3], [1, 2, 3, 0])
    >>> giant_component_of_edges(ring, [0, 2, 1, 3])
    array([4, 4, 2, 2, 1])
    """
    source, target = graph.source, graph.target
    if not graph.directed:
        once = source < target
        source, target = source[once], target[once]
    return unite_edges(graph.n, source, target, _permutation("edges", order, source.size))


def robustness(graph: Graph, order: ArrayLike) -> float:
    """Return the robustness R against the removal of nodes in an order.

    Parameters
    ----------
    graph : Graph
    order : array_like of int, shape (n,)
        As for :func:`giant_component`; R of [1]_ is with ``removal_order(graph, "recalculated degree")``.

    Returns
    -------
    float
        Mean over q = 1 ... n of S(q), the giant component after q removals as a fraction of all n nodes; from
        1 / n - 1 / n^2 (star whose centre goes first, n > 1) to (1 - 1 / n) / 2 (complete graph). NaN without nodes.

    References
    ----------
    .. [1] Schneider et al. (2011) PNAS 108:3838.
    """
    sizes = giant_component(graph, order)
    return int(sizes[1:].sum()) / graph.n**2 if graph.n else math.nan


def _permutation(what: str, order: ArrayLike, size: int) -> np.ndarray:
    numbers = np.asarray(order)
    if numbers.size == 0:
        numbers = numbers.astype(np.int64)
    if numbers.shape != (size,) or numbers.dtype.kind not in "iu" or (np.sort(numbers) != np.arange(size)).any():
        raise GraphError(f"an order of shape {numbers.shape}: it must hold each of the {size} {what} once, by number")
    return np.array(numbers, np.int64)


@njit(cache=True, nogil=True)
def root(parent, u):  # pragma: no cover
    """Return who stands for the component of u, and halve the way there."""
    while parent[u] != u:
        parent[u] = parent[parent[u]]
        u = parent[u]
    return u


@njit(cache=True, nogil=True)
def unite(parent, size, u, v):  # pragma: no cover
    """Make one component of those of u and v; return its size."""
    a, b = root(parent, u), root(parent, v)
    if a == b:
        return size[a]
    if size[a] < size[b]:
        a, b = b, a
    parent[b] = a
    size[a] += size[b]
    return size[a]


@njit(cache=True, nogil=True)
def unite_nodes(n, start, packed, order):  # pragma: no cover
    """Return the largest component, shape (n + 1,), while nodes are added in reverse order."""
    parent = np.arange(n)
    size = np.ones(n, np.int64)
    there = np.zeros(n, np.bool_)
    largest = np.zeros(n + 1, np.int64)
    for k in range(n - 1, -1, -1):
        u = order[k]
        there[u] = True
        best = max(largest[k + 1], 1)
        for e in range(start[u], start[u + 1]):
            v = np.int64(packed[e] >> CODE_BITS)
            if there[v]:
                best = max(best, unite(parent, size, u, v))
        largest[k] = best
    return largest


@njit(cache=True, nogil=True)
def unite_edges(n, source, target, order):  # pragma: no cover
    """Return the largest component, shape (m + 1,), while edges are added in reverse order."""
    parent = np.arange(n)
    size = np.ones(n, np.int64)
    largest = np.empty(order.size + 1, np.int64)
    largest[order.size] = min(n, 1)
    for k in range(order.size - 1, -1, -1):
        e = order[k]
        largest[k] = max(largest[k + 1], unite(parent, size, np.int64(source[e]), np.int64(target[e])))
    return largest
