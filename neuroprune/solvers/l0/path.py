"""Solutions over a range of penalties or budgets."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.l0.gram import Gram
from neuroprune.solvers.l0.problem import Standard
from neuroprune.solvers.l0.solution import Solution
from neuroprune.solvers.l0.solve import TOLERANCE, check_options, solve_l0


@dataclass(frozen=True)
class Path:
    """Solutions in the order of their penalties or budgets.

    Parameters
    ----------
    parameter : {"penalty", "k"}
    settings : tuple of float or int
    solutions : tuple of Solution
    loss_without : float
        Half the sum of squares of the targets, over all outputs.
    """

    parameter: str
    settings: tuple[float, ...]
    solutions: tuple[Solution, ...]
    loss_without: float

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Coefficients in use, over all outputs."""
        return np.array([s.size for s in self.solutions])

    @property
    def losses(self) -> NDArray[np.float64]:
        """Value without the penalty: half the sum of squares and the ridge."""
        return np.array([s.value for s in self.solutions], np.float64) - self._prices

    @property
    def explained(self) -> NDArray[np.float64]:
        """Share of the targets' energy that is explained (with an intercept, of their variance)."""
        return self._share(self.losses)

    @property
    def most_explained(self) -> NDArray[np.float64]:
        """Largest share that any support of as many features could explain, by the lower bounds."""
        return np.minimum(1.0, self._share(np.array([s.lower_bound for s in self.solutions]) - self._prices))

    def _share(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1.0 - losses / self.loss_without if self.loss_without > 0.0 else np.zeros(len(losses))

    @property
    def _prices(self) -> NDArray[np.float64]:
        """What the penalty adds to each value."""
        each = self.settings if self.parameter == "penalty" else np.zeros(len(self.settings))
        return np.asarray(each, np.float64) * self.sizes


def l0_path(
    gram: Gram,
    *,
    ks: Sequence[int] | None = None,
    penalties: Sequence[float] | None = None,
    ridge: float = 0.0,
    exact: bool = False,
    time_limit: float | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Path:
    """Return solutions for several budgets or penalties, each started from its neighbours' too.

    Parameters
    ----------
    gram : Gram
    ks, penalties : sequence, optional
        Give one of them; they are taken from few features to many, whatever their order.
    ridge, exact, tolerance, seed : optional
        As in :func:`neuroprune.solvers.l0.fit_l0`.
    time_limit : float, optional
        Seconds for the whole path.

    Returns
    -------
    Path

    Raises
    ------
    SpecificationError
        If neither or both are given, there are none, or one is out of its range.
    """
    if (ks is None) == (penalties is None):
        raise SpecificationError("give either ks or penalties")
    name, given = ("k", ks) if ks is not None else ("penalty", penalties or ())
    for setting in given:
        check_options(gram, ridge=ridge, time_limit=time_limit, tolerance=tolerance, **_as_option(name, setting))
    settings = sorted(set(given), reverse=name == "penalty")
    if not settings:
        raise SpecificationError("a path needs at least one budget or penalty")
    deadline = math.inf if time_limit is None else time.monotonic() + time_limit
    shared: dict[str, Any] = {"ridge": ridge, "exact": exact, "tolerance": tolerance, "seed": seed}
    solutions: list[Solution] = []
    for number, setting in enumerate(settings):
        share = None
        if time_limit is not None:
            share = max(0.0, deadline - time.monotonic()) / (len(settings) - number)
        option = _as_option(name, setting)
        solutions.append(solve_l0(gram, starts=solutions[-1:], time_limit=share, **option, **shared))
    for x in range(len(settings) - 2, -1, -1):
        # The next support, cut down, may be better than what was grown from the one before.
        if not solutions[x].proven and time.monotonic() < deadline:
            near, option = (solutions[x], solutions[x + 1]), _as_option(name, settings[x])
            again = solve_l0(gram, starts=near, patience=0, **option, **{**shared, "exact": False})
            solutions[x] = _better(solutions[x], again)
    return Path(name, tuple(settings), tuple(solutions), 0.5 * float(gram.energy.sum()))


def penalties_down_to(gram: Gram, least: float, *, ridge: float = 0.0, steps: int = 20) -> list[float]:
    """Return penalties in equal ratios, from where no single feature is worth its price down to the least.

    Raises
    ------
    SpecificationError
        If the least is not above 0, or nothing is worth even that.
    """
    if not least > 0.0:
        raise SpecificationError(f"a path of penalties must end above 0, not at {least}")
    standard = Standard.of(gram, ridge)
    highest = float((0.5 * standard.correlation**2 * gram.energy).max(initial=0.0))
    if highest <= least:
        raise SpecificationError(f"a penalty of {least} is too high for a path: no feature is worth over {highest:.6g}")
    return np.geomspace(highest, least, steps).tolist()


def _as_option(name: str, setting: float) -> dict[str, Any]:
    return {"k": setting, "penalty": None} if name == "k" else {"k": None, "penalty": setting}


def _better(one: Solution, other: Solution) -> Solution:
    """Return the better of two solutions of the same problem, output by output, with the higher bounds."""
    take = other.values < one.values
    values, bounds = np.where(take, other.values, one.values), np.maximum(one.lower_bounds, other.lower_bounds)
    return replace(
        one,
        coefficients=np.where(take, other.coefficients, one.coefficients),
        intercept=np.where(take, other.intercept, one.intercept),
        values=values,
        lower_bounds=np.minimum(bounds, values),
        gaps=np.where(take, other.gaps, one.gaps),
        nodes=one.nodes + other.nodes,
        seconds=one.seconds + other.seconds,
    )
