"""Minimum vertex cuts: by hand, against every set of nodes, Menger's theorem, large costs, what is refused."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprune.core.errors import GraphError, SpecificationError
from neuroprune.solvers.vertex_cut import minimum_vertex_cut

Arcs = list[tuple[int, int]]


def separates(n: int, arcs: Arcs, sources: list[int], sinks: list[int], removed: set[int]) -> bool:
    graph = nx.DiGraph([(u, v) for u, v in arcs if not {u, v} & removed])
    graph.add_nodes_from(range(n))
    return not any(nx.has_path(graph, s, t) for s in sources for t in sinks)


@st.composite
def layered(draw: st.DrawFn) -> tuple[int, Arcs, list[int], list[int], list[float]]:
    """Draw a small directed acyclic graph with arcs that skip layers, some doubled."""
    n = draw(st.integers(4, 8))
    n_sources, n_sinks = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    sources, sinks = list(range(n_sources)), list(range(n - n_sinks, n))
    possible = [(u, v) for u, v in combinations(range(n), 2) if not (u in sources and v in sinks)]
    arcs = draw(st.lists(st.sampled_from(possible), max_size=25))
    costs = draw(
        st.lists(st.integers(1, 9).map(float) | st.floats(0.01, 100) | st.just(np.inf), min_size=n, max_size=n)
    )
    return n, arcs, sources, sinks, costs


@settings(max_examples=150)
@given(layered(), st.sampled_from(["sources", "sinks"]))
def test_equals_brute_force(graph, nearest):
    n, arcs, sources, sinks, costs = graph
    inner = [v for v in range(n) if v not in sources + sinks]
    best = min(
        sum(costs[v] for v in nodes)
        for size in range(len(inner) + 1)
        for nodes in combinations(inner, size)
        if separates(n, arcs, sources, sinks, set(nodes))
    )
    tail, head = [u for u, _ in arcs], [v for _, v in arcs]

    def cut():
        return minimum_vertex_cut(n, tail, head, costs, sources=sources, sinks=sinks, nearest=nearest)

    if best == np.inf:
        with pytest.raises(GraphError, match="must stay"):
            cut()
        return
    found = cut()
    assert separates(n, arcs, sources, sinks, set(found.nodes.tolist()))
    assert found.cost == pytest.approx(sum(costs[v] for v in found.nodes), rel=1e-12)
    assert found.cost == pytest.approx(best, rel=1e-6) and found.flow <= best and found.proven
    if all(c.is_integer() for c in costs if c != np.inf):
        assert found.cost == found.flow == best and found.gap == 0


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_menger(seed):
    graph = nx.gnp_random_graph(14, 0.22, seed=seed, directed=True)
    graph.remove_edges_from([(0, 13)])
    tail, head = np.array(graph.edges, int).reshape(-1, 2).T
    found = minimum_vertex_cut(14, tail, head, sources=[0], sinks=[13])
    connected = nx.has_path(graph, 0, 13)
    paths = len(list(nx.node_disjoint_paths(graph, 0, 13))) if connected else 0
    assert found.cost == found.flow == found.nodes.size == paths


def test_the_cut_nearest_to_either_side():
    arcs: dict[str, Any] = {"source": [0, 1, 2, 3], "target": [1, 2, 3, 4], "sources": [0], "sinks": [4]}
    assert minimum_vertex_cut(5, **arcs).nodes.tolist() == [1]
    assert minimum_vertex_cut(5, **arcs, nearest="sinks").nodes.tolist() == [3]
    assert minimum_vertex_cut(5, **arcs, costs=[9, 3, 2.5, 3, 9]).nodes.tolist() == [2]


def layers(*sizes: int) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    pairs = [np.indices((a, b)).reshape(2, -1) + offsets[[k, k + 1], None] for k, (a, b) in enumerate(pairwise(sizes))]
    tail, head = np.concatenate(pairs, 1)
    ends: dict[str, Any] = {"sources": np.arange(sizes[0]), "sinks": np.arange(offsets[-2], offsets[-1])}
    return tail, head, ends


def test_a_dense_network_is_cut_at_a_whole_layer():
    tail, head, ends = layers(20, 30, 12, 25, 5)
    found = minimum_vertex_cut(92, tail, head, **ends)
    assert found.nodes.tolist() == list(range(50, 62)) and found.cost == found.flow == 12


def test_costs_at_the_limit_do_not_overflow():
    tail, head, ends = layers(3, 4, 4, 3)
    largest = 2.0**30 / 4
    exact = minimum_vertex_cut(14, tail, head, np.full(14, largest - 1), **ends)
    assert exact.cost == exact.flow == 2**30 - 4
    for scale in (2.0**31, 1e15, 1e300, 1e-300):
        costs = np.random.default_rng(0).uniform(0.5, 1, 14) * scale
        found = minimum_vertex_cut(14, tail, head, costs, **ends)
        assert found.cost == pytest.approx(min(costs[3:7].sum(), costs[7:11].sum())) and 0 <= found.gap < 1e-8
    mixed = minimum_vertex_cut(14, tail, head, [1] * 7 + [1e308] * 4 + [1] * 3, **ends)
    assert mixed.nodes.tolist() == [3, 4, 5, 6] and mixed.cost == mixed.flow == 4


@pytest.mark.parametrize("costs", [[1e6, 1e-6, 5e-4, 1e6], [1e6, 5e-4, 1e-6, 1e6], [1e9, 2.0, 1e-15, 3e-15]])
def test_costs_of_very_different_size_are_proven(costs):
    found = minimum_vertex_cut(6, range(5), range(1, 6), [1, *costs, 1], sources=[0], sinks=[5])
    assert found.nodes.tolist() == [1 + int(np.argmin(costs))] and found.cost == min(costs)
    assert found.proven and 0 < found.flow <= found.cost


def test_a_node_that_must_stay_is_dearer_than_the_limit():
    # All that precede the sink cost 4, which is the limit: in whole units the node before must cost more.
    found = minimum_vertex_cut(4, [0, 1, 2], [1, 2, 3], [1, np.inf, 4, 1], sources=[0], sinks=[3])
    assert found.nodes.tolist() == [2] and found.cost == found.flow == 4


def test_arcs_that_change_nothing():
    # A loop, a doubled arc, arcs into the source, out of the sink, and between sources.
    tail, head = [0, 0, 2, 2, 2, 3, 3, 0, 1], [2, 2, 2, 3, 0, 3, 2, 1, 0]
    found = minimum_vertex_cut(4, tail, head, sources=[0, 1], sinks=[3])
    assert found.nodes.tolist() == [2] and found.cost == 1


def test_the_arrays_are_left_alone():
    tail, head = np.array([0, 1], np.int32), np.array([1, 2], np.int32)
    costs = np.ones(3)
    minimum_vertex_cut(3, tail, head, costs, sources=[0], sinks=[2])
    assert tail.tolist() == [0, 1] and head.tolist() == [1, 2] and costs.tolist() == [1, 1, 1]


@pytest.mark.parametrize("arcs", [([], []), ([0], [1]), ([1], [2]), ([2, 1], [1, 0])])
def test_a_disconnected_network_needs_no_cut(arcs):
    found = minimum_vertex_cut(
        3, *map(np.array, (np.array(arcs[0], int), np.array(arcs[1], int))), sources=[0], sinks=[2]
    )
    assert found.nodes.size == 0 and found.cost == found.flow == found.gap == 0 and found.proven


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"costs": [1, 0, 1]}, SpecificationError, "the cost of node 1 is 0.0, and must be above 0; a node that costs"),
        ({"costs": [1, -2, 1]}, SpecificationError, "the cost of node 1 is -2.0"),
        ({"costs": [1, np.nan, 1]}, SpecificationError, "the cost of node 1 is nan"),
        ({"costs": [1, 1]}, SpecificationError, "there must be one for each of 3 nodes"),
        ({"sources": []}, SpecificationError, "there are no sources"),
        ({"sinks": [3]}, SpecificationError, "sinks names node 3, but nodes are 0 to 2"),
        ({"sinks": [0]}, SpecificationError, "node 0 is both a source and a sink"),
        ({"source": [0, -1]}, SpecificationError, "source names node -1"),
        ({"source": [0, 1, 1]}, SpecificationError, "3 sources of arcs but 2 targets"),
        ({"source": [0.0, 1.0]}, SpecificationError, "it must be a list of nodes"),
        ({"nearest": "middle"}, SpecificationError, "nearest is 'middle'"),
        ({"target": [1, 0], "source": [0, 0], "sinks": [1]}, GraphError, "an arc joins source 0 and sink 1"),
    ],
)
def test_what_makes_no_sense_is_refused(change, error, message):
    arguments = {"source": [0, 1], "target": [1, 2], "sources": [0], "sinks": [2], **change}
    with pytest.raises(error, match=message):
        minimum_vertex_cut(3, **arguments)
