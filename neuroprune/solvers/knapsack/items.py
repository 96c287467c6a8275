"""What can be kept or pruned, in one table: blocks, filters, heads or ranks, with names, values and costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.knapsack.checks import check_costs, check_values
from neuroprune.solvers.knapsack.single import Method, Selection, knapsack


@dataclass(frozen=True)
class Items:
    """Parts of a network that are kept or pruned as a whole.

    Tables of different kinds can be joined, if they measure value and cost in the same units.

    Parameters
    ----------
    names : tuple of str
    values : float array, shape (n,)
        Measured contribution, 0 or more.
    costs : int array, shape (n,)
        Parameters, multiply-accumulates, or a latency in whole nanoseconds.

    Raises
    ------
    SpecificationError
        If they are not equally many, or values or costs make no sense.
    """

    names: tuple[str, ...]
    values: np.ndarray
    costs: np.ndarray

    def __post_init__(self) -> None:
        values = check_values(self.values, "values of items")
        if len(self.names) != values.size:
            raise SpecificationError(f"{len(self.names)} names for {values.size} values: each item needs both")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "costs", check_costs(self.costs, "costs of items", values))

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def join(tables: Sequence["Items"]) -> "Items":
        """Return the items of several tables in one."""
        return Items(
            tuple(name for table in tables for name in table.names),
            np.concatenate([np.zeros(0), *(table.values for table in tables)]),
            np.concatenate([np.zeros(0, np.int64), *(table.costs for table in tables)]),
        )

    def compare(self, budget: Any, *, method: Method = "auto", time_limit: float | None = None) -> "Comparison":
        """Return the greedy and the best selection within a budget."""
        return Comparison(
            knapsack(self.values, self.costs, budget, method="greedy"),
            knapsack(self.values, self.costs, budget, method=method, time_limit=time_limit),
        )


@dataclass(frozen=True)
class Comparison:
    """The selection by falling value per cost, and the best one.

    Parameters
    ----------
    greedy, optimal : Selection
    """

    greedy: Selection
    optimal: Selection

    @property
    def loss(self) -> float:
        """Return the share of the best value that the greedy selection forgoes."""
        return 1.0 - self.greedy.value / self.optimal.value if self.optimal.value else 0.0

    @property
    def differing(self) -> int:
        """Return how many items one selection keeps and the other does not."""
        return int((self.greedy.keep != self.optimal.keep).sum())
