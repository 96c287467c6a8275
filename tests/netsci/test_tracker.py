"""The tracker: after any sequence of batches its census is that of the graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_graphs import graphs, random_graph

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph, TriadTracker, tracker, transitivity, triad_census


def assert_counts(tracked: TriadTracker, arcs: set[tuple[int, int]]) -> None:
    """Compare a tracker with the graph of the arcs that should be there."""
    graph = Graph.from_coo([u for u, _ in arcs], [v for _, v in arcs], n=tracked.n)
    now = tracked.graph()
    assert np.array_equal(now.source, graph.source) and np.array_equal(now.target, graph.target)
    assert tracked.arcs == graph.m
    assert np.array_equal(tracked.census().counts, triad_census(graph).counts)


@settings(deadline=None, max_examples=150)
@given(graphs(largest=9), st.data(), st.sampled_from([0.0, 0.05, 10.0]))
def test_any_sequence_of_batches_equals_a_recount(graph, data, recount):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracker, "RECOUNT_ABOVE", recount)  # always, by size, and never
        tracked = TriadTracker(graph)
        arcs = set(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
        every = [(u, v) for u in range(graph.n) for v in range(graph.n) if u != v]
        for _ in range(data.draw(st.integers(0, 5))):
            chosen = set(data.draw(st.lists(st.sampled_from(every), unique=True, max_size=12))) if every else set()
            gone, came = sorted(chosen & arcs, reverse=True), sorted(chosen - arcs, reverse=True)
            tracked.remove([u for u, _ in gone], [v for _, v in gone])
            tracked.add([u for u, _ in came], [v for _, v in came])
            arcs = arcs - set(gone) | set(came)
            assert_counts(tracked, arcs)


def test_arcs_of_a_hub_are_counted_whether_its_row_is_marked_or_searched():
    rng = np.random.default_rng(0)
    spokes = [(0, v) for v in range(1, 300)] + [(v, 0) for v in range(1, 300, 3)]
    others = [(int(u), int(v)) for u, v in rng.integers(1, 300, (400, 2)) if u != v]
    arcs = set(spokes) | set(others)
    graph = Graph.from_coo([u for u, _ in arcs], [v for _, v in arcs])
    tracked = TriadTracker(graph)
    for size in (1, 2, 30):  # one arc does not repay marking the row of the hub, thirty do
        gone = spokes[:size]
        tracked.remove([u for u, _ in gone], [v for _, v in gone])
        assert_counts(tracked, arcs - set(gone))
        tracked.add([u for u, _ in gone], [v for _, v in gone])
        assert_counts(tracked, arcs)


def test_the_graph_that_is_tracked_is_not_changed():
    graph = random_graph(30, 0.3, 1)
    before = [array.copy() for array in graph.adjacency]
    TriadTracker(graph).remove(graph.source[:5], graph.target[:5])
    assert all(np.array_equal(a, b) for a, b in zip(before, graph.adjacency, strict=True))


@settings(deadline=None, max_examples=60)
@given(graphs(largest=7, directed=False), st.data())
def test_an_undirected_graph_loses_and_gains_edges(graph, data):
    tracked = TriadTracker(graph)
    pairs = {(u, v) for u, v in zip(graph.source.tolist(), graph.target.tolist(), strict=True) if u < v}
    every = [(u, v) for u in range(graph.n) for v in range(u + 1, graph.n)]
    for _ in range(3):
        chosen = set(data.draw(st.lists(st.sampled_from(every), unique=True, max_size=6))) if every else set()
        gone, came = sorted(chosen & pairs), sorted(chosen - pairs)
        tracked.remove([v for _, v in gone], [u for u, _ in gone])
        tracked.add([u for u, _ in came], [v for _, v in came])
        pairs = pairs - set(gone) | set(came)
        assert not tracked.graph().directed
        assert_counts(tracked, pairs | {(v, u) for u, v in pairs})
        assert tracked.transitivity() == pytest.approx(transitivity(tracked.graph()), nan_ok=True)


@pytest.mark.parametrize(
    ("action", "source", "target", "message"),
    [
        ("remove", [0, 1], [1, 0], "1 -> 0 cannot be removed: it is not there"),
        ("remove", [0, 2], [1, 0], "2 -> 0 cannot be removed: it is not there"),
        ("remove", [0, 0], [1, 1], "0 -> 1 occurs twice: each arc once in a batch"),
        ("add", [2, 0], [1, 1], "0 -> 1 cannot be added: it exists already"),
        ("add", [2, 2], [1, 2], "node 2 cannot be its own neighbour"),
        ("add", [2, 3], [1, 0], "node 3 does not exist in a graph of 3 nodes"),
        ("add", [2, -1], [1, 0], "node -1 does not exist"),
        ("add", [2], [1, 0], "source has 1 entries and target 2"),
        ("add", [0.5], [1], "source holds float64"),
    ],
)
def test_a_batch_that_makes_no_sense_changes_nothing(action, source, target, message):
    tracked = TriadTracker(Graph.from_coo([0, 1], [1, 2]))
    with pytest.raises(GraphError, match=message):
        getattr(tracked, action)(source, target)
    assert_counts(tracked, {(0, 1), (1, 2)})
