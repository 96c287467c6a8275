"""Histories: every step equals a recount of the graph that lives then."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import as_networkx

from neuroprune import Record, develop
from neuroprune.core.clock import Clock
from neuroprune.core.errors import GraphError
from neuroprune.core.tables import Table, Tables
from neuroprune.netsci import Graph, History, clustering, history, sides, transitivity, triad_census
from neuroprune.rules import RandomPruning
from neuroprune.testing import TableSubstrate


@st.composite
def lives(draw):
    """Draw lives of arcs: several of one arc, overlapping ones, loops, some without end and some without time."""
    n = draw(st.integers(1, 8))
    steps = draw(st.integers(1, 7))
    node, step = st.integers(0, n - 1), st.integers(0, steps + 1)
    rows = draw(st.lists(st.tuples(node, node, step, step, st.booleans()), max_size=60))
    rows = [(u, v, min(b, d), -1 if endless else max(b, d)) for u, v, b, d, endless in rows]
    return n, steps, rows


def graph_at(n: int, rows: list[tuple[int, int, int, int]], step: int) -> Graph:
    """Return what lives at a step, without the code under test."""
    arcs = [(u, v) for u, v, b, d in rows if b <= step and (d == -1 or step < d)]
    return Graph.from_coo([u for u, _ in arcs], [v for _, v in arcs], n=n)


def history_of(n: int, steps: int, rows: list[tuple[int, int, int, int]]) -> History:
    columns = np.array(rows, int).reshape(-1, 4).T
    return History.from_lives(columns[0], columns[1], columns[2], columns[3], n, steps)


@settings(deadline=None, max_examples=200)
@given(lives())
def test_everything_equals_a_recount_at_every_step(case):
    n, steps, rows = case
    found = history_of(n, steps, rows)
    census, arcs, degree, reciprocity = (
        found.triad_census(),
        found.arcs(),
        found.mean_degree(),
        found.reciprocity(),
    )
    kinds = ("undirected", "fagiolo")
    means = {(kind, way): found.clustering(kind, way) for kind in kinds for way in ("zero", "omit")}
    fractions = {kind: found.transitivity(kind) for kind in kinds}
    for step in range(steps):
        graph = graph_at(n, rows, step)
        same = found.graph(step)
        assert np.array_equal(same.source, graph.source) and np.array_equal(same.target, graph.target)
        assert np.array_equal(census[step], triad_census(graph).counts)
        assert arcs[step] == graph.m
        assert degree[step] == pytest.approx(graph.degree.mean())
        assert reciprocity[step] == pytest.approx(graph.reciprocity, nan_ok=True)
        assert found.undefined()[step] == clustering(graph).undefined
        for (kind, way), values in means.items():
            assert values[step] == pytest.approx(clustering(graph, kind).mean(way), rel=1e-11, nan_ok=True)
        for kind, values in fractions.items():
            assert values[step] == pytest.approx(transitivity(graph, kind), rel=1e-11, nan_ok=True)


def test_a_larger_history_equals_networkx():
    rng = np.random.default_rng(0)
    n, steps, m = 40, 12, 500
    source, target = rng.integers(0, n, (2, m))
    birth = rng.integers(0, 6, m)
    rows = list(
        zip(source.tolist(), target.tolist(), birth.tolist(), (birth + rng.integers(1, 9, m)).tolist(), strict=True)
    )
    found = history_of(n, steps, rows)
    for step in (0, 5, 11):
        peer = as_networkx(graph_at(n, rows, step))
        assert found.triad_census()[step].tolist() == list(nx.triadic_census(peer).values())
        assert found.clustering()[step] == pytest.approx(nx.average_clustering(peer.to_undirected()), rel=1e-11)
        assert found.clustering("fagiolo")[step] == pytest.approx(nx.average_clustering(peer), rel=1e-11)


def test_steps_counted_in_blocks_are_the_same(monkeypatch):
    rng = np.random.default_rng(1)
    birth = rng.integers(0, 5, 300)
    death = np.where(rng.random(300) < 0.3, -1, birth + rng.integers(1, 6, 300))
    arguments = (rng.integers(0, 20, 300), rng.integers(0, 20, 300), birth, death)
    whole = History.from_lives(*arguments, 20, 9)
    monkeypatch.setattr(history, "BLOCK_BYTES", 8 * 20 * 2)
    blocked = History.from_lives(*arguments, 20, 9)
    for kind in ("undirected", "fagiolo"):
        assert np.array_equal(whole.clustering(kind), blocked.clustering(kind))
        recounted = [clustering(whole.graph(step), kind).mean() for step in range(9)]
        assert blocked.clustering(kind) == pytest.approx(recounted, rel=1e-11)


def test_lives_of_one_arc_are_merged_and_loops_counted():
    found = History.from_lives([0, 0, 0, 1], [1, 1, 1, 1], [0, 2, 5, 0], [3, 4, 6, 9], 2, 8)
    assert (found.parallel, found.self_loops) == (1, 1)
    assert found.arcs().tolist() == [1, 1, 1, 1, 0, 1, 0, 0]
    assert repr(found) == "<History: 2 nodes, 8 steps, 2 lives of 1 arc>"


def test_an_empty_history_has_zero_counts():
    found = History.from_lives([], [], [], [], 4, 3)
    assert found.triad_census()[:, 0].tolist() == [4, 4, 4]
    assert found.clustering().tolist() == [0, 0, 0]
    assert np.isnan(found.transitivity()).all()


def grown() -> Record:
    """Let four cells of three inputs each lose some at random, from P3 to P5."""
    ids = np.arange(12).reshape(4, 3)
    table = Table("cells", ids, ids >= 0, 1.0 + ids % 3, ids % 5, {})
    return develop(TableSubstrate(Tables([table]), [{}]), [RandomPruning(rate=0.5)], clock=Clock(3.0, 5.0, 0.5), seed=1)


def test_the_record_of_a_run_becomes_a_bipartite_history():
    record = grown()
    found = History.from_record(record)
    assert found.times.tolist() == [3.0, 3.5, 4.0, 4.5, 5.0]
    assert found.names is not None and found.n == 4 + 5 and found.names[0] == "cell 0" and found.names[-1] == "axon 4"
    assert found.arcs().tolist() == [12, *record.development["living"].values.tolist()]
    assert 0 < found.arcs()[-1] < 12
    assert found.triad_census()[:, 8:].sum() == found.triad_census()[:, 10].sum() == 0  # no triangle, nothing mutual


@pytest.mark.parametrize("age", [None, 3.0, 4.0, 5.0])
def test_the_graph_of_a_record_at_an_age_is_that_of_its_history(age):
    record = grown()
    graph = Graph.from_record(record, age)
    step = 4 if age is None else int((age - 3) / 0.5)
    expected = History.from_record(record).graph(step)
    assert np.array_equal(graph.source, expected.source) and np.array_equal(graph.target, expected.target)
    assert graph.names == expected.names
    assert (graph.weight is None) == (age == 4.0)  # weights are recorded at declared ages only
    assert sides(graph) is not None
    with pytest.raises(GraphError, match="the record has no age 7: it goes from 3 to 5 days"):
        Graph.from_record(record, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0], [1], [3], [2]), "is born at step 3 and dies at step 2"),
        (([0], [1], [-2], [2]), "the birth of life 0 is -2"),
        (([0, 1], [1], None, None), "source has 2 entries and target 1"),
        (([0], [5], None, None, 2), "node 5 does not exist"),
    ],
)
def test_bad_lives_are_one_clear_error(arguments, message):
    with pytest.raises(GraphError, match=message):
        History.from_lives(*arguments)


def test_bad_questions_are_one_clear_error():
    found = History.from_lives([0], [1], None, None, 2, 3)
    with pytest.raises(GraphError, match="step 3 does not exist"):
        found.graph(3)
    with pytest.raises(GraphError, match="kind='cycle'"):
        found.clustering("cycle")
    with pytest.raises(GraphError, match="undefined='nan'"):
        found.clustering(undefined="nan")
    with pytest.raises(GraphError, match="kind='in'"):
        found.transitivity("in")
