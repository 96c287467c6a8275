"""Graphs: what is merged, removed, refused and derived."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_matrix, graphs

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(-3, 3)), max_size=40),
    st.booleans(),
)
def test_any_list_of_edges_becomes_the_simple_graph_of_its_summed_weights(edges, directed):
    matrix = np.zeros((7, 7))
    for u, v, w in edges:
        matrix[(u, v) if directed else (min(u, v), max(u, v))] += w
    loops = sum(u == v for u, v, _ in edges)
    distinct = {(u, v) if directed else (min(u, v), max(u, v)) for u, v, _ in edges if u != v}
    np.fill_diagonal(matrix, 0)
    if not directed:
        matrix += matrix.T
    source, target, weight = np.array(edges, int).reshape(-1, 3).T
    graph = Graph.from_coo(source, target, weight, 7, directed=directed)
    assert np.array_equal(as_matrix(graph), matrix)
    assert (graph.weight != 0).all()
    assert graph.self_loops == loops
    assert graph.parallel == len(edges) - loops - len(distinct)
    key = graph.source.astype(int) * 7 + graph.target
    assert (np.diff(key) > 0).all()


def test_weights_do_not_matter_to_which_edges_a_binary_graph_has():
    graph = Graph.from_coo([2, 0, 0, 1], [0, 1, 1, 1])
    assert (graph.n, graph.m, graph.self_loops, graph.parallel, graph.weight) == (3, 2, 1, 1, None)
    assert repr(graph) == "<Graph: 3 nodes, 2 arcs; 1 self-loop removed; 1 parallel edge merged>"


def test_an_undirected_edge_is_two_arcs_and_one_edge():
    graph = Graph.from_coo([1], [0], [2.5], directed=False)
    assert (graph.m, graph.arcs, graph.reciprocity) == (1, 2, 1.0)
    assert np.array_equal(graph.weight, [2.5, 2.5])  # type: ignore[arg-type]


def test_edges_are_listed_once_from_the_lower_number():
    source, target, weight = Graph.from_coo([2, 1], [0, 2], [5.0, 7.0], directed=False).edges
    assert (source.tolist(), target.tolist()) == ([0, 1], [2, 2])
    assert weight is not None and weight.tolist() == [5.0, 7.0]
    directed = Graph.from_coo([2, 1], [0, 2])
    assert directed.edges == (directed.source, directed.target, None)


@settings(deadline=None)
@given(graphs(directed=None))
def test_degrees_and_dyads_are_those_of_the_matrix(graph):
    a = as_matrix(graph)
    assert np.array_equal(graph.out_degree, a.sum(axis=1))
    assert np.array_equal(graph.in_degree, a.sum(axis=0))
    mutual = a * a.T
    assert np.array_equal(graph.dyad_degrees[:, 3], mutual.sum(axis=1))
    assert np.array_equal(graph.dyad_degrees[:, 1], (a - mutual).sum(axis=1))
    assert np.array_equal(graph.dyad_degrees[:, 2], (a - mutual).sum(axis=0))
    assert np.array_equal(graph.degree, ((a + a.T) > 0).sum(axis=1))


@settings(deadline=None)
@given(graphs(directed=None))
def test_forward_rows_hold_each_dyad_once_towards_the_higher_degree(graph):
    start, packed, order, rank = graph.forward
    assert np.array_equal(rank[order], np.arange(graph.n))
    assert (np.diff(graph.degree[order]) >= 0).all()
    a = as_matrix(graph)
    rebuilt = np.zeros_like(a)
    for u in range(graph.n):
        row = packed[start[u] : start[u + 1]]
        assert (row >> 2 > u).all() and (np.diff(row.astype(int)) > 0).all()
        for v, code in zip(order[row >> 2], row & 3, strict=True):
            rebuilt[order[u], v], rebuilt[v, order[u]] = code & 1, code >> 1
    assert np.array_equal(rebuilt, a)


@settings(deadline=None)
@given(graphs(weighted=True), st.data())
def test_subgraphs_and_projections_are_those_of_the_matrix(graph, data):
    a = as_matrix(graph)
    stays = np.array(data.draw(st.lists(st.booleans(), min_size=graph.n, max_size=graph.n)), bool)
    assert np.array_equal(as_matrix(graph.subgraph(stays)), a[np.ix_(stays, stays)])
    assert np.array_equal(as_matrix(graph.undirected()), np.maximum(a, a.T))
    assert graph.undirected().directed is False
    assert np.array_equal(as_matrix(graph.binary()), a > 0)
    assert np.array_equal(as_matrix(graph.threshold(1.0)), np.where(a >= 1, a, 0))
    has = (a + a.T).any(axis=1) if graph.n else np.zeros(0, bool)
    assert graph.without_isolated().n == has.sum()


def test_a_subgraph_keeps_names_and_positions():
    graph = Graph.from_coo([0, 1], [1, 2], names=["a", "b", "c"], positions=[[0, 0], [1, 0], [2, 0]])
    part = graph.subgraph([2, 1])
    assert part.names == ("b", "c")
    assert np.array_equal(part.positions, [[1, 0], [2, 0]])  # type: ignore[arg-type]
    assert (part.source.tolist(), part.target.tolist()) == ([0], [1])


def test_graphs_without_nodes_or_edges_have_undefined_ratios():
    empty = Graph.from_coo([], [])
    assert empty.n == 0 and empty.m == 0
    assert np.isnan(empty.density) and np.isnan(empty.reciprocity)
    assert np.isnan(Graph.from_coo([], [], n=1).density)
    assert Graph.from_coo([], [], n=3).degree.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(source=[0, 1], target=[1]), "source has 2 entries and target 1"),
        (dict(source=[0.5], target=[1]), "source holds float64: node numbers must be integers"),
        (dict(source=["a"], target=["b"]), "Graph.from_edges takes labels"),
        (dict(source=[[0, 1]], target=[[1, 2]]), r"source has shape \(1, 2\)"),
        (dict(source=[-1], target=[1]), "node -1 is negative"),
        (dict(source=[0], target=[3], n=3), "node 3 does not exist in a graph of 3 nodes"),
        (dict(source=[0], target=[10**9]), "1,000,000,001 nodes is too large, the limit is 100,000,000"),
        (dict(source=[0], target=[1], weight=[np.nan]), "the weight of edge 0 is nan"),
        (dict(source=[0], target=[1], weight=["x"]), "weights must be numbers"),
        (dict(source=[0], target=[1], weight=[1, 2]), r"weight has shape \(2,\)"),
        (dict(source=[0], target=[1], names=["a"]), "1 names for 2 nodes"),
        (dict(source=[0], target=[1], names=["a", "a"]), "the name 'a' occurs twice"),
        (dict(source=[0], target=[1], positions=[[0.0]]), r"positions have shape \(1, 1\)"),
        (dict(source=[], target=[], n=-1), "n is -1"),
    ],
)
def test_bad_input_is_one_clear_error(arguments, message):
    with pytest.raises(GraphError, match=message):
        Graph.from_coo(**arguments)


def test_weights_of_parallel_edges_that_add_up_beyond_float64_are_refused():
    with pytest.raises(GraphError, match="the weights of the parallel edges 0 -> 1 add up to inf"):
        Graph.from_coo([0, 0, 1], [1, 1, 2], [1e308, 1e308, 1.0])


def test_a_binary_graph_has_no_threshold():
    with pytest.raises(GraphError, match="no weights to threshold"):
        Graph.from_coo([0], [1]).threshold(2)
