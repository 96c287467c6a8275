"""The 0/1 knapsack: which items to keep within a budget."""

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.knapsack.checks import check_budget, check_costs, check_values
from neuroprune.solvers.knapsack.relaxation import Options
from neuroprune.solvers.knapsack.search import Search
from neuroprune.solvers.knapsack.table import fill_table
from neuroprune.solvers.scaling import scale

Method = Literal["auto", "greedy", "table", "core"]
METHODS = ("auto", "greedy", "table", "core")
BITS = 60
"""Sums of values stay below 2**60."""
TOLERANCE = 1e-12
"""Relative to the value of the relaxation: sums of floats in another order differ by more."""


@dataclass(frozen=True)
class Selection:
    """Items to keep, and how good they are.

    Parameters
    ----------
    keep : bool array, shape (n_items,)
    value, cost
        Of what is kept, summed from the values and costs as given.
    bound : float
        No selection within the budget is worth more.
    gap : float
        ``(bound - value) / bound``, 0 where the bound is 0.
    proven : bool
        Whether the selection is best: nothing is better by more than the tolerance and the rounding, both of which
        `bound` contains.
    method : str
        The method that found it; never ``"auto"``.
    """

    keep: np.ndarray
    value: float
    cost: int
    bound: float
    gap: float
    proven: bool
    method: str


def knapsack(
    values: Any,
    costs: Any,
    budget: int,
    *,
    method: Method = "auto",
    time_limit: float | None = None,
    tolerance: float = TOLERANCE,
) -> Selection:
    """Choose the items that are worth most within a budget.

    Parameters
    ----------
    values : array of float, shape (n_items,)
        What an item is worth, 0 or more.
    costs : array of int, shape (n_items,)
        What it costs, a whole number. What costs nothing is always kept; what is worth nothing is not, unless it
        costs nothing.
    budget : int
        In the unit of the costs.
    method : {"auto", "greedy", "table", "core"}
        ``"greedy"`` takes items by falling value per cost while they fit, or the single most valuable one if that is
        worth more: at least half of the best, in practice nearly all of it, and a bound says how nearly. ``"table"``
        is dynamic programming over every cost up to the budget: time and memory grow with items times budget.
        ``"core"`` (and ``"auto"``) is exact too, and needs both for the few items only that the linear relaxation
        leaves undecided.
    time_limit : float, optional
        Seconds after which ``"core"`` returns the best selection so far, with its bound. Without it the search ends
        when it is proven or has filled about 1 GB.
    tolerance : float
        Relative difference below which values count as equal in ``"core"``. With 0 the selection is the best one for
        the values as integers of 60 bits.

    Returns
    -------
    Selection

    Raises
    ------
    SpecificationError
        If a value is negative or not finite, a cost is no whole number of 0 or more, or the budget is negative.

    Notes
    -----
    Values are turned into integers first, by a power of two, so that sums are exact. Nothing is rounded if their sum
    then stays below 2**60, as for whole numbers; else a selection's value may be low by ``n_items * 2**-59`` of the
    sum. The bound contains that.

    References
    ----------
    Kellerer, Pferschy & Pisinger (2004), Knapsack Problems, Springer, chapters 2 and 5.

    Examples
    --------
    >>> best = knapsack([10.0, 6.0, 6.0], [6, 5, 5], budget=10)
    >>> best.keep, best.value, best.proven
    (array([False,  True,  True]), 12.0, True)
    >>> greedy = knapsack([10.0, 6.0, 6.0], [6, 5, 5], budget=10, method="greedy")
    >>> greedy.value, greedy.bound
    (10.0, 14.8)
    """
    if method not in METHODS:
        raise SpecificationError(f"no method {method!r}: methods are {', '.join(METHODS)}")
    if time_limit is not None and not time_limit > 0:
        raise SpecificationError(f"time_limit is {time_limit}, and must be above 0 seconds")
    if not 0 <= tolerance < 1:
        raise SpecificationError(f"tolerance is {tolerance}, and must be from 0 to below 1")
    deadline = math.inf if time_limit is None else time.monotonic() + time_limit
    worth = check_values(values, "values")
    price = check_costs(costs, "costs", worth)
    limit = min(check_budget(budget), int(price.sum()))
    keep = price == 0
    items = np.flatnonzero((price > 0) & (worth > 0) & (price <= limit))
    scaled = scale(worth[items], BITS)
    used = "core" if method == "auto" else method
    bound, proven = 0.0, True
    if items.size:
        # Costs are multiples of their common divisor, and only as much of the budget can be spent.
        divisor = int(np.gcd.reduce(price[items]))
        chosen, bound, proven = _solve(
            used, price[items] // divisor, scaled.units, limit // divisor, tolerance, deadline
        )
        keep[items[chosen]] = True
    # What costs nothing comes on top, and rounding may have hidden what it took.
    bound = bound * scaled.unit + scaled.lost + math.fsum(worth[price == 0])
    value = math.fsum(worth[keep])
    bound = max(bound, value)
    gap = (bound - value) / bound if bound > 0 else 0.0
    return Selection(keep, value, int(price[keep].sum()), bound, gap, proven, used)


def _solve(
    method: str, cost: np.ndarray, value: np.ndarray, budget: int, tolerance: float, deadline: float
) -> tuple[np.ndarray, float, bool]:
    """Return which items to keep, a bound on their value, and whether they are best."""
    if method == "table":
        chosen = fill_table(cost, value, budget)
        return chosen, float(value[chosen].sum()), True
    zero = np.zeros(cost.size, np.int64)
    start = np.arange(cost.size + 1) * 2
    options = Options(start, np.stack([zero, cost], 1).ravel(), np.stack([zero, value], 1).ravel())
    search = Search(options, budget, is_item=True, tolerance=tolerance)
    if method == "greedy":
        chosen, best = search.best % 2 == 1, int(np.argmax(value))
        if value[best] > value[chosen].sum():
            chosen = np.arange(cost.size) == best
        return chosen, search.relaxation, bool(search.relaxation < value[chosen].sum() + search.slack)
    found = search.run(deadline)
    return found.chosen % 2 == 1, found.bound, found.proven
