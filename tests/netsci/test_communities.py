"""Communities: modularity as networkx has it, planted groups found, seeds that hold."""

import importlib.util
import math
import random
import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_networkx, graphs, random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph
from neuroprune.netsci.communities import communities, modularity

needs_leiden = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("igraph", "leidenalg")),
    reason="the extra `communities` is not installed",
)


def planted(sizes: list[int], inside: float, outside: float, seed: int, directed: bool) -> tuple[Graph, np.ndarray]:
    """Return a graph of planted groups, in random order, and the group of each node."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    p = np.where(group[:, None] == group, inside, outside)
    source, target = np.nonzero(rng.random(p.shape) < p)
    keep = source != target if directed else source < target
    return Graph.from_coo(source[keep], target[keep], n=group.size, directed=directed), group


def test_modularity_by_hand():
    two_triangles = Graph.from_coo([0, 0, 1, 3, 3, 4, 2], [1, 2, 2, 4, 5, 5, 3], directed=False)
    assert modularity(two_triangles, [0, 0, 0, 1, 1, 1]) == pytest.approx(6 / 7 - 1 / 2)
    assert modularity(two_triangles, [5] * 6) == pytest.approx(0)
    assert modularity(two_triangles, [0, 0, 0, 1, 1, 1], resolution=2) == pytest.approx(6 / 7 - 1)
    one_way = Graph.from_coo([0, 1, 2], [1, 2, 3], [1.0, 2.0, 1.0])
    assert modularity(one_way, [0, 0, 1, 1]) == pytest.approx(2 / 4 - (3 * 1 + 1 * 3) / 16)


@settings(deadline=None, max_examples=150)
@given(
    graphs(directed=None, weighted=True).filter(lambda g: g.m > 0), st.integers(0, 99), st.sampled_from([0.5, 1, 2.0])
)
def test_modularity_equals_networkx(graph, seed, resolution):
    membership = np.random.default_rng(seed).integers(0, 4, graph.n)
    groups = [set(np.flatnonzero(membership == i)) for i in range(4)]
    peer = as_networkx(graph)
    expected = nx.community.modularity(peer, groups, weight="weight", resolution=resolution)
    assert modularity(graph, membership, resolution) == pytest.approx(expected, abs=1e-12)
    expected = nx.community.modularity(peer, groups, weight=None, resolution=resolution)
    assert modularity(graph.binary(), membership, resolution) == pytest.approx(expected, abs=1e-12)


@needs_leiden
@pytest.mark.parametrize("directed", [False, True])
def test_planted_groups_are_found(directed):
    graph, group = planted([40, 30, 20, 10], 0.5, 0.02, 1, directed)
    found = communities(graph, rng=0, trials=3)
    np.testing.assert_array_equal(found.membership, group)  # both numbered by descending size
    assert found.n == 4 and found.sizes.tolist() == [40, 30, 20, 10]
    assert found.modularity == modularity(graph, group)
    assert ("leidenalg" if directed else "igraph") in found.method
    assert repr(found).startswith(f"<Communities: 4, modularity {found.modularity:.4f}; Leiden")


@needs_leiden
def test_direction_counts():
    # Groups 0 and 1 send to each other only where the random expectation of directed degrees says so.
    ring = [[0, 1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 0, 5, 6, 7, 4]]
    graph = Graph.from_coo([*ring[0], 0], [*ring[1], 4])
    assert communities(graph, rng=0).membership.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


@needs_leiden
def test_weights_count():
    graph, group = planted([30, 30], 0.3, 0.3, 2, directed=False)
    strong = np.where(group[graph.source] == group[graph.target], 10.0, 0.1)
    weighted = Graph(graph.n, graph.source, graph.target, strong, directed=False)
    membership = communities(weighted, rng=0).membership
    assert (membership == group).all() or (membership != group).all()
    assert communities(graph, rng=0).modularity < 0.4 < communities(weighted, rng=0).modularity


@needs_leiden
@pytest.mark.parametrize("directed", [False, True])
def test_resolution_sets_how_many(directed):
    graph, _ = planted([15] * 8, 0.6, 0.1, 3, directed)
    few, many = communities(graph, rng=0, resolution=0.2), communities(graph, rng=0, resolution=3.0)
    assert few.n == 1 and many.n > 8
    assert many.modularity == modularity(graph, many.membership, 3.0)


@needs_leiden
@pytest.mark.parametrize("directed", [False, True])
def test_a_seed_gives_one_partition_and_leaves_the_global_generator_alone(directed):
    graph = random_graph(150, 0.03, 0, directed=directed)
    random.seed(1)
    expected = random.Random(1).random()
    first, again = communities(graph, rng=5, trials=2), communities(graph, rng=5, trials=2)
    assert random.random() == expected
    np.testing.assert_array_equal(first.membership, again.membership)
    assert first.seed == 5
    others = {tuple(communities(graph, rng=seed, trials=1).membership) for seed in range(4)}
    assert len(others) > 1
    more = communities(graph, rng=5, trials=12)
    assert more.modularity >= first.modularity


@needs_leiden
def test_igraph_draws_from_the_global_generator_again_afterwards():
    igraph = pytest.importorskip("igraph")
    graph = random_graph(60, 0.1, 0, directed=False)
    communities(graph, rng=5)
    drawn = []
    for _ in range(2):
        random.seed(3)
        drawn.append(igraph.Graph.Erdos_Renyi(20, 0.5).get_edgelist())
    assert drawn[0] == drawn[1]


@needs_leiden
def test_without_nodes_or_edges():
    for n in (0, 1, 4):
        for directed in (False, True):
            found = communities(Graph.from_coo([], [], n=n, directed=directed), rng=0)
            assert found.membership.tolist() == list(range(n)) and math.isnan(found.modularity)
    assert math.isnan(modularity(Graph.from_coo([], [], n=0), []))


@pytest.mark.parametrize(("directed", "missing"), [(False, "igraph"), (True, "leidenalg")])
def test_a_missing_package_is_named_with_the_extra(monkeypatch, directed, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(GraphError, match=rf"communities need {missing}: pip install 'neuroprune\[communities\]'"):
        communities(Graph.from_coo([0], [1], directed=directed))


def test_requests_that_make_no_sense():
    graph = Graph.from_coo([0, 1], [1, 2], [1.0, -2.0])
    with pytest.raises(GraphError, match="1 -> 2 is -2: modularity"):
        communities(graph)
    with pytest.raises(GraphError, match="1 -> 2 is -2: modularity"):
        modularity(graph, [0, 0, 0])
    for membership in ([0, 1], [0.0, 1.0, 1.0], [[0, 0, 1]]):
        with pytest.raises(GraphError, match="each of the 3 nodes needs one integer"):
            modularity(graph.binary(), membership)
    for resolution in (0, -1.0, math.nan, math.inf):
        with pytest.raises(GraphError, match="resolution="):
            communities(graph.binary(), resolution=resolution)
    with pytest.raises(GraphError, match="trials=0"):
        communities(graph.binary(), trials=0)
