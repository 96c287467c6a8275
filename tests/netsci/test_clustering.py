"""Clustering: each definition against its matrix form, networkx and igraph, and what pruning cannot do to it."""

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_matrix, as_networkx, graphs, random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph, clustering, edges_in_no_triangle, transitivity
from neuroprune.netsci.clustering import KINDS
from neuroprune.netsci.triangles import (
    add_sums_without_branches,
    backward_rows,
    sums_where_few_close,
    triangle_sums,
)


def expected_numerator(kind: str, a: np.ndarray) -> np.ndarray:
    """Return the diagonal of Fagiolo's matrix products."""
    t = a.T
    products = {
        "undirected": np.linalg.matrix_power(np.maximum(a, t), 3),
        "fagiolo": np.linalg.matrix_power(a + t, 3) / 2,
        "cycle": a @ a @ a,
        "middleman": a @ t @ a,
        "in": t @ a @ a,
        "out": a @ a @ t,
        "neighbours": ((a + t) > 0) @ a @ ((a + t) > 0),
    }
    return np.diag(products[kind])


def expected_denominator(kind: str, a: np.ndarray) -> np.ndarray:
    d_out, d_in, r = a.sum(axis=1), a.sum(axis=0), (a * a.T).sum(axis=1)
    k = ((a + a.T) > 0).sum(axis=1)
    return {
        "undirected": k * (k - 1),
        "neighbours": k * (k - 1),
        "fagiolo": (d_out + d_in) * (d_out + d_in - 1) - 2 * r,
        "in": d_in * (d_in - 1),
        "out": d_out * (d_out - 1),
    }.get(kind, d_in * d_out - r)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=60)
@given(graph=graphs(directed=None))
def test_every_kind_is_its_matrix_product_over_what_could_close(kind, graph):
    a = as_matrix(graph)
    found = clustering(graph, kind)
    assert np.array_equal(found.numerator, expected_numerator(kind, a))
    assert np.array_equal(found.denominator, expected_denominator(kind, a))
    assert np.array_equal(np.isnan(found.local), found.denominator == 0)
    assert found.undefined == (found.denominator == 0).sum()


@pytest.mark.parametrize("kind", ["undirected", "fagiolo", "cycle", "middleman", "in", "out"])
@settings(deadline=None, max_examples=60)
@given(graph=graphs(weighted=True))
def test_onnela_replaces_arcs_by_the_cube_roots_of_weights(kind, graph):
    w = np.cbrt(as_matrix(graph) / (graph.weight.max() if graph.arcs else 1.0))
    found = clustering(graph, kind, weight="onnela")
    assert np.allclose(found.numerator, expected_numerator(kind, w), rtol=1e-11, atol=1e-12)
    assert np.array_equal(found.denominator, expected_denominator(kind, as_matrix(graph.binary())))


@settings(deadline=None)
@given(graphs(directed=None, weighted=True))
def test_local_values_equal_networkx(graph):
    peer = as_networkx(graph)
    kind = "fagiolo" if graph.directed else "undirected"
    for weight in (None, "weight"):
        found: Any = nx.clustering(peer, weight=weight)
        expected = np.array([found[u] for u in range(graph.n)])
        ours = clustering(graph, kind, weight=weight and "onnela").local
        assert np.allclose(np.nan_to_num(ours), expected, rtol=1e-11, atol=1e-12)


@settings(deadline=None)
@given(graphs(weighted=True))
def test_barrat_equals_igraph_and_zhang_its_matrix_form(graph):
    igraph = pytest.importorskip("igraph")
    pairs = graph.undirected()
    listed = pairs.source < pairs.target
    edges = list(zip(pairs.source[listed].tolist(), pairs.target[listed].tolist(), strict=True))
    peer = igraph.Graph(graph.n, edges)
    if edges:
        expected = peer.transitivity_local_undirected(weights=pairs.weight[listed].tolist(), mode="nan")
        for g in (graph, pairs):
            ours = clustering(g, weight="barrat").local
            assert np.allclose(ours, expected, rtol=1e-11, atol=1e-12, equal_nan=True)
        w = as_matrix(pairs) / pairs.weight.max()
        possible = w.sum(axis=1) ** 2 - (w**2).sum(axis=1)
        many = graph.degree > 1
        ours = clustering(graph, weight="zhang").local
        assert np.allclose(ours[many], (np.diag(w @ w @ w)[many] / possible[many]), rtol=1e-10)
        assert np.isnan(ours[~many]).all()


@settings(deadline=None)
@given(graphs(largest=25, directed=None))
def test_both_ways_of_counting_triangles_agree(graph):
    n, (start, packed, order, _) = graph.n, graph.forward
    few = sums_where_few_close(n, start, packed)
    many = np.zeros(n, np.int64), np.zeros(n, np.int64)
    add_sums_without_branches(n, start, packed, *many, True)
    add_sums_without_branches(n, *backward_rows(n, start, packed), *many, False)
    for a, b, chosen in zip(few, many, triangle_sums(graph), strict=True):
        assert np.array_equal(a, b)
        assert np.array_equal(chosen[order], a)


@settings(deadline=None)
@given(graphs(directed=None))
def test_averages_and_transitivity_equal_networkx(graph):
    pairs = as_networkx(graph.undirected())
    found = clustering(graph)
    if graph.n:
        assert found.mean() == pytest.approx(nx.average_clustering(pairs), rel=1e-11)
    if found.denominator.sum():
        assert transitivity(graph) == pytest.approx(nx.transitivity(pairs), rel=1e-11)
        assert found.mean("omit") == pytest.approx(np.nanmean(found.local), rel=1e-11)
    else:
        assert np.isnan(transitivity(graph)) and np.isnan(found.mean("omit"))


def test_out_is_the_density_of_arcs_among_out_neighbours():
    graph = Graph.from_coo([0, 0, 0, 1, 2, 3], [1, 2, 3, 2, 1, 0])
    assert clustering(graph, "out").local[0] == 2 / 6
    assert clustering(graph, "neighbours").local[0] == 2 / 6
    assert np.isnan(clustering(graph, "out").local[1])


def test_one_constant_keeps_a_history_comparable_and_the_maximum_does_not():
    before = Graph.from_coo([0, 1, 2, 3], [1, 2, 0, 0], [1.0, 1.0, 1.0, 8.0])
    assert before.weight is not None
    after = before.keep(before.weight < 8)
    by_constant = [clustering(g, weight="onnela", normalize=8.0).local[1] for g in (before, after)]
    by_maximum = [clustering(g, weight="onnela").local[1] for g in (before, after)]
    assert by_constant[0] == by_constant[1] == pytest.approx(1 / 8)
    assert by_maximum == pytest.approx([1 / 8, 1.0])


@settings(deadline=None, max_examples=150)
@given(graphs(directed=None).filter(lambda graph: graph.n > 0), st.data())
def test_pruning_edges_that_lie_in_no_triangle_never_lowers_clustering(graph, data):
    loose = np.flatnonzero(edges_in_no_triangle(graph))
    pruned = np.zeros(graph.arcs, bool)
    pruned[data.draw(st.lists(st.sampled_from(loose.tolist()), unique=True)) if loose.size else []] = True
    if not graph.directed:
        both = set(zip(graph.source[pruned].tolist(), graph.target[pruned].tolist(), strict=True))
        pruned |= np.array(
            [(v, u) in both for u, v in zip(graph.source.tolist(), graph.target.tolist(), strict=True)], bool
        )
    after = graph.keep(~pruned)
    for kind in ("undirected", "fagiolo"):
        old, new = clustering(graph, kind), clustering(after, kind)
        assert new.mean() >= old.mean() - 1e-12
        if old.transitivity == old.transitivity and new.denominator.sum():
            assert new.transitivity >= old.transitivity - 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(kind="local"), "kind='local': it must be one of undirected, fagiolo"),
        (dict(weight="onella"), "weight='onella': it must be one of onnela, barrat, zhang"),
        (dict(kind="fagiolo", weight="barrat"), "weight='barrat' has no definition for kind='fagiolo'"),
        (dict(kind="neighbours", weight="onnela"), "no definition for kind='neighbours'"),
        (dict(weight="onnela", normalize=0), "normalize=0: it must be 'max' or a positive number"),
        (dict(weight="onnela", normalize="sum"), "normalize='sum'"),
    ],
)
def test_bad_requests_are_one_clear_error(arguments, message):
    with pytest.raises(GraphError, match=message):
        clustering(random_graph(6, 0.5, 0, weighted=True), **arguments)


def test_weights_must_be_there_and_positive():
    with pytest.raises(GraphError, match="a binary graph has no weights"):
        clustering(Graph.from_coo([0], [1]), weight="onnela")
    with pytest.raises(GraphError, match="the weight of 1 -> 2 is -2: weighted clustering"):
        clustering(Graph.from_coo([0, 1], [1, 2], [1.0, -2.0]), weight="onnela")
    with pytest.raises(GraphError, match="undefined='nan': it must be one of zero, omit"):
        clustering(Graph.from_coo([0], [1])).mean("nan")
