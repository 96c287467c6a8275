"""Null models: every graph equally likely, what must stay stays, and the same seed gives the same graphs."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import combinations, permutations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from neuroprune.core.errors import GraphError
from neuroprune.netsci import chains
from neuroprune.netsci.chains import ORDERED, UNORDERED, add, below, contains, discard, next64, pair_set
from neuroprune.netsci.chains_rows import trade_rows
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.nulls import NULLS, mixing, randomize, sample_nulls, seed_of
from neuroprune.netsci.nulls_samplers import null_sampler
from neuroprune.netsci.triads import count_triads

Arcs = frozenset[tuple[int, int]]


def arcs_of(graph: Graph) -> Arcs:
    return frozenset(zip(graph.source.tolist(), graph.target.tolist(), strict=True))


def graph_of(arcs: Iterable[tuple[int, int]], n: int, directed: bool = True) -> Graph:
    source, target = zip(*sorted(arcs), strict=True)
    return Graph.from_coo(source, target, n=n, directed=directed)


def assert_uniform(graph: Graph, states: set[Arcs], each: int = 40, **how: object) -> None:
    """Assert that samples are all of the states and nothing else, equally often."""
    assert arcs_of(graph) in states
    seen = Counter(arcs_of(sample) for sample in sample_nulls(graph, samples=each * len(states), rng=3, **how))  # type: ignore[arg-type]
    assert set(seen) == states
    assert chisquare(list(seen.values())).pvalue > 1e-3


def digraphs(out_degree: list[int], in_degree: list[int]) -> set[Arcs]:
    """Return all simple digraphs with the degrees, by trying all rows."""
    n = len(out_degree)
    rows = [list(combinations([v for v in range(n) if v != u], out_degree[u])) for u in range(n)]
    found = set()
    for choice in product(*rows):
        arcs = frozenset((u, v) for u in range(n) for v in choice[u])
        if [sum(v == w for _, v in arcs) for w in range(n)] == in_degree:
            found.add(arcs)
    return found


def subsets(n: int, m: int, directed: bool, keep: Callable[[Arcs], object]) -> Iterator[tuple[Arcs, object]]:
    """Yield every graph of n nodes and m edges with what `keep` says of it."""
    pairs = [(u, v) for u in range(n) for v in range(n) if (u != v if directed else u < v)]
    for chosen in combinations(pairs, m):
        arcs = frozenset(chosen) if directed else frozenset(chosen) | {(v, u) for u, v in chosen}
        yield arcs, keep(arcs)


def dyad_degrees(arcs: Arcs, n: int) -> list[list[int]]:
    """Return the numbers of arcs out, in, and of mutual dyads of each node, from the definition."""
    degrees = [[0, 0, 0] for _ in range(n)]
    for u, v in arcs:
        if (v, u) in arcs:
            degrees[u][2] += 1
        else:
            degrees[u][0] += 1
            degrees[v][1] += 1
    return degrees


# ---------------------------------------------------------------------- every graph equally likely
DIRECTED = {
    # igraph #1456: no switch or trade is possible, and yet there are two graphs.
    "3-cycle": (3, [(0, 1), (1, 2), (2, 0)], 2),
    "derangements": (4, [(0, 1), (1, 2), (2, 3), (3, 0)], 9),
    "two twin 3-cycles": (
        6,
        [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), *product((0, 1, 2), (3, 4, 5))],
        4,
    ),
    # Reversed, the row of node 0 holds the next node of the cycle further back.
    "twins around a target": (4, [(0, 1), (1, 3), (3, 0), (0, 2), (1, 2), (3, 2)], 2),
    "3-cycle with a hub": (4, [(0, 1), (1, 2), (2, 0), (0, 3), (3, 1)], None),
    "irregular": (5, [(0, 1), (0, 2), (0, 3), (1, 2), (2, 0), (3, 4), (4, 1)], None),
    "dense": (4, [(0, 1), (0, 2), (0, 3), (1, 0), (1, 2), (2, 3), (3, 0), (3, 1)], None),
    "tournament": (4, [(0, 1), (1, 2), (2, 0), (0, 3), (1, 3), (3, 2)], None),
}


@pytest.mark.parametrize("method", ["curveball", "switching"])
@pytest.mark.parametrize("name", DIRECTED)
def test_every_digraph_with_the_degrees_is_equally_likely(name: str, method: str) -> None:
    n, arcs, number = DIRECTED[name]
    graph = graph_of(arcs, n)
    states = digraphs(graph.out_degree.tolist(), graph.in_degree.tolist())
    assert len(states) > 1
    assert number is None or len(states) == number
    assert_uniform(graph, states, method=method, moves=40)


def test_switches_alone_would_leave_the_3_cycle_as_it_is() -> None:
    graph = graph_of(DIRECTED["3-cycle"][1], 3)
    assert [null_sampler(graph, "degree", method=m).sample(1, 0)[1] for m in ("curveball", "switching")] == [0, 0]


@pytest.mark.parametrize(
    "n, pairs",
    [
        (4, [(0, 1), (1, 2), (2, 3), (3, 0)]),
        (5, [(0, 1), (0, 2), (0, 3), (1, 2), (3, 4)]),
        (6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)]),
        (6, [(0, 1), (0, 2), (0, 3), (1, 2), (1, 4), (2, 5)]),
    ],
)
@pytest.mark.parametrize("null", ["degree", "degree+reciprocity"])
def test_every_undirected_graph_with_the_degrees_is_equally_likely(
    n: int, pairs: list[tuple[int, int]], null: str
) -> None:
    graph = graph_of(pairs, n, directed=False)
    degrees = graph.out_degree.tolist()
    found = subsets(n, graph.m, False, lambda arcs: [sum(u == w for u, _ in arcs) for w in range(n)])
    states = {arcs for arcs, kept in found if kept == degrees}
    assert len(states) > 1
    assert_uniform(graph, states, null=null, moves=20)


RECIPROCAL = [
    # A directed 4-cycle: six graphs, and no switch leads from one to another.
    (4, [(0, 1), (1, 2), (2, 3), (3, 0)]),
    (3, [(0, 1), (1, 2), (2, 0)]),
    (4, [(0, 1), (1, 0), (2, 3), (3, 2)]),
    (5, [(0, 1), (1, 0), (2, 3), (3, 2), (1, 4)]),
    (4, [(0, 1), (1, 0), (2, 3), (3, 2), (0, 2), (1, 3)]),
    (5, [(0, 1), (1, 0), (1, 2), (2, 3), (3, 4), (4, 0)]),
    (5, [(0, 1), (1, 0), (2, 3), (3, 2), (1, 2), (4, 3)]),
]


@pytest.mark.parametrize("n, arcs", RECIPROCAL)
def test_every_graph_with_the_dyad_degrees_is_equally_likely(n: int, arcs: list[tuple[int, int]]) -> None:
    graph = graph_of(arcs, n)
    expected = dyad_degrees(arcs_of(graph), n)
    states = {found for found, kept in subsets(n, graph.m, True, lambda a: dyad_degrees(a, n)) if kept == expected}
    assert len(states) > 1
    assert_uniform(graph, states, null="degree+reciprocity", moves=100)


@pytest.mark.parametrize("directed", [True, False])
def test_every_graph_with_the_degrees_and_lengths_is_equally_likely(directed: bool) -> None:
    positions = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])
    edges = [(0, 1), (1, 2), (2, 4), (3, 4), (0, 3)] if directed else [(0, 1), (1, 3), (3, 4), (2, 4), (0, 2)]
    source, target = zip(*edges, strict=True)
    graph = Graph.from_coo(source, target, n=5, directed=directed, positions=positions)
    limits = [1.5, 3.5]

    def kept(arcs: Arcs) -> object:
        degrees = [(sum(u == w for u, _ in arcs), sum(v == w for _, v in arcs)) for w in range(5)]
        return degrees, sum(abs(u - v) == 1 for u, v in arcs), all(abs(u - v) < 3.5 for u, v in arcs)

    expected = kept(arcs_of(graph))
    states = {arcs for arcs, found in subsets(5, graph.m, directed, kept) if found == expected}
    assert len(states) > 1
    assert_uniform(graph, states, null="distance", bins=limits, moves=200)


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("m", [2, 3])
def test_gnm_draws_every_graph_equally_often(m: int, directed: bool) -> None:
    graph = Graph.from_coo([0, 0, 1][:m], [1, 2, 2][:m], n=4, directed=directed)
    states = {arcs for arcs, _ in subsets(4, m, directed, lambda _: None)}
    assert_uniform(graph, states, null="gnm")


def test_gnm_draws_what_is_left_out_of_dense_graphs() -> None:
    everything = [(u, v) for u in range(4) for v in range(4) if u != v]
    graph = graph_of(everything[:-2], 4)
    assert_uniform(graph, {arcs for arcs, _ in subsets(4, 10, True, lambda _: None)}, null="gnm")


@pytest.mark.parametrize("directed", [True, False])
def test_weights_are_dealt_in_every_order_equally_often(directed: bool) -> None:
    graph = Graph.from_coo([0, 1, 2], [1, 2, 3], [1.0, 2.0, 3.0], directed=directed)
    once = graph.source < graph.target
    seen = Counter()
    for sample in sample_nulls(graph, "weights", 600, rng=2):
        assert arcs_of(sample) == arcs_of(graph)
        assert sample.weight is not None
        seen[tuple(sample.weight[once].tolist())] += 1
    assert set(seen) == set(permutations([1.0, 2.0, 3.0]))
    assert chisquare(list(seen.values())).pvalue > 1e-3


# ---------------------------------------------------------------------- what must stay stays
@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    n = draw(st.integers(2, 12))
    nodes = st.integers(0, n - 1)
    edges = draw(st.lists(st.tuples(nodes, nodes, st.integers(1, 5)), max_size=40))
    source, target, weight = (np.array([edge[k] for edge in edges], int) for k in range(3))
    directed = draw(st.booleans())
    weighted = draw(st.booleans())
    positions = np.random.default_rng(n).random((n, 2))
    return Graph.from_coo(source, target, weight if weighted else None, n, directed=directed, positions=positions)


HOW = [("degree", "curveball"), *((null, None) for null in NULLS), ("degree", "switching")]


@settings(deadline=None, max_examples=150)
@given(graphs(), st.sampled_from(HOW), st.integers(0, 2**32))
def test_samples_keep_what_their_null_says(graph: Graph, how: tuple[str, str | None], seed: int) -> None:
    null, method = how
    if (null == "weights" and graph.weight is None) or (method == "curveball" and not graph.directed):
        return
    sample = randomize(graph, null, method=method, rng=seed)
    assert (sample.n, sample.m, sample.directed) == (graph.n, graph.m, graph.directed)
    assert sample.source.dtype == sample.target.dtype == np.int32
    key = sample.source.astype(np.int64) * graph.n + sample.target
    assert (np.diff(key) > 0).all(), "sorted, and no parallel edges"
    assert (sample.source != sample.target).all()
    if null == "gnm":
        assert not graph.arcs or (sample.source < graph.n).all()
    else:
        assert (sample.out_degree == graph.out_degree).all()
        assert (sample.in_degree == graph.in_degree).all()
    if null == "degree+reciprocity":
        assert (sample.dyad_degrees == graph.dyad_degrees).all()
    if null == "weights":
        assert arcs_of(sample) == arcs_of(graph)
    if not graph.directed:
        assert {(v, u) for u, v in arcs_of(sample)} == arcs_of(sample)
    if graph.weight is None:
        assert sample.weight is None
        return
    assert sample.weight is not None
    assert sorted(sample.weight) == sorted(graph.weight)
    if not graph.directed:
        weights = dict(zip(zip(sample.source, sample.target, strict=True), sample.weight, strict=True))
        assert all(weights[u, v] == weights[v, u] for u, v in weights)
    elif null not in ("gnm", "weights"):
        strength = [np.bincount(g.source, g.weight, minlength=graph.n) for g in (graph, sample)]
        assert np.array_equal(strength[0], strength[1])


def test_weights_stay_with_their_source_and_those_of_mutual_arcs_with_mutual_ones() -> None:
    rng = np.random.default_rng(1)
    binary = Graph.from_coo(rng.integers(0, 30, 200), rng.integers(0, 30, 200), n=30)

    def marks(graph: Graph) -> list[float]:
        arcs = arcs_of(graph)
        return [1.0 + u + 100.0 * ((v, u) in arcs) for u, v in zip(graph.source, graph.target, strict=True)]

    graph = Graph.from_coo(binary.source, binary.target, marks(binary), 30)
    sample = randomize(graph, "degree+reciprocity", rng=1)
    assert sample.weight is not None and arcs_of(sample) != arcs_of(graph)
    assert sample.weight.tolist() == marks(sample)


@pytest.mark.parametrize("method", ["curveball", "switching"])
def test_afferents_keep_to_their_side(method: str) -> None:
    rng = np.random.default_rng(2)
    graph = Graph.from_coo(rng.integers(0, 20, 90), rng.integers(20, 35, 90), n=35)
    for sample in sample_nulls(graph, samples=20, method=method, rng=1):
        assert sample.source.max() < 20 <= sample.target.min()
        assert (sample.in_degree == graph.in_degree).all()
        assert (sample.out_degree == graph.out_degree).all()


@pytest.mark.parametrize("directed", [True, False])
def test_lengths_stay_in_their_bins(directed: bool) -> None:
    rng = np.random.default_rng(3)
    positions = rng.random((60, 2))
    near = np.linalg.norm(positions[:, None] - positions, axis=2) < rng.exponential(0.2, (60, 60))
    graph = Graph.from_coo(*np.nonzero(near if directed else np.triu(near, 1)), n=60, directed=directed)
    graph = replace(graph, positions=positions)

    def lengths(g: Graph) -> np.ndarray:
        return np.sort(np.linalg.norm(positions[g.source] - positions[g.target], axis=1))

    limits = np.quantile(lengths(graph), [0.25, 0.5, 0.75, 1.0])
    sample = randomize(graph, "distance", bins=limits, rng=1)
    assert len(arcs_of(sample) & arcs_of(graph)) < graph.arcs / 2
    expected = np.bincount(np.searchsorted(limits, lengths(graph)), minlength=5)
    assert np.array_equal(np.bincount(np.searchsorted(limits, lengths(sample)), minlength=5), expected)
    free = randomize(graph, "degree", rng=1)
    fine = randomize(graph, "distance", rng=1)
    assert np.abs(lengths(fine) - lengths(graph)).mean() < np.abs(lengths(free) - lengths(graph)).mean() / 3


def test_a_sample_has_names_and_positions_but_no_merged_edges() -> None:
    graph = Graph.from_coo([0, 1, 2, 2, 2], [1, 2, 0, 0, 2], names=["a", "b", "c"], positions=[[0.0], [1.0], [2.0]])
    sample = randomize(graph, rng=1)
    assert sample.names == graph.names and sample.positions is graph.positions
    assert (sample.self_loops, sample.parallel, graph.self_loops, graph.parallel) == (0, 0, 1, 1)


@pytest.mark.parametrize("null", ["degree", "degree+reciprocity", "gnm", "distance"])
@pytest.mark.parametrize("n, edges", [(0, []), (1, []), (5, []), (2, [(0, 1)]), (2, [(0, 1), (1, 0)])])
@pytest.mark.parametrize("directed", [True, False])
def test_graphs_with_nothing_to_rewire(null: str, n: int, edges: list[tuple[int, int]], directed: bool) -> None:
    source, target = ([edge[k] for edge in edges] for k in range(2))
    graph = Graph.from_coo(source, target, n=n, directed=directed, positions=np.zeros((n, 1)))
    sample = randomize(graph, null, rng=1)
    assert sample.n == n and sample.m == graph.m
    if null != "gnm":
        assert arcs_of(sample) == arcs_of(graph)


# ---------------------------------------------------------------------- the same chains, however they are computed
def moderate(directed: bool = True) -> Graph:
    rng = np.random.default_rng(4)
    hub = (rng.random(600) ** 2 * 80).astype(int)
    positions = rng.random((80, 2))
    return Graph.from_coo(hub, rng.integers(0, 80, 600), n=80, directed=directed, positions=positions)


@pytest.mark.parametrize("directed", [True, False])
@pytest.mark.parametrize("null", ["degree", "degree+reciprocity", "gnm", "distance"])
def test_hashed_sets_give_the_same_graphs_as_bits(null: str, directed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = moderate(directed)
    method = "switching" if null == "degree" else None
    dense = arcs_of(randomize(graph, null, method=method, rng=5))
    monkeypatch.setattr(chains, "DENSE_PAIRS", 0)
    assert pair_set(80, 10)[1] is not None
    assert arcs_of(randomize(graph, null, method=method, rng=5)) == dense != arcs_of(graph)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 30), max_size=300), st.sampled_from([np.int64(0), chains.DENSE_PAIRS]))
def test_sets_of_pairs_are_sets(keys: list[int], dense: np.int64) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chains, "DENSE_PAIRS", dense)
        table, shift = pair_set(8, 31)
    expected: set[int] = set()
    for key in keys:
        if key in expected:
            discard(table, shift, np.uint64(key))
        else:
            add(table, shift, np.uint64(key))
        expected ^= {key}
        assert {k for k in range(31) if contains(table, shift, np.uint64(k))} == expected


def test_pairs_without_order_are_one() -> None:
    assert chains.pair_key(9, 2, 5, UNORDERED) == chains.pair_key(9, 5, 2, UNORDERED) == 23
    assert chains.pair_key(9, 5, 2, ORDERED) == 47


@pytest.mark.parametrize(
    "null, method", [("degree", "curveball"), ("degree", "switching"), ("degree+reciprocity", None)]
)
def test_samples_do_not_depend_on_how_many_there_are(null: str, method: str | None) -> None:
    graph = moderate()
    few = [arcs_of(sample) for sample in sample_nulls(graph, null, 3, method=method, rng=9)]
    many = [arcs_of(sample) for sample in sample_nulls(graph, null, 6, method=method, rng=9)]
    assert few == many[:3]
    assert len(set(many)) == 6
    assert arcs_of(randomize(graph, null, method=method, rng=9)) == few[0]


def test_curveball_and_switching_agree() -> None:
    graph = moderate()
    names = [
        [count_triads(s) for s in sample_nulls(graph, samples=400, method=m, rng=6)] for m in ("curveball", "switching")
    ]
    a, b = (np.array(counts)[:, 3:] for counts in names)
    error = np.sqrt(a.var(axis=0, ddof=1) / 400 + b.var(axis=0, ddof=1) / 400)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error).all()
    assert np.allclose(a.std(axis=0), b.std(axis=0), rtol=0.2)


@pytest.mark.parametrize("sizes", [(3, 2), (1, 4), (5, 1)])
def test_one_trade_makes_every_choice_equally_often(sizes: tuple[int, int]) -> None:
    total = sum(sizes)
    n, start = total + 2, np.r_[0, sizes[0], np.full(total + 1, total)]
    state = np.random.SeedSequence(3).generate_state(4, np.uint64)
    seen = Counter()
    while sum(seen.values()) < 2000:
        target = np.arange(2, n, dtype=np.int32)
        if trade_rows(n, start, target, 1, state):
            assert sorted(target) == list(range(2, n))
            seen[frozenset(target[: sizes[0]].tolist())] += 1
    assert len(seen) == comb(total, sizes[0])
    assert chisquare(list(seen.values())).pvalue > 1e-3


def test_random_numbers_are_those_of_xoshiro256plusplus() -> None:
    # The test vector of the reference implementation, from the state 1, 2, 3, 4.
    state = np.array([1, 2, 3, 4], np.uint64)
    assert [int(next64(state)) for _ in range(4)] == [41943041, 58720359, 3588806011781223, 3591011842654386]


def test_bounded_integers_are_unbiased() -> None:
    # With this bound the high bits alone would favour each third number two to one.
    state = np.random.SeedSequence(1).generate_state(4, np.uint64)
    bound = 3 << 30
    drawn = np.array([below(state, bound) for _ in range(6000)])
    assert drawn.min() >= 0 and drawn.max() < bound
    assert chisquare(np.bincount(drawn % 3, minlength=3)).pvalue > 1e-3
    assert chisquare(np.bincount(drawn // (1 << 30), minlength=3)).pvalue > 1e-3


# ---------------------------------------------------------------------- seeds, mixing, bad input
def test_seeds() -> None:
    assert seed_of(5) == seed_of(np.int64(5)) == 5
    assert seed_of(None) != seed_of(None)
    assert seed_of(np.random.default_rng(3)) == seed_of(np.random.default_rng(3))
    assert seed_of(np.random.PCG64(3)) == seed_of(np.random.PCG64(3))
    generator = np.random.default_rng(3)
    assert seed_of(generator) != seed_of(generator), "a generator is advanced"
    child, other = np.random.SeedSequence(3).spawn(2)
    assert seed_of(child) == seed_of(child) != seed_of(other)
    graph = moderate()
    drawn = seed_of(np.random.default_rng(8))
    assert arcs_of(randomize(graph, rng=np.random.default_rng(8))) == arcs_of(randomize(graph, rng=drawn))


@pytest.mark.parametrize("rng", [-1, 1.5, "1", True, [1, 2]])
def test_what_is_no_source_of_randomness(rng: object) -> None:
    with pytest.raises(GraphError, match="rng"):
        seed_of(rng)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "null, method", [("degree", "curveball"), ("degree", "switching"), ("degree+reciprocity", None)]
)
def test_mixing_tells_when_chains_have_forgotten_where_they_began(null: str, method: str | None) -> None:
    graph = moderate()
    found = mixing(graph, null, method=method, moves=(1, 10, 20), samples=30, rng=1)
    assert found.moves == (1, 10, 20)
    assert found.in_place[0] > found.in_place[1] - 0.02
    assert abs(found.triangles[1] - found.triangles[2]) < 0.05 * found.triangles[2]
    assert all(0.3 < accepted <= 1 for accepted in found.acceptance)
    if null == "degree+reciprocity":
        assert set(found.mutual) == {graph.dyad_degrees[:, 3].sum() / 2}
    assert str(found).count("\n") == 3


def test_acceptance_of_switches_is_counted_by_hand() -> None:
    # Two arcs a -> b, c -> d: each attempt with itself fails, each with the other succeeds.
    graph = Graph.from_coo([0, 2], [1, 3])
    sampler = null_sampler(graph, "degree", method="switching", moves=500)
    assert sampler.proposals == 1000
    assert 430 < sampler.sample(1, 0)[1] < 570


@pytest.mark.parametrize(
    "null, how, message",
    [
        ("degrees", {}, "'degrees'"),
        ("degree", {"method": "rewire"}, "'rewire'"),
        ("degree+reciprocity", {"method": "curveball"}, "curveball"),
        ("degree", {"moves": 0}, "moves"),
        ("degree", {"moves": 2.5}, "moves"),
        ("degree", {"moves": True}, "moves"),
        ("gnm", {"moves": 3}, "gnm"),
        ("gnm", {"method": "switching"}, "gnm"),
        ("weights", {}, "weights"),
        ("distance", {}, "positions"),
    ],
)
def test_requests_that_make_no_sense(null: str, how: dict[str, object], message: str) -> None:
    graph = Graph.from_coo([0, 1, 2], [1, 2, 0])
    for function in (randomize, sample_nulls):
        with pytest.raises(GraphError, match=message):
            function(graph, null, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("bins", [0, -1, [2.0, 1.0], [0.5], [], [[1.0, 2.0]], [np.nan]])
def test_bins_that_make_no_sense(bins: object) -> None:
    graph = Graph.from_coo([0, 1, 2], [1, 2, 0], positions=[[0.0], [1.0], [2.0]])
    with pytest.raises(GraphError, match="bins"):
        randomize(graph, "distance", bins=bins)  # type: ignore[arg-type]


def test_curveball_needs_direction() -> None:
    with pytest.raises(GraphError, match="undirected"):
        randomize(Graph.from_coo([0, 1, 2], [1, 2, 3], directed=False), method="curveball")


@pytest.mark.parametrize("null", ["gnm", "weights"])
def test_what_needs_no_chain_does_not_mix(null: str) -> None:
    with pytest.raises(GraphError, match=null):
        mixing(Graph.from_coo([0, 1], [1, 2], [1.0, 2.0]), null)
