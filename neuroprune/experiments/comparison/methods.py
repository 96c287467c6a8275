"""What is compared: rules, when they act, and by which schedule."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from neuroprune.core.budget import Budget
from neuroprune.core.clock import Course
from neuroprune.core.errors import SpecificationError
from neuroprune.rules import (
    DualConstraint,
    Fisher,
    Grasp,
    Lamp,
    Movement,
    RandomPruning,
    Regrowth,
    Rule,
    Snip,
    SynFlow,
    Trophic,
    UseItOrLoseIt,
    Wanda,
    WeakestFirst,
    WinnerRelative,
)
from neuroprune.rules.base import Basis

STEPS = 50
"""Steps of development that a training is mapped onto."""
TURNOVERS = 10
"""Times in a training that connections die and form, where as many form as die."""
ROUNDS = 100
"""Of SynFlow."""


@dataclass(frozen=True)
class Schedule:
    """How the way to the budget is distributed over the training.

    Parameters
    ----------
    course, steepness, start, stop
        As of :class:`neuroprune.core.budget.Budget`.
    """

    course: Course
    start: float = 0.1
    stop: float = 0.7
    steepness: float = 8.0

    def budget(self, sparsity: float) -> Budget:
        """Return the budget of a sparsity on this schedule."""
        return Budget(sparsity, self.course, self.steepness, self.start, self.stop)


SCHEDULES: Mapping[str, Schedule] = {
    "decreasing": Schedule("decreasing"),
    "cubic": Schedule("cubic"),
    "linear": Schedule("constant"),
    "increasing": Schedule("increasing"),
    "pulse": Schedule("pulse"),
    "once": Schedule("at_once", start=0.5, stop=0.7),
}
"""Gradually between 10 and 70 % of the training; and all at once after half of it."""

When = Literal["during", "before", "turnover", "never"]


@dataclass(frozen=True)
class Method:
    """A method of pruning.

    Parameters
    ----------
    name : str
    title : str
        In a few words, with its source.
    rules : function
        Makes the rules.
    when : "during", "before", "turnover" or "never"
        While the network is trained, on one of the schedules; before; or before, and then as many connections die as
        form; or not at all.
    baseline : bool
        Whether it is one of those that what a brain suggests is held against.
    """

    name: str
    title: str
    rules: Callable[[], Sequence[Rule]]
    when: When = "during"
    baseline: bool = True

    @property
    def basis(self) -> Basis:
        """What its rules must know, of which gradients are the most."""
        found = {rule.basis for rule in self.rules()}
        return "gradients" if "gradients" in found else "activity" if "activity" in found else "weights"


def _turnover(by: str) -> Callable[[], Sequence[Rule]]:
    regrowth = Regrowth.model_validate({"share": 0.3, "by": by, "to": 0.75 * TURNOVERS})
    return lambda: [regrowth, WeakestFirst(scope="erdos_renyi")]


def _regrowing(rule: Callable[[], Rule], share: float) -> Callable[[], Sequence[Rule]]:
    return lambda: [Regrowth(share=share, by="gradient"), rule()]


_ALL = (
    Method("dense", "not pruned: a reference", lambda: [], "never"),
    Method("random", "by chance, in each layer alike", lambda: [RandomPruning(scope="table")]),
    Method("magnitude", "weakest first, across layers (Zhu & Gupta 2017)", lambda: [WeakestFirst()]),
    Method("magnitude-layer", "weakest first, in each layer alike", lambda: [WeakestFirst(scope="table")]),
    Method("magnitude-erk", "weakest first, Erdős-Rényi densities", lambda: [WeakestFirst(scope="erdos_renyi")]),
    Method("lamp", "layer-adaptive magnitude (Lee 2021)", lambda: [Lamp()]),
    Method("fisher", "optimal brain damage, empirical Fisher", lambda: [Fisher()]),
    Method("movement", "what training moves to 0 (Sanh 2020)", lambda: [Movement()]),
    Method("wanda", "strength times use, per unit (Sun 2024)", lambda: [Wanda()]),
    Method("ria", "relative importance on both sides (Zhang 2024)", lambda: [DualConstraint()]),
    Method("granet", "magnitude and gradient regrowth (Liu 2021)", _regrowing(WeakestFirst, 0.5)),
    Method("random-erk", "by chance before training, Erdős-Rényi densities",
           lambda: [RandomPruning(scope="erdos_renyi")], "before"),
    Method("snip", "before training (Lee 2019)", lambda: [Snip()], "before"),
    Method("grasp", "before training (Wang 2020)", lambda: [Grasp()], "before"),
    Method("synflow", "before training (Tanaka 2020)", lambda: [SynFlow()], "before"),
    Method("set", "random turnover (Mocanu 2018)", _turnover("chance"), "turnover"),
    Method("rigl", "turnover by gradient (Evci 2020)", _turnover("gradient"), "turnover"),
    Method("trophic", "competition for unequal supply", lambda: [Trophic()], baseline=False),
    Method("trophic-regrowth", "and gradient regrowth", _regrowing(Trophic, 0.5), baseline=False),
    Method("winner-relative", "competition beside the winner of a unit", lambda: [WinnerRelative()], baseline=False),
    Method("use-it-or-lose-it", "by coincidence of activity alone", lambda: [UseItOrLoseIt()], baseline=False),
)  # fmt: skip

METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}
"""Methods by name."""


def geometric(sparsity: float) -> Budget:
    """Return the budget whose density falls by the same factor in every step, as SynFlow's does."""
    return Budget(sparsity, "decreasing", -math.log1p(-sparsity)) if sparsity > 0 else Budget(0.0)


def find_method(name: str) -> Method:
    """Return a method by its name.

    Raises
    ------
    SpecificationError
        If there is none.
    """
    if name not in METHODS:
        raise SpecificationError(f"no method {name!r} to compare: they are {', '.join(METHODS)}")
    return METHODS[name]


def find_schedule(name: str) -> Schedule:
    """Return a schedule by its name.

    Raises
    ------
    SpecificationError
        If there is none.
    """
    if name not in SCHEDULES:
        raise SpecificationError(f"no schedule {name!r}: they are {', '.join(SCHEDULES)}")
    return SCHEDULES[name]
