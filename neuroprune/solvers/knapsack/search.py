"""The exact way: fix what the relaxation decides, and go through the rest by dynamic programming with bounds."""

import math
import time
from dataclasses import dataclass

import numpy as np

from neuroprune.solvers.knapsack import counting
from neuroprune.solvers.knapsack.frontier import extend
from neuroprune.solvers.knapsack.relaxation import Options, envelope, fill, increments, relaxed
from neuroprune.solvers.knapsack.trail import ROOT, Trail

MAX_STATES = 1 << 23
"""Pairs of a state and an option that are looked at in one step: 0.4 GB."""
MAX_NODES = 1 << 26
"""Nodes of the trail: 0.5 GB."""
MANY_STATES = 1 << 10
"""States from which on counting items pays."""
ROUNDING = 2.0**-46
"""Relative error of a bound in floats, from above."""


@dataclass(frozen=True)
class Prices:
    """A price per unit of cost and one per item, and the bound that they give.

    By Lagrangian duality no choice is worth more than ``per_cost * budget + per_item * count`` plus, for each class,
    what its best option is worth beyond these prices, if no choice that matters has more than `count` items (fewer,
    where the price is negative). A choice that holds an option is bounded by that less what the option loses against
    the best of its class.

    Parameters
    ----------
    per_cost, per_item : float
    count : int
    bound : float
    worth : float array, shape (n_classes,)
        Of the best option of each class.
    loss : float array, shape (n_options,)
    """

    per_cost: float
    per_item: float
    count: int
    bound: float
    worth: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Found:
    """The best choice found: an option for each class, its value, a bound on all choices, and whether it is proven."""

    chosen: np.ndarray
    value: int
    bound: float
    proven: bool


@dataclass(frozen=True)
class States:
    """Choices for the classes decided so far, by rising cost and value, and the nodes of the trail that they are."""

    cost: np.ndarray
    value: np.ndarray
    count: np.ndarray
    node: np.ndarray

    @property
    def size(self) -> int:
        """Return how many they are."""
        return self.cost.size


@dataclass(frozen=True)
class Sum:
    """Cost, value and number of items of some options."""

    cost: int = 0
    value: int = 0
    count: int = 0


class Search:
    """A multiple-choice knapsack of integers.

    Parameters
    ----------
    options : Options
        Undominated; the cheapest ones together fit the budget.
    budget : int
    is_item : bool
        Whether each class is one item that is taken or not, so that items can be counted.
    tolerance : float
        A choice that is better by no more than this share of the relaxation is not looked for.

    Notes
    -----
    Classes are decided one by one, those first about which the relaxation is least sure. A state is a choice for the
    classes decided so far. It is discarded if another costs no more and is worth no less (dominance), or if not even
    the relaxation of the undecided classes could lift it above the best choice known (bound). Each state together with
    the integral part of that relaxation is a choice, so good ones turn up on the way. Options that the best choice
    known rules out by reduced cost are left out from the start. For single items this is the expanding core of
    Pisinger (1997, Oper. Res. 45:758), with bounds by the whole relaxation, and by the number of items as in Martello,
    Pisinger & Toth (1999, Manage. Sci. 45:414).
    """

    def __init__(self, options: Options, budget: int, *, is_item: bool, tolerance: float) -> None:
        self.options, self.budget, self.is_item = options, budget, is_item
        self.owner = options.owner
        self.counts = (np.arange(options.cost.size) != options.cheapest[self.owner]).astype(np.int32) * is_item
        self.steps = increments(options)
        self.open = np.ones(options.start.size - 1, bool)  # classes that are not decided yet
        self.settled = np.zeros(0, np.int64)  # options of the classes that bounds alone have decided
        cost, value = envelope(options, self.steps, self.open)
        self.relaxation, price = relaxed(cost, value, budget)
        # Values are integers, so a bound that is less than 1 above the best choice leaves nothing to find.
        self.tolerance = float(math.floor(tolerance * self.relaxation))
        self.slack = self.tolerance + 1.0 - ROUNDING * float(np.abs(options.value).sum())
        self.best = fill(options, self.steps, budget)
        self.value = int(options.value[self.best].sum())
        self.prices = [self._price(price, 0.0, 0)]
        self.keep = np.ones(options.cost.size, bool)  # options that may be part of something better

    def run(self, deadline: float) -> Found:
        """Search until the choice is proven, ``time.monotonic()`` has passed `deadline`, or memory is used up."""
        trail = Trail(MAX_NODES)
        zero = np.zeros(1, np.int64)
        states = States(zero, zero, np.zeros(1, np.int32), np.full(1, ROOT, np.int32))
        top, many = self.relaxation, MANY_STATES
        order = self._least_sure_first()
        possible = self._settle()
        for i in order:
            if not possible or not states.size or top < self.value + self.slack:
                break
            if not self.open[i]:
                continue
            known = self.value
            if self.is_item and states.size > many:
                many *= 8
                self._count_items()
                possible = self._settle()
                if not possible or not self.open[i]:
                    continue
            chosen = (
                np.flatnonzero(self.keep[self.options.start[i] : self.options.start[i + 1]]) + self.options.start[i]
            )
            fits, node = trail.make_room(chosen.size * states.size, states.node)
            if time.monotonic() > deadline or chosen.size * states.size > MAX_STATES or not fits:
                return self._found(top, proven=False)
            states, top = self._decide(i, chosen, States(states.cost, states.value, states.count, node), trail)
            if self.value > known:
                possible = self._settle()
        if possible and not self.open.any():
            self._complete(states, trail)
        return self._found(float(self.value), proven=True)

    def _complete(self, states: States, trail: Trail) -> None:
        """Take the best of the states together with the settled options: bounds may have decided all other classes."""
        settled = self._sum(self.settled)
        last = int(np.searchsorted(states.cost, self.budget - settled.cost, side="right")) - 1
        if last >= 0 and int(states.value[last]) + settled.value > self.value:
            self._take(trail.path(int(states.node[last])), int(states.value[last]) + settled.value)

    def _take(self, decided: list[int], value: int) -> None:
        """Make decided and settled options, with the cheapest ones of other classes, the best choice known."""
        self.value = value
        self.best = self.options.cheapest.copy()
        taken = [*self.settled.tolist(), *decided]
        self.best[self.owner[taken]] = taken

    def _found(self, top: float, *, proven: bool) -> Found:
        # Beyond the best choice by up to the tolerance nothing was looked for.
        bound = max(min(top, *(p.bound for p in self.prices)), self.value + self.tolerance)
        return Found(self.best, self.value, min(bound, self.relaxation), proven)

    def _price(self, per_cost: float, per_item: float, count: int) -> Prices:
        """Return the bound of two prices on choices that hold the settled options."""
        options, settled = self.options, self._sum(self.settled)
        reduced = options.value - per_cost * options.cost - per_item * self.counts
        worth = np.maximum.reduceat(reduced, options.cheapest)
        loss = worth[self.owner] - reduced
        free = np.ones(worth.size, bool)
        free[self.owner[self.settled]] = False
        left, items = self.budget - settled.cost, count - settled.count
        bound = settled.value + per_cost * left + per_item * items + float(worth[free].sum())
        return Prices(per_cost, per_item, count, bound, worth, loss)

    def _sum(self, chosen: np.ndarray) -> Sum:
        cost, value, count = self.options.cost, self.options.value, self.counts
        return Sum(int(cost[chosen].sum()), int(value[chosen].sum()), int(count[chosen].sum()))

    def _least_sure_first(self) -> list[int]:
        """Return the classes by what their second best option would lose."""
        loss = self.prices[0].loss
        best = np.lexsort((loss, self.owner))[self.options.cheapest]
        others = loss.copy()
        others[best] = np.inf
        return np.argsort(np.minimum.reduceat(others, self.options.cheapest), kind="stable").tolist()

    def _settle(self) -> bool:
        """Rule out options by their reduced costs; return whether anything better is still possible."""
        for prices in self.prices:
            self.keep &= prices.bound - prices.loss >= self.value + self.slack
        left = np.add.reduceat(self.keep.astype(np.int64), self.options.cheapest)
        single = self.open & (left == 1)
        self.settled = np.concatenate([self.settled, np.flatnonzero(self.keep & single[self.owner])])
        possible = not (self.open & (left == 0)).any()
        self.open &= ~single
        return possible

    def _count_items(self) -> None:
        """Add the bounds from the largest and the smallest number of items that something better can have."""
        settled = self._sum(self.settled)
        free = self.counts.astype(bool)
        free[np.flatnonzero(np.isin(self.owner, self.owner[self.settled]))] = False
        cost, value, left = self.options.cost[free], self.options.value[free], self.budget - settled.cost
        least = self.value + 1 - settled.value
        for count, at_most in ((counting.most_items(cost, left), True), (counting.fewest_items(value, least), False)):
            prices = counting.best_prices(cost, value, left, count, at_most=at_most)
            self.prices.append(self._price(*prices, settled.count + count))

    def _decide(self, i: int, chosen: np.ndarray, states: States, trail: Trail) -> tuple[States, float]:
        """Return the states with each of the chosen options of class i, and the highest bound among them."""
        self.open[i] = False
        options, settled = self.options, self._sum(self.settled)
        left, best = self.budget - settled.cost, self.value - settled.value
        rest_cost, rest_value = envelope(options, self.steps, self.open)
        tight = min(self.prices, key=lambda p: p.bound)
        fixed = (
            tight.per_cost * left + tight.per_item * (tight.count - settled.count) + float(tight.worth[self.open].sum())
        )
        parent, option, cost, value, count, found, top = extend(
            states.cost, states.value, states.count, options.cost[chosen], options.value[chosen], self.counts[chosen],
            rest_cost, rest_value, left, best, self.slack, fixed, tight.per_cost, tight.per_item,
        )  # fmt: skip
        value_found, from_state, with_option, steps = found
        if from_state >= 0:
            rest = self.steps.of(self.open)
            # Of the steps of a class the last one counts.
            of_rest = dict(zip(rest.owner[:steps].tolist(), rest.to[:steps].tolist(), strict=True))
            path = trail.path(int(states.node[from_state]))
            self._take([*path, int(chosen[with_option]), *of_rest.values()], int(value_found) + settled.value)
        node = trail.add(states.node[parent], chosen[option].astype(np.int32))
        return States(cost, value, count, node), top + settled.value
