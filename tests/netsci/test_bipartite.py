"""Measures of bipartite and layered networks against networkx and brute force."""

from itertools import combinations
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprune.core.errors import GraphError
from neuroprune.netsci.bipartite import bifans, bipartite_clustering, four_cycles, layers, robins_alexander, sides
from neuroprune.netsci.graph import Graph


@st.composite
def afferent(draw):
    """Draw sources 0 to s - 1 that project to targets s to s + t - 1."""
    s, t = draw(st.integers(0, 7)), draw(st.integers(0, 7))
    pairs = [(i, s + j) for i in range(s) for j in range(t)]
    arcs = sorted(draw(st.sets(st.sampled_from(pairs)))) if pairs else []
    return s, Graph.from_coo([i for i, _ in arcs], [j for _, j in arcs], n=s + t)


@st.composite
def digraphs(draw, largest: int = 8):
    n = draw(st.integers(0, largest))
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    arcs = sorted(draw(st.sets(st.sampled_from(pairs)))) if pairs else []
    return Graph.from_coo([i for i, _ in arcs], [j for _, j in arcs], n=n)


def arcs_of(graph: Graph) -> list[tuple[int, int]]:
    return list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))


def undirected(graph: Graph) -> nx.Graph:
    other = nx.Graph(arcs_of(graph))
    other.add_nodes_from(range(graph.n))
    return other


def targets_of(graph: Graph) -> list[set[int]]:
    targets: list[set[int]] = [set() for _ in range(graph.n)]
    for i, j in arcs_of(graph):
        targets[i].add(j)
    return targets


def listed(places: np.ndarray | None) -> list[int] | None:
    return None if places is None else places.tolist()


# ------------------------------------------------------------------ sides and layers
def test_sides_of_an_afferent_network():
    assert listed(sides(Graph.from_coo([3, 3, 4], [0, 1, 1], n=6))) == [1, 1, -1, 0, 0, -1]


@pytest.mark.parametrize("directed", [True, False])
def test_a_node_that_sends_and_receives_has_no_side(directed):
    assert sides(Graph.from_coo([0, 1], [1, 2], directed=directed)) is None


def test_a_graph_without_arcs_has_no_sides_and_no_layers_to_contradict():
    graph = Graph.from_coo([], [], n=3)
    assert listed(sides(graph)) == listed(layers(graph)) == [-1, -1, -1]
    assert listed(layers(Graph.from_coo([], [], n=0))) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ([0, 0, 1], [1, 2, 2]),  # skips a layer
        ([0, 1, 2], [1, 2, 0]),  # leads back
        ([0, 1], [1, 0]),  # leads back at once
        ([0, 1, 0, 3, 4], [1, 2, 3, 4, 2]),  # two and three steps to the same node
    ],
)
def test_what_is_not_layered(source, target):
    assert layers(Graph.from_coo(source, target)) is None


def test_parts_that_no_path_connects_are_numbered_apart():
    # 5 -> 6 -> 7, 4 -> 7 and 0 -> 1: the walk enters the first part at its last-but-one layer.
    graph = Graph.from_coo([0, 5, 6, 4], [1, 6, 7, 7], n=9)
    assert listed(layers(graph)) == [0, 1, -1, -1, 1, 0, 1, 2, -1]


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_layers_of_a_full_feed_forward_network_are_found_in_any_order_of_its_nodes(sizes, seed):
    layer = np.repeat(np.arange(len(sizes)), sizes)
    source, target = np.nonzero(layer[:, None] + 1 == layer[None, :])
    order = np.random.default_rng(seed).permutation(layer.size)
    found = layers(Graph.from_coo(order[source], order[target], n=layer.size))
    assert found is not None
    assert found[order].tolist() == (layer.tolist() if len(sizes) > 1 else [-1] * layer.size)


@settings(deadline=None, max_examples=80)
@given(digraphs(largest=6))
def test_layers_rise_by_one_along_every_arc_wherever_they_exist(graph):
    found = layers(graph)
    other = undirected(graph)
    if found is None:
        # No layering exists: some closed walk does not come back to the layer it started from.
        climbs = []
        for part in nx.connected_components(other):
            height = {min(part): 0}
            for i, j in nx.bfs_edges(other, min(part)):
                height[j] = height[i] + (1 if (i, j) in arcs_of(graph) else -1)
            climbs += [height[j] - height[i] for i, j in arcs_of(graph) if i in part]
        assert any(climb != 1 for climb in climbs)
    else:
        assert all(found[j] == found[i] + 1 for i, j in arcs_of(graph))
        for part in nx.connected_components(other):
            assert min(found[node] for node in part) == (0 if len(part) > 1 else -1)


# ------------------------------------------------------------------ counts
@settings(deadline=None, max_examples=80)
@given(digraphs())
def test_bifans_and_four_cycles_equal_brute_force(graph):
    targets, arcs = targets_of(graph), set(arcs_of(graph))
    every = induced = 0
    for i, j in combinations(range(graph.n), 2):
        for k, m in combinations(sorted(targets[i] & targets[j]), 2):
            every += 1
            induced += sum((a, b) in arcs for a in (i, j, k, m) for b in (i, j, k, m)) == 4
    assert bifans(graph) == every
    assert bifans(graph, induced=True) == induced
    neighbours = undirected(graph).adj
    shared = [len(set(neighbours[i]) & set(neighbours[j])) for i, j in combinations(range(graph.n), 2)]
    assert four_cycles(graph) == sum(c * (c - 1) // 2 for c in shared) // 2


@settings(deadline=None)
@given(afferent())
def test_in_an_afferent_network_all_four_cycles_are_induced_bifans(drawn):
    _, graph = drawn
    assert bifans(graph) == bifans(graph, induced=True) == four_cycles(graph)


def test_a_biparallel_is_a_four_cycle_but_no_bifan():
    graph = Graph.from_coo([0, 0, 1, 2], [1, 2, 3, 3])
    assert (four_cycles(graph), bifans(graph), bifans(graph, induced=True)) == (1, 0, 0)


def test_many_shared_targets():
    graph = Graph.from_coo(np.repeat(np.arange(20), 300), np.tile(np.arange(20, 320), 20))
    assert bifans(graph) == four_cycles(graph) == 190 * 44_850


# ------------------------------------------------------------------ clustering
@settings(deadline=None, max_examples=80)
@given(afferent())
def test_clustering_of_both_sides_equals_networkx(drawn):
    s, graph = drawn
    other = undirected(graph)
    for nodes, clustering in (
        (range(s), bipartite_clustering(graph, "source")),
        (range(s, graph.n), bipartite_clustering(graph, "target")),
    ):
        expected = nx.bipartite.clustering(other, nodes, mode="dot")
        for node in nodes:
            partners = {v for u in other[node] for v in other[u]} - {node}
            if partners:
                assert clustering[node] == pytest.approx(expected[node], abs=1e-12)
            else:
                assert np.isnan(clustering[node])
        assert np.isnan(clustering[np.setdiff1d(np.arange(graph.n), nodes)]).all()


@settings(deadline=None, max_examples=80)
@given(afferent())
def test_the_global_coefficient_equals_networkx(drawn):
    _, graph = drawn
    coefficient = robins_alexander(graph)
    expected = nx.bipartite.robins_alexander_clustering(undirected(graph))
    if np.isnan(coefficient):
        assert expected == 0
        degree = undirected(graph).degree
        assert all(degree[i] == 1 or degree[j] == 1 for i, j in arcs_of(graph))
    else:
        assert coefficient == pytest.approx(expected, abs=1e-12)


def test_an_undirected_bipartite_graph_has_both_sides_alike():
    rng = np.random.default_rng(1)
    source, target = np.nonzero(rng.random((12, 15)) < 0.3)
    graph = Graph.from_coo(source, target + 12, n=27, directed=False)
    expected = nx.bipartite.clustering(undirected(graph))
    for side in ("source", "target"):
        np.testing.assert_allclose(bipartite_clustering(graph, side), [expected[k] for k in range(27)], atol=1e-12)
    assert robins_alexander(graph) == pytest.approx(nx.bipartite.robins_alexander_clustering(undirected(graph)))


def test_clustering_by_hand():
    # 0 sends to {3, 4}, 1 to {4, 5}, 2 to {4}; overlaps of 0: 1/3 with 1, 1/2 with 2.
    graph = Graph.from_coo([0, 0, 1, 1, 2], [3, 4, 4, 5, 4])
    clustering = bipartite_clustering(graph)
    np.testing.assert_allclose(clustering[:3], [5 / 12, 5 / 12, 1 / 2])
    assert np.isnan(clustering[3:]).all()
    assert robins_alexander(graph) == 0
    assert np.isnan(robins_alexander(Graph.from_coo([0, 0], [1, 2])))
    assert np.isnan(robins_alexander(Graph.from_coo([], [], n=2)))


def test_a_middle_layer_is_a_source_and_a_target():
    # 0, 1 -> 2, 3 -> 4, 5, the first step complete, the second one to one.
    graph = Graph.from_coo([0, 0, 1, 1, 2, 3], [2, 3, 2, 3, 4, 5])
    assert bipartite_clustering(graph, "target")[[2, 3]].tolist() == [1, 1]
    assert np.isnan(bipartite_clustering(graph, "source")[[2, 3]]).all()
    assert robins_alexander(graph) == 1


@pytest.mark.parametrize("side", ["left", "", None])
def test_an_unknown_side_is_refused(side: Any):
    with pytest.raises(GraphError, match=f"side {side!r}: there are source and target"):
        bipartite_clustering(Graph.from_coo([0], [1]), side)
