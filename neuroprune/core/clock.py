"""Developmental time: ages, steps, windows and the courses that rates follow.

Developmental time is in days. An age is written as a letter and a number: ``P7`` is postnatal day 7.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from neuroprune.core.errors import SpecificationError

POSTNATAL: Mapping[str, float] = {"P": 0.0}
"""Epochs of the rodent: the letter of an age, and the day on which its count starts."""

_AGE = re.compile(r"([A-Za-z]+)\s*(-?\d+(?:\.\d+)?)")
Course = Literal["constant", "decreasing", "increasing", "cubic", "pulse", "at_once"]
COURSES: tuple[Course, ...] = get_args(Course)


def parse_age(text: str | float, epochs: Mapping[str, float] = POSTNATAL) -> float:
    """Return the age in days that `text` names.

    Parameters
    ----------
    text : str or float
        ``"P7.5"``, or a number of days.
    epochs : mapping of str to float
        The letters that are valid and the day on which each starts.

    Raises
    ------
    SpecificationError
        If the text is not an age of one of the epochs.

    Examples
    --------
    >>> parse_age("P7.5")
    7.5
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    match = _AGE.fullmatch(str(text).strip())
    if match is None or match[1] not in epochs:
        valid = " or ".join(f"{letter}3" for letter in epochs)
        raise SpecificationError(f"age {text!r} is not valid: write it like {valid}")
    return epochs[match[1]] + float(match[2])


def format_age(days: float) -> str:
    """Write an age in postnatal days, ``P7`` or ``P7.25``."""
    return f"P{days:g}"


@dataclass(frozen=True)
class Now:
    """The developmental moment at which a rule decides.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    age : float
        Age in days at the start of the step.
    dt : float
        Length of the step in days.
    progress : float
        Fraction of the development that is over when the step ends, in (0, 1].
    """

    step: int
    age: float
    dt: float
    progress: float


@dataclass(frozen=True)
class Clock:
    """Equal steps of developmental time from one age to another.

    Parameters
    ----------
    start, stop : float
        Ages in days.
    step : float
        Length of a step in days; it must divide the span.

    Raises
    ------
    SpecificationError
        If the span is not positive or not a whole number of steps.

    Examples
    --------
    >>> Clock(3.0, 21.0, 0.25).n_steps
    72
    """

    start: float
    stop: float
    step: float

    def __post_init__(self) -> None:
        if not self.step > 0:
            raise SpecificationError(f"step is {self.step:g} days: it must be positive")
        if not self.stop > self.start:
            raise SpecificationError(
                f"development ends at {format_age(self.stop)} but starts at {format_age(self.start)}: "
                "the end must be later"
            )
        ratio = (self.stop - self.start) / self.step
        if abs(ratio - round(ratio)) > 1e-9 * max(1.0, ratio):
            raise SpecificationError(
                f"{format_age(self.start)} to {format_age(self.stop)} is {ratio:g} steps of {self.step:g} days: "
                "it must be a whole number of steps"
            )

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return round((self.stop - self.start) / self.step)

    def age(self, step: int) -> float:
        """Age in days at the start of step `step`, free of accumulated rounding."""
        return round(self.start + step * self.step, 9)

    def moments(self, first: int = 0) -> Iterator[Now]:
        """Yield the moment of every step from step `first` on."""
        for k in range(first, self.n_steps):
            yield Now(step=k, age=self.age(k), dt=self.step, progress=(k + 1) / self.n_steps)


def window(age: float, start: float | None, stop: float | None, ramp: float = 0.0) -> float:
    """Return how open a window of ages is, from 0 (shut) to 1 (open).

    Parameters
    ----------
    age : float
        Age in days.
    start, stop : float or None
        Ages at which the window is half open; None leaves that side open for ever.
    ramp : float
        Days that opening and shutting take, centred on `start` and `stop`; 0 is a sharp edge that includes
        `start` and excludes `stop`.

    Notes
    -----
    Each edge is the smooth step :math:`3x^2 - 2x^3`.
    """

    def edge(at: float) -> float:
        if ramp <= 0:
            return 1.0 if age >= at - 1e-9 else 0.0
        x = min(1.0, max(0.0, (age - at) / ramp + 0.5))
        return x * x * (3 - 2 * x)

    opened = 1.0 if start is None else edge(start)
    shut = 0.0 if stop is None else edge(stop)
    return opened * (1.0 - shut)


def course_done(course: Course, u: float, steepness: float) -> float:
    """Return the share of all pruning that is done at progress `u`.

    Parameters
    ----------
    course : {"constant", "decreasing", "increasing", "cubic", "pulse", "at_once"}
        Whether pruning is even, fast first, or fast last; the cubic course of gradual magnitude pruning; a pulse of
        a hormone in the middle; or all of it at the first moment.
    u : float
        Progress in [0, 1].
    steepness : float
        The rate changes by a factor ``exp(steepness)`` over the whole course; of a pulse, from its peak to its ends
        by about ``4 exp(-steepness)``. Cubic and at once have none.

    Returns
    -------
    float
        0 at ``u = 0`` and 1 at ``u = 1``.

    Notes
    -----
    Decreasing: :math:`(1 - e^{-ku}) / (1 - e^{-k})`; increasing is its mirror image. Navlakha, Barth &
    Bar-Joseph (2015) find that decreasing rates leave the best networks. Cubic: :math:`1 - (1 - u)^3` (Zhu & Gupta
    2017, arXiv:1710.01878). Pulse: :math:`(\\tanh k(u - 1/2) / \\tanh(k/2) + 1) / 2`, whose rate is a
    squared hyperbolic secant.
    """
    if course == "at_once":
        return 1.0 if u > 0 else 0.0
    if course == "constant":
        return u
    if course == "cubic":
        return 1.0 - (1.0 - u) ** 3
    if course == "pulse":
        return (math.tanh(steepness * (u - 0.5)) / math.tanh(steepness / 2) + 1.0) / 2.0
    if course == "decreasing":
        return math.expm1(-steepness * u) / math.expm1(-steepness)
    return 1.0 - course_done("decreasing", 1.0 - u, steepness)
