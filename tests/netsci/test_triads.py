"""The triad census: every class by hand, every count as networkx and igraph have it."""

from itertools import combinations, product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import as_matrix, as_networkx, graphs, random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import CONNECTED_TRIADS, TRIADS, Graph, motif_census, triad_census, triad_edges
from neuroprune.netsci.triads import assemble, triad_class


@pytest.mark.parametrize("label", TRIADS)
def test_a_class_drawn_by_its_arcs_is_counted_as_that_class(label):
    source, target = np.array(triad_edges(label), int).reshape(-1, 2).T
    graph = Graph.from_coo(source, target, n=3)
    assert {k: c for k, c in triad_census(graph).to_dict().items() if c} == {label: 1}


def test_the_ambiguous_names_are_those_of_networkx_and_igraph():
    assert triad_class(3, 0, 2) == "111D"  # 1 <-> 0, 2 -> 1
    assert triad_census(Graph.from_coo([0, 1, 2], [1, 0, 1]))["111D"] == 1  # a <-> b <- c
    assert triad_census(Graph.from_coo([0, 1, 1], [1, 0, 2]))["111U"] == 1  # a <-> b -> c


def test_every_labelled_triad_has_the_class_that_networkx_gives_it():
    for codes in product(range(4), repeat=3):
        peer = nx.DiGraph()
        peer.add_nodes_from(range(3))
        for (u, v), code in zip(((0, 1), (0, 2), (1, 2)), codes, strict=True):
            peer.add_edges_from([(u, v)] * (code & 1) + [(v, u)] * (code >> 1))
        assert nx.triadic_census(peer)[triad_class(*codes)] == 1


@settings(deadline=None, max_examples=200)
@given(graphs())
def test_the_census_equals_networkx(graph):
    census = triad_census(graph).to_dict()
    expected = nx.triadic_census(as_networkx(graph)) if graph.n >= 3 else dict.fromkeys(TRIADS, 0)
    assert census == expected


@settings(deadline=None)
@given(graphs(largest=10, directed=False))
def test_an_undirected_graph_has_mutual_dyads_only(graph):
    census = triad_census(graph)
    assert {k for k, c in census.to_dict().items() if c} <= {"003", "102", "201", "300"}
    a = as_matrix(graph)
    assert census["300"] == sum(a[u, v] * a[u, w] * a[v, w] for u, v, w in combinations(range(graph.n), 3))


@pytest.mark.parametrize("density", [0.02, 0.4])
def test_the_census_equals_igraph_where_rows_are_longer_than_the_packed_fields(density):
    igraph = pytest.importorskip("igraph")
    graph = random_graph(260, density, 3)
    peer = igraph.Graph(graph.n, list(zip(graph.source.tolist(), graph.target.tolist(), strict=True)), directed=True)
    expected = peer.triad_census()
    ours = triad_census(graph).to_dict()
    assert list(ours.values()) == [int(x) for x in expected]


def test_the_motifs_are_the_connected_classes():
    graph = random_graph(12, 0.3, 1)
    assert motif_census(graph).to_dict() == {k: triad_census(graph)[k] for k in CONNECTED_TRIADS}
    assert len(CONNECTED_TRIADS) == 13


def test_the_classes_of_all_triads_add_up_beyond_int64():
    n = 5_000_000
    counts = assemble(n, np.zeros(64, np.int64), np.zeros(6, np.int64), np.int64(2), np.int64(1))
    assert sum(int(c) for c in counts) == n * (n - 1) * (n - 2) // 6
    assert int(counts[1]) == 2 * (n - 2) and int(counts[2]) == n - 2


def test_a_census_names_what_it_has():
    census = triad_census(random_graph(5, 0.5, 0))
    assert census.total == 10
    with pytest.raises(GraphError, match="no class '031'"):
        census["031"]
    with pytest.raises(GraphError, match="no class 'x' of triads"):
        triad_edges("x")
