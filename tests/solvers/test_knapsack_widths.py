"""One width for each layer: brute force, the 0/1 knapsack as a special case, sizes of real networks, refusals."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprune.core.errors import BudgetError, SpecificationError
from neuroprune.solvers.knapsack import choose_widths, knapsack

layers = st.lists(
    st.lists(st.tuples(st.integers(-20, 20).map(float) | st.floats(-3, 3), st.integers(0, 15)), min_size=1, max_size=5),
    min_size=1,
    max_size=5,
)


@settings(max_examples=150)
@given(layers, st.integers(0, 40))
def test_equals_brute_force(table, spare):
    values, costs = [[v for v, _ in layer] for layer in table], [[c for _, c in layer] for layer in table]
    budget = sum(map(min, costs)) + spare
    choices = list(product(*(range(len(layer)) for layer in table)))
    worth = {k: sum(v[j] for v, j in zip(values, k, strict=True)) for k in choices}
    price = {k: sum(c[j] for c, j in zip(costs, k, strict=True)) for k in choices}
    best = max(worth[k] for k in choices if price[k] <= budget)
    found = choose_widths(values, costs, budget)
    taken = tuple(found.option.tolist())
    assert found.proven and found.cost == price[taken] <= budget
    assert found.value == pytest.approx(worth[taken], abs=1e-9) == pytest.approx(best, abs=1e-9)
    assert found.bound >= best - 1e-9


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_a_layer_that_is_there_or_not_is_an_item(seed):
    rng = np.random.default_rng(seed)
    values, costs = rng.random(30), rng.integers(1, 50, 30)
    widths = choose_widths([[0, v] for v in values], [[0, c] for c in costs], 300)
    assert widths.value == pytest.approx(knapsack(values, costs, 300).value, rel=1e-12)


@pytest.mark.parametrize("concave", [True, False])
def test_two_hundred_layers_of_64_widths(concave):
    rng = np.random.default_rng(0)
    costs = [int(rng.integers(10, 5000)) * np.arange(1, 65) for _ in range(200)]
    gains = rng.lognormal(0, 1, (200, 64))
    values = np.cumsum(np.sort(gains)[:, ::-1] if concave else gains, 1)
    found = choose_widths(list(values), costs, sum(int(c[-1]) for c in costs) // 2, time_limit=20)
    assert found.proven and found.gap < 1e-11 and found.cost <= sum(int(c[-1]) for c in costs) // 2


def test_the_bound_contains_what_rounding_hides():
    # In units of 60 bits all options of a layer are worth the same.
    values = 1.0 + np.ldexp(np.arange(2000.0) % 8, -52)
    found = choose_widths([values, -values], [np.ones(2000, int)] * 2, 2, tolerance=0.0)
    assert Fraction(found.bound) >= Fraction(values.max()) - Fraction(values.min()) > 0


def test_the_whole_budget_for_the_widest():
    found = choose_widths([[1, 2, 3], [-5, 4]], [[1, 2, 3], [7, 8]], budget=1000)
    assert found.option.tolist() == [2, 1] and found.cost == 11 and found.gap == 0
    tight = choose_widths([[1, 2, 3], [-5, 4]], [[1, 2, 3], [7, 8]], budget=8)
    assert tight.option.tolist() == [0, 0] and tight.value == tight.bound == -4 and tight.proven


def test_a_time_limit_returns_a_bound():
    rng = np.random.default_rng(3)
    costs = [int(u) * np.arange(1, 65) for u in rng.integers(10, 5000, 200)]
    values = [c + 100.0 * np.arange(64) for c in costs]
    found = choose_widths(values, costs, sum(int(c[-1]) for c in costs) // 2, time_limit=1e-9)
    assert not found.proven and 0 < found.gap < 0.01


@pytest.mark.parametrize(
    "values, costs, budget, error, message",
    [
        ([[1.0], [1.0]], [[5], [6]], 10, BudgetError, "budget is 10, but the cheapest options cost 11 together"),
        ([], [], 1, SpecificationError, "of 0 layers"),
        ([[1.0]], [[1], [1]], 1, SpecificationError, "values are of 1 layers and costs of 2"),
        ([[1.0], []], [[1], []], 9, SpecificationError, "layer 1 has no option"),
        ([[1.0], [float("nan")]], [[1], [1]], 9, SpecificationError, "values of layer 1: number 0 is nan"),
        ([[1.0], [1.0, 2.0]], [[1], [1]], 9, SpecificationError, "costs of layer 1 have shape"),
        ([[1.0]], [[-1]], 9, SpecificationError, "costs of layer 0: number 0 is -1"),
    ],
)
def test_what_makes_no_sense_is_refused(values, costs, budget, error, message):
    with pytest.raises(error, match=message):
        choose_widths(values, costs, budget)
    with pytest.raises(SpecificationError, match="time_limit is -1"):
        choose_widths([[1.0]], [[1]], 1, time_limit=-1)
