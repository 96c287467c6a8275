"""A support that columns enter and leave, and its value."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprune.solvers.l0 import moves
from neuroprune.solvers.l0.problem import DEPENDENT, Problem


class Support:
    """Columns in use, with everything that moves need to be judged.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._allocate(min(problem.columns, 32))
        self.banned = np.zeros(problem.columns, np.bool_)
        self.clear()

    def _allocate(self, capacity: int) -> None:
        p = self.problem.columns
        self._order = np.zeros(capacity, np.int64)
        self._inverse = np.zeros((capacity, capacity))
        self._weights = np.zeros(capacity)
        self._fits = np.zeros((capacity, p))

    @property
    def columns(self) -> NDArray[np.int64]:
        """The columns in use, in ascending order."""
        return np.sort(self._order[: self.size])

    @property
    def value(self) -> float:
        """The objective, in units of the energy of the target."""
        order, w = self._order[: self.size], self._weights[: self.size]
        # As a quadratic form, what rounding did to the weights enters squared.
        curved = w @ self.problem.gram[np.ix_(order, order)] @ w
        return 0.5 * float(1.0 - 2.0 * self.problem.correlation[order] @ w + curved) + self.problem.penalty * self.size

    @property
    def _state(self) -> tuple[Any, ...]:
        return self._order, self._place, self._inverse, self._weights, self._fits, self._left, self._free

    def clear(self) -> None:
        """Drop all columns."""
        self.size = 0
        self._place = np.full(self.problem.columns, -1, np.int64)
        self._left = self.problem.correlation.copy()
        self._free = np.ones(self.problem.columns)

    def use(self, columns: NDArray[np.int64]) -> None:
        """Use these columns and no others."""
        self.clear()
        self.add(columns)

    def take(self, other: "Support") -> None:
        """Become what another support of the same problem is."""
        n = other.size
        self._reserve(n)
        self.size = n
        self._order[:n], self._weights[:n], self._fits[:n] = other._order[:n], other._weights[:n], other._fits[:n]
        self._inverse[:n, :n] = other._inverse[:n, :n]
        self._place, self._left, self._free = other._place.copy(), other._left.copy(), other._free.copy()

    def add(self, columns: NDArray[np.int64]) -> None:
        """Add these columns, without those that depend on what is there."""
        self._reserve(self.size + len(columns))
        for j in columns:
            if self._place[j] < 0 and self._free[j] > DEPENDENT:
                self.size = moves.add_column(self.problem.gram, j, self.size, *self._state)

    def drop(self, columns: NDArray[np.int64]) -> None:
        """Drop some of the columns in use."""
        for j in columns:
            self.size = moves.drop_column(self._place[j], self.size, *self._state)

    def grow(self, size: int, *, by_correlation: bool = False) -> bool:
        """Add columns up to a size, by gain or as orthogonal matching pursuit does; return whether it was reached."""
        self._reserve(size)
        self.size = moves.grow(self.problem.gram, size, by_correlation, self.banned, self.size, *self._state)
        return self.size == size

    def shrink(self, size: int) -> None:
        """Drop the columns that are missed least, down to a size."""
        self.size = moves.shrink(size, self.size, *self._state)

    def descend(self, *, penalty: float | None = None, limit: int | None = None) -> None:
        """Add, drop and exchange columns until no such move helps.

        Parameters
        ----------
        penalty, limit : optional
            Those of the problem if they are not given.
        """
        penalty = self.problem.penalty if penalty is None else penalty
        limit = self.problem.limit if limit is None else limit
        done = False
        while not done:
            self._reserve(self.size + 1)
            self.size, done = moves.descend(self.problem.gram, penalty, limit, self.banned, self.size, *self._state)
            if not done and self.size < len(self._order):
                self.use(self.columns)  # rounding adds up over moves

    def _reserve(self, size: int) -> None:
        """Make room for a support of this size, keeping the one there is."""
        capacity = len(self._order)
        if size <= capacity or capacity == self.problem.columns:
            return
        order, inverse, weights, fits = self._order, self._inverse, self._weights, self._fits
        self._allocate(min(self.problem.columns, max(size, 2 * capacity)))
        self._order[:capacity], self._weights[:capacity] = order, weights
        self._inverse[:capacity, :capacity], self._fits[:capacity] = inverse, fits
