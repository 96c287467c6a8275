"""The cheapest set of nodes whose removal leaves no path from sources to sinks, with its certificate."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from neuroprune.core.errors import EngineError, GraphError, SpecificationError
from neuroprune.solvers.scaling import scale

UNLIMITED = 2**31 - 1
"""The largest capacity of :func:`scipy.sparse.csgraph.maximum_flow`; flows stay below half of it."""
BITS = 30
SOURCE, SINK = -1, -2
"""What stands for the place of a node that is no inner one."""
TOLERANCE = 1e-5
"""Of the gap: rounding costs to 30 bits leaves less where they are of like size."""


@dataclass(frozen=True)
class Cut:
    """Nodes whose removal separates sources from sinks.

    Parameters
    ----------
    nodes : int64 array
        By number.
    cost : float
        What they cost together.
    flow : float
        Value of a flow through nodes whose costs are their capacities: no cut is cheaper than it.
    gap : float
        ``(cost - flow) / cost``: 0 where costs are whole numbers, and otherwise what rounding them to 30 bits left.
    """

    nodes: np.ndarray
    cost: float
    flow: float
    gap: float

    @property
    def proven(self) -> bool:
        """Return whether no cut is cheaper, by more than 1e-5 of its cost."""
        return self.gap <= TOLERANCE


def minimum_vertex_cut(
    n_nodes: int,
    source: Any,
    target: Any,
    costs: Any = None,
    *,
    sources: Any,
    sinks: Any,
    nearest: Literal["sources", "sinks"] = "sources",
) -> Cut:
    """Find the cheapest nodes to remove so that no path leads from sources to sinks.

    Parameters
    ----------
    n_nodes : int
    source, target : int array, shape (n_arcs,)
        Nodes that each arc leaves and enters; parallel arcs and loops do no harm.
    costs : float array, shape (n_nodes,), optional
        Of removing a node, above 0; infinite for one that must stay. 1 each without it. Those of sources and sinks
        are not looked at: they always stay.
    sources, sinks : int array
        Nodes where paths start and end.
    nearest : {"sources", "sinks"}
        Which of several cheapest cuts is returned.

    Returns
    -------
    Cut
        An empty one that costs 0 if no path leads from sources to sinks in the first place.

    Raises
    ------
    SpecificationError
        If nodes or costs make no sense; a cost of 0 is refused, because such a node could be removed at no price.
    GraphError
        If no removable nodes separate sources from sinks, as where an arc joins them.

    Notes
    -----
    Each node becomes an arc whose capacity is its cost, and arcs between nodes have infinite capacity, so that a
    maximum flow from sources to sinks equals the cheapest cut (Menger 1927; Ford & Fulkerson 1956); sources become one
    node and so do sinks. The flow is Dinic's, of scipy. Its capacities are integers: costs are scaled by a power of
    two so that the cheaper of two obvious cuts (all that follow the sources, all that precede the sinks) stays below
    2**30, and rounded down. Whole costs need no rounding up to there, and cost = flow exactly. Otherwise the flow is
    still a lower bound on every cut in true costs, and the cut exceeds it by less than ``len(nodes) * 2**-29`` of that
    obvious cut. Where this does not prove the cut, and it costs no more than half of the obvious one, it takes the
    place of that, and costs are scaled again. That the cut separates and that its cost is the flow is checked
    in every call.

    Examples
    --------
    Two paths from 0 to 4, by way of 1 and of 2, share node 3.

    >>> cut = minimum_vertex_cut(5, [0, 0, 1, 2, 3], [1, 2, 3, 3, 4], [1, 1, 1, 3, 1], sources=[0], sinks=[4])
    >>> cut.nodes, cut.cost, cut.flow, cut.proven
    (array([1, 2]), 2.0, 2.0, True)
    """
    tail, head = _nodes(source, n_nodes, "source"), _nodes(target, n_nodes, "target")
    if tail.shape != head.shape:
        raise SpecificationError(f"{tail.size} sources of arcs but {head.size} targets")
    first, last = _terminals(sources, n_nodes, "sources"), _terminals(sinks, n_nodes, "sinks")
    both = np.flatnonzero(first & last)
    if both.size:
        raise SpecificationError(f"node {both[0]} is both a source and a sink")
    if nearest not in ("sources", "sinks"):
        raise SpecificationError(f"nearest is {nearest!r}, and must be sources or sinks")
    price = _costs(costs, n_nodes, first | last)
    joined = first[tail] & last[head]
    if joined.any():
        arc = int(np.argmax(joined))
        raise GraphError(f"an arc joins source {tail[arc]} and sink {head[arc]}: no removal of nodes separates them")
    if nearest == "sinks":  # the cut nearest to where paths start, with all arcs turned around
        tail, head, first, last = head, tail, last, first
    inner = np.flatnonzero(~(first | last))
    graph = _SplitGraph(tail, head, first, last, inner)
    limit = _obvious_cost(price[inner], graph)
    while True:
        capacity, unit = _capacities(price[inner], limit)
        nodes, flow = graph.cut(capacity)
        nodes = inner[nodes]
        cost = math.fsum(price[nodes])
        if not math.isfinite(cost):
            raise GraphError("only nodes that must stay separate the sources from the sinks: give some a finite cost")
        found = Cut(nodes, cost, flow * unit, (cost - flow * unit) / cost if cost else 0.0)
        if found.proven or 2.0 * cost > limit:
            return found
        limit = cost  # units are finer once it is known how little a cut costs


def _nodes(values: Any, n_nodes: int, what: str) -> np.ndarray:
    found = np.asarray(values)
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
        raise SpecificationError(f"{what} is of shape {found.shape} and type {found.dtype}: it must be a list of nodes")
    if found.size and (found.min() < 0 or found.max() >= n_nodes):
        wrong = found.min() if found.min() < 0 else found.max()
        raise SpecificationError(f"{what} names node {wrong}, but nodes are 0 to {n_nodes - 1}")
    return found if found.dtype == np.int32 else found.astype(np.int64, copy=False)


def _terminals(values: Any, n_nodes: int, what: str) -> np.ndarray:
    found = _nodes(values, n_nodes, what)
    if not found.size:
        raise SpecificationError(f"there are no {what}: name one or more nodes")
    chosen = np.zeros(n_nodes, bool)
    chosen[found] = True
    return chosen


def _costs(costs: Any, n_nodes: int, terminal: np.ndarray) -> np.ndarray:
    price = np.ones(n_nodes) if costs is None else np.asarray(costs, np.float64)
    if price.shape != (n_nodes,):
        raise SpecificationError(f"costs have shape {price.shape}: there must be one for each of {n_nodes} nodes")
    bad = np.flatnonzero(~((price > 0) | terminal))  # NaN is not above 0 either
    if bad.size:
        hint = "; a node that costs nothing to remove is better removed first" if price[bad[0]] == 0 else ""
        raise SpecificationError(f"the cost of node {bad[0]} is {price[bad[0]]}, and must be above 0{hint}")
    return price


def _obvious_cost(price: np.ndarray, graph: "_SplitGraph") -> float:
    """Return what no cheapest cut costs more than: an obvious one, or all nodes that may go at all."""
    with np.errstate(over="ignore"):
        limit = min(float(price[graph.begins].sum()), float(price[graph.ends].sum()))
        if not math.isfinite(limit):
            limit = float(price[np.isfinite(price)].sum())
    if not math.isfinite(limit):
        raise SpecificationError("the sum of the costs is not finite; scale them down")
    return limit


def _capacities(price: np.ndarray, limit: float) -> tuple[np.ndarray, float]:
    """Return the costs of inner nodes as whole capacities, and the cost that a unit of them stands for.

    Nodes that cost more than the limit get a capacity above it: no cheapest cut has one.
    """
    dear = price > limit
    scaled = scale(np.where(dear, 0.0, price), BITS, limit)
    capacity = scaled.units
    capacity[dear] = int(limit / scaled.unit) + 1
    return capacity.astype(np.int32), scaled.unit


class _SplitGraph:
    """The flow network: 0 is all sources, 1 all sinks, then an entry and an exit for each node between them."""

    def __init__(
        self, tail: np.ndarray, head: np.ndarray, first: np.ndarray, last: np.ndarray, inner: np.ndarray
    ) -> None:
        n = self.n = inner.size
        place = np.empty(first.size, np.int32)
        place[inner] = np.arange(n, dtype=np.int32)
        place[first], place[last] = SOURCE, SINK
        tails, heads, begin, end = _between(tail, head, place, n)
        self.begins, self.ends = np.flatnonzero(begin).astype(np.int32), np.flatnonzero(end).astype(np.int32)
        rows = np.concatenate([tails, self.ends]) + np.int32(n + 2)
        columns = np.concatenate([heads + np.int32(2), np.ones(self.ends.size, np.int32)])
        # Parallel arcs are added up, whatever the sum is: only where arcs are matters from here on.
        arcs = csr_array((np.ones(rows.size, np.int8), (rows, columns)), shape=(2 * n + 2, 2 * n + 2))
        # Before these come the arcs from all sources to the entries that follow them, and from each entry to its exit.
        exits = np.arange(n + 2, 2 * n + 2, dtype=np.int32)
        self.arcs = np.concatenate([self.begins + np.int32(2), exits, arcs.indices.astype(np.int32, copy=False)])
        before = self.begins.size + np.clip(np.arange(2 * n + 3) - 2, 0, n)
        before[0] = 0
        self.start = (arcs.indptr + before).astype(np.int32)

    def cut(self, capacity: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the inner nodes of the cheapest cut nearest to the sources, and the flow.

        Parameters
        ----------
        capacity : int32 array, shape (n_inner,)
        """
        n = self.n
        if not (self.begins.size and self.ends.size):
            return np.zeros(0, np.int64), 0
        limits = np.full(self.arcs.size, UNLIMITED, np.int32)
        limits[self.begins.size : self.begins.size + n] = capacity
        network = csr_array((limits, self.arcs, self.start), shape=(2 * n + 2, 2 * n + 2))
        found = maximum_flow(network, 0, 1, method="dinic")
        flow, value = found.flow, int(found.flow_value)
        reached = _reach(flow.indptr, flow.indices, flow.data, capacity)
        nodes = np.flatnonzero(reached[2 : n + 2] & ~reached[n + 2 :])
        total = int(capacity[nodes].sum(dtype=np.int64))
        if reached[1] or total != value:
            raise EngineError(f"the maximum flow of {value} units does not prove a cut of {total}")
        return nodes, value


@njit(cache=True, nogil=True)
def _between(tail, head, place, n):  # pragma: no cover
    """Return the arcs between inner nodes, less loops, and which of these follow sources and precede sinks."""
    tails, heads = np.empty(tail.size, np.int32), np.empty(tail.size, np.int32)
    begin, end = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    m = 0
    for e in range(tail.size):
        u, v = place[tail[e]], place[head[e]]
        if u >= 0 and v >= 0:
            if u != v:
                tails[m], heads[m] = u, v
                m += 1
        elif u == SOURCE and v >= 0:
            begin[v] = True
        elif u >= 0 and v == SINK:
            end[u] = True
    return tails[:m], heads[:m], begin, end


@njit(cache=True, nogil=True)
def _reach(start, arcs, flow, capacity):  # pragma: no cover
    """Return the nodes that the sources can still send flow to; arcs back are there with negative flow or none."""
    n = capacity.size
    reached = np.zeros(2 * n + 2, np.bool_)
    reached[0] = True
    waiting = np.empty(2 * n + 2, np.int32)
    waiting[0] = 0
    left = 1
    while left:
        left -= 1
        u = waiting[left]
        is_entry = 2 <= u < n + 2
        for e in range(start[u], start[u + 1]):
            v = arcs[e]
            if reached[v]:
                continue
            if is_entry and v == u + n:
                free = flow[e] < capacity[u - 2]
            elif is_entry or u == 1 or v == 0 or v == u - n:
                free = flow[e] < 0  # an arc back
            else:
                free = True
            if free:
                reached[v] = True
                waiting[left] = v
                left += 1
    return reached
