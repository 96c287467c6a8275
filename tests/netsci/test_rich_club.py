"""The rich club: by hand, as networkx has it, and against its null model."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import as_matrix, as_networkx, graphs, random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph
from neuroprune.netsci.rich_club import RichClub, rich_club


def test_a_triangle_with_a_tail_by_hand():
    club = rich_club(Graph.from_coo([0, 0, 1, 2], [1, 2, 2, 3], directed=False))
    np.testing.assert_allclose(club.phi, [4 / 6, 1, np.nan])
    assert club.nodes.tolist() == [4, 3, 1]
    assert club.arcs.tolist() == [8, 6, 0]
    assert repr(club) == "<RichClub: k from 0 to 2>"


@settings(deadline=None, max_examples=150)
@given(graphs(largest=20, directed=False))
def test_it_equals_networkx(graph):
    club = rich_club(graph)
    expected = nx.rich_club_coefficient(as_networkx(graph), normalized=False) if graph.m else {}
    assert {k: value for k, value in enumerate(club.phi.tolist()) if club.nodes[k] > 1} == pytest.approx(expected)
    assert np.isnan(club.phi[club.nodes < 2]).all()


@settings(deadline=None, max_examples=100)
@given(graphs())
def test_directed_degree_is_in_plus_out(graph):
    club, matrix = rich_club(graph), as_matrix(graph)
    degree = (matrix.sum(axis=0) + matrix.sum(axis=1)).astype(int)
    assert club.phi.size == degree.max(initial=0)
    for k in range(club.phi.size):
        rich = degree > k
        assert club.nodes[k] == rich.sum()
        assert club.arcs[k] == matrix[np.ix_(rich, rich)].sum()
        if rich.sum() > 1:
            assert club.phi[k] == pytest.approx(club.arcs[k] / (rich.sum() * (rich.sum() - 1)))


def test_ratio_interval_and_p_by_hand():
    club = RichClub(
        phi=np.array([0.5, 0.8, 0.2, 0.3, np.nan]),
        nodes=np.arange(5, 0, -1),
        arcs=np.zeros(5, int),
        null_phi=np.array(
            [[0.5, 0.4, 0.0, np.nan, np.nan], [0.5, 0.6, 0.0, 0.3, np.nan], [0.5, 0.9, 0.0, 0.1, np.nan]]
        ),
        null="degree",
        seed=1,
    )
    np.testing.assert_allclose(club.ratio, [1, 0.8 / (1.9 / 3), np.nan, np.nan, np.nan])
    np.testing.assert_allclose(club.p, [1, 1, 0.5, np.nan, np.nan])
    np.testing.assert_allclose(club.interval(0.5)[:, 1], [0.5, 0.75])
    assert repr(club) == "<RichClub: k from 0 to 4, 3 samples of 'degree', seed 1>"


def test_a_null_that_keeps_degrees_keeps_who_is_rich():
    graph = random_graph(40, 0.15, 1, directed=False)
    club = rich_club(graph, "degree", samples=12, rng=3)
    assert club.null_phi is not None and club.null_phi.shape == (12, club.phi.size)
    np.testing.assert_allclose(club.null_phi[:, 0], club.phi[0])  # all nodes with an edge, all edges
    assert np.ptp(club.null_phi[:, int(np.median(graph.degree))]) > 0
    np.testing.assert_array_equal(rich_club(graph, "degree", samples=12, rng=3).null_phi, club.null_phi)
    assert (club.null, club.samples, club.seed) == ("degree", 12, 3)


def test_a_planted_club_exceeds_its_null():
    rng = np.random.default_rng(0)
    n, rich = 120, 12
    p = np.full((n, n), 0.05)
    p[:rich] = p[:, :rich] = 0.25
    p[:rich, :rich] = 0.9
    source, target = np.nonzero(np.triu(rng.random((n, n)) < p, 1))
    graph = Graph.from_coo(source, target, n=n, directed=False)
    club = rich_club(graph, "degree", samples=39, rng=0)
    k = int(np.sort(graph.degree)[-rich]) - 1
    assert club.nodes[k] == rich
    assert club.ratio[k] > 1.2 and club.p[k] == pytest.approx(2 / 40)
    assert club.phi[k] > club.interval()[1, k]


def test_a_null_with_other_degrees_gives_nan_where_it_has_no_rich_nodes():
    star = Graph.from_coo([0] * 20 + [1], [*range(1, 21), 2], directed=False)
    club = rich_club(star, "gnm", samples=5, rng=0)
    assert club.null_phi is not None and club.null_phi.shape == (5, 20)
    assert np.isnan(club.ratio[-5:]).all() and np.isnan(club.p[-5:]).all()


def test_without_edges_there_is_no_club():
    for n in (0, 1, 3):
        club = rich_club(Graph.from_coo([], [], n=n))
        assert club.phi.shape == club.nodes.shape == club.arcs.shape == (0,)
        assert repr(club) == "<RichClub: no edges>"


def test_requests_that_make_no_sense():
    graph = Graph.from_coo([0, 1], [1, 2])
    with pytest.raises(GraphError, match="samples=0"):
        rich_club(graph, "degree", samples=0)
    with pytest.raises(GraphError, match="no null model to be compared with"):
        _ = rich_club(graph).ratio
    with pytest.raises(GraphError, match="level=1"):
        rich_club(graph, "degree", samples=2, rng=0).interval(1)
