"""Removal of nodes and edges: by hand, and against counting components again after each."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_networkx, graphs, random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph
from neuroprune.netsci.robustness import (
    giant_component,
    giant_component_of_edges,
    removal_order,
    robustness,
)


def largest(peer: nx.Graph) -> int:
    """Return the size of the largest component."""
    return max(map(len, nx.connected_components(peer)), default=0)


@settings(deadline=None, max_examples=100)
@given(graphs(directed=None), st.integers(0, 100))
def test_the_giant_component_after_each_node_equals_networkx(graph, seed):
    order = np.random.default_rng(seed).permutation(graph.n)
    peer = nx.Graph(as_networkx(graph))
    expected = [largest(peer)]
    for node in order:
        peer.remove_node(node)
        expected.append(largest(peer))
    assert giant_component(graph, order).tolist() == expected


@settings(deadline=None, max_examples=100)
@given(graphs(largest=8, directed=None), st.integers(0, 100))
def test_the_giant_component_after_each_edge_equals_networkx(graph, seed):
    order = np.random.default_rng(seed).permutation(graph.m)
    edges = [(u, v) for u, v in zip(graph.source, graph.target, strict=True) if graph.directed or u < v]
    peer = nx.MultiGraph()
    peer.add_nodes_from(range(graph.n))
    peer.add_edges_from(edges)
    expected = [largest(peer)]
    for e in order:
        peer.remove_edge(*edges[e])
        expected.append(largest(peer))
    assert giant_component_of_edges(graph, order).tolist() == expected


def test_star_ring_and_complete_graph_by_hand():
    star = Graph.from_coo([0] * 9, range(1, 10), directed=False)
    assert giant_component(star, removal_order(star)).tolist() == [10] + [1] * 9 + [0]
    assert robustness(star, removal_order(star)) == pytest.approx(1 / 10 - 1 / 100)
    assert giant_component(star, removal_order(star)[::-1]).tolist() == list(range(10, -1, -1))
    full = random_graph(10, 1.0, 0)
    assert robustness(full, removal_order(full, "random", 0)) == pytest.approx((1 - 1 / 10) / 2)
    ring = Graph.from_coo(range(6), [1, 2, 3, 4, 5, 0])
    assert giant_component(ring, [0, 3, 1, 2, 4, 5]).tolist() == [6, 5, 2, 2, 2, 1, 0]
    assert giant_component_of_edges(ring, np.arange(6)).tolist() == [6, 6, 5, 4, 3, 2, 1]


def test_without_nodes_or_edges():
    assert giant_component(Graph.from_coo([], [], n=0), []).tolist() == [0]
    assert giant_component(Graph.from_coo([], [], n=2), [1, 0]).tolist() == [1, 1, 0]
    assert giant_component_of_edges(Graph.from_coo([], [], n=0), []).tolist() == [0]
    assert giant_component_of_edges(Graph.from_coo([], [], n=2), []).tolist() == [1]
    assert math.isnan(robustness(Graph.from_coo([], [], n=0), []))
    for by in ("degree", "recalculated degree", "random"):
        assert removal_order(Graph.from_coo([], [], n=0), by, 0).shape == (0,)


def test_orders():
    graph = Graph.from_coo([0, 1, 1, 2, 4], [1, 0, 2, 3, 1])
    assert removal_order(graph).tolist() == [1, 2, 0, 3, 4]
    assert removal_order(graph, [0.1, 0.5, 0.9, 0.5, -1]).tolist() == [2, 1, 3, 0, 4]
    random = removal_order(graph, "random", 7)
    assert sorted(random) == list(range(5))
    np.testing.assert_array_equal(random, removal_order(graph, "random", np.random.default_rng(7)))
    assert len({tuple(removal_order(graph, "random", seed)) for seed in range(20)}) > 1


@settings(deadline=None, max_examples=150)
@given(graphs(largest=20, directed=None))
def test_the_recalculated_order_takes_a_hub_at_each_step(graph):
    order = removal_order(graph, "recalculated degree")
    assert sorted(order) == list(range(graph.n))
    peer = nx.Graph(as_networkx(graph))
    for node in order:
        assert peer.degree(node) == max(degree for _, degree in peer.degree())
        peer.remove_node(node)


def test_an_attack_on_hubs_is_worse_than_failure():
    degree = 400 / np.arange(1, 301) ** 0.8
    p = np.minimum(np.outer(degree, degree) / degree.sum() / 4, 1)
    source, target = np.nonzero(np.random.default_rng(0).random(p.shape) < p)
    keep = source < target
    graph = Graph.from_coo(source[keep], target[keep], n=300, directed=False)
    random = np.mean([robustness(graph, removal_order(graph, "random", seed)) for seed in range(20)])
    static = robustness(graph, removal_order(graph))
    assert robustness(graph, removal_order(graph, "recalculated degree")) <= static < random


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3], [-1, 0, 1], [0.0, 1.0, 2.0], [[0, 1, 2]]])
def test_an_order_holds_each_node_once(order):
    graph = Graph.from_coo([0, 1, 2], [1, 2, 0])
    with pytest.raises(GraphError, match="each of the 3 nodes once"):
        giant_component(graph, order)
    with pytest.raises(GraphError, match="each of the 3 edges once"):
        giant_component_of_edges(graph, order)


def test_an_undirected_order_holds_each_edge_once():
    graph = Graph.from_coo([0, 1], [1, 2], directed=False)
    assert giant_component_of_edges(graph, [1, 0]).tolist() == [3, 2, 1]
    with pytest.raises(GraphError, match="each of the 2 edges once"):
        giant_component_of_edges(graph, [0, 1, 2, 3])


@pytest.mark.parametrize("by", ["hubs", [1.0, 2.0], [1.0, 2.0, math.nan]])
def test_orders_that_make_no_sense(by):
    with pytest.raises(GraphError, match=r"must be one of degree, recalculated degree, random|each of the 3 nodes"):
        removal_order(Graph.from_coo([0, 1], [1, 2]), by)
