"""In which triads nodes and arcs take part, against enumeration of all triples."""

from functools import cache
from itertools import combinations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import graphs

from neuroprune.netsci.graph import Graph
from neuroprune.netsci.participation import (
    TRIAD_ROLES,
    edge_triad_participation,
    edges_in_no_triangle,
    fraction_in_no_triangle,
    triad_participation,
    triangles_per_edge,
)
from neuroprune.netsci.triads import CONNECTED_TRIADS, motif_census

ROLE_NAMES = {(True, False): "out", (False, True): "in", (True, True): "mutual"}
ROLE_ORDER = ("out", "in", "mutual")


def random_graph(n: int, arcs: int, seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, n + 1) ** 0.7
    return Graph.from_coo(*rng.choice(n, (2, arcs), p=chance / chance.sum()), n=n)


def arcs_of(graph: Graph) -> list[tuple[int, int]]:
    return list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))


@cache
def class_of(bits: frozenset[tuple[int, int]]) -> str:
    triad = nx.DiGraph(list(bits))
    triad.add_nodes_from(range(3))
    return next(name for name, count in nx.triadic_census(triad).items() if count)


def enumerate_triads(graph: Graph) -> list[tuple[tuple[int, ...], str, set[tuple[int, int]]]]:
    """Return nodes, class and arcs of all connected triads."""
    arcs = set(arcs_of(graph))
    triads = []
    for nodes in combinations(range(graph.n), 3):
        inside = {(i, j) for i in nodes for j in nodes if (i, j) in arcs}
        name = class_of(frozenset((nodes.index(i), nodes.index(j)) for i, j in inside))
        if name in CONNECTED_TRIADS:
            triads.append((nodes, name, inside))
    return triads


def role_of(node: int, nodes: tuple[int, ...], arcs: set[tuple[int, int]]) -> str:
    dyads = [((node, other) in arcs, (other, node) in arcs) for other in nodes if other != node]
    return "-".join(sorted((ROLE_NAMES[d] for d in dyads if any(d)), key=ROLE_ORDER.index))


# ------------------------------------------------------------------ nodes
def test_there_are_30_roles():
    assert len(set(TRIAD_ROLES)) == 30
    assert [role for name, role in TRIAD_ROLES if name == "030C"] == ["out-in"]
    assert {role for name, role in TRIAD_ROLES if name == "111D"} == {"mutual", "in-mutual", "out"}


@settings(deadline=None, max_examples=80)
@given(graphs(largest=8, directed=None))
def test_classes_and_roles_of_nodes_equal_enumeration(graph):
    classes = np.zeros((graph.n, 13), int)
    roles = np.zeros((graph.n, 30), int)
    for nodes, name, arcs in enumerate_triads(graph):
        for node in nodes:
            classes[node, CONNECTED_TRIADS.index(name)] += 1
            roles[node, TRIAD_ROLES.index((name, role_of(node, nodes, arcs)))] += 1
    np.testing.assert_array_equal(triad_participation(graph), classes)
    np.testing.assert_array_equal(triad_participation(graph, roles=True), roles)


def test_a_feed_forward_loop_has_three_roles():
    roles = triad_participation(Graph.from_coo([0, 0, 1], [1, 2, 2]), roles=True)
    assert [TRIAD_ROLES[column] for column in roles.argmax(axis=1)] == [
        ("030T", "out-out"),
        ("030T", "out-in"),
        ("030T", "in-in"),
    ]
    assert roles.sum() == 3


def test_nodes_sum_to_three_times_the_census():
    graph = random_graph(400, 6000, 1)
    counts = triad_participation(graph)
    np.testing.assert_array_equal(counts.sum(axis=0), 3 * motif_census(graph).counts)
    roles = triad_participation(graph, roles=True)
    for column, name in enumerate(CONNECTED_TRIADS):
        of_class = [k for k, role in enumerate(TRIAD_ROLES) if role[0] == name]
        np.testing.assert_array_equal(roles[:, of_class].sum(axis=1), counts[:, column])


# ------------------------------------------------------------------ arcs
@settings(deadline=None, max_examples=80)
@given(graphs(largest=8, directed=None))
def test_classes_of_arcs_equal_enumeration(graph):
    expected = np.zeros((graph.arcs, 13), int)
    place = {arc: k for k, arc in enumerate(arcs_of(graph))}
    for _, name, arcs in enumerate_triads(graph):
        for arc in arcs:
            expected[place[arc], CONNECTED_TRIADS.index(name)] += 1
    np.testing.assert_array_equal(edge_triad_participation(graph), expected)


def test_arcs_sum_to_the_census_times_the_arcs_of_a_class():
    graph = random_graph(400, 6000, 2)
    arcs = np.array([2 * int(name[0]) + int(name[1]) for name in CONNECTED_TRIADS])
    np.testing.assert_array_equal(edge_triad_participation(graph).sum(axis=0), arcs * motif_census(graph).counts)


# ------------------------------------------------------------------ triangles
@settings(deadline=None, max_examples=80)
@given(graphs(largest=10, directed=None))
def test_triangles_of_an_arc_are_common_neighbours_of_its_ends(graph):
    neighbours = [set() for _ in range(graph.n)]
    for i, j in arcs_of(graph):
        neighbours[i].add(j)
        neighbours[j].add(i)
    expected = [len(neighbours[i] & neighbours[j]) for i, j in arcs_of(graph)]
    assert triangles_per_edge(graph).tolist() == expected
    assert edges_in_no_triangle(graph).tolist() == [count == 0 for count in expected]
    pairs = {frozenset(arc): count for arc, count in zip(arcs_of(graph), expected, strict=True)}
    if pairs:
        assert fraction_in_no_triangle(graph) == pytest.approx(sum(c == 0 for c in pairs.values()) / len(pairs))
    else:
        assert np.isnan(fraction_in_no_triangle(graph))


def test_a_mutual_pair_counts_once_in_the_fraction():
    # The triangle 0-1-2 with one mutual pair, and a mutual pair outside it: one pair of four.
    graph = Graph.from_coo([0, 1, 1, 2, 2, 3], [1, 0, 2, 0, 3, 2])
    assert edges_in_no_triangle(graph).tolist() == [False, False, False, False, True, True]
    assert fraction_in_no_triangle(graph) == 0.25


def test_removing_edges_in_no_triangle_keeps_every_triangle():
    graph = random_graph(300, 1200, 3)
    alone = edges_in_no_triangle(graph)
    assert 0 < alone.sum() < graph.arcs
    pruned = graph.keep(~alone)
    np.testing.assert_array_equal(triangles_per_edge(pruned), triangles_per_edge(graph)[~alone])
    assert not edges_in_no_triangle(pruned).any()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_a_graph_without_arcs(n):
    graph = Graph.from_coo([], [], n=n)
    assert triad_participation(graph).shape == (n, 13)
    assert triad_participation(graph, roles=True).shape == (n, 30)
    assert edge_triad_participation(graph).shape == (0, 13)
    assert triangles_per_edge(graph).shape == edges_in_no_triangle(graph).shape == (0,)
