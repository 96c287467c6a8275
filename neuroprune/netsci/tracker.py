"""The census of a graph that changes, kept up to date arc by arc."""

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import CODE_BITS
from neuroprune.netsci.census import Census
from neuroprune.netsci.clustering import closed_fraction
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.tracker_kernels import find_codes, flip_and_count, flip_arcs
from neuroprune.netsci.triads import TRIADS, assemble, closed_triads, count_wedges
from neuroprune.netsci.validation import node_numbers

RECOUNT_ABOVE = 0.1
"""Fraction of the arcs in one batch above which counting all triads anew takes less time (measured)."""


class TriadTracker:
    """A graph whose triad census is kept up to date while arcs are removed and added.

    Parameters
    ----------
    graph : Graph
        Where it starts; it is not changed, and its weights are ignored. In an undirected graph, removing or adding
        means an edge, whichever end is named first.

    Notes
    -----
    Exact. An arc takes the time of walking the shorter row of its two ends; an arc between nodes that never had
    one rebuilds the rows, once a batch. Batches of more than 10 % of the arcs are counted anew.

    Examples
    --------
    >>> tracker = TriadTracker(Graph.from_coo([0, 1, 0], [1, 2, 2]))
    >>> tracker.remove([0], [2])
    >>> tracker.census()
    <Census of 3-node subgraphs: 021C 1>
    >>> tracker.add([2], [0])
    >>> tracker.census()["030C"], tracker.arcs
    (1, 3)
    """

    def __init__(self, graph: Graph) -> None:
        self._like = graph.binary()
        self._mark = np.zeros(graph.n, np.uint8)
        self._count(graph)

    def _count(self, graph: Graph) -> None:
        self._start, self._packed = graph.adjacency.start, graph.adjacency.packed.copy()
        self._degrees = graph.dyad_degrees.copy()
        # By code as some order of the three nodes sees it: only the sums over the codes of a class are kept right.
        self._closed = closed_triads(graph.n, graph.forward.start, graph.forward.packed)
        self._arcs = graph.arcs

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self._like.n

    @property
    def arcs(self) -> int:
        """Number of arcs; an undirected edge is two."""
        return self._arcs

    def remove(self, source: ArrayLike, target: ArrayLike) -> None:
        """Remove arcs.

        Parameters
        ----------
        source, target : array_like of int, shape (batch,)

        Raises
        ------
        GraphError
            If an arc is not there or occurs twice, is a self-loop, or has a node that does not exist. Nothing is
            changed then.
        """
        src, dst, codes = self._batch(source, target)
        absent = (codes < 1) | (codes & 1 == 0)
        if absent.any():
            e = int(np.flatnonzero(absent)[0])
            raise GraphError(f"{src[e]} -> {dst[e]} cannot be removed: it is not there")
        self._flip(src, dst, -src.size)

    def add(self, source: ArrayLike, target: ArrayLike) -> None:
        """Add arcs.

        Parameters
        ----------
        source, target : array_like of int, shape (batch,)

        Raises
        ------
        GraphError
            If an arc exists or occurs twice, is a self-loop, or has a node that does not exist. Nothing is changed
            then.
        """
        src, dst, codes = self._batch(source, target)
        present = (codes > 0) & (codes & 1 == 1)
        if present.any():
            e = int(np.flatnonzero(present)[0])
            raise GraphError(f"{src[e]} -> {dst[e]} cannot be added: it exists already")
        if (codes < 0).any():
            self._make_slots(src, dst)
        self._flip(src, dst, src.size)

    def census(self) -> Census:
        """Return the triad census, as :func:`neuroprune.netsci.triads.triad_census` of :meth:`graph`."""
        _, o, _, r = self._degrees.sum(axis=0)
        return Census(TRIADS, assemble(self.n, self._closed, count_wedges(self._degrees), o, r // 2), 3)

    def transitivity(self, kind: str = "undirected") -> float:
        """Return the fraction of what could close that does; NaN where nothing could.

        Parameters
        ----------
        kind : {"undirected", "fagiolo"}
            As for :func:`neuroprune.netsci.clustering.transitivity`.
        """
        return float(closed_fraction(self._closed, count_wedges(self._degrees), kind))

    def graph(self) -> Graph:
        """Return the graph as it is now, binary, with the names and positions of the one it started from."""
        like = self._like
        return Graph(self.n, *self._living_arcs(), None, like.names, like.positions, like.directed)

    def _living_arcs(self) -> tuple[np.ndarray, np.ndarray]:
        rows = np.repeat(np.arange(self.n, dtype=np.int32), np.diff(self._start))
        out = (self._packed & 1).astype(bool)
        return rows[out], (self._packed[out] >> CODE_BITS).astype(np.int32)

    def _batch(self, source: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the arcs of a batch and the codes of their dyads, or raise."""
        src, dst = node_numbers("source", source), node_numbers("target", target)
        if src.size != dst.size:
            raise GraphError(f"source has {src.size} entries and target {dst.size}: they must agree")
        for nodes in (src, dst):
            outside = (nodes < 0) | (nodes >= self.n)
            if outside.any():
                node = nodes[outside][0]
                raise GraphError(f"node {node} does not exist in a graph of {self.n} nodes, numbered from 0")
        if (src == dst).any():
            raise GraphError(f"node {src[src == dst][0]} cannot be its own neighbour: there are no self-loops")
        src, dst = src.astype(np.int64), dst.astype(np.int64)
        if not self._like.directed:
            src, dst = np.concatenate([src, dst]), np.concatenate([dst, src])
        keys = np.sort(src * self.n + dst)
        twice = keys[1:][keys[1:] == keys[:-1]]
        if twice.size:
            raise GraphError(f"{twice[0] // self.n} -> {twice[0] % self.n} occurs twice: each arc once in a batch")
        return src, dst, find_codes(self._start, self._packed, src, dst)

    def _make_slots(self, source: np.ndarray, target: np.ndarray) -> None:
        """Rebuild the rows with slots for arcs that are not there yet, and none where nothing is."""
        src, dst = self._living_arcs()
        rows = Graph.from_coo(np.concatenate([src, source]), np.concatenate([dst, target]), n=self.n).adjacency
        self._start, self._packed = rows.start, rows.packed
        flip_arcs(*rows, np.zeros((self.n, 4), np.int64), source, target)

    def _flip(self, source: np.ndarray, target: np.ndarray, change: int) -> None:
        if source.size > RECOUNT_ABOVE * self._arcs:
            flip_arcs(self._start, self._packed, self._degrees, source, target)
            self._count(self.graph())
            return
        row = self._start
        longer = row[source + 1] - row[source] >= row[target + 1] - row[target]
        hub = np.where(longer, source, target)
        order = np.argsort(hub, kind="stable")
        counts = self._degrees, self._closed
        flip_and_count(self._start, self._packed, *counts, source, target, order, hub, self._mark)
        self._arcs += change
        if self._packed.size > 4 * self._arcs:  # an arc needs two slots at most: most of them are empty
            self._make_slots(source[:0], target[:0])
