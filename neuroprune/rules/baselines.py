"""Baselines that every system can run: random and weakest-first pruning, and random regrowth."""

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from neuroprune.core.clock import Course, Now, course_done
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables, namespace
from neuroprune.core.units import PerDay
from neuroprune.rules.base import Proposal, Rule


class _Scheduled(Rule):
    """A pruning rule whose rate follows a course between two ages.

    Parameters
    ----------
    rate : per day
        Hazard of elimination, averaged over the course.
    course : {"constant", "decreasing", "increasing"}
        How the rate changes between ``from`` and ``to``, which it then needs.
    steepness : float
        The rate changes by a factor ``exp(steepness)`` over the course.
    """

    prunes: ClassVar[bool] = True

    rate: PerDay = Field(ge=0)
    course: Course = "constant"
    steepness: float = Field(default=8.0, gt=0)

    @model_validator(mode="after")
    def _course_has_ends(self) -> "_Scheduled":
        if self.course != "constant" and (self.start is None or self.stop is None):
            raise ValueError(f'course "{self.course}" needs both "from" and "to"')
        return self

    def hazard(self, now: Now) -> float:
        """Return the hazard per day, averaged over the step at `now`."""
        if self.course == "constant" or self.start is None or self.stop is None:
            return self.rate * self.openness(now.age)
        span = self.stop - self.start
        u = [min(1.0, max(0.0, (age - self.start) / span)) for age in (now.age, now.age + now.dt)]
        done = [course_done(self.course, x, self.steepness) for x in u]
        return self.rate * (done[1] - done[0]) * span / now.dt


class RandomPruning(_Scheduled):
    """Eliminate inputs at random, the null hypothesis of every selective rule."""

    key: ClassVar[str] = "random"

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        rate = self.hazard(now)
        proposals = []
        for table in tables:
            xp = namespace(table.ids)
            hazard = xp.where(table.alive, rate * xp.ones_like(table.weight), 0.0)
            proposals.append(Proposal(hazard=hazard, score=draws.uniform(table.ids, "rank")))
        return proposals


class WeakestFirst(_Scheduled):
    """Eliminate the weakest inputs first, across all tables: magnitude pruning.

    Notes
    -----
    In a step, the expected number of eliminations is :math:`n (1 - e^{-h\\,dt})` of :math:`n` living inputs.
    """

    key: ClassVar[str] = "weakest_first"

    def quota(self, tables: Tables, now: Now) -> float | None:
        return -math.expm1(-self.hazard(now) * now.dt) * tables.n_alive()

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        return [Proposal(score=-table.weight) for table in tables]


class RandomRegrowth(Rule):
    """Form connections at random among the candidates that the substrate offers.

    Parameters
    ----------
    rate : per day
        Hazard of formation of a candidate.
    weight : float
        Strength of a new connection.
    """

    key: ClassVar[str] = "random_regrowth"
    forms: ClassVar[bool] = True

    rate: PerDay = Field(ge=0)
    weight: float = Field(default=1.0, gt=0)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        probability = -math.expm1(-self.rate * self.openness(now.age) * now.dt)
        proposals = []
        for table in tables:
            if table.candidates is None:
                proposals.append(Proposal())
                continue
            xp = namespace(table.ids)
            form = table.candidates & ~table.alive & (draws.uniform(table.ids, "form") < probability)
            proposals.append(Proposal(form=form, weight=xp.where(form, self.weight, table.weight)))
        return proposals
