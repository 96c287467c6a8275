"""Small worlds: lattices, rings with shortcuts and random graphs, each on its place of both scales."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_networkx, graphs, random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph, clustering, mean_path
from neuroprune.netsci.lattice import lattice_reference
from neuroprune.netsci.small_world import SmallWorld, small_world


def ring(n: int, k: int, shortcuts: float, seed: int = 0) -> Graph:
    """Return a ring with k neighbours on each side, of whose edges a fraction is rewired."""
    edges = np.array(nx.watts_strogatz_graph(n, 2 * k, shortcuts, seed=seed).edges)
    return Graph.from_coo(*edges.T, n=n, directed=False)


@settings(deadline=None, max_examples=60)
@given(graphs(largest=20, directed=None), st.integers(0, 100))
def test_a_lattice_keeps_the_neighbours_of_each_node_in_number(graph, seed):
    lattice = lattice_reference(graph, seed)
    assert not lattice.directed
    np.testing.assert_array_equal(lattice.degree, graph.degree)
    np.testing.assert_array_equal(lattice_reference(graph, seed).target, lattice.target)


def test_a_random_graph_becomes_almost_a_ring_lattice():
    graph = Graph.from_coo(*np.array(nx.random_regular_graph(10, 400, seed=0).edges).T, directed=False)
    local = clustering(ring(400, 5, 0)).mean()
    assert local == pytest.approx(2 / 3)
    lattice = lattice_reference(graph, 0)
    assert clustering(graph).mean() < 0.05 < 0.9 * local < clustering(lattice).mean() < 1.1 * local
    assert mean_path(lattice) > 3 * mean_path(graph)


def test_sigma_and_omega_tell_lattice_small_world_and_random_graph_apart():
    found = [small_world(ring(300, 5, p), "degree", samples=8, rng=1) for p in (0.0, 0.1, 1.0)]
    lattice, small, rand = (world.omega for world in found)
    assert lattice == pytest.approx(-0.8, abs=0.2)
    assert small == pytest.approx(0.0, abs=0.35)
    assert rand == pytest.approx(0.95, abs=0.1)
    assert found[1].sigma > 5 and found[2].sigma == pytest.approx(1, abs=0.3)


def test_definitions_by_hand():
    world = SmallWorld(0.4, 2.0, 1.0, np.array([0.1, 0.3]), np.array([1.5, 1.7]), 0.5, "degree", 3)
    assert world.samples == 2
    assert world.sigma == pytest.approx((0.4 / 0.2) / (2.0 / 1.6))
    assert world.omega == pytest.approx(1.6 / 2.0 - 0.4 / 0.5)
    first, second = (0.4 / 0.1) / (2.0 / 1.5), (0.4 / 0.3) / (2.0 / 1.7)
    assert world.sigma_interval(0.5) == pytest.approx((second + (first - second) / 4, first - (first - second) / 4))
    assert world.omega_interval(0.5) == pytest.approx((0.775 - 0.8, 0.825 - 0.8))
    assert repr(world).endswith("; null 'degree', 2 samples, seed 3>")


def test_values_are_those_of_the_undirected_projection():
    graph = random_graph(60, 0.06, 2)
    world = small_world(graph, samples=3, rng=4, lattices=1)
    peer = nx.Graph(as_networkx(graph))
    assert world.clustering == pytest.approx(nx.average_clustering(peer))
    assert world.mean_path == pytest.approx(mean_path(graph.undirected()))
    assert world.reachable == 1
    assert (world.null, world.samples, world.seed) == ("degree+reciprocity", 3, 4)


def test_a_seed_gives_one_result_and_the_interval_holds_sigma():
    graph = ring(80, 3, 0.2)
    first, again = (small_world(graph, "degree", samples=20, rng=9, lattices=2) for _ in range(2))
    np.testing.assert_array_equal(first.null_clustering, again.null_clustering)
    np.testing.assert_array_equal(first.null_mean_path, again.null_mean_path)
    assert first.lattice_clustering == again.lattice_clustering
    for value, (low, high) in ((first.sigma, first.sigma_interval()), (first.omega, first.omega_interval())):
        assert low < value < high
    assert small_world(graph, "degree", samples=1, rng=9, lattices=6).lattice_clustering >= first.lattice_clustering


def test_without_triangles_sigma_is_undefined():
    path = Graph.from_coo([0, 1], [1, 2], directed=False)
    world = small_world(path, "degree", samples=2, rng=0)
    assert math.isnan(world.sigma) and math.isnan(world.omega)
    assert np.isnan(world.sigma_interval()).all()


@pytest.mark.parametrize("n", [0, 1, 3])
def test_without_edges_all_is_undefined(n):
    world = small_world(Graph.from_coo([], [], n=n), samples=1, rng=0)
    assert np.isnan([world.sigma, world.omega, world.mean_path]).all()


def test_requests_that_make_no_sense():
    graph = ring(20, 2, 0.1)
    with pytest.raises(GraphError, match="samples=0: at least 1"):
        small_world(graph, samples=0, rng=0)
    with pytest.raises(GraphError, match="lattices=0: at least 1"):
        small_world(graph, lattices=0, rng=0)
    with pytest.raises(GraphError, match="nonsense"):
        small_world(graph, "nonsense", rng=0)
    with pytest.raises(GraphError, match="level=0"):
        small_world(graph, samples=1, rng=0).sigma_interval(0)
