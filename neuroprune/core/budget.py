"""How many connections must be left, and by which course."""

import math
from dataclasses import dataclass

from neuroprune.core.clock import COURSES, Course, course_done
from neuroprune.core.errors import SpecificationError


@dataclass(frozen=True)
class Budget:
    """How many connections must be left, and how the way there is distributed over development.

    Parameters
    ----------
    sparsity : float, optional
        Fraction of the connections alive at the start that must be gone at the end; this or `connections`.
    course : {"decreasing", "constant", "increasing", "cubic", "pulse", "at_once"}
    steepness : float
        See :func:`neuroprune.core.clock.course_done`.
    start, stop : float
        Progress of the development between which the course runs.
    connections : int, optional
        How many may be left at the end.

    Raises
    ------
    SpecificationError
        If a value makes no sense.
    """

    sparsity: float | None = None
    course: Course = "decreasing"
    steepness: float = 8.0
    start: float = 0.0
    stop: float = 1.0
    connections: int | None = None

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.connections is None):
            raise SpecificationError("a budget is either a sparsity or a number of connections")
        if self.sparsity is not None and not 0 <= self.sparsity <= 1:
            raise SpecificationError(f"sparsity is {self.sparsity!r}: it must lie between 0 and 1")
        if self.connections is not None and self.connections < 0:
            raise SpecificationError(f"a budget of {self.connections} connections: it must be 0 or more")
        if self.course not in COURSES:
            raise SpecificationError(f"course is {self.course!r}: it must be one of {', '.join(COURSES)}")
        if not 0 < self.steepness < math.inf:
            raise SpecificationError(f"steepness is {self.steepness!r}: it must be above 0")
        if not 0 <= self.start < self.stop <= 1:
            raise SpecificationError(
                f"the course runs from {self.start:g} to {self.stop:g} of the development: these must be in order, "
                "between 0 and 1"
            )

    def left(self, at_start: int) -> int:
        """Return how many of the connections alive at the start may live at the end."""
        if self.connections is not None:
            return min(at_start, self.connections)
        return at_start - round((self.sparsity or 0.0) * at_start)

    def living(self, at_start: int, progress: float) -> int:
        """Return how many of the connections alive at the start may live at this progress."""
        u = min(1.0, max(0.0, (progress - self.start) / (self.stop - self.start)))
        return at_start - round((at_start - self.left(at_start)) * course_done(self.course, u, self.steepness))
