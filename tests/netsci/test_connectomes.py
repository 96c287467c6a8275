"""The connectomes that ship: what they hold, how exactly they are counted, and what is said of those that do not."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from random_graphs import as_matrix, as_networkx

import neuroprune
from neuroprune.core.errors import GraphError
from neuroprune.datasets import available, describe, load
from neuroprune.datasets.connectomes import AREAS, STAGES, WITH_CONTACT
from neuroprune.netsci import Graph, clustering, edges_in_no_triangle, tetrad_census, triad_census

FOLDER = Path(neuroprune.__file__).parent / "datasets" / "connectomes"
SMALL = [
    name
    for name in available()
    if not name.startswith(("drosophila", "celegans_yim")) or name.endswith(("L1_1", "L1_1/contact", "Adult_2/neurons"))
]
"""networkx takes long for the others, which igraph counts too."""


@cache
def connectome(name: str) -> Graph:
    return load(name)


@pytest.mark.parametrize("name", available())
def test_every_connectome_loads_with_names_and_weights(name):
    graph = connectome(name)
    assert graph.n and graph.m
    assert graph.weight is not None
    assert (graph.weight > 0).all() == (not name.endswith("/signed"))
    assert graph.directed == (not name.endswith(("/gap", "/contact")))
    assert graph.names is not None or name.startswith("bct_")
    about = describe(name)
    assert about.name == name and about.description == available()[name]
    assert about.licence and about.citation and about.source


@pytest.mark.parametrize("name", SMALL)
def test_the_census_of_every_connectome_equals_networkx(name):
    graph = connectome(name).binary()
    peer = as_networkx(graph)
    assert triad_census(graph).to_dict() == nx.triadic_census(peer if graph.directed else peer.to_directed())
    if graph.directed:
        local: Any = nx.clustering(peer)
        expected = np.array([local[u] for u in range(graph.n)])
        assert np.allclose(np.nan_to_num(clustering(graph, "fagiolo").local), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", available())
def test_the_censuses_of_every_connectome_equal_igraph(name):
    igraph = pytest.importorskip("igraph")
    graph = connectome(name).binary()
    peer = igraph.Graph(graph.n, np.column_stack([graph.source, graph.target]).tolist(), directed=True)
    assert list(triad_census(graph).to_dict().values()) == [int(x) for x in peer.triad_census()]
    if graph.n < 100:  # igraph visits every subgraph
        expected = peer.motifs_randesu(4)
        assert all(expected[k] == count for k, count in tetrad_census(graph, True).to_dict("igraph").items())


@pytest.mark.parametrize("name", available())
def test_edges_in_no_triangle_can_go_without_lowering_clustering(name):
    graph = connectome(name).binary()
    after = graph.keep(~edges_in_no_triangle(graph))
    for kind in ("undirected", "fagiolo"):
        old, new = clustering(graph, kind), clustering(after, kind)
        assert new.mean() >= old.mean() - 1e-12
        assert not new.transitivity < old.transitivity - 1e-12


@pytest.mark.parametrize(
    ("name", "n", "m", "total", "loops"),
    [
        ("celegans_varshney2011", 279, 2194, 6394, 0),
        ("celegans_varshney2011/gap", 279, 514, 890 - 3, 3),
        ("celegans_varshney2011/all", 279, 2990, 6394 + 2 * (890 - 3), 3),
        ("celegans_fenyves2020_signed", 297, 3638 - 34, 20589 - 105, 34),
        ("celegans_yim2024_stages/L1_1", 187, 775, 157788146, 0),
        ("celegans_yim2024_stages/L3", 215, 1524, 1233622861, 0),
        ("celegans_yim2024_stages/Adult_1", 221, 2202 - 11, 7467 - 12, 11),
        ("celegans_yim2024_stages/Dauer", 220, 2198, 892457994.25, 0),
        ("celegans_yim2024_stages/L1_1/neurons", 161, 675, None, 0),
        ("celegans_yim2024_stages/L3/neurons", 174, 1314, None, 0),
        ("celegans_yim2024_stages/Adult_1/neurons", 180, 1933, None, 11),
        ("celegans_yim2024_stages/Adult_2/neurons", 180, 1933, None, 0),
        ("celegans_yim2024_stages/Adult_2/common", 161, 1625, None, 0),
        ("celegans_yim2024_stages/L1_1/contact", 193, 4706, 773615400, 0),
        ("celegans_yim2024_stages/Adult_2/contact", 212, 6210, 5627800080, 0),
        ("bct_cortical_areas/fve30", 30, 311, 311, 0),
        ("bct_cortical_areas/fve32", 32, 315, 315, 0),
        ("bct_cortical_areas/macaque47", 47, 505, 505, 0),
        ("bct_cortical_areas/cat_ctx", 52, 818, 1357, 0),
        ("drosophila_larva_winding2023", 2952, 110677 - 537, 351828, 537),
        ("drosophila_larva_winding2023/all", 3554, 119010 - 577, 376091 - 838, 577),
    ],
)
def test_sizes_and_sums_of_weights_are_those_of_the_files(name, n, m, total, loops):
    graph = connectome(name)
    assert (graph.n, graph.m, graph.self_loops) == (n, m, loops)
    if total is not None:
        assert graph.weight is not None
        assert graph.weight.sum() == pytest.approx(total if graph.directed else 2 * total, rel=1e-12)


def test_the_signed_connectome_keeps_what_has_a_sign():
    graph = load("celegans_fenyves2020_signed/signed")
    assert graph.weight is not None
    assert graph.m + graph.self_loops == 738 + 9 + 580 + 289 + 107 + 29
    signs = (int((graph.weight > 0).sum()), int((graph.weight < 0).sum()))
    assert sum(signs) == graph.m and signs[1] <= 289 + 107 + 29 < signs[0]


def test_common_neurons_are_those_that_every_stage_has():
    neurons = [set(connectome(f"celegans_yim2024_stages/{stage}/neurons").names or ()) for stage in STAGES]
    for stage in STAGES:
        assert set(connectome(f"celegans_yim2024_stages/{stage}/common").names or ()) == set.intersection(*neurons)


def test_gap_junctions_conduct_both_ways_in_the_whole_worm():
    chemical, gap, whole = (connectome(f"celegans_varshney2011{part}") for part in ("", "/gap", "/all"))
    assert chemical.names == gap.names == whole.names
    assert np.array_equal(as_matrix(whole), as_matrix(chemical) + as_matrix(gap))


def test_names_that_are_none_are_told_what_there_is():
    with pytest.raises(GraphError, match="has several parts, name one: celegans_yim2024_stages/L1_1"):
        load("celegans_yim2024_stages")
    with pytest.raises(GraphError, match="did you mean celegans_varshney2011"):
        load("celegans_varshney")
    with pytest.raises(GraphError, match=r"no connectome 'mouse'.* There are celegans_varshney2011"):
        load("mouse")


def test_every_folder_says_licence_and_citation():
    for entry in FOLDER.iterdir():
        text = entry.joinpath("README.md").read_text(encoding="utf-8")
        assert "**Licence**" in text and "**Cite**" in text
        licence = next(about.licence for about in map(describe, available()) if about.name.startswith(entry.name))
        assert entry.joinpath("LICENSE.txt").is_file() == licence.startswith("MIT")
        if licence.startswith("MIT"):
            assert "Permission is hereby granted" in entry.joinpath("LICENSE.txt").read_text(encoding="utf-8")
    assert {entry.name for entry in FOLDER.iterdir()} == {name.partition("/")[0] for name in available()}


def test_gzipped_files_hold_no_time_and_no_name_of_their_making():
    zipped = list(FOLDER.rglob("*.gz"))
    assert zipped
    for path in zipped:
        header = path.read_bytes()[:8]
        assert header[3] == 0 and header[4:8] == bytes(4), path.name


def test_every_table_that_ships_can_be_loaded():
    tables = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.csv*")}
    stages = {f"celegans_yim2024_stages/{stage}.csv.gz" for stage in STAGES}
    contact = {f"celegans_yim2024_stages/contact/{stage}.csv.gz" for stage in WITH_CONTACT}
    areas = {f"bct_cortical_areas/{area}.csv" for area in AREAS}
    worms = {f"celegans_varshney2011/{name}" for name in ("chemical.csv.gz", "gap.csv", "nodes.csv")}
    larva = {f"drosophila_larva_winding2023/{name}.csv.gz" for name in ("edges", "nodes")}
    assert tables == stages | contact | areas | worms | larva | {"celegans_fenyves2020_signed/edges.csv.gz"}


def test_importing_the_data_compiles_nothing():
    code = "import sys, neuroprune.datasets; sys.exit('numba' in sys.modules or 'neuroprune.netsci' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
