"""Distances: by hand, and as networkx and scipy have them."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_matrix, as_networkx, graphs, random_graph
from scipy.sparse.csgraph import shortest_path

from neuroprune.netsci import (
    Graph,
    components,
    global_efficiency,
    local_efficiency,
    mean_path,
    path_summary,
)
from neuroprune.netsci.distances import count_bits
from neuroprune.netsci.paths import largest_first


def distances(graph: Graph, directed: bool = True) -> np.ndarray:
    """Return the distances of all ordered pairs, NaN on the diagonal."""
    matrix = shortest_path(as_matrix(graph), directed=directed, unweighted=True)
    np.fill_diagonal(matrix, np.nan)
    return matrix


def assert_equals_distances(graph: Graph, matrix: np.ndarray, directed: bool | None = None) -> None:
    """Assert that the summary of a graph's paths is that of the distances."""
    summary = path_summary(graph, directed)
    others = matrix[~np.eye(graph.n, dtype=bool)]
    found = others[np.isfinite(others)].astype(int)
    np.testing.assert_array_equal(summary.histogram, np.bincount(found, minlength=1))
    assert summary.diameter == found.max(initial=0)
    assert summary.reachable == pytest.approx(found.size / others.size)
    assert summary.efficiency == pytest.approx((1 / others).mean(), abs=1e-12)
    assert summary.mean_path == pytest.approx(found.mean() if found.size else math.nan, nan_ok=True)
    np.testing.assert_allclose(summary.harmonic, np.nanmean(1 / matrix, axis=0), atol=1e-12)


def test_a_path_by_hand():
    summary = path_summary(Graph.from_coo([0, 1, 2], [1, 2, 3]))
    np.testing.assert_array_equal(summary.histogram, [0, 3, 2, 1])
    assert summary.diameter == 3
    assert summary.reachable == 6 / 12
    assert summary.mean_path == pytest.approx((3 + 4 + 3) / 6)
    assert summary.efficiency == pytest.approx((3 + 2 / 2 + 1 / 3) / 12)
    np.testing.assert_allclose(summary.harmonic, [0, 1 / 3, 1.5 / 3, (1 + 1 / 2 + 1 / 3) / 3])
    assert repr(summary) == (
        "<Paths between 4 nodes: efficiency 0.3611, mean path 1.6667 over 50.0% of the pairs, diameter 3>"
    )


def test_direction_can_be_ignored():
    one_way = Graph.from_coo([0, 1], [1, 2])
    assert path_summary(one_way, directed=False).reachable == 1
    assert mean_path(one_way, directed=False) == pytest.approx(4 / 3)
    assert global_efficiency(one_way) < global_efficiency(one_way.undirected())
    assert path_summary(one_way.undirected(), directed=True).reachable == 1  # an undirected graph has both arcs


def test_ring_star_complete_graph_and_two_components_by_hand():
    ring = Graph.from_coo(range(5), [1, 2, 3, 4, 0])
    np.testing.assert_array_equal(path_summary(ring).histogram, [0, 5, 5, 5, 5])
    np.testing.assert_array_equal(path_summary(ring, directed=False).histogram, [0, 10, 10])
    star = Graph.from_coo([0, 0, 0, 0], [1, 2, 3, 4], directed=False)
    np.testing.assert_array_equal(path_summary(star).histogram, [0, 8, 12])
    full = random_graph(6, 1.0, 0, directed=True)
    assert global_efficiency(full) == mean_path(full) == 1
    np.testing.assert_array_equal(local_efficiency(full), 1.0)
    apart = path_summary(Graph.from_coo([0, 2], [1, 3], directed=False))
    assert (apart.reachable, apart.mean_path, apart.efficiency) == (1 / 3, 1.0, 1 / 3)


@pytest.mark.parametrize("n", [0, 1])
def test_without_a_pair_of_nodes_everything_is_undefined(n):
    summary = path_summary(Graph.from_coo([], [], n=n))
    assert np.isnan([summary.efficiency, summary.mean_path, summary.reachable]).all()
    assert np.isnan(summary.harmonic).all() and summary.harmonic.shape == (n,)
    assert (summary.diameter, summary.histogram.tolist()) == (0, [0])
    assert np.isnan(local_efficiency(Graph.from_coo([], [], n=n))).all()


def test_without_edges_no_node_is_reached():
    summary = path_summary(Graph.from_coo([], [], n=3))
    assert (summary.efficiency, summary.reachable, summary.diameter) == (0, 0, 0)
    assert math.isnan(summary.mean_path)


@settings(deadline=None, max_examples=150)
@given(graphs(directed=None).filter(lambda g: g.n > 1))
def test_distances_equal_scipy(graph):
    assert_equals_distances(graph, distances(graph))
    assert_equals_distances(graph, distances(graph, directed=False), directed=False)


@pytest.mark.parametrize("n", [511, 512, 513, 1100])
@pytest.mark.parametrize("degree", [1.5, 30])
def test_more_sources_than_one_pass_holds(n, degree):
    graph = random_graph(n, degree / n, n)
    assert_equals_distances(graph, distances(graph))


def test_a_long_path_takes_as_many_steps():
    n = 1300
    order = np.random.default_rng(0).permutation(n)
    summary = path_summary(Graph.from_coo(order[:-1], order[1:], directed=False))
    np.testing.assert_array_equal(summary.histogram[1:], 2 * np.arange(n - 1, 0, -1))


def test_efficiency_equals_igraph():
    pytest.importorskip("igraph")
    graph = random_graph(200, 0.02, 3)
    peer = graph.to_igraph()
    np.testing.assert_allclose(path_summary(graph).harmonic, peer.harmonic_centrality(mode="in"), atol=1e-12)
    assert mean_path(graph) == pytest.approx(peer.average_path_length(unconn=True))


def test_efficiency_equals_networkx():
    graph = random_graph(60, 0.05, 4, directed=False)
    assert global_efficiency(graph) == pytest.approx(nx.global_efficiency(as_networkx(graph)))


@settings(deadline=None, max_examples=100)
@given(graphs(directed=False).filter(lambda g: g.n > 0))
def test_local_efficiency_equals_networkx(graph):
    local = local_efficiency(graph)
    np.testing.assert_array_equal(np.isnan(local), graph.degree < 2)
    assert np.nan_to_num(local).mean() == pytest.approx(nx.local_efficiency(as_networkx(graph)))


@settings(deadline=None, max_examples=100)
@given(graphs(), st.booleans())
def test_local_efficiency_is_that_of_the_graph_of_neighbours(graph, directed):
    local = local_efficiency(graph, directed)
    either = as_matrix(graph) + as_matrix(graph).T > 0
    for v in range(graph.n):
        neighbours = np.flatnonzero(either[v])
        expected = global_efficiency(graph.subgraph(neighbours), directed) if neighbours.size > 1 else math.nan
        assert local[v] == pytest.approx(expected, nan_ok=True)


def test_local_efficiency_of_a_hub_with_more_neighbours_than_one_pass_holds():
    ring = np.arange(1, 701)
    wheel = Graph.from_coo(
        np.concatenate([np.zeros(700, int), ring]), np.concatenate([ring, np.roll(ring, 1)]), directed=False
    )
    steps = np.minimum(np.arange(1, 700), 700 - np.arange(1, 700))
    assert local_efficiency(wheel)[0] == pytest.approx((1 / steps).mean())
    np.testing.assert_allclose(local_efficiency(wheel)[1:], (4 + 2 / 2) / 6)


@settings(deadline=None, max_examples=100)
@given(graphs())
def test_components_are_those_of_networkx_by_size(graph):
    peer = as_networkx(graph)
    for strong, groups in ((True, nx.strongly_connected_components), (False, nx.weakly_connected_components)):
        labels = components(graph, strong)
        expected = sorted(groups(peer), key=lambda nodes: (-len(nodes), min(nodes)))
        assert [set(np.flatnonzero(labels == i)) for i in range(len(expected))] == expected
        assert labels.shape == (graph.n,)


def test_groups_are_numbered_by_size_and_equal_ones_by_their_first_member():
    np.testing.assert_array_equal(largest_first(np.array([7, 3, 3, 9, 9, 5])), [2, 0, 0, 1, 1, 3])
    assert largest_first(np.array([], int)).shape == (0,)


def test_bits_are_counted():
    words = np.random.default_rng(0).integers(0, 2**64, 100, dtype=np.uint64)
    assert [count_bits(w) for w in words] == [int(w).bit_count() for w in words]
    assert count_bits(np.uint64(2**64 - 1)) == 64
