"""The multiple-choice knapsack: one width, rank or precision for each layer."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroprune.core.errors import BudgetError, SpecificationError
from neuroprune.solvers.knapsack.checks import check_budget, check_costs, check_values
from neuroprune.solvers.knapsack.relaxation import undominated
from neuroprune.solvers.knapsack.search import Search
from neuroprune.solvers.knapsack.single import BITS, TOLERANCE
from neuroprune.solvers.scaling import scale


@dataclass(frozen=True)
class Widths:
    """An option for each layer, and how good they are together.

    Parameters
    ----------
    option : int array, shape (n_layers,)
    value, cost
        Of the options taken, summed from the values and costs as given.
    bound : float
        No choice within the budget is worth more.
    gap : float
        ``(bound - value) / |bound|``, 0 where the bound is 0.
    proven : bool
        Whether the choice is best: nothing is better by more than the tolerance and the rounding, both of which
        `bound` contains.
    """

    option: np.ndarray
    value: float
    cost: int
    bound: float
    gap: float
    proven: bool


def choose_widths(
    values: Sequence[Any],
    costs: Sequence[Any],
    budget: int,
    *,
    time_limit: float | None = None,
    tolerance: float = TOLERANCE,
) -> Widths:
    """Choose one option for each layer, worth most within a budget.

    Parameters
    ----------
    values : sequence of float arrays, one per layer
        What each option of a layer is worth; any finite number, such as minus the loss that it causes.
    costs : sequence of int arrays, one per layer
        What it costs: whole numbers of 0 or more.
    budget : int
        In the unit of the costs.
    time_limit : float, optional
        Seconds after which the best choice so far is returned, with its bound.
    tolerance : float
        Difference below which values count as equal, relative to how far the values of all layers can differ
        together.

    Returns
    -------
    Widths

    Raises
    ------
    BudgetError
        If not even the cheapest options fit the budget.
    SpecificationError
        If a layer has no option or as many values as costs, a value is not finite, or a cost no whole number.

    Notes
    -----
    As :func:`~neuroprune.solvers.knapsack.knapsack` does, by the relaxation on convex hulls, reduced costs, and
    dynamic programming with bounds over what they leave.

    Examples
    --------
    Two layers of width 0, 1 or 2; the second is dearer and gains more from its first unit.

    >>> best = choose_widths([[0, 3, 4], [0, 5, 6]], [[0, 1, 2], [0, 2, 4]], budget=4)
    >>> best.option, best.value, best.cost
    (array([2, 1]), 9.0, 4)
    """
    if time_limit is not None and not time_limit > 0:
        raise SpecificationError(f"time_limit is {time_limit}, and must be above 0 seconds")
    if not 0 <= tolerance < 1:
        raise SpecificationError(f"tolerance is {tolerance}, and must be from 0 to below 1")
    deadline = math.inf if time_limit is None else time.monotonic() + time_limit
    if not values or len(values) != len(costs):
        raise SpecificationError(
            f"values are of {len(values)} layers and costs of {len(costs)}: both need one array for each of the layers"
        )
    worth = [check_values(v, f"values of layer {i}", negative=True) for i, v in enumerate(values)]
    price = [check_costs(c, f"costs of layer {i}", v) for i, (c, v) in enumerate(zip(costs, worth, strict=True))]
    for i, v in enumerate(worth):
        if not v.size:
            raise SpecificationError(f"layer {i} has no option to choose")
    limit = check_budget(budget)
    start = np.concatenate([[0], np.cumsum([v.size for v in worth])])
    value, cost = np.concatenate(worth), np.concatenate(price)
    cost = check_costs(cost, "costs of all layers", cost)  # their sum must fit, too
    cheapest = np.minimum.reduceat(cost, start[:-1])
    if cheapest.sum() > limit:
        raise BudgetError(f"budget is {limit}, but the cheapest options cost {cheapest.sum()} together")
    scaled = scale(check_values(value, "values of all layers", negative=True), BITS)
    options, kept = undominated(start, cost, scaled.units)
    owner = options.owner
    # From here on a layer's cheapest option costs nothing and is worth nothing.
    base_cost, base_value = options.cost[options.cheapest], options.value[options.cheapest]
    options.cost[:] -= base_cost[owner]
    options.value[:] -= base_value[owner]
    spare = min(limit - int(base_cost.sum()), int(np.maximum.reduceat(options.cost, options.cheapest).sum()))
    divisor = max(1, int(np.gcd.reduce(options.cost)))
    options.cost[:] //= divisor
    search = Search(options, spare // divisor, is_item=False, tolerance=tolerance)
    found = search.run(deadline)
    taken = kept[found.chosen]
    total = math.fsum(value[taken])
    bound = max((found.bound + float(base_value.sum())) * scaled.unit + scaled.lost, total)
    gap = (bound - total) / abs(bound) if bound else 0.0
    return Widths(taken - start[:-1], total, int(cost[taken].sum()), bound, gap, found.proven)
