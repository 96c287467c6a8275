"""Graphs: simple, directed or not, weighted or not, as sorted arrays of arcs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import (
    Adjacency,
    Forward,
    build_adjacency,
    build_forward,
    count_dyads,
    find_arcs,
    first_of_equal,
    is_sorted_and_simple,
    sorting_order,
)
from neuroprune.netsci.conversions import Conversions
from neuroprune.netsci.validation import edge_weights, node_names, node_numbers, node_positions, number_of_nodes


@dataclass(frozen=True, eq=False, repr=False)
class Graph(Conversions):
    """A simple graph: no self-loops, no parallel edges.

    Make one with :meth:`from_coo` or another ``from_...``; the constructor itself checks nothing. A graph is never
    changed: what a kernel needs is built once from the arrays and kept.

    Parameters
    ----------
    n : int
        Number of nodes, numbered from 0.
    source, target : array of int32, shape (arcs,)
        Arcs ``source -> target``, ascending in (source, target). An undirected graph holds both arcs of each edge.
    weight : array of float64, shape (arcs,), or None
        Weight of each arc; None for a binary graph.
    names : tuple of str, length n, or None
        Names of the nodes.
    positions : array of float64, shape (n, dimensions), or None
        Where the nodes are.
    directed : bool
        Whether the graph has a direction.
    self_loops : int
        How many self-loops were removed.
    parallel : int
        How many edges were merged into an equal one; their weights were added.
    """

    n: int
    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    positions: np.ndarray | None = None
    directed: bool = True
    self_loops: int = 0
    parallel: int = 0

    # ------------------------------------------------------------------ making one
    @classmethod
    def from_coo(
        cls,
        source: ArrayLike,
        target: ArrayLike,
        weight: ArrayLike | None = None,
        n: int | None = None,
        *,
        directed: bool = True,
        names: Sequence[str] | None = None,
        positions: ArrayLike | None = None,
    ) -> "Graph":
        """Make a graph from the node numbers of its edges.

        Parameters
        ----------
        source, target : array_like of int, shape (edges,)
            Node numbers from 0.
        weight : array_like of float, shape (edges,), optional
            Weights. None makes a binary graph. An edge of weight 0 is no edge.
        n : int, optional
            Number of nodes; by default the largest number, plus one.
        directed : bool, default True
            False where an edge is a pair without direction, listed once.
        names : sequence of str, length n, optional
            Unique names of the nodes.
        positions : array_like of float, shape (n, dimensions), optional
            Where the nodes are, in any unit.

        Returns
        -------
        Graph
            Self-loops are removed and parallel edges merged (weights are added), and both are counted.

        Raises
        ------
        GraphError
            If the arrays disagree in length, numbers are no integers, lie outside [0, n) or above `MAX_NODES`,
            a weight is not finite, or names are not unique.

        Examples
        --------
        >>> Graph.from_coo([0, 1, 2, 2], [1, 2, 0, 2])
        <Graph: 3 nodes, 3 arcs; 1 self-loop removed>
        """
        src, dst = node_numbers("source", source), node_numbers("target", target)
        if src.size != dst.size:
            raise GraphError(f"source has {src.size} entries and target {dst.size}: they must agree")
        w = None if weight is None else edge_weights(weight, src.size)
        size = number_of_nodes(src, dst, n)
        src, dst = src.astype(np.int32), dst.astype(np.int32)
        loops = parallel = 0
        if not directed:
            src, dst = np.minimum(src, dst), np.maximum(src, dst)
        if not is_sorted_and_simple(src, dst):
            src, dst, w, loops, parallel = _simplified(size, src, dst, w)
        if w is not None and not w.all():
            some = w != 0
            src, dst, w = src[some], dst[some], w[some]
        if not directed:
            src, dst = np.concatenate([src, dst]), np.concatenate([dst, src])
            order = sorting_order(size, src, dst)
            src, dst, w = src[order], dst[order], None if w is None else np.concatenate([w, w])[order]
        return cls(
            size, src, dst, w, node_names(names, size), node_positions(positions, size), directed, loops, parallel
        )

    # ------------------------------------------------------------------ what it holds
    @property
    def arcs(self) -> int:
        """Number of arcs; an undirected edge is two."""
        return self.source.size

    @property
    def m(self) -> int:
        """Number of edges: arcs of a directed graph, pairs of an undirected one."""
        return self.arcs if self.directed else self.arcs // 2

    @property
    def density(self) -> float:
        """Arcs as a fraction of all ordered pairs of nodes; NaN with fewer than two nodes."""
        return self.arcs / (self.n * (self.n - 1)) if self.n > 1 else float("nan")

    @cached_property
    def out_degree(self) -> np.ndarray:
        """Out-neighbours of each node, int64, shape (n,)."""
        return np.bincount(self.source, minlength=self.n)

    @cached_property
    def in_degree(self) -> np.ndarray:
        """In-neighbours of each node, int64, shape (n,)."""
        return np.bincount(self.target, minlength=self.n)

    @cached_property
    def adjacency(self) -> Adjacency:
        """Coded rows of neighbours."""
        return Adjacency(*build_adjacency(self.n, self.source, self.target))

    @cached_property
    def forward(self) -> Forward:
        """Coded rows of neighbours of higher rank."""
        return Forward(*build_forward(self.n, *self.adjacency))

    @cached_property
    def forward_arcs(self) -> tuple[np.ndarray, np.ndarray]:
        """Arcs of each forward dyad, from its lower rank and to it: int32, shape (dyads,), -1 for none."""
        start, _, order, rank = self.forward
        return find_arcs(self.n, *self.adjacency, start, order, rank, self.source, self.target)

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Ends and weights of the edges, in an undirected graph each once, from the lower number."""
        if self.directed:
            return self.source, self.target, self.weight
        once = self.source < self.target
        return self.source[once], self.target[once], None if self.weight is None else self.weight[once]

    @cached_property
    def dyad_degrees(self) -> np.ndarray:
        """Dyads of each node that are out-only, in-only and mutual, int64, shape (n, 4); column 0 is zero."""
        return count_dyads(self.n, *self.adjacency)

    @property
    def degree(self) -> np.ndarray:
        """Neighbours of each node, whatever the direction, int64, shape (n,)."""
        return np.diff(self.adjacency.start)

    @property
    def reciprocity(self) -> float:
        """Fraction of arcs whose reverse exists too; NaN without arcs."""
        return int(self.dyad_degrees[:, 3].sum()) / self.arcs if self.arcs else float("nan")

    # ------------------------------------------------------------------ graphs from it
    def keep(self, arcs: np.ndarray) -> "Graph":
        """Return the graph of some of the arcs, on the same nodes.

        Parameters
        ----------
        arcs : array of bool, shape (arcs,)
            True where an arc stays. In an undirected graph both arcs of an edge must be treated alike.
        """
        weight = None if self.weight is None else self.weight[arcs]
        return replace(self, source=self.source[arcs], target=self.target[arcs], weight=weight)

    def subgraph(self, nodes: ArrayLike) -> "Graph":
        """Return the graph that some nodes induce, renumbered in ascending order.

        Parameters
        ----------
        nodes : array_like of bool, shape (n,), or of int
            Which nodes stay.
        """
        stays = np.zeros(self.n, bool)
        stays[np.asarray(nodes)] = True
        new = np.cumsum(stays) - 1
        kept = self.keep(stays[self.source] & stays[self.target])
        names = None if self.names is None else tuple(np.asarray(self.names, object)[stays])
        return replace(
            kept,
            n=int(stays.sum()),
            source=new[kept.source].astype(np.int32),
            target=new[kept.target].astype(np.int32),
            names=names,
            positions=None if self.positions is None else self.positions[stays],
        )

    def without_isolated(self) -> "Graph":
        """Return the graph of the nodes that have an edge."""
        return self.subgraph(self.degree > 0)

    def threshold(self, weight: float) -> "Graph":
        """Return the graph of the arcs with at least a weight, on the same nodes.

        Raises
        ------
        GraphError
            If the graph is binary, or the threshold not finite.
        """
        if self.weight is None:
            raise GraphError("a binary graph has no weights to threshold")
        if not np.isfinite(weight):
            raise GraphError(f"the threshold is {weight}: it must be a finite number")
        return self.keep(self.weight >= weight)

    def binary(self) -> "Graph":
        """Return the graph without its weights."""
        return replace(self, weight=None)

    def undirected(self) -> "Graph":
        """Return the graph of pairs that an arc connects in either direction, with the larger weight of the two."""
        low, high = np.minimum(self.source, self.target), np.maximum(self.source, self.target)
        order = sorting_order(self.n, low, high)
        low, high = low[order], high[order]
        first = first_of_equal(low, high)
        weight = self.weight
        if weight is not None and low.size:
            weight = np.maximum.reduceat(weight[order], np.flatnonzero(first))
        pairs = Graph.from_coo(
            low[first], high[first], weight, self.n, directed=False, names=self.names, positions=self.positions
        )
        return replace(pairs, self_loops=self.self_loops, parallel=self.parallel)

    def __repr__(self) -> str:
        edges = f"{self.m:,} {'arc' if self.directed else 'edge'}{'' if self.m == 1 else 's'}"
        notes = [
            f"; {count:,} {what}{'s' if count > 1 else ''} {done}"
            for count, what, done in (
                (self.self_loops, "self-loop", "removed"),
                (self.parallel, "parallel edge", "merged"),
            )
            if count
        ]
        weighted = "" if self.weight is None else ", weighted"
        return f"<Graph: {self.n:,} nodes, {edges}{weighted}{''.join(notes)}>"


def _simplified(
    n: int, source: np.ndarray, target: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, int, int]:
    """Sort arcs, remove self-loops, merge parallel ones; return them with the numbers removed and merged."""
    order = sorting_order(n, source, target)
    source, target = source[order], target[order]
    weight = None if weight is None else weight[order]
    proper = source != target
    loops = source.size - int(proper.sum())
    if loops:
        source, target = source[proper], target[proper]
        weight = None if weight is None else weight[proper]
    first = first_of_equal(source, target)
    parallel = source.size - int(first.sum())
    if parallel:
        if weight is not None:
            with np.errstate(over="ignore"):
                weight = np.add.reduceat(weight, np.flatnonzero(first))
            if not np.isfinite(weight).all():
                e = int(np.flatnonzero(~np.isfinite(weight))[0])
                ends = f"{source[first][e]} -> {target[first][e]}"
                raise GraphError(f"the weights of the parallel edges {ends} add up to {weight[e]}, beyond float64")
        source, target = source[first], target[first]
    return source, target, weight, loops, parallel
