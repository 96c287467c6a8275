"""Budgets for structured pruning, and the choice of units by a ranking until one is met."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Literal

import torch
from torch import nn

from neuroprune.bridge.slim.structure import Group, Removal, Structure
from neuroprune.bridge.slim.surgery import slim
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import BudgetError, SpecificationError

Clock = Callable[[nn.Module, tuple[Any, ...]], float]
"""Seconds that a network takes with some inputs, measured or predicted."""


def measure_latency(model: nn.Module, inputs: tuple[Any, ...], *, repeats: int = 15) -> float:
    """Return the median wall time of a forward pass in evaluation mode, in seconds."""
    times = []
    with evaluating(model), torch.inference_mode():
        model(*inputs)
        for _ in range(repeats):
            start = time.perf_counter()
            model(*inputs)
            times.append(time.perf_counter() - start)
    return median(times)


class Budget:
    """What a network may cost, as a share of what it costs whole.

    Parameters
    ----------
    structure : Structure
    macs, parameters, latency : float, optional
        Share of the multiply-accumulate operations, parameters or seconds to keep, above 0 and below 1; one of
        them.
    clock : function of a network and inputs, optional
        Seconds it takes; :func:`measure_latency` without it.

    Attributes
    ----------
    kind : str
    whole, limit : float
        Cost of the whole network, and the most that may be left.

    Raises
    ------
    SpecificationError
        If not exactly one share is given, or it is out of range.
    """

    def __init__(
        self,
        structure: Structure,
        *,
        macs: float | None = None,
        parameters: float | None = None,
        latency: float | None = None,
        clock: Clock | None = None,
    ) -> None:
        given = {k: v for k, v in (("macs", macs), ("parameters", parameters), ("latency", latency)) if v is not None}
        if len(given) != 1:
            raise SpecificationError(f"a budget is one of macs, parameters and latency, not {' and '.join(given) or 0}")
        ((self.kind, share),) = given.items()
        if not 0 < share < 1:
            raise SpecificationError(f"a budget is a share of the network's {self.kind}, between 0 and 1, not {share}")
        self.structure = structure
        self._clock = measure_latency if clock is None else clock
        self.whole = self.cost({})
        if not self.whole > 0:
            raise SpecificationError(f"the whole network costs {self.whole} {self.kind}: there is no share to keep")
        self.limit = share * self.whole

    def cost(self, remove: Removal) -> float:
        """Return what the network costs without some units."""
        if self.kind == "macs":
            return self.structure.macs(remove)
        if self.kind == "parameters":
            return self.structure.parameters(remove)
        structure = self.structure
        smaller = slim(structure.model, remove, structure.example_inputs, structure=structure)
        seconds = self._clock(smaller, structure.example_inputs)
        if not math.isfinite(seconds):
            raise SpecificationError(f"the clock gives a latency of {seconds} seconds: it must be a finite number")
        return seconds

    def check(self, minimum: Mapping[str, int]) -> None:
        """Raise if even the narrowest network costs more.

        Raises
        ------
        BudgetError
        """
        groups = self.structure.groups
        least = self.cost({n: range(minimum[n], g.size) for n, g in groups.items()})
        if least > self.limit:
            raise BudgetError(
                f"{self.limit / self.whole:.1%} of the {self.kind} cannot be reached: with the minimum width in every "
                f"group {least / self.whole:.1%} are left (groups: {', '.join(groups) or 'none'})"
            )


def least_widths(structure: Structure, minimum_width: float) -> dict[str, int]:
    """Return how many units of each group must stay.

    Parameters
    ----------
    structure : Structure
    minimum_width : int or float
        Units, or below 1 a share of them.

    Raises
    ------
    SpecificationError
        If it is below 0.
    """
    return {name: min(g.size, max(1, amount(g, minimum_width))) for name, g in structure.groups.items()}


def amount(group: Group, value: float) -> int:
    """Return a number of units, which may be given as a share below 1 (rounded up)."""
    if not 0 <= value < math.inf or (value >= 1 and value != int(value)):
        raise SpecificationError(f"units are counted by an integer, or by a share from 0 to below 1, not {value}")
    return int(value) if value >= 1 else math.ceil(value * group.size)


def select(
    scores: Mapping[str, torch.Tensor],
    budget: Budget,
    *,
    scope: Literal["global", "local"] = "global",
    per_cost: bool = True,
    minimum_width: float = 0.1,
) -> dict[str, tuple[int, ...]]:
    """Return the units with the lowest scores, so many that a budget is just met.

    Parameters
    ----------
    scores : mapping of str to tensor
        A number for each unit of each group, as in :mod:`neuroprune.bridge.importance`.
    budget : Budget
    scope : "global" or "local"
        One ranking of all units, or the same share of each group.
    per_cost : bool
        Divide the scores of a global ranking by what removing the unit saves from the whole network: without, a
        criterion takes many cheap units where few dear ones would do.
    minimum_width : int or float
        Units, or share of them, that stay in every group; at least one does. It keeps a global ranking from
        starving a layer.

    Returns
    -------
    mapping of str to tuple of int
        With one unit less, the budget would not be met.

    Raises
    ------
    BudgetError
        If the minimum widths cost more than the budget.
    SpecificationError
        If scores are missing, not finite or of another length.
    """
    if scope not in ("global", "local"):
        raise SpecificationError(f"scope is global or local, not {scope!r}")
    groups = budget.structure.groups
    least = least_widths(budget.structure, minimum_width)
    budget.check(least)
    ranking: list[tuple[float, str, int]] = []
    for name, group in groups.items():
        units = ranked(scores, group)
        for place, unit in enumerate(units[: group.size - least[name]]):
            key = (place + 1) / group.size
            if scope == "global":
                saved = budget.whole - budget.cost({name: [unit]}) if per_cost else 1.0
                # What saves nothing by itself goes last.
                key = float(scores[name][unit]) / saved if saved > 0 else math.inf
            ranking.append((key, name, unit))
    ranking.sort(key=lambda entry: entry[0])

    def first(n: int) -> dict[str, tuple[int, ...]]:
        chosen: dict[str, list[int]] = {}
        for _, name, unit in ranking[:n]:
            chosen.setdefault(name, []).append(unit)
        return {name: tuple(sorted(units)) for name, units in chosen.items()}

    too_few, enough = 0, len(ranking)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if budget.cost(first(middle)) <= budget.limit:
            enough = middle
        else:
            too_few = middle
    return first(enough)


def ranked(scores: Mapping[str, torch.Tensor], group: Group) -> Sequence[int]:
    """Return the units of a group, the lowest score first.

    Raises
    ------
    SpecificationError
        If scores are missing, not finite or of another length.
    """
    score = scores.get(group.name)
    if score is None or score.shape != (group.size,) or not bool(torch.isfinite(score).all()):
        got = "none" if score is None else f"{tuple(score.shape)}, {int((~torch.isfinite(score)).sum())} not finite"
        raise SpecificationError(f"group {group.name!r} needs a finite score for each of {group.size} units, not {got}")
    return score.argsort(stable=True).tolist()
