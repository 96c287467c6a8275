"""Samplers of null models: what all samples of a graph share is computed once, then each is one call of kernels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import row_starts, sorting_order
from neuroprune.netsci.chains import (
    ORDERED,
    UNORDERED,
    add_edges,
    packed,
    pair_set,
    sample_pairs,
    switch_edges,
    unpacked,
)
from neuroprune.netsci.chains_rows import reverse_twin_cycles, shuffle_rows, sort_rows, trade_rows
from neuroprune.netsci.chains_within import edge_lengths, move_edges
from neuroprune.netsci.graph import Graph

Bins: TypeAlias = "int | Sequence[float] | np.ndarray"
Draw: TypeAlias = Callable[[np.ndarray], tuple[Graph, int]]
"""Takes the state of a generator, returns a graph and how many moves changed it."""

NULLS: dict[str, str] = {
    "degree": "keeps the in- and out-degree of each node (in an undirected graph, its degree)",
    "degree+reciprocity": "keeps the numbers of outgoing, incoming and mutual connections of each node",
    "gnm": "keeps the numbers of nodes and edges only",
    "distance": "keeps the degrees of each node and, in bins, the lengths of edges",
    "weights": "keeps all edges and shuffles their weights",
}
"""Null models by name."""

DEFAULT_MOVES = {"curveball": 40, "switching": 10}
"""Length of a chain by method: global trades, or attempted switches for each edge."""

DISTANCE_MOVES = 200
"""Attempted switches for each edge under ``"distance"``, where most would change the lengths."""

DEFAULT_BINS = 10
"""Quantile bins of length under ``"distance"``."""

NO_POSITIONS, NO_LIMITS = np.empty((0, 0)), np.empty(0)


@dataclass(frozen=True)
class Sampler:
    """Draws graphs from a null model of one graph.

    Parameters
    ----------
    null : str
        Name of the null model.
    method : str or None
        How its chains move; None where samples need no chain.
    moves : int or None
        Length of its chains.
    proposals : int
        Moves that one sample tries: attempted switches, or pairs of nodes that meet to trade. 0 without a chain.
    draw : callable
        Takes the state of a generator, returns a graph and how many moves changed it.
    """

    null: str
    method: str | None
    moves: int | None
    proposals: int
    draw: Draw

    def sample(self, seed: int, i: int) -> tuple[Graph, int]:
        """Return sample `i` and how many moves changed it; it depends on nothing but the seed and `i`."""
        return self.draw(np.random.SeedSequence(seed, spawn_key=(i,)).generate_state(4, np.uint64))


def null_sampler(
    graph: Graph, null: str, *, method: str | None = None, moves: int | None = None, bins: Bins = DEFAULT_BINS
) -> Sampler:
    """Prepare sampling from a null model; parameters and errors are those of :func:`~.nulls.randomize`."""
    if null not in NULLS:
        raise GraphError(f"null is {null!r}: the null models are {', '.join(NULLS)}")
    if null in ("gnm", "weights"):
        if method is not None or moves is not None:
            raise GraphError(f"the null model {null!r} is drawn without a chain: it takes no method and no moves")
        return Sampler(null, None, None, 0, _gnm(graph) if null == "gnm" else _weights(graph))
    known = ("curveball", "switching") if graph.directed and null == "degree" else ("switching",)
    if method is None:
        method = known[0]
    elif method not in known:
        kind = "a directed" if graph.directed else "an undirected"
        raise GraphError(f"method is {method!r}: the null model {null!r} of {kind} graph takes {' or '.join(known)}")
    if moves is None:
        moves = DISTANCE_MOVES if null == "distance" else DEFAULT_MOVES[method]
    moves = whole("moves", moves)
    if null == "distance":
        draw, proposals = _distance(graph, moves, bins)
    elif not graph.directed:
        draw, proposals = _pairs(graph, moves)
    elif null == "degree":
        draw, proposals = _rows(graph, method, moves)
    else:
        draw, proposals = _arcs_and_pairs(graph, moves)
    return Sampler(null, method, moves, proposals, draw)


def whole(what: str, value: int, least: int = 1) -> int:
    """Return an integer that is at least `least`, or raise `GraphError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise GraphError(f"{what} is {value!r}: it must be an integer from {least}")
    return int(value)


# ---------------------------------------------------------------------- one for each kind of null model
def _rows(graph: Graph, method: str, moves: int) -> tuple[Draw, int]:
    """Rewire a directed graph; its sources stay, so that samples share them."""
    start, edges = row_starts(graph.n, graph.source), packed(graph.source, graph.target)

    def draw(state: np.ndarray) -> tuple[Graph, int]:
        if method == "curveball":
            target = graph.target.copy()
            accepted = trade_rows(graph.n, start, target, moves, state)
        else:
            moved, pairs = edges.copy(), _pair_set(graph.n, edges, ORDERED)
            accepted = switch_edges(graph.n, moved, True, ORDERED, *pairs, moves, state)
            target = unpacked(moved)[1]
        in_start, in_source = sort_rows(graph.n, start, graph.source, target)
        reverse_twin_cycles(graph.n, start, target, in_start, in_source, state)
        return _sample(graph, graph.source, target, _shuffled(start, graph.weight, state)), int(accepted)

    return draw, moves * (graph.n // 2 if method == "curveball" else graph.m)


def _pairs(graph: Graph, moves: int) -> tuple[Draw, int]:
    """Switch the pairs of an undirected graph."""
    low, high, weight = graph.edges
    edges = packed(low, high)

    def draw(state: np.ndarray) -> tuple[Graph, int]:
        moved, pairs = edges.copy(), _pair_set(graph.n, edges, UNORDERED)
        accepted = switch_edges(graph.n, moved, False, UNORDERED, *pairs, moves, state)
        return _from_pairs(graph, *unpacked(moved), _shuffled(None, weight, state)), accepted

    return draw, moves * graph.m


def _arcs_and_pairs(graph: Graph, moves: int) -> tuple[Draw, int]:
    """Switch the arcs of a directed graph that are not returned, and apart from them its mutual dyads.

    After each sweep, some moves of several switches follow: few for each edge, as they take longer, but enough for
    small graphs, which need them.
    """
    codes = graph.adjacency.packed & 3
    mutual = codes[codes != 2] == 3  # rows hold the out-neighbours in the order of the arcs
    once = mutual & (graph.source < graph.target)
    edges = np.r_[packed(graph.source[~mutual], graph.target[~mutual]), packed(graph.source[once], graph.target[once])]
    start, mutual_start = row_starts(graph.n, graph.source[~mutual]), row_starts(graph.n, graph.source[mutual])
    arcs, more = start[-1], edges.size // 8 + 8 if edges.size else 0
    weight = graph.weight

    def draw(state: np.ndarray) -> tuple[Graph, int]:
        moved, pairs = edges.copy(), _pair_set(graph.n, edges, UNORDERED)
        accepted = 0
        for _ in range(moves):
            accepted += switch_edges(graph.n, moved[:arcs], True, UNORDERED, *pairs, 1, state)
            accepted += switch_edges(graph.n, moved[arcs:], False, UNORDERED, *pairs, 1, state)
            accepted += move_edges(graph.n, start, moved, UNORDERED, NO_POSITIONS, NO_LIMITS, *pairs, more, state)
        tail, head = unpacked(moved)
        source, target = np.r_[tail, head[arcs:]], np.r_[head, tail[arcs:]]
        order = sorting_order(graph.n, source, target)
        dealt = None
        if weight is not None:
            # Mutual arcs deal with mutual ones: sorted by source, they line up with the weights they get.
            dealt = np.empty_like(weight)
            is_mutual = order >= arcs
            dealt[~is_mutual] = _shuffled(start, weight[~mutual], state)
            dealt[is_mutual] = _shuffled(mutual_start, weight[mutual], state)
        return _sample(graph, source[order], target[order], dealt), accepted

    return draw, moves * (edges.size + more)


def _distance(graph: Graph, moves: int, bins: Bins) -> tuple[Draw, int]:
    """Switch edges where the lengths stay, in bins."""
    positions = graph.positions
    if positions is None:
        raise GraphError("the graph has no positions: the null model 'distance' needs them")
    source, target, weight = graph.edges
    edges = packed(source, target)
    limits = _bin_limits(edge_lengths(positions, edges), bins)
    start = row_starts(graph.n, source if graph.directed else source[:0])
    order = ORDERED if graph.directed else UNORDERED

    def draw(state: np.ndarray) -> tuple[Graph, int]:
        moved, pairs = edges.copy(), _pair_set(graph.n, edges, order)
        attempts = moves * edges.size
        accepted = move_edges(graph.n, start, moved, order, positions, limits, *pairs, attempts, state)
        tail, head = unpacked(moved)
        if not graph.directed:
            return _from_pairs(graph, tail, head, _shuffled(None, weight, state)), accepted
        sort_rows(graph.n, start, tail, head)
        return _sample(graph, tail, head, _shuffled(start, weight, state)), accepted

    return draw, moves * edges.size


def _gnm(graph: Graph) -> Draw:
    _, _, weight = graph.edges
    order = ORDERED if graph.directed else UNORDERED

    def draw(state: np.ndarray) -> tuple[Graph, int]:
        source, target = sample_pairs(graph.n, graph.m, order, *pair_set(graph.n, graph.m), state)
        dealt = _shuffled(None, weight, state)
        if not graph.directed:
            return _from_pairs(graph, source, target, dealt), 0
        arrangement = sorting_order(graph.n, source, target)
        return _sample(graph, source[arrangement], target[arrangement], dealt), 0

    return draw


def _weights(graph: Graph) -> Draw:
    if graph.weight is None:
        raise GraphError("the graph is binary: the null model 'weights' needs weights to shuffle")
    low, high, weight = graph.edges

    def draw(state: np.ndarray) -> tuple[Graph, int]:
        dealt = _shuffled(None, weight, state)
        if not graph.directed:
            return _from_pairs(graph, low, high, dealt), 0
        return _sample(graph, graph.source, graph.target, dealt), 0

    return draw


# ---------------------------------------------------------------------- what they share
def _sample(graph: Graph, source: np.ndarray, target: np.ndarray, weight: np.ndarray | None) -> Graph:
    """Return a graph of sorted arcs on the nodes of another."""
    return replace(graph, source=source, target=target, weight=weight, self_loops=0, parallel=0)


def _from_pairs(graph: Graph, low: np.ndarray, high: np.ndarray, weight: np.ndarray | None) -> Graph:
    """Return an undirected graph of pairs on the nodes of another; pair `i` has weight `i`."""
    source, target = np.r_[low, high], np.r_[high, low]
    order = sorting_order(graph.n, source, target)
    return _sample(graph, source[order], target[order], None if weight is None else np.r_[weight, weight][order])


def _pair_set(n: int, edges: np.ndarray, order: bool | None) -> tuple[np.ndarray, np.uint64 | None]:
    """Return table and shift of the set of some edges."""
    table, shift = pair_set(n, edges.size)
    add_edges(n, edges, order, table, shift)
    return table, shift


def _shuffled(start: np.ndarray | None, weight: np.ndarray | None, state: np.ndarray) -> np.ndarray | None:
    """Return weights shuffled within the rows that begin at `start`, or all together."""
    if weight is None:
        return None
    weight = weight.copy()
    shuffle_rows(np.array([0, weight.size]) if start is None else start, weight, state)
    return weight


def _bin_limits(lengths: np.ndarray, bins: Bins) -> np.ndarray:
    """Return the upper limits of bins of length, ascending; the last is at least the longest length."""
    longest = lengths.max(initial=0.0)
    if isinstance(bins, int | np.integer):
        count = whole("bins", bins)
        quantiles = np.quantile(lengths, np.arange(1, count + 1) / count) if lengths.size else np.zeros(1)
        # Interpolation may end a rounding error below the maximum.
        return np.unique(np.r_[quantiles[:-1], longest])
    limits = np.asarray(bins, np.float64)
    if limits.ndim != 1 or limits.size == 0 or not (np.diff(limits) > 0).all() or not limits[-1] >= longest:
        raise GraphError(
            f"bins are {limits}: their limits must ascend, the last at least {longest:g}, the longest edge"
        )
    return limits
