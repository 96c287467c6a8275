"""One analysis of a graph: what it reports, when, and what it says of graphs without triangles."""

import json

import numpy as np
import pytest
from random_graphs import random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph, analyze, measure, path_summary, tetrad_census, triad_census
from neuroprune.netsci.analysis import nested


def test_the_analysis_is_plain_data_with_the_stated_keys():
    graph = random_graph(12, 0.3, 1)
    found = analyze(graph, "degree", 20, rng=1).to_dict()
    json.dumps(found, allow_nan=False)
    assert (found["n"], found["m"], found["self_loops"]) == (12, graph.m, 0)
    assert found["triads"] == triad_census(graph).to_dict()
    paths = path_summary(graph)
    for key in ("efficiency", "mean_path", "reachable"):
        assert found[key] == getattr(paths, key)
    assert found["reciprocity"] == graph.reciprocity
    assert {"undirected", "fagiolo"} == set(found["clustering"])
    null = found["null"]
    assert (null["name"], null["samples"], null["seed"]) == ("degree", 20, 1)
    assert set(null["triads"]["030T"]) >= {"mean", "sd", "z", "p"}
    for key in ("transitivity", "mean_path", "edges_in_no_triangle"):
        assert null[key]["observed"] == pytest.approx(found[key])
    assert "tetrads" not in found and "bipartite" not in found and found["notes"] == []


def test_weights_and_larger_motifs_are_reported_where_they_are_asked_for():
    graph = random_graph(9, 0.4, 2, weighted=True)
    found = analyze(graph, "degree", 5, motifs=4, rng=1).to_dict()
    assert {"onnela", "barrat", "zhang", "fagiolo_onnela"} < set(found["clustering"])
    assert found["tetrads"] == tetrad_census(graph).to_dict()
    assert len(found["null"]["tetrads"]) == 199
    assert analyze(graph.undirected(), motifs=4).to_dict()["tetrads"].keys() == {
        "star", "path", "cycle", "paw", "diamond", "clique",
    }  # fmt: skip


def test_afferents_have_bi_fans_and_no_triangles():
    rng = np.random.default_rng(0)
    afferents = Graph.from_coo(rng.integers(0, 8, 40), rng.integers(8, 16, 40))
    found = analyze(afferents, "degree", 50, rng=1).to_dict()
    assert "no triangle can occur" in found["notes"][0]
    assert found["bipartite"]["bifans"] > 0
    assert found["null"]["bipartite"]["bifans"]["sd"] > 0
    assert found["transitivity"] == 0 and found["null"]["transitivity"]["z"] is None


def test_negative_weights_leave_weighted_clustering_out():
    found = analyze(Graph.from_coo([0, 1, 2], [1, 2, 0], [1.0, -1.0, 2.0]))
    assert "negative" in found.to_dict()["notes"][0] and "onnela" not in found.to_dict()["clustering"]
    assert repr(found) == "<Analysis of <Graph: 3 nodes, 3 arcs, weighted>>"


def test_an_isolated_node_is_analysed_and_no_node_is_refused():
    found = analyze(Graph.from_coo([], [], n=1)).to_dict()
    assert found["efficiency"] is None and found["reciprocity"] is None
    assert found["triads"]["003"] == 0
    with pytest.raises(GraphError, match="without nodes"):
        analyze(Graph.from_coo([], []))
    with pytest.raises(GraphError, match="motifs=5"):
        analyze(random_graph(4, 0.5, 0), motifs=5)
    with pytest.raises(GraphError, match="no measure 'motifs'; there are reciprocity"):
        measure("motifs")


def test_every_measure_has_keys_of_its_own():
    graph = random_graph(10, 0.3, 5, weighted=True)
    from neuroprune.netsci import MEASURES

    keys = [key for name in MEASURES for key in measure(name)(graph)]
    assert len(keys) == len(set(keys))
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}
