"""Graphs: simple, directed or not, weighted or not, as sorted arrays of arcs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import (
    Adjacency,
    Forward,
    build_adjacency,
    build_forward,
    count_dyads,
    is_sorted_and_simple,
    sorting_order,
)

if TYPE_CHECKING:
    import igraph
    import networkx as nx
    import pandas as pd
    import scipy.sparse as sp

    from neuroprune.record import Record

MAX_NODES = 100_000_000
"""Most nodes of a graph; a row pointer alone takes 8 bytes for each."""


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
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
        src, dst = _node_numbers("source", source), _node_numbers("target", target)
        if src.size != dst.size:
            raise GraphError(f"source has {src.size} entries and target {dst.size}: they must agree")
        w = None if weight is None else _weights(weight, src.size)
        size = _number_of_nodes(src, dst, n)
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
        return cls(size, src, dst, w, _names(names, size), _positions(positions, size), directed, loops, parallel)

    @classmethod
    def from_edges(
        cls,
        source: Sequence[Any] | np.ndarray,
        target: Sequence[Any] | np.ndarray,
        weight: ArrayLike | None = None,
        *,
        directed: bool = True,
        nodes: Sequence[Any] | None = None,
    ) -> "Graph":
        """Make a graph from edges between labels of any kind, numbers or names.

        Parameters
        ----------
        source, target : sequence of int or str, length edges
            Labels. Nodes are numbered in the order of their sorted labels.
        weight : array_like of float, shape (edges,), optional
        directed : bool, default True
        nodes : sequence, optional
            All labels in the order wanted; it may hold nodes without an edge.

        Raises
        ------
        GraphError
            As for :meth:`from_coo`, or if an edge has a label that is not in `nodes`.

        Examples
        --------
        >>> Graph.from_edges(["AVA", "AVB"], ["AVB", "PVC"]).names
        ('AVA', 'AVB', 'PVC')
        """
        from neuroprune.netsci.interop import from_edges

        return from_edges(source, target, weight, directed=directed, nodes=nodes)

    @classmethod
    def from_array(cls, matrix: ArrayLike, *, directed: bool = True, weighted: bool = True) -> "Graph":
        """Make a graph from a dense square matrix in which ``matrix[i, j] != 0`` is the arc ``i -> j``."""
        from neuroprune.netsci.interop import from_array

        return from_array(matrix, directed=directed, weighted=weighted)

    @classmethod
    def from_scipy(cls, matrix: "sp.sparray | sp.spmatrix", *, directed: bool = True, weighted: bool = True) -> "Graph":
        """Make a graph from a square scipy.sparse matrix in which ``matrix[i, j] != 0`` is the arc ``i -> j``."""
        from neuroprune.netsci.interop import from_scipy

        return from_scipy(matrix, directed=directed, weighted=weighted)

    @classmethod
    def from_networkx(cls, graph: "nx.Graph", weight: str | None = None) -> "Graph":
        """Make a graph from a networkx graph, weighted by the edge attribute `weight` if that is given."""
        from neuroprune.netsci.interop import from_networkx

        return from_networkx(graph, weight)

    @classmethod
    def from_igraph(cls, graph: "igraph.Graph", weight: str | None = None) -> "Graph":
        """Make a graph from an igraph graph, weighted by the edge attribute `weight` if that is given."""
        from neuroprune.netsci.interop import from_igraph

        return from_igraph(graph, weight)

    @classmethod
    def from_pandas(
        cls,
        edges: "pd.DataFrame",
        source: str = "source",
        target: str = "target",
        weight: str | None = None,
        *,
        directed: bool = True,
    ) -> "Graph":
        """Make a graph from an edge list in a pandas data frame, whose columns are named."""
        from neuroprune.netsci.interop import from_pandas

        return from_pandas(edges, source, target, weight, directed=directed)

    @classmethod
    def from_record(cls, record: "Record", age: float | None = None) -> "Graph":
        """Make the graph of the connections that live at an age (days) in the record of a run; by default its last."""
        from neuroprune.netsci.interop import from_record

        return from_record(record, age)

    @classmethod
    def read_csv(
        cls,
        path: Path | str,
        weight: str | None = None,
        *,
        threshold: float | None = None,
        keep_isolated: bool = False,
        directed: bool = True,
    ) -> "Graph":
        """Read a graph from a CSV with the columns ``source`` and ``target``, also gzipped."""
        from neuroprune.netsci.reading import read_csv

        return read_csv(path, weight, threshold=threshold, keep_isolated=keep_isolated, directed=directed)

    @classmethod
    def read_graphml(cls, path: Path | str, weight: str | None = None) -> "Graph":
        """Read a graph from GraphML, weighted by the edge attribute `weight` if that is given."""
        from neuroprune.netsci.reading import read_graphml

        return read_graphml(path, weight)

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
        first = np.ones(low.size, bool)
        first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
        weight = self.weight
        if weight is not None and low.size:
            weight = np.maximum.reduceat(weight[order], np.flatnonzero(first))
        pairs = Graph.from_coo(
            low[first], high[first], weight, self.n, directed=False, names=self.names, positions=self.positions
        )
        return replace(pairs, self_loops=self.self_loops, parallel=self.parallel)

    # ------------------------------------------------------------------ and back
    def to_scipy(self) -> "sp.csr_array":
        """Return the adjacency matrix, ``A[i, j]`` the weight of ``i -> j`` (1 in a binary graph)."""
        from neuroprune.netsci.interop import to_scipy

        return to_scipy(self)

    def to_networkx(self) -> "nx.Graph":
        """Return a networkx DiGraph, or Graph where this one is undirected, with names and weights."""
        from neuroprune.netsci.interop import to_networkx

        return to_networkx(self)

    def to_igraph(self) -> "igraph.Graph":
        """Return an igraph graph with names (``name``), weights (``weight``) and the same node numbers."""
        from neuroprune.netsci.interop import to_igraph

        return to_igraph(self)

    def to_pandas(self) -> "pd.DataFrame":
        """Return the edges as a data frame with the columns source, target and, where there are any, weight."""
        from neuroprune.netsci.interop import to_pandas

        return to_pandas(self)

    def write_csv(self, path: Path | str) -> None:
        """Write the edges as CSV, gzipped where the name ends in ``.gz``."""
        from neuroprune.netsci.reading import write_csv

        write_csv(self, path)

    def write_graphml(self, path: Path | str) -> None:
        """Write the graph as GraphML."""
        from neuroprune.netsci.reading import write_graphml

        write_graphml(self, path)

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


def _node_numbers(what: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1:
        raise GraphError(f"{what} has shape {array.shape}: it must have one axis, an entry for each edge")
    if not np.issubdtype(array.dtype, np.integer):
        raise GraphError(f"{what} holds {array.dtype}: node numbers must be integers; Graph.from_edges takes labels")
    return array


def _weights(values: ArrayLike, edges: int) -> np.ndarray:
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise GraphError(f"weights must be numbers: {error}") from None
    if array.shape != (edges,):
        raise GraphError(f"weight has shape {array.shape}: it must have one entry for each of {edges} edges")
    if not np.isfinite(array).all():
        e = int(np.flatnonzero(~np.isfinite(array))[0])
        raise GraphError(f"the weight of edge {e} is {array[e]}: weights must be finite")
    return array


def _number_of_nodes(source: np.ndarray, target: np.ndarray, n: int | None) -> int:
    low = int(min(source.min(), target.min())) if source.size else 0
    high = int(max(source.max(), target.max())) if source.size else -1
    if low < 0:
        raise GraphError(f"node {low} is negative: nodes are numbered from 0")
    if n is not None and not isinstance(n, int | np.integer):
        raise GraphError(f"n is {n!r}: the number of nodes must be an integer")
    size = high + 1 if n is None else int(n)
    if size < 0:
        raise GraphError(f"n is {size}: a graph has no negative number of nodes")
    if high >= size:
        raise GraphError(f"node {high} does not exist in a graph of {size} nodes, numbered from 0")
    if size > MAX_NODES:
        raise GraphError(
            f"a graph of {size:,} nodes is too large, the limit is {MAX_NODES:,}; "
            "where large numbers are labels of few nodes, use Graph.from_edges"
        )
    return size


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
    first = np.ones(source.size, bool)
    first[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    parallel = source.size - int(first.sum())
    if parallel:
        if weight is not None:
            weight = np.add.reduceat(weight, np.flatnonzero(first))
        source, target = source[first], target[first]
    return source, target, weight, loops, parallel


def _names(names: Sequence[str] | None, n: int) -> tuple[str, ...] | None:
    if names is None:
        return None
    names = tuple(str(name) for name in names)
    if len(names) != n:
        raise GraphError(f"{len(names)} names for {n} nodes: each node needs one")
    if len(set(names)) < n:
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise GraphError(f"the name {twice!r} occurs twice: names must be unique")
    return names


def _positions(positions: ArrayLike | None, n: int) -> np.ndarray | None:
    if positions is None:
        return None
    array = np.array(positions, np.float64)
    if array.ndim != 2 or array.shape[0] != n or not np.isfinite(array).all():
        raise GraphError(f"positions have shape {array.shape}: they must be finite, shape ({n}, dimensions)")
    return array
