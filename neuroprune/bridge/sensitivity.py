"""Pruning by measured prices: how much loss a unit of cost saved brings, group by group, cheapest first."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.importance import Scores, magnitude
from neuroprune.bridge.slim.budget import Budget, Clock, amount, least_widths, ranked
from neuroprune.bridge.slim.structure import Removal, Structure
from neuroprune.bridge.slim.surgery import slim
from neuroprune.bridge.slim.tracing import trace
from neuroprune.core.errors import SpecificationError

Evaluate = Callable[[nn.Module], float]
"""Loss of a network on data that it was not trained on; lower is better."""


@dataclass(frozen=True)
class Price:
    """What removing a share of one group costs, all else whole.

    Parameters
    ----------
    group : str
    removed : int
        Units.
    increase : float
        Of the loss.
    saved : float
        Share of the network's cost.
    """

    group: str
    removed: int
    increase: float
    saved: float

    @property
    def price(self) -> float:
        """Loss per share of the cost saved."""
        return self.increase / self.saved


@dataclass(frozen=True)
class Step:
    """One step on the way to a budget.

    Parameters
    ----------
    group : str
    units : tuple of int
        Those that went.
    left : int
        Units of the group that stay.
    loss : float
        After the step, without training.
    cost : float
        Share of the whole network's that is left.
    price : float
        Loss per share of the cost, which was the lowest of all groups.
    """

    group: str
    units: tuple[int, ...]
    left: int
    loss: float
    cost: float
    price: float


@dataclass(frozen=True)
class Pruned:
    """A network within a budget, and the way there.

    Parameters
    ----------
    model : nn.Module
        Slimmed.
    removed : mapping of str to tuple of int
    trajectory : tuple of Step
    """

    model: nn.Module
    removed: Mapping[str, tuple[int, ...]]
    trajectory: tuple[Step, ...]


def sensitivity(
    model: nn.Module,
    evaluate: Evaluate,
    example_inputs: tuple[Any, ...],
    *,
    ratios: Sequence[float] = (0.25, 0.5, 0.75),
    scores: Scores | None = None,
    cost: str = "macs",
) -> list[Price]:
    """Measure the price of removing shares of each group by itself.

    Parameters
    ----------
    model : nn.Module
        It is not changed.
    evaluate : function of a network
        Its loss.
    example_inputs : tuple
        What the network is called with; its cost is counted for these.
    ratios : sequence of float
        Shares of a group to remove, above 0 and below 1; rounded down, but one unit at least.
    scores : mapping of str to tensor, optional
        The lowest go first; :func:`~neuroprune.bridge.importance.magnitude` without it.
    cost : "macs" or "parameters"

    Returns
    -------
    list of Price
        For each group in turn, by ratio.

    Raises
    ------
    SpecificationError
        If the network cannot be traced, a ratio is out of range, or a loss is not finite.
    """
    for ratio in ratios:
        if not 0 < ratio < 1:
            raise SpecificationError(f"a share of units to remove is above 0 and below 1, not {ratio}")
    if cost not in ("macs", "parameters"):
        raise SpecificationError(f"cost is macs or parameters, not {cost!r}")
    structure = trace(model, example_inputs)
    scores = magnitude(structure) if scores is None else scores
    of = structure.macs if cost == "macs" else structure.parameters
    masked = _Masked(structure)
    whole, before = of({}), _loss(evaluate, masked.model)
    prices = []
    for name, group in structure.groups.items():
        for ratio in ratios:
            remove = {name: ranked(scores, group)[: max(1, int(ratio * group.size))]}
            with masked.without(remove):
                increase = _loss(evaluate, masked.model) - before
            prices.append(Price(name, len(remove[name]), increase, (whole - of(remove)) / whole))
    return prices


def prune_to_budget(
    model: nn.Module,
    evaluate: Evaluate,
    example_inputs: tuple[Any, ...],
    *,
    macs: float | None = None,
    parameters: float | None = None,
    latency: float | None = None,
    clock: Clock | None = None,
    scores: Scores | None = None,
    step: float = 0.125,
    minimum_width: float = 0.1,
) -> Pruned:
    """Remove units, those of the cheapest group first, until a budget is met.

    Parameters
    ----------
    model : nn.Module
        It is not changed.
    evaluate : function of a network
        Its loss, on data that is neither trained on nor reported on. It is called for each group at each step.
    example_inputs : tuple
        What the network is called with; its cost is that with these.
    macs, parameters, latency : float
        Share of the cost to keep; one of them.
    clock : function of a network and inputs, optional
        Seconds, for a budget of latency.
    scores : mapping of str to tensor, optional
        Order within a group, the lowest first; :func:`~neuroprune.bridge.importance.magnitude` without it.
    step : int or float
        Units of a group that go at once, or a share of them below 1.
    minimum_width : int or float
        Units that stay in each group, or a share of them below 1; at least one does.

    Returns
    -------
    Pruned

    Notes
    -----
    At each step the loss is measured without the next units of each group, and the group goes on with the lowest
    increase of the loss per cost saved. The last step is cut short, so that the network is within the budget, and
    with one unit more would not be. There is no training between steps.

    Raises
    ------
    BudgetError
        If the minimum widths cost more than the budget.
    SpecificationError
        If the network cannot be traced or slimmed, an argument is out of range, or a loss is not finite.
    """
    structure = trace(model, example_inputs)
    budget = Budget(structure, macs=macs, parameters=parameters, latency=latency, clock=clock)
    scores = magnitude(structure) if scores is None else scores
    least = least_widths(structure, minimum_width)
    budget.check(least)
    order = {name: ranked(scores, group) for name, group in structure.groups.items()}
    if not step > 0:
        raise SpecificationError(f"a step of {step} removes nothing: it must be above 0")
    steps = {name: max(1, amount(group, step)) for name, group in structure.groups.items()}
    gone = dict.fromkeys(order, 0)
    masked = _Masked(structure)
    cost, loss = budget.cost({}), _loss(evaluate, masked.model)
    trajectory: list[Step] = []

    def removal(name: str, n: int) -> dict[str, Sequence[int]]:
        return {other: order[other][: gone[other] + (n if other == name else 0)] for other in order}

    while cost > budget.limit:
        best: tuple[float, str, int, float, float] | None = None
        for name, group in structure.groups.items():
            n = min(steps[name], group.size - least[name] - gone[name])
            saved = cost - budget.cost(removal(name, n)) if n > 0 else 0.0
            if saved <= 0:  # nothing left to take, or a measured time that did not fall
                continue
            with masked.without(removal(name, n)):
                after = _loss(evaluate, masked.model)
            price = (after - loss) / (saved / budget.whole)
            if best is None or price < best[0]:
                best = (price, name, n, after, cost - saved)
        if best is None:
            raise SpecificationError(
                f"no group saves any more {budget.kind}, and {cost / budget.whole:.1%} are left: take larger steps"
            )
        price, name, n, loss, cost = best
        if cost <= budget.limit and n > 1:
            n = next(k for k in range(1, n + 1) if budget.cost(removal(name, k)) <= budget.limit or k == n)
            cost = budget.cost(removal(name, n))
            with masked.without(removal(name, n)):
                loss = _loss(evaluate, masked.model)
        units = tuple(order[name][gone[name] : gone[name] + n])
        gone[name] += n
        left = structure.groups[name].size - gone[name]
        trajectory.append(Step(name, units, left, loss, cost / budget.whole, price))
    removed = structure.normalise(removal("", 0))
    return Pruned(slim(model, removed, example_inputs, structure=structure), removed, tuple(trajectory))


class _Masked:
    """A copy of a network whose units can be masked and brought back."""

    def __init__(self, structure: Structure) -> None:
        self.structure, self.model = structure, copy.deepcopy(structure.model)
        self._tensors = dict(self.model.named_parameters())

    @contextmanager
    def without(self, remove: Removal) -> Iterator[None]:
        """Mask units for a while."""
        reads = self.structure.reads(remove)
        saved = {name: self._tensors[name].detach().clone() for name, *_ in reads}
        try:
            with torch.no_grad():
                for name, axis, index in reads:
                    self._tensors[name].index_fill_(axis, index.to(self._tensors[name].device), 0.0)
            yield
        finally:
            with torch.no_grad():
                for name, values in saved.items():
                    self._tensors[name].copy_(values)


def _loss(evaluate: Evaluate, model: nn.Module) -> float:
    with torch.no_grad():
        value = float(evaluate(model))
    if not torch.isfinite(torch.tensor(value)):
        raise SpecificationError(f"the loss that evaluate gives is {value}: it must be finite")
    return value
