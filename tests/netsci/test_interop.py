"""Graphs to and from other libraries: there and back, and what is refused."""

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from random_graphs import as_matrix, as_networkx, graphs

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph


def same(a: Graph, b: Graph) -> bool:
    """Return whether two graphs hold the same."""
    binary = a.weight is None or b.weight is None
    return (
        (a.n, a.directed, a.names) == (b.n, b.directed, b.names)
        and np.array_equal(a.source, b.source)
        and np.array_equal(a.target, b.target)
        and (a.weight is b.weight if binary else np.array_equal(a.weight, b.weight))  # type: ignore[arg-type]
    )


@settings(deadline=None)
@given(graphs(directed=None, weighted=True))
def test_every_library_gives_back_the_graph_it_was_given(graph):
    igraph = pytest.importorskip("igraph")
    assert same(Graph.from_networkx(graph.to_networkx(), "weight"), graph)
    assert same(Graph.from_scipy(graph.to_scipy(), directed=graph.directed), graph)
    assert same(Graph.from_array(as_matrix(graph), directed=graph.directed), graph)
    assert same(Graph.from_array(as_matrix(graph), directed=graph.directed, weighted=False), graph.binary())
    if graph.m:
        assert same(Graph.from_igraph(graph.to_igraph(), "weight"), graph)
    assert same(Graph.from_igraph(graph.binary().to_igraph()), graph.binary())
    assert isinstance(graph.to_igraph(), igraph.Graph)
    assert nx.utils.graphs_equal(graph.to_networkx(), as_networkx(graph))


@settings(deadline=None)
@given(graphs(weighted=True))
def test_a_data_frame_keeps_the_edges(graph):
    pytest.importorskip("pandas")
    back = Graph.from_pandas(graph.to_pandas(), weight="weight")
    assert np.array_equal(as_matrix(back), as_matrix(graph.without_isolated()))
    assert graph.binary().to_pandas().columns.tolist() == ["source", "target"]


def test_names_travel():
    graph = Graph.from_edges(["b", "a"], ["c", "b"], [1.0, 2.0])
    assert graph.names == ("a", "b", "c")
    assert sorted(graph.to_networkx().edges(data="weight")) == [("a", "b", 2.0), ("b", "c", 1.0)]
    assert same(Graph.from_networkx(graph.to_networkx(), "weight"), graph)
    pytest.importorskip("igraph")
    assert same(Graph.from_igraph(graph.to_igraph(), "weight"), graph)


def test_labels_are_sorted_by_value_and_large_ones_are_only_labels():
    graph = Graph.from_edges([10**18, 9, 10], [9, 10, 10**18 + 1])
    assert graph.n == 4
    assert graph.names == ("9", "10", str(10**18), str(10**18 + 1))
    assert Graph.from_edges([10**30], [5]).names == ("5", str(10**30))
    assert Graph.from_edges([0, 1], [1, 2]).names is None
    assert Graph.from_edges(["x", 2], [1, "y"]).names == ("1", "2", "x", "y")
    assert Graph.from_edges([1, 2], np.array([3.0, 4.0])).names == ("1", "2", "3", "4")


def test_signed_and_unsigned_labels_are_not_joined_as_floats():
    signed = np.array([720575940621039145, 720575940621039146], np.int64)
    unsigned = np.array([720575940621039147, 720575940621039148], np.uint64)
    assert Graph.from_edges(signed, unsigned).names == tuple(str(720575940621039145 + k) for k in range(4))
    assert Graph.from_edges([1, 1], [2**63 + 1, 2**63 + 2]).names == ("1", str(2**63 + 1), str(2**63 + 2))


def test_labels_may_be_anything_that_has_a_name():
    assert Graph.from_edges([(0, 0), (0, 1)], [(0, 1), (1, 1)]).names == ("(0, 0)", "(0, 1)", "(1, 1)")
    assert Graph.from_edges([(0,), "x"], [(0, 1), "y"]).names == ("(0, 1)", "(0,)", "x", "y")
    assert Graph.from_edges([1], ["a"], nodes=["a", 1]).names == ("a", "1")
    assert Graph.from_edges([0], [1], nodes=range(3)).names is None


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan])
def test_a_missing_label_is_refused(missing):
    with pytest.raises(GraphError, match="target has no label at 1, it is"):
        Graph.from_edges(["a", "b"], ["b", missing])


def test_nodes_may_be_given_in_any_order_and_without_edges():
    graph = Graph.from_edges(["b"], ["a"], nodes=["c", "b", "a"])
    assert graph.names == ("c", "b", "a")
    assert (graph.source.tolist(), graph.target.tolist()) == ([1], [2])
    with pytest.raises(GraphError, match="the node 'd', which is not in nodes"):
        Graph.from_edges(["b"], ["d"], nodes=["b"])
    with pytest.raises(GraphError, match="'b' occurs twice"):
        Graph.from_edges(["b"], ["b"], nodes=["b", "b"])


def test_parallel_edges_of_a_multigraph_are_merged_and_counted():
    peer = nx.MultiDiGraph([(0, 1), (0, 1), (1, 1)])
    graph = Graph.from_networkx(peer)
    assert (graph.m, graph.parallel, graph.self_loops) == (1, 1, 1)


def test_scipy_adds_entries_of_one_place_and_stored_zeros_are_no_edges():
    matrix = sp.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    assert as_matrix(Graph.from_scipy(matrix)).tolist() == [[0, 3], [0, 0]]


def test_the_matrix_of_the_caller_stays_as_it_is():
    doubled = sp.csr_array((np.array([1.0, 2.0, 3.0]), np.array([1, 1, 0]), np.array([0, 3, 3])), shape=(2, 2))
    for part in (doubled.data, doubled.indices, doubled.indptr):
        part.flags.writeable = False
    assert as_matrix(Graph.from_scipy(doubled)).tolist() == [[0, 3], [0, 0]]
    assert (doubled.data.tolist(), doubled.indices.tolist(), doubled.indptr.tolist()) == (
        [1, 2, 3],
        [1, 1, 0],
        [0, 3, 3],
    )


def test_what_is_no_number_is_no_edge_of_a_binary_graph_either():
    matrix = np.array([[0, np.nan], [np.nan, 0]])
    for made in (lambda: Graph.from_array(matrix, weighted=False), lambda: Graph.from_scipy(sp.csr_array(matrix))):
        with pytest.raises(GraphError, match="the matrix has the entry nan: entries must be finite"):
            made()


def test_what_makes_no_graph_is_refused():
    with pytest.raises(GraphError, match=r"shape \(2, 3\): an adjacency matrix is square"):
        Graph.from_array(np.ones((2, 3)))
    with pytest.raises(GraphError, match=r"shape \(2, 3\)"):
        Graph.from_scipy(sp.csr_array(np.ones((2, 3))))
    with pytest.raises(GraphError, match=r"\[0, 1\] is 1 and \[1, 0\] is 0: it must be symmetric"):
        Graph.from_array([[0, 1], [0, 0]], directed=False)
    with pytest.raises(GraphError, match="not symmetric"):
        Graph.from_scipy(sp.csr_array([[0, 1], [0, 0]]), directed=False)
    with pytest.raises(GraphError, match="must hold numbers"):
        Graph.from_array([["a", "b"], ["c", "d"]])
    with pytest.raises(GraphError, match="the entry nan: entries must be finite"):
        Graph.from_array([[0, np.nan], [0, 0]])
    with pytest.raises(GraphError, match="the edge 0 -> 1 has no attribute 'w'; it has none"):
        Graph.from_networkx(nx.DiGraph([(0, 1)]), "w")
    igraph = pytest.importorskip("igraph")
    with pytest.raises(GraphError, match="no edge attribute 'w'; there are none"):
        Graph.from_igraph(igraph.Graph(2, [(0, 1)]), "w")


def test_a_data_frame_without_a_column_or_an_end_is_refused():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"pre": ["a", None], "post": ["b", "c"]})
    with pytest.raises(GraphError, match="no column 'source'; there are pre, post"):
        Graph.from_pandas(frame)
    with pytest.raises(GraphError, match="row 1 has no pre"):
        Graph.from_pandas(frame, "pre", "post")
    with pytest.raises(GraphError, match="no column 'w'"):
        Graph.from_pandas(frame.iloc[:1], "pre", "post", "w")
