"""Random graphs for the tests, as arrays and as networkx graphs."""

from typing import Any

import networkx as nx
import numpy as np
from hypothesis import strategies as st

from neuroprune.netsci.graph import Graph


@st.composite
def graphs(draw: Any, largest: int = 14, directed: bool | None = True, weighted: bool = False) -> Graph:
    """Draw a graph of up to `largest` nodes of any density, in which about a third of the dyads may be mutual."""
    n = draw(st.integers(0, largest))
    seed = draw(st.integers(0, 2**32 - 1))
    density = draw(st.sampled_from([0.0, 0.1, 0.2, 0.35, 0.5, 0.8, 1.0]))
    one_way = draw(st.booleans()) if directed is None else directed
    return random_graph(n, density, seed, directed=one_way, weighted=weighted)


def random_graph(n: int, density: float, seed: int, *, directed: bool = True, weighted: bool = False) -> Graph:
    """Return a graph of independent arcs, listed in random order."""
    rng = np.random.default_rng(seed)
    source, target = np.nonzero(rng.random((n, n)) < density)
    keep = source != target if directed else source < target
    order = rng.permutation(int(keep.sum()))
    source, target = source[keep][order], target[keep][order]
    weight = rng.lognormal(size=source.size) if weighted else None
    return Graph.from_coo(source, target, weight, n, directed=directed)


def as_networkx(graph: Graph) -> Any:
    """Return the graph for networkx, with the weights as ``weight``."""
    peer: Any = nx.DiGraph() if graph.directed else nx.Graph()
    peer.add_nodes_from(range(graph.n))
    weight = np.ones(graph.arcs) if graph.weight is None else graph.weight
    arcs = zip(graph.source.tolist(), graph.target.tolist(), weight.tolist(), strict=True)
    peer.add_weighted_edges_from(arcs)
    return peer


def as_matrix(graph: Graph) -> np.ndarray:
    """Return the dense adjacency matrix of zeros and ones, or of weights."""
    matrix = np.zeros((graph.n, graph.n))
    matrix[graph.source, graph.target] = 1.0 if graph.weight is None else graph.weight
    return matrix
