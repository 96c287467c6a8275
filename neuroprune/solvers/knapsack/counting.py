"""Bounds on a knapsack from the number of items that a choice can hold."""

from collections.abc import Callable

import numpy as np

HALVINGS = 50


def most_items(cost: np.ndarray, budget: int) -> int:
    """Return how many items fit at most."""
    return int(np.searchsorted(np.cumsum(np.sort(cost)), budget, side="right"))


def fewest_items(value: np.ndarray, least: int) -> int:
    """Return how many items it takes at least to be worth `least` or more."""
    return int(np.searchsorted(np.cumsum(np.sort(value)[::-1]), least, side="left")) + 1 if least > 0 else 0


def best_prices(cost: np.ndarray, value: np.ndarray, budget: int, count: int, *, at_most: bool) -> tuple[float, float]:
    """Return prices per cost and per item that make the bound on a knapsack of at most (least) `count` items lowest.

    The bound falls, as a function of the price per item, until the relaxation at that price holds `count` items:
    that price is found by bisection.
    """
    high = float(value.max(initial=0)) if at_most else 0.0
    # A fee that no item would miss: at that one the relaxation fills the budget with the cheapest items.
    low = 0.0 if at_most else -float((value.max() / cost.min()) * cost.max())
    slope = _relaxation(cost, value, budget)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if slope(middle)[1] > count:
            low = middle
        else:
            high = middle
    prices = [(slope(p)[0], p) for p in (low, high)]
    return min(prices, key=lambda pair: bound(cost, value, budget, count, *pair))


def bound(cost: np.ndarray, value: np.ndarray, budget: int, count: int, per_cost: float, per_item: float) -> float:
    """Return the bound that two prices give."""
    worth = np.maximum(value - per_cost * cost - per_item, 0.0)
    return per_cost * budget + per_item * count + float(worth.sum())


def _relaxation(cost: np.ndarray, value: np.ndarray, budget: int) -> Callable[[float], tuple[float, float]]:
    """Return a function from a price per item to the efficiency and the number of items at the relaxation's end."""
    cost = cost.astype(float)

    def solve(per_item: float) -> tuple[float, float]:
        efficiency = (value - per_item) / cost
        order = np.argsort(-efficiency)
        order = order[: int(np.count_nonzero(efficiency > 0))]
        spent = np.cumsum(cost[order])
        at = int(np.searchsorted(spent, budget, side="right"))
        if at == order.size:
            return 0.0, float(at)
        before = spent[at - 1] if at else 0.0
        return float(efficiency[order[at]]), float(at + (budget - before) / cost[order[at]])

    return solve
