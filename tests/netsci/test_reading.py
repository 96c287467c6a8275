"""CSV and GraphML: what is read, what is written, and what every kind of broken file is told."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import as_matrix, graphs
from test_interop import same

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph


def written(tmp_path, text, name="edges.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_names_and_further_columns(tmp_path):
    path = written(tmp_path, "kind,source,target,weight\nchemical,AVA, AVB ,3\nchemical,AVB,AVA,2\n")
    graph = Graph.read_csv(path)
    assert graph.names == ("AVA", "AVB") and graph.weight is None and graph.m == 2
    assert np.array_equal(Graph.read_csv(path, "weight").weight, [3, 2])  # type: ignore[arg-type]


def test_numbers_are_ordered_by_value_and_may_be_huge(tmp_path):
    path = written(tmp_path, "source,target\n10,9\n9,1000000000000000000000\n")
    assert Graph.read_csv(path).names == ("9", "10", "1" + "0" * 21)
    assert Graph.read_csv(written(tmp_path, "source,target\n0,1\n1,2\n")).names is None


def test_the_threshold_comes_after_parallel_edges_are_added(tmp_path):
    path = written(tmp_path, "source,target,weight\na,b,2\na,b,3\nb,c,4\nc,c,9\n")
    graph = Graph.read_csv(path, threshold=5)
    assert graph.names == ("a", "b") and graph.m == 1 and graph.weight is None
    assert (graph.parallel, graph.self_loops) == (1, 1)
    assert np.array_equal(Graph.read_csv(path, "weight", threshold=4).weight, [5, 4])  # type: ignore[arg-type]
    assert Graph.read_csv(path, threshold=5, keep_isolated=True).names == ("a", "b", "c")


def test_numbers_stay_the_names_of_nodes_when_others_go(tmp_path):
    path = written(tmp_path, "source,target,weight\n0,1,1\n1,2,9\n")
    assert Graph.read_csv(path, threshold=5).names == ("1", "2")
    assert Graph.read_csv(path, threshold=5, keep_isolated=True).names is None
    assert Graph.read_csv(path, threshold=1).names is None
    assert Graph.read_csv(written(tmp_path, "source,target\n0,0\n1,2\n")).names == ("1", "2")


def test_labels_that_only_look_like_numbers_stay_text(tmp_path):
    assert Graph.read_csv(written(tmp_path, "source,target\n10,9\n-1,0\n")).names == ("-1", "0", "9", "10")
    assert Graph.read_csv(written(tmp_path, "source,target\n10,9\n01,1\n")).names == ("01", "1", "10", "9")
    assert Graph.read_csv(written(tmp_path, "source,target\n\u0663,5\n")).names == ("5", "\u0663")
    assert Graph.read_csv(written(tmp_path, f"source,target\n{'9' * 5000},5\n")).names == ("5", "9" * 5000)


def test_a_spreadsheets_file_with_byte_order_mark_and_returns(tmp_path):
    path = written(tmp_path, b'\xef\xbb\xbfsource,target\r\n"a, left",b\r\n\r\n')
    assert Graph.read_csv(path).names == ("a, left", "b")


def test_a_zipped_file(tmp_path):
    path = written(tmp_path, gzip.compress(b"source,target\n0,1\n"), "edges.csv.gz")
    assert Graph.read_csv(path).m == 1


def test_pairs_without_direction(tmp_path):
    graph = Graph.read_csv(written(tmp_path, "source,target\n1,0\n"), directed=False)
    assert (graph.directed, graph.m, graph.arcs) == (False, 1, 2)


def test_negative_weights_are_those_of_a_signed_graph(tmp_path):
    graph = Graph.read_csv(written(tmp_path, "source,target,weight\n0,1,-2\n"), "weight")
    assert np.array_equal(graph.weight, [-2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: a graph needs a header"),
        ("\n", "is empty"),
        ("source,target\n", "has no edges below its header"),
        ("pre,post\na,b\n", "has no column 'source'; it has 'pre', 'post'"),
        ("source,target\na,b,c\n", "line 2: 3 cells, but the header has 2 columns"),
        ("source,target\na,b\n,c\n", "line 3: no source"),
        ("source,target\na,\n", "line 2: no target"),
        (b"\x89PNG\x0d\x0a\x1a\x0a\xff\xfe", "cannot be read as a table of text"),
    ],
)
def test_broken_files_are_one_clear_error(tmp_path, text, message):
    with pytest.raises(GraphError, match=message):
        Graph.read_csv(written(tmp_path, text))


@pytest.mark.parametrize("cell", ["x", "", "nan", "inf", "1_000"])
def test_a_weight_that_is_no_finite_number_names_its_line(tmp_path, cell):
    path = written(tmp_path, f"source,target,w\na,b,1\nb,c,{cell}\n")
    with pytest.raises(GraphError, match=f"line 3: the w is '{cell}', it must be a finite number"):
        Graph.read_csv(path, "w")
    assert Graph.read_csv(path).m == 2


def test_a_threshold_needs_a_column(tmp_path):
    with pytest.raises(GraphError, match="has no column 'weight'"):
        Graph.read_csv(written(tmp_path, "source,target\na,b\n"), threshold=2)


@pytest.mark.parametrize("content", [b"source,target\n0,1\n", gzip.compress(b"source,target\n0,1\n" * 99)[:-12]])
def test_a_truncated_or_unzipped_gz_is_refused(tmp_path, content):
    with pytest.raises(GraphError, match="cannot be read"):
        Graph.read_csv(written(tmp_path, content, "edges.csv.gz"))


@settings(deadline=None, max_examples=30)
@given(graphs(directed=None, weighted=True))
def test_what_is_written_is_read_again(tmp_path_factory, graph):
    folder = tmp_path_factory.mktemp("graphs")
    if graph.m:
        for name in ("edges.csv", "edges.csv.gz"):
            graph.write_csv(folder / name)
            back = Graph.read_csv(folder / name, "weight", directed=graph.directed)
            assert np.array_equal(as_matrix(back), as_matrix(graph.without_isolated()))
    for name in ("graph.graphml", "graph.graphml.gz"):
        graph.write_graphml(folder / name)
        assert same(Graph.read_graphml(folder / name, "weight"), graph)
    assert not list(folder.glob(".*"))


def test_graphml_that_is_none_is_refused(tmp_path):
    for text in ("", "source,target\n", "<html></html>"):
        with pytest.raises(GraphError, match="is no GraphML that can be read"):
            Graph.read_graphml(written(tmp_path, text, "x.graphml"))
    with pytest.raises(GraphError, match="is no GraphML that can be read"):
        Graph.read_graphml(written(tmp_path, "<graphml/>", "x.graphml.gz"))
