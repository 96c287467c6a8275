"""The 0/1 knapsack: hand-computed cases, brute force in exact arithmetic, bounds, hard classes, what is refused."""

from __future__ import annotations

import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.knapsack import METHODS, Items, Selection, counting, knapsack, search
from neuroprune.solvers.knapsack.trail import Trail

EXACT = [m for m in METHODS if m != "greedy"]


def brute_force(values: list[float], costs: list[int], budget: int) -> Fraction:
    """Return the best value as an exact fraction."""
    best = {0: Fraction(0)}
    for value, cost in zip(values, costs, strict=True):
        for spent, worth in list(best.items()):
            if spent + cost <= budget:
                best[spent + cost] = max(best.get(spent + cost, Fraction(-1)), worth + Fraction(value))
        if cost == 0:  # iterating over a copy took the free item at most once, and it is always taken
            best = {spent: max(worth, best[spent]) for spent, worth in best.items()}
    return max(best.values())


def every_subset(values: np.ndarray, costs: np.ndarray, budget: int) -> float:
    chosen = (np.arange(2**values.size)[:, None] >> np.arange(values.size)) & 1
    return float((chosen @ values)[chosen @ costs <= budget].max())


items = st.lists(
    st.tuples(st.one_of(st.integers(0, 30).map(float), st.floats(0, 1e6)), st.integers(0, 40)), min_size=1, max_size=12
)


@settings(max_examples=150)
@given(items, st.integers(0, 300), st.sampled_from(EXACT))
@example([(10.0, 6), (6.0, 5), (6.0, 5)], 10, "core")
@example([(5e-324, 1), (1e300, 2)], 1, "core")
def test_equals_brute_force(pairs, budget, method):
    values, costs = [v for v, _ in pairs], [c for _, c in pairs]
    found = knapsack(values, costs, budget, method=method, tolerance=0.0)
    assert found.cost == sum(c for c, k in zip(costs, found.keep, strict=True) if k) <= budget
    best = brute_force(values, costs, budget)
    kept = sum((Fraction(v) for v, k in zip(values, found.keep, strict=True) if k), Fraction(0))
    # Integers of 60 bits can hide less than 2**-59 of the sum per item.
    assert best - kept <= len(values) * Fraction(2) ** -59 * sum(map(Fraction, values))
    assert found.proven and Fraction(found.bound) >= best * (1 - Fraction(2) ** -52)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(15, 18), st.booleans())
def test_twenty_items_and_correlated_values(seed, n, correlated):
    rng = np.random.default_rng(seed)
    costs = rng.integers(1, 1000, n)
    values = costs + 100.0 if correlated else rng.exponential(size=n)
    budget = int(rng.integers(0, costs.sum()))
    assert knapsack(values, costs, budget).value == pytest.approx(every_subset(values, costs, budget), rel=1e-12)


def test_twenty_items():
    rng = np.random.default_rng(20)
    values, costs = rng.random(20), rng.integers(1, 60, 20)
    assert knapsack(values, costs, 400).value == pytest.approx(every_subset(values, costs, 400), rel=1e-14)


@settings(max_examples=100)
@given(items, st.integers(0, 300))
def test_greedy_keeps_half_and_its_bound_holds(pairs, budget):
    values, costs = np.array([v for v, _ in pairs]), np.array([c for _, c in pairs])
    greedy, best = knapsack(values, costs, budget, method="greedy"), knapsack(values, costs, budget)
    assert greedy.cost <= budget
    assert best.value / 2 <= greedy.value * (1 + 1e-12)
    assert greedy.value <= best.value * (1 + 1e-9) and best.value <= greedy.bound * (1 + 1e-12)
    assert not greedy.proven or greedy.value == pytest.approx(best.value, rel=1e-9)


def test_greedy_takes_the_one_item_that_is_worth_more_than_all_others():
    found = knapsack([2.0, 9.0], [1, 10], 10, method="greedy")
    assert found.keep.tolist() == [False, True]
    assert found.bound == 2 + 9 * 9 / 10 and found.gap == pytest.approx(1 - 9 / 10.1)


def test_hand_computed():
    found = knapsack([60.0, 100.0, 120.0], [10, 20, 30], 50)
    assert found == Selection(found.keep, 220.0, 50, 220.0, 0.0, True, "core")
    assert found.keep.tolist() == [False, True, True]


def test_free_items_are_kept_and_worthless_ones_are_not():
    found = knapsack([0.0, 3.0, 0.0, 1.0], [0, 0, 2, 2], 10)
    assert found.keep.tolist() == [True, True, False, True] and found.cost == 2 and found.value == 4
    assert knapsack([1.0, 2.0], [1, 0], 0).keep.tolist() == [False, True]


def test_nothing_to_choose_from():
    found = knapsack([], [], 5)
    assert (found.value, found.bound, found.gap, found.proven) == (0.0, 0.0, 0.0, True)
    assert not knapsack([0.0, 0.0], [1, 1], 5).keep.any()
    assert not knapsack([7.0], [9], 5).keep.any() and knapsack([7.0], [9], 5).gap == 0


def test_equal_costs_make_greedy_optimal():
    rng = np.random.default_rng(0)
    values = rng.random(300)
    greedy, best = (knapsack(values, np.full(300, 256), 50_000, method=m) for m in ("greedy", "core"))
    assert np.array_equal(greedy.keep, best.keep)


def strongly_correlated(n: int, largest: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    costs = np.random.default_rng(seed).integers(1, largest + 1, n)
    return costs + largest / 10, costs


@pytest.mark.parametrize("n, largest", [(100, 1000), (200, 100_000)])
@pytest.mark.parametrize("inverse", [False, True])
def test_strongly_correlated_items_are_proven(n, largest, inverse):
    values, costs = strongly_correlated(n, largest, 1)
    if inverse:
        values, costs = costs.astype(float), values.astype(np.int64)
    began = time.process_time()
    found = knapsack(values, costs, int(costs.sum() // 2))
    assert found.proven and found.gap == 0
    if largest == 1000:
        assert found.value == knapsack(values, costs, int(costs.sum() // 2), method="table").value
    assert time.process_time() - began < 20  # 0.1 s; the first call may compile


@pytest.mark.parametrize("inverse", [False, True])
def test_counting_items_rules_out_nothing_that_is_better(inverse, monkeypatch):
    monkeypatch.setattr(search, "MANY_STATES", 1)
    counted = 0

    best_prices = counting.best_prices

    def watched(*arguments, **options):
        nonlocal counted
        counted += 1
        return best_prices(*arguments, **options)

    monkeypatch.setattr(counting, "best_prices", watched)
    for seed in range(60):
        values, costs = strongly_correlated(14, 60, seed)
        values = values + np.random.default_rng(seed).integers(0, 3, 14)
        if inverse:
            values, costs = costs.astype(float), values.astype(np.int64)
        budget = int(costs.sum() // (2 + seed % 3))
        found = knapsack(values, costs, budget)
        assert found.proven and found.value == every_subset(values, costs, budget)
    assert counted


def test_many_states_are_worth_counting_items(monkeypatch):
    counted = []
    best_prices = counting.best_prices
    monkeypatch.setattr(counting, "best_prices", lambda *a, **o: counted.append(a) or best_prices(*a, **o))
    values, costs = strongly_correlated(200, 100_000, 1)
    assert knapsack(values, costs, int(costs.sum() // 2)).proven and counted


@pytest.mark.parametrize("method", EXACT)
def test_the_bound_contains_what_rounding_hides(method):
    # In units of 60 bits all are worth the same.
    values = 1.0 + np.ldexp(np.arange(2000) % 8, -52)
    found = knapsack(values, np.ones(2000, int), 1, method=method, tolerance=0.0)
    assert Fraction(found.bound) >= max(map(Fraction, values)) > Fraction(1)


def test_what_is_forgotten_is_not_needed(monkeypatch):
    values, costs = strongly_correlated(60, 500, 3)
    budget = int(costs.sum() // 2)
    best = knapsack(values, costs, budget, method="table").value
    forgotten = 0
    make_room = Trail.make_room

    def counted(self, needed, nodes):
        nonlocal forgotten
        size = self.size
        result = make_room(self, needed, nodes)
        forgotten += size - self.size
        return result

    monkeypatch.setattr(Trail, "make_room", counted)
    monkeypatch.setattr(search, "MANY_STATES", 10**9)
    proven = []
    for limit in (10**6, 3000, 1000, 100):
        monkeypatch.setattr(search, "MAX_NODES", limit)
        found = knapsack(values, costs, budget)
        assert found.value == float(values[found.keep].sum()) and found.cost <= budget
        assert found.value <= best <= found.bound
        assert not found.proven or found.value == best
        proven.append(found.proven)
    assert proven[0] and not proven[-1] and forgotten


def test_a_time_limit_returns_a_bound():
    values, costs = strongly_correlated(2000, 10**8, 1)
    values = values + np.random.default_rng(2).integers(0, 10**5, 2000)
    found = knapsack(values, costs, int(costs.sum() // 3), time_limit=1e-9)
    assert not found.proven and 0 < found.gap < 1e-3
    longer = knapsack(values, costs, int(costs.sum() // 3), time_limit=0.5)
    assert found.value <= longer.value <= longer.bound <= found.bound


def test_many_items_and_a_large_budget():
    rng = np.random.default_rng(1)
    costs = rng.integers(1, 1000, 20_000)
    values = costs * rng.lognormal(0, 0.5, 20_000)
    found = knapsack(values, costs, 10**7 // 2)
    greedy = knapsack(values, costs, 10**7 // 2, method="greedy")
    assert found.proven and found.gap < 1e-11 and greedy.value <= found.value <= greedy.bound


@pytest.mark.parametrize("scale", [2.0**-1000, 1e-30, 1e30, 2.0**900])
def test_scaling_values_changes_nothing(scale):
    values, costs = [3.0, 5.0, 9.0, 4.0], [2, 3, 7, 3]
    assert np.array_equal(knapsack(np.multiply(values, scale), costs, 8).keep, knapsack(values, costs, 8).keep)


@pytest.mark.parametrize(
    "values, costs, budget, options, message",
    [
        ([1.0, -2.0], [1, 1], 1, {}, "number 1 is -2.0, and must be 0 or more"),
        ([float("nan")], [1], 1, {}, "number 0 is nan, and must be finite"),
        ([1.0, float("inf")], [1, 1], 1, {}, "number 1 is inf"),
        ([1e308, 1e308], [1, 1], 1, {}, "their sum is not finite"),
        ([[1.0]], [1], 1, {}, "must be a vector"),
        ([1.0], [1, 2], 1, {}, "there are 1 values"),
        ([1.0], [1.5], 1, {}, "number 0 is 1.5, and must be a whole number"),
        ([1.0], [-1], 1, {}, "number 0 is -1, and must be 0 or more"),
        ([1.0], ["a"], 1, {}, "must be whole numbers"),
        ([1.0, 1.0], [2**62, 2**62], 1, {}, "exceeds 2\\*\\*62"),
        ([1.0], [1], -3, {}, "budget is -3, and must be 0 or more"),
        ([1.0], [1], 1.5, {}, "budget is 1.5, and must be a whole number"),
        ([1.0], [1], float("nan"), {}, "budget is nan"),
        ([1.0], [1], 1, {"method": "magic"}, "no method 'magic'"),
        ([1.0], [1], 1, {"time_limit": 0}, "time_limit is 0"),
        ([1.0], [1], 1, {"tolerance": -1}, "tolerance is -1"),
        ([1.0] * 2, [10**9, 10**9 + 1], 2 * 10**9, {"method": "table"}, "use the method core"),
    ],
)
def test_what_makes_no_sense_is_refused(values, costs, budget, options, message):
    with pytest.raises(SpecificationError, match=message):
        knapsack(values, costs, budget, **options)


def test_items_of_several_kinds_in_one_budget():
    filters = Items(("conv[0]", "conv[1]"), np.array([4.0, 1.0]), np.array([9, 9]))
    heads = Items(("head 0",), np.array([7.0]), np.array([14]))
    both = Items.join([filters, heads])
    assert both.names == ("conv[0]", "conv[1]", "head 0") and len(both) == 3
    compared = both.compare(18)
    assert (compared.greedy.value, compared.optimal.value) == (7.0, 7.0) and compared.loss == 0
    compared = Items(("a", "b", "c"), np.array([10.0, 6, 6]), np.array([6, 5, 5])).compare(10)
    assert compared.loss == pytest.approx(1 - 10 / 12) and compared.differing == 3
    with pytest.raises(SpecificationError, match="2 names for 1 values"):
        Items(("a", "b"), np.array([1.0]), np.array([1]))
