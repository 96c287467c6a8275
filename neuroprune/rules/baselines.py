"""Baselines that every system can run: random and weakest-first pruning, LAMP, and random regrowth."""

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Table, Tables, namespace
from neuroprune.core.units import PerDay
from neuroprune.rules.base import Proposal, Rule
from neuroprune.rules.ranking import Ranking


class RandomPruning(Ranking):
    """Eliminate inputs at random, the null hypothesis of every selective rule."""

    key: ClassVar[str] = "random"

    def quota(self, tables: Tables, now: Now) -> float | None:
        return None

    def importance(self, table: Table, draws: Draws) -> Array:
        return -draws.uniform(table.ids, "rank")

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        rate = self.hazard(now)
        ranked = super().propose(tables, now, draws)
        if rate is None:
            return ranked
        proposals = []
        for table, proposal in zip(tables, ranked, strict=True):
            xp = namespace(table.ids)
            hazard = xp.where(table.alive, rate * xp.ones_like(table.weight), 0.0)
            proposals.append(Proposal(hazard=hazard, score=proposal.score, protected=proposal.protected))
        return proposals


class WeakestFirst(Ranking):
    """Eliminate the weakest inputs first: magnitude pruning.

    Notes
    -----
    With the scope ``network`` this is global magnitude pruning, with ``table`` that of each layer by itself, with
    ``erdos_renyi`` the pruning step of SET and RigL.
    """

    key: ClassVar[str] = "weakest_first"

    def importance(self, table: Table, draws: Draws) -> Array:
        return table.weight


class Lamp(Ranking):
    """Eliminate inputs by layer-adaptive magnitude.

    Notes
    -----
    The importance of a weight is :math:`w^2 / \\sum_{v: |v| \\ge |w|} v^2` over the living weights of its table (Lee et
    al. 2021, arXiv:2010.07611): the strongest of every table has 1, so that no table is emptied before all have
    one left. Equals share their importance: k strongest have 1/k each.
    """

    key: ClassVar[str] = "lamp"

    def importance(self, table: Table, draws: Draws) -> Array:
        xp = namespace(table.ids)
        living = xp.sort(table.weight[table.alive])
        if living.shape[0] == 0:
            return table.weight
        from_here = xp.flip(xp.cumulative_sum(xp.flip(living**2)))
        first = xp.searchsorted(living, xp.reshape(table.weight, (-1,)))
        last = living.shape[0] - 1
        total = xp.reshape(xp.take(from_here, xp.clip(first, 0, last)), table.shape)
        return table.weight**2 / xp.where(total > 0, total, xp.ones_like(total))


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
