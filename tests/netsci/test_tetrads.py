"""The tetrad census against brute force and igraph, class by class."""

from functools import cache
from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import graphs

from neuroprune.core.errors import GraphError
from neuroprune.netsci import tetrads
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.tetrad_classes import TETRADS, TETRADS_UNDIRECTED, tetrad_edges
from neuroprune.netsci.tetrad_kernels import MOST, count_cycles_by_code, ranked_rows
from neuroprune.netsci.tetrads import count_stars, tetrad_census


def graph_of(arcs: list[tuple[int, int]], directed: bool = True) -> Graph:
    return Graph.from_coo([i for i, _ in arcs], [j for _, j in arcs], directed=directed)


def random_graph(n: int, arcs: int, seed: int, hubs: bool = False) -> Graph:
    rng = np.random.default_rng(seed)
    chance = 1 / np.arange(1, n + 1) ** (0.8 if hubs else 0)
    source, target = rng.choice(n, (2, arcs), p=chance / chance.sum())
    back = rng.random(arcs) < 0.2
    return Graph.from_coo(np.append(source, target[back]), np.append(target, source[back]), n=n)


def ring(n: int, reach: int, seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(n), reach)
    target = (source + rng.integers(1, reach + 1, source.size) * rng.choice([-1, 1], source.size)) % n
    return Graph.from_coo(source, target, n=n)


@cache
def name_of(bits: frozenset[tuple[int, int]]) -> str | None:
    """Return the smallest number of an adjacency matrix over all orders; None where it is not connected."""
    parts = [{node} for node in range(4)]
    for i, j in bits:
        joined = next(part for part in parts if i in part) | next(part for part in parts if j in part)
        parts = [part for part in parts if not part & joined] + [joined]
    if len(parts) > 1:
        return None
    return str(min(sum(1 << 4 * p[i] + p[j] for i, j in bits) for p in permutations(range(4))))


def enumerate_tetrads(graph: Graph) -> dict[str, int]:
    arcs = set(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    counts: dict[str, int] = {}
    for nodes in combinations(range(graph.n), 4):
        name = name_of(frozenset((i, j) for i in range(4) for j in range(4) if (nodes[i], nodes[j]) in arcs))
        if name is not None:
            counts[name] = counts.get(name, 0) + 1
    return counts


def found(census) -> dict[str, int]:
    return {label: count for label, count in census.to_dict().items() if count}


def assert_equals_igraph(graph: Graph, directed: bool) -> None:
    igraph = pytest.importorskip("igraph")
    arcs = list(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
    other = igraph.Graph(n=graph.n, edges=arcs, directed=True)
    if not directed:
        other.to_undirected(mode="collapse")
    expected = {number: count for number, count in enumerate(other.motifs_randesu(4)) if count > 0}
    ours = tetrad_census(graph, directed).to_dict("igraph")
    assert {number: count for number, count in ours.items() if count} == expected


# ------------------------------------------------------------------ classes
def test_there_are_199_directed_and_6_undirected_classes():
    assert (len(TETRADS), len(TETRADS_UNDIRECTED)) == (199, 6)
    assert [int(label) for label in TETRADS] == sorted({int(label) for label in TETRADS})


@pytest.mark.parametrize("label", TETRADS)
def test_the_arcs_of_a_class_are_one_of_its_kind(label):
    arcs = tetrad_edges(label)
    assert name_of(frozenset(arcs)) == label
    assert found(tetrad_census(graph_of(arcs))) == {label: 1}


@pytest.mark.parametrize("label", TETRADS_UNDIRECTED)
def test_the_edges_of_an_undirected_class_are_one_of_its_kind(label):
    graph = graph_of(tetrad_edges(label), directed=False)
    assert found(tetrad_census(graph)) == {label: 1}


@pytest.mark.parametrize("label", ["1", "bifan", ""])
def test_an_unknown_class_is_refused(label):
    with pytest.raises(GraphError, match=f"no class '{label}'.*star.*199"):
        tetrad_edges(label)


# ------------------------------------------------------------------ counts by hand
def test_bifan_biparallel_and_complete_graphs():
    assert found(tetrad_census(Graph.from_coo([0, 0, 1, 1], [2, 3, 2, 3]))) == {"204": 1}
    assert found(tetrad_census(Graph.from_coo([0, 0, 1, 2], [1, 2, 3, 3]))) == {"904": 1}
    complete = graph_of(list(permutations(range(7), 2)))
    assert found(tetrad_census(complete)) == {"31710": comb(7, 4)}
    assert found(tetrad_census(complete, directed=False)) == {"clique": comb(7, 4)}


def test_a_star_of_sources_and_a_long_cycle():
    converging = Graph.from_coo(np.arange(1, 51), np.zeros(50, int))
    assert found(tetrad_census(converging)) == {"2184": comb(50, 3)}
    cycle = Graph.from_coo(range(9), [*range(1, 9), 0], directed=False)
    assert found(tetrad_census(cycle)) == {"path": 9}


@pytest.mark.parametrize("n", [0, 1, 3, 5])
@pytest.mark.parametrize("directed", [True, False])
def test_a_graph_without_arcs_has_no_tetrad(n, directed):
    census = tetrad_census(Graph.from_coo([], [], n=n), directed)
    assert census.total == 0
    assert (census.size, census.counts.dtype) == (4, np.int64)


def test_direction_follows_the_graph_unless_told():
    graph = Graph.from_coo([0, 1, 2], [1, 2, 3], directed=False)
    assert found(tetrad_census(graph)) == {"path": 1}
    mutual = tetrad_census(graph, directed=True)
    assert mutual.labels == TETRADS
    assert found(mutual) == {name_of(frozenset([(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)])): 1}


# ------------------------------------------------------------------ oracles
@settings(deadline=None, max_examples=60)
@given(graphs(largest=9))
def test_every_count_equals_brute_force(graph):
    assert found(tetrad_census(graph)) == enumerate_tetrads(graph)


@settings(deadline=None, max_examples=40)
@given(graphs(largest=9, directed=False))
def test_every_undirected_count_equals_brute_force(graph):
    shape = {
        name_of(frozenset([*tetrad_edges(s), *((j, i) for i, j in tetrad_edges(s))])): s for s in TETRADS_UNDIRECTED
    }
    assert found(tetrad_census(graph)) == {shape[name]: count for name, count in enumerate_tetrads(graph).items()}


@settings(deadline=None, max_examples=40)
@given(graphs(largest=9))
def test_the_undirected_census_is_that_of_the_undirected_graph(graph):
    assert found(tetrad_census(graph, directed=False)) == found(tetrad_census(graph.undirected()))


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize(
    "graph",
    [random_graph(300, 1800, 1), random_graph(300, 1500, 2, hubs=True), ring(300, 7, 3), random_graph(40, 700, 4)],
    ids=["random", "hubs", "clustered", "dense"],
)
def test_every_class_equals_igraph(graph, directed):
    assert_equals_igraph(graph, directed)


@settings(deadline=None, max_examples=25)
@given(graphs(largest=14), st.booleans())
def test_every_class_equals_igraph_on_small_graphs(graph, directed):
    if graph.n >= 4:
        assert_equals_igraph(graph, directed)


def test_counts_do_not_depend_on_the_order_of_the_nodes():
    graph = random_graph(200, 1500, 5, hubs=True)
    order = np.random.default_rng(0).permutation(graph.n)
    assert found(tetrad_census(Graph.from_coo(order[graph.source], order[graph.target], n=graph.n))) == found(
        tetrad_census(graph)
    )


# ------------------------------------------------------------------ large numbers
def test_stars_beyond_64_bits_are_exact():
    degrees = np.array([[0, 4_000_000, 0, 0], [0, 3_000_000, 2_000_000, 5_000_000], [0, 1, 1, 1]])
    stars = dict(zip(tetrads.STAR_CODES, count_stars(degrees), strict=True))
    assert stars[1, 1, 1] == comb(4_000_000, 3) + comb(3_000_000, 3) > np.iinfo(np.int64).max
    assert stars[1, 2, 3] == 3_000_000 * 2_000_000 * 5_000_000 + 1
    assert stars[2, 2, 3] == comb(2_000_000, 2) * 5_000_000


@pytest.mark.parametrize("directed", [True, False])
def test_python_integers_give_the_same_counts(monkeypatch, directed):
    graph = random_graph(60, 500, 6)
    expected = tetrad_census(graph, directed)
    monkeypatch.setattr(tetrads, "LARGEST", 0)
    exact = tetrad_census(graph, directed)
    assert exact.counts.dtype == object
    assert exact.to_dict() == expected.to_dict()


def test_counters_emptied_at_every_step_count_the_same():
    graph = random_graph(60, 600, 7)
    rows = ranked_rows(graph.n, *graph.adjacency, graph.forward.order, graph.forward.rank)
    emptied = count_cycles_by_code(graph.n, *rows, MOST)
    assert emptied.sum() > 0
    np.testing.assert_array_equal(emptied, count_cycles_by_code(graph.n, *rows, 60))


def test_many_paths_between_two_hubs_do_not_overflow_a_counter():
    middle = np.arange(2, 3002)
    graph = Graph.from_coo(np.repeat([0, 1], 3000), np.tile(middle, 2))
    assert tetrad_census(graph)["204"] == comb(3000, 2)


def test_hubs_beyond_the_counters_are_refused_by_the_directed_census_only(monkeypatch):
    monkeypatch.setattr(tetrads, "MOST", 1)
    graph = Graph.from_coo([0, 0, 1, 1], [2, 3, 2, 3])
    with pytest.raises(GraphError, match=r"two nodes with 2 neighbours or more.*directed=False"):
        tetrad_census(graph)
    assert tetrad_census(graph, directed=False)["cycle"] == 1
