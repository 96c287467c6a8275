"""Core and periphery: the best of all divisions, a planted core, and core numbers as networkx has them."""

import math
from itertools import product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from random_graphs import as_matrix, as_networkx, graphs

from neuroprune.netsci import Graph
from neuroprune.netsci.core_periphery import core_numbers, core_periphery


def mismatches(matrix: np.ndarray, core: np.ndarray) -> int:
    """Return how many ordered pairs differ from the ideal, counted one by one."""
    inside, outside = np.outer(core, core), np.outer(~core, ~core)
    np.fill_diagonal(inside, False)
    return int((inside & (matrix == 0)).sum() + (outside & (matrix != 0)).sum())


def test_a_clique_with_leaves_by_hand():
    found = core_periphery(Graph.from_coo([0, 0, 1, 0, 1, 2], [1, 2, 2, 3, 4, 5], directed=False))
    assert found.core.tolist() == [True] * 3 + [False] * 3
    assert (found.mismatches, found.correlation) == (0, 1)
    assert (found.core_density, found.between_density, found.periphery_density) == (1, 3 / 9, 0)
    assert repr(found) == "<CorePeriphery: 3 of 6 nodes in the core, correlation 1.000>"


@settings(deadline=None, max_examples=60)
@given(graphs(largest=8, directed=None))
def test_no_division_has_fewer_mismatches(graph):
    found, matrix = core_periphery(graph), as_matrix(graph)
    assert found.mismatches == mismatches(matrix, found.core)
    divisions = (np.array(core, bool) for core in product((False, True), repeat=graph.n))
    assert found.mismatches == min(mismatches(matrix, core) for core in divisions)


@settings(deadline=None, max_examples=60)
@given(graphs(directed=None))
def test_the_correlation_is_that_of_the_pairs_within_core_and_periphery(graph):
    found, matrix = core_periphery(graph), as_matrix(graph)
    same = (found.core[:, None] == found.core) & ~np.eye(graph.n, dtype=bool)
    arcs, ideal = matrix[same], np.broadcast_to(found.core, (graph.n, graph.n))[same].astype(float)
    if arcs.size and arcs.std() > 0 and ideal.std() > 0:
        assert found.correlation == pytest.approx(np.corrcoef(arcs, ideal)[0, 1])
    else:
        assert math.isnan(found.correlation)


def test_a_planted_core_is_found():
    rng = np.random.default_rng(1)
    n, core = 200, rng.permutation(200) < 40
    probability = np.where(core[:, None] & core, 0.8, np.where(core[:, None] | core, 0.2, 0.02))
    source, target = np.nonzero(rng.random((n, n)) < probability)
    keep = source != target
    found = core_periphery(Graph.from_coo(source[keep], target[keep], n=n))
    np.testing.assert_array_equal(found.core, core)
    assert found.core_density == pytest.approx(0.8, abs=0.03)
    assert found.between_density == pytest.approx(0.2, abs=0.03)
    assert found.periphery_density == pytest.approx(0.02, abs=0.01)
    assert found.correlation > 0.7


def test_graphs_without_a_periphery_or_without_a_core():
    full = core_periphery(Graph.from_coo([0, 0, 1], [1, 2, 2], directed=False))
    assert full.mismatches == 0 and math.isnan(full.correlation)
    empty = core_periphery(Graph.from_coo([], [], n=3))
    assert not empty.core.any() and empty.periphery_density == 0 and math.isnan(empty.core_density)
    assert core_periphery(Graph.from_coo([], [], n=0)).core.shape == (0,)
    assert math.isnan(core_periphery(Graph.from_coo([], [], n=1)).periphery_density)


@settings(deadline=None, max_examples=150)
@given(graphs(largest=20, directed=False))
def test_core_numbers_equal_networkx(graph):
    expected = nx.core_number(as_networkx(graph))
    assert core_numbers(graph).tolist() == [expected[v] for v in range(graph.n)]


def test_core_numbers_ignore_directions():
    graph = Graph.from_coo([0, 1, 1, 2, 0], [1, 0, 2, 0, 3])
    assert core_numbers(graph).tolist() == [2, 2, 2, 1]
