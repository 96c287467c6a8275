"""Classes of options, and the linear relaxation: the best that could be if options could be mixed."""

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True)
class Options:
    """Options by class, of which one is taken in each; within a class dearer ones are worth more.

    Parameters
    ----------
    start : int64 array, shape (n_classes + 1,)
        Options of class i are ``start[i]`` to ``start[i + 1] - 1``.
    cost, value : int64 array, shape (n_options,)
    """

    start: np.ndarray
    cost: np.ndarray
    value: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """Return the class of each option."""
        return np.repeat(np.arange(self.start.size - 1), np.diff(self.start))

    @property
    def cheapest(self) -> np.ndarray:
        """Return the first option of each class."""
        return self.start[:-1]


@dataclass(frozen=True)
class Increments:
    """Steps from one option to a dearer one along the upper convex hull of each class, by falling efficiency.

    Taken in this order, from the cheapest options on, as far as the budget goes, they solve the linear relaxation
    (Sinha & Zoltners 1979, Oper. Res. 27:503); the step that no longer fits is taken in part.

    Parameters
    ----------
    cost, value : int64 array
        What a step adds.
    to : int64 array
        The option that it leads to.
    owner : int64 array
        Its class.
    """

    cost: np.ndarray
    value: np.ndarray
    to: np.ndarray
    owner: np.ndarray

    def of(self, classes: np.ndarray) -> "Increments":
        """Return the steps of some classes, given as a mask."""
        chosen = classes[self.owner]
        return Increments(self.cost[chosen], self.value[chosen], self.to[chosen], self.owner[chosen])


def undominated(start: np.ndarray, cost: np.ndarray, value: np.ndarray) -> tuple[Options, np.ndarray]:
    """Return the options to which no other of their class is at least as good, and which ones they are."""
    owner = np.repeat(np.arange(start.size - 1), np.diff(start))
    order = np.lexsort((-value, cost, owner))
    kept = order[_rising(owner[order], value[order])]
    counts = np.bincount(owner[kept], minlength=start.size - 1)
    return Options(np.concatenate([[0], np.cumsum(counts)]), cost[kept], value[kept]), kept


def increments(options: Options) -> Increments:
    """Return the steps along the hulls of all classes."""
    hull = np.flatnonzero(_hull(options.start, options.cost.astype(float), options.value.astype(float)))
    owner = options.owner[hull]
    step = np.flatnonzero(owner[1:] == owner[:-1])
    low, high = hull[step], hull[step + 1]
    cost, value = options.cost[high] - options.cost[low], options.value[high] - options.value[low]
    order = np.argsort(-(value / cost), kind="stable")
    return Increments(cost[order], value[order], high[order], owner[step][order])


def fill(options: Options, steps: Increments, budget: int) -> np.ndarray:
    """Return a good choice: every step that still fits, in order; each class keeps the order of its own steps."""
    chosen = options.cheapest.copy()
    _fill(chosen, steps.cost, steps.to, steps.owner, budget - int(options.cost[chosen].sum()))
    return chosen


def envelope(options: Options, steps: Increments, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return costs and values along the relaxation of some classes, from the cheapest options to the best."""
    base = options.cheapest[classes]
    taken = steps.of(classes)
    return (
        np.concatenate([[0], np.cumsum(taken.cost)]) + options.cost[base].sum(),
        np.concatenate([[0], np.cumsum(taken.value)]) + options.value[base].sum(),
    )


def relaxed(cost: np.ndarray, value: np.ndarray, budget: int) -> tuple[float, float]:
    """Return the value of an envelope at a budget that it reaches, and its slope there."""
    at = int(np.searchsorted(cost, budget, side="right")) - 1
    if at == cost.size - 1:
        return float(value[-1]), 0.0
    slope = float(value[at + 1] - value[at]) / float(cost[at + 1] - cost[at])
    return float(value[at]) + float(budget - cost[at]) * slope, slope


@njit(cache=True, nogil=True)
def _rising(owner, value):  # pragma: no cover
    """Return the positions at which the value exceeds all before it of the same class."""
    kept = np.empty(owner.size, np.int64)
    n = 0
    for j in range(owner.size):
        if n == 0 or owner[kept[n - 1]] != owner[j] or value[j] > value[kept[n - 1]]:
            kept[n] = j
            n += 1
    return kept[:n]


@njit(cache=True, nogil=True)
def _hull(start, cost, value):  # pragma: no cover
    """Return which options lie on the upper convex hull of their class."""
    on = np.zeros(cost.size, np.bool_)
    stack = np.empty(cost.size, np.int64)
    for i in range(start.size - 1):
        n = 0
        for j in range(start[i], start[i + 1]):
            while n >= 2:
                a, b = stack[n - 2], stack[n - 1]
                if (value[b] - value[a]) * (cost[j] - cost[b]) > (value[j] - value[b]) * (cost[b] - cost[a]):
                    break
                n -= 1
            stack[n] = j
            n += 1
        for t in range(n):
            on[stack[t]] = True
    return on


@njit(cache=True, nogil=True)
def _fill(chosen, cost, to, owner, left):  # pragma: no cover
    closed = np.zeros(chosen.size, np.bool_)
    for t in range(cost.size):
        i = owner[t]
        if not closed[i] and cost[t] <= left:
            left -= cost[t]
            chosen[i] = to[t]
        else:
            closed[i] = True
