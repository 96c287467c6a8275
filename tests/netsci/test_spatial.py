"""Graphs in space: by hand, and against all distances at once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_matrix, random_graph
from scipy.spatial.distance import cdist

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph
from neuroprune.netsci.spatial import connection_probability, edge_lengths, wiring_cost


def placed(n: int, density: float, seed: int, dimensions: int = 3, directed: bool = True) -> Graph:
    """Return a random graph at random places."""
    graph = random_graph(n, density, seed, directed=directed, weighted=True)
    once = slice(None) if directed else graph.source < graph.target
    assert graph.weight is not None
    return Graph.from_coo(
        graph.source[once],
        graph.target[once],
        graph.weight[once],
        n,
        directed=directed,
        positions=np.random.default_rng(seed).random((n, dimensions)),
    )


def test_lengths_and_cost_by_hand():
    corners = [[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]
    graph = Graph.from_coo([0, 1, 2], [1, 2, 0], [1.0, 2.0, 10.0], positions=corners)
    assert edge_lengths(graph).tolist() == [3, 4, 5]
    assert (wiring_cost(graph), wiring_cost(graph, weighted=True)) == (12, 3 + 8 + 50)
    pairs = graph.undirected()
    assert edge_lengths(pairs).tolist() == [3, 5, 3, 4, 5, 4]
    assert (wiring_cost(pairs), wiring_cost(pairs, weighted=True)) == (12, 61)


def test_connection_probability_by_hand():
    line = Graph.from_coo([0, 1, 0], [1, 0, 3], positions=[[0.0], [1.0], [2.0], [3.0]])
    found = connection_probability(line, [0.5, 1.5, 2.5, 3.0])
    assert found.pairs.tolist() == [6, 4, 2]  # the last border belongs to the last bin
    assert found.connected.tolist() == [2, 0, 1]
    assert found.probability.tolist() == [1 / 3, 0, 1 / 2]
    found = connection_probability(line.undirected(), 3)
    assert found.edges.tolist() == [0, 1, 2, 3]
    assert found.pairs.tolist() == [0, 3, 3] and found.connected.tolist() == [0, 1, 1]
    assert math.isnan(found.probability[0])
    assert repr(found) == "<ConnectionProbability: 2 edges among 6 pairs in 3 bins from 0 to 3>"


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 30), st.integers(0, 1000), st.integers(1, 3), st.booleans())
def test_counts_equal_those_of_all_distances(n, seed, dimensions, directed):
    graph = placed(n, 0.3, seed, dimensions, directed)
    assert graph.positions is not None
    lengths = cdist(graph.positions, graph.positions)
    off_diagonal = np.ones((n, n), bool) & ~np.eye(n, dtype=bool) if directed else np.triu(np.ones((n, n), bool), 1)
    found = connection_probability(graph, 7)
    assert found.edges[-1] == pytest.approx(lengths.max())
    np.testing.assert_array_equal(found.pairs, np.histogram(lengths[off_diagonal], found.edges * (1 + 1e-15))[0])
    present = off_diagonal & (as_matrix(graph) > 0)
    np.testing.assert_array_equal(found.connected, np.histogram(lengths[present], found.edges * (1 + 1e-15))[0])
    np.testing.assert_allclose(edge_lengths(graph), lengths[graph.source, graph.target])
    assert wiring_cost(graph) == pytest.approx(lengths[present].sum())


def test_bins_may_leave_distances_out():
    graph = placed(40, 0.2, 1)
    found = connection_probability(graph, [0.2, 0.4, 0.5])
    lengths = edge_lengths(graph)
    assert found.connected.sum() == ((lengths >= 0.2) & (lengths <= 0.5)).sum() < graph.arcs


def test_a_distance_rule_is_recovered():
    rng = np.random.default_rng(2)
    places = rng.random((600, 2))
    p = 0.8 * np.exp(-cdist(places, places) / 0.2)
    source, target = np.nonzero(rng.random(p.shape) < p)
    keep = source != target
    found = connection_probability(Graph.from_coo(source[keep], target[keep], positions=places), np.arange(11) / 10)
    middle = (found.edges[:-1] + found.edges[1:]) / 2
    np.testing.assert_allclose(found.probability[1:], 0.8 * np.exp(-middle[1:] / 0.2), rtol=0.15)


def test_few_nodes_and_all_in_one_place():
    for n in (0, 1):
        graph = Graph.from_coo([], [], n=n, positions=np.zeros((n, 2)))
        found = connection_probability(graph, 2)
        assert found.pairs.tolist() == found.connected.tolist() == [0, 0]
        assert wiring_cost(graph) == 0
    heap = connection_probability(Graph.from_coo([0], [1], n=3, positions=np.zeros((3, 2))), 2)
    assert heap.pairs.tolist() == [6, 0] and heap.connected.tolist() == [1, 0]


@pytest.mark.parametrize("question", [edge_lengths, wiring_cost, connection_probability])
def test_without_positions_there_is_no_answer(question):
    with pytest.raises(GraphError, match="no positions"):
        question(Graph.from_coo([0], [1]))


def test_a_binary_graph_has_no_weighted_cost():
    with pytest.raises(GraphError, match="binary graph has no weights"):
        wiring_cost(placed(5, 0.5, 0).binary(), weighted=True)


@pytest.mark.parametrize("bins", [0, -3, 2.5, [1.0], [0.0, 0.0], [1.0, 0.5], [[0.0, 1.0]], [0.0, math.nan]])
def test_bins_ascend(bins):
    with pytest.raises(GraphError, match="borders"):
        connection_probability(placed(5, 0.5, 0), bins)
