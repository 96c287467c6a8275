"""A triad census that follows a graph while arcs come and go."""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK, build_adjacency, reverse
from neuroprune.netsci.census import Census
from neuroprune.netsci.graph import Graph, _node_numbers
from neuroprune.netsci.triads import TRIADS, assemble, closed_triads, count_wedges

RECOUNT = 0.05
"""Fraction of the arcs above which a batch is recounted, which is faster then."""


@njit(cache=True, nogil=True)
def find_slot(start, packed, u, v):  # pragma: no cover
    """Return where row `u` has neighbour `v`, -1 if nowhere."""
    lo, hi = start[u], start[u + 1]
    while lo < hi:
        middle = (lo + hi) >> 1
        if packed[middle] >> CODE_BITS < v:
            lo = middle + 1
        else:
            hi = middle
    if lo < start[u + 1] and packed[lo] >> CODE_BITS == v:
        return lo
    return np.int64(-1)


@njit(cache=True, nogil=True)
def slot_codes(start, packed, source, target):  # pragma: no cover
    """Return the code of each dyad as its source sees it, 0 for one without arcs, 4 for one without a slot."""
    codes = np.empty(source.size, np.int64)
    for i in range(source.size):
        slot = find_slot(start, packed, source[i], np.uint32(target[i]))
        codes[i] = 4 if slot < 0 else np.int64(packed[slot] & CODE_MASK)
    return codes


@njit(cache=True, nogil=True)
def toggle_arcs(n, start, packed, source, target, closed, degrees):  # pragma: no cover
    """Add arcs that are not there and remove those that are, in the rows, and update what was counted.

    The arcs are sorted by source. The row of a source is spread out once; each of its arcs then walks the row of its
    target. Triads are booked under the code in which they are met: which of the equivalent codes of a class that
    is does not matter to the census.
    """
    seen = np.zeros(n, np.uint8)
    spread = np.int64(-1)
    for i in range(source.size):
        u, v = np.int64(source[i]), np.int64(target[i])
        if u != spread:
            if spread >= 0:
                for e in range(start[spread], start[spread + 1]):
                    seen[packed[e] >> CODE_BITS] = 0
            for e in range(start[u], start[u + 1]):
                seen[packed[e] >> CODE_BITS] = packed[e] & CODE_MASK
            spread = u
        here = find_slot(start, packed, u, np.uint32(v))
        there = find_slot(start, packed, v, np.uint32(u))
        old = packed[here] & CODE_MASK
        new = old ^ np.uint32(1)
        packed[here] = (np.uint32(v) << CODE_BITS) | new
        packed[there] = (np.uint32(u) << CODE_BITS) | reverse(new)
        degrees[u, old] -= 1
        degrees[u, new] += 1
        degrees[v, reverse(old)] -= 1
        degrees[v, reverse(new)] += 1
        seen[v] = new
        for e in range(start[v], start[v + 1]):
            c_vw = packed[e] & CODE_MASK
            c_uw = np.uint32(seen[packed[e] >> CODE_BITS])
            if c_vw and c_uw and packed[e] >> CODE_BITS != u:
                others = (c_uw << np.uint32(2)) | c_vw
                if old:
                    closed[(old << np.uint32(4)) | others] -= 1
                if new:
                    closed[(new << np.uint32(4)) | others] += 1


class TriadTracker:
    """The triad census of a graph from which arcs are removed and to which arcs are added.

    Parameters
    ----------
    graph : Graph
        Where it begins, directed. Weights are ignored.

    Raises
    ------
    GraphError
        If the graph is undirected: its arcs come and go in pairs.

    Notes
    -----
    Exact. An arc costs the neighbours of its two ends, however large the graph is. Adding an arc between nodes that
    were never neighbours before makes room for all new ones of a batch first, which takes as long as building the
    rows; so does a batch of more than a twentieth of the arcs, after which triads are counted anew.

    Examples
    --------
    >>> tracker = TriadTracker(Graph.from_coo([0, 1, 0], [1, 2, 2]))
    >>> tracker.remove([0], [2])
    >>> tracker.census()["021C"], tracker.arcs
    (1, 2)
    """

    def __init__(self, graph: Graph) -> None:
        if not graph.directed:
            raise GraphError("an undirected graph has no single arcs to remove or add: track a directed graph")
        self.n = graph.n
        self._restart(graph.source, graph.target)

    def _restart(self, source: np.ndarray, target: np.ndarray) -> None:
        """Count the graph of some arcs, sorted by (source, target)."""
        graph = Graph(self.n, source, target)
        self._start, self._packed = (array.copy() for array in graph.adjacency)
        self._degrees = graph.dyad_degrees.copy()
        self._closed = closed_triads(graph.n, graph.forward.start, graph.forward.packed)
        self.arcs = graph.arcs

    def remove(self, source: ArrayLike, target: ArrayLike) -> None:
        """Remove arcs.

        Parameters
        ----------
        source, target : array_like of int, shape (arcs,)

        Raises
        ------
        GraphError
            If one is not there or occurs twice; nothing is removed then.
        """
        source, target, codes = self._checked(source, target)
        missing = (codes & 1 == 0) | (codes == 4)
        if missing.any():
            e = int(np.flatnonzero(missing)[0])
            raise GraphError(f"the arc {source[e]} -> {target[e]} is not there, so it cannot be removed")
        if source.size > RECOUNT * self.arcs:
            before = self._keys(*self._ends())
            left = before[~np.isin(before, self._keys(source, target), assume_unique=True)]
            self._restart(*self._arcs_of(left))
            return
        self._toggle(source, target)
        self.arcs -= source.size

    def add(self, source: ArrayLike, target: ArrayLike) -> None:
        """Add arcs.

        Parameters
        ----------
        source, target : array_like of int, shape (arcs,)

        Raises
        ------
        GraphError
            If one is there already, occurs twice, is a loop or has a node that is not there; nothing is added then.
        """
        source, target, codes = self._checked(source, target)
        there = (codes & 1 == 1) & (codes != 4)
        if there.any():
            e = int(np.flatnonzero(there)[0])
            raise GraphError(f"the arc {source[e]} -> {target[e]} is there already, so it cannot be added")
        many = source.size > RECOUNT * self.arcs
        if many or (codes == 4).any():
            union = np.sort(np.concatenate([self._keys(*self._ends()), self._keys(source, target)]))
            if many:
                self._restart(*self._arcs_of(union))
                return
            self._start, self._packed = build_adjacency(self.n, *self._arcs_of(union))
            self._clear(source, target)
        self._toggle(source, target)
        self.arcs += source.size

    def census(self) -> Census:
        """Return the census of the graph as it is now."""
        _, o, _, r = self._degrees.sum(axis=0)
        return Census(TRIADS, assemble(self.n, self._closed, count_wedges(self._degrees), o, r // 2), 3)

    def graph(self) -> Graph:
        """Return the graph as it is now."""
        return Graph(self.n, *self._ends())

    def __repr__(self) -> str:
        return f"<TriadTracker: {self.n:,} nodes, {self.arcs:,} arcs>"

    # ------------------------------------------------------------------ rows and arcs
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the arcs that are there, sorted."""
        out = (self._packed & 1) == 1
        source = np.repeat(np.arange(self.n, dtype=np.int32), np.diff(self._start))[out]
        return source, (self._packed[out] >> 2).astype(np.int32)

    def _keys(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return source.astype(np.int64) * self.n + target

    def _arcs_of(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (keys // max(self.n, 1)).astype(np.int32), (keys % max(self.n, 1)).astype(np.int32)

    def _clear(self, source: np.ndarray, target: np.ndarray) -> None:
        """Leave empty slots where the rows were built with arcs that are still to be added."""
        for u, v in zip(source.tolist(), target.tolist(), strict=True):
            here, there = (find_slot(self._start, self._packed, a, np.uint32(b)) for a, b in ((u, v), (v, u)))
            self._packed[here] &= ~np.uint32(1)
            self._packed[there] &= ~np.uint32(2)

    def _toggle(self, source: np.ndarray, target: np.ndarray) -> None:
        toggle_arcs(self.n, self._start, self._packed, source, target, self._closed, self._degrees)
        self._degrees[:, 0] = 0

    def _checked(self, source: ArrayLike, target: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a batch sorted, and the code of each dyad; refuse one that makes no sense as a whole."""
        src, dst = _node_numbers("source", source), _node_numbers("target", target)
        if src.size != dst.size:
            raise GraphError(f"source has {src.size} entries and target {dst.size}: they must agree")
        for nodes in (src, dst):
            outside = (nodes < 0) | (nodes >= self.n)
            if outside.any():
                raise GraphError(f"node {nodes[outside][0]} does not exist in a graph of {self.n} nodes")
        loops = src == dst
        if loops.any():
            raise GraphError(f"{src[loops][0]} -> {dst[loops][0]} is a self-loop: graphs have none")
        keys = np.sort(self._keys(src, dst))
        twice = keys[1:] == keys[:-1]
        if twice.any():
            u, v = divmod(int(keys[1:][twice][0]), self.n)
            raise GraphError(f"the arc {u} -> {v} occurs twice in one batch")
        src, dst = self._arcs_of(keys)
        return src, dst, slot_codes(self._start, self._packed, src, dst)
