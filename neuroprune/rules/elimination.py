"""Elimination by the cell itself: tagged inputs are withdrawn at a rate that the cell's state gates."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables
from neuroprune.core.units import PerDay
from neuroprune.rules.base import Proposal, Rule


class Elimination(Rule):
    """Withdraw tagged inputs at a hazard that traces of the cell gate.

    Parameters
    ----------
    rate : per day
        Hazard of a fully tagged input with all gates open.
    gates : tuple of str
        Traces that multiply the hazard, for example ``("calcium", "inhibition")``.
    factor : float
        Dimensionless factor for knock-outs of a signalling step (mGluR1, PKC, Arc, P/Q channels).

    Notes
    -----
    :math:`h_i = k\\,f\\,P(t)\\,T_i \\prod_g g`, with :math:`P` the window of ages and :math:`T_i` the tag.
    """

    key: ClassVar[str] = "elimination"
    requires: ClassVar[tuple[str, ...]] = ("tag",)
    prunes: ClassVar[bool] = True

    rate: PerDay = Field(ge=0)
    gates: tuple[str, ...] = ()
    factor: float = Field(default=1.0, ge=0)

    def needs(self) -> tuple[str, ...]:
        return (*self.requires, *self.gates)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        scale = self.rate * self.factor * self.openness(now.age)
        proposals = []
        for table in tables:
            hazard = scale * table.full("tag")
            for gate in self.gates:
                hazard = hazard * table[gate]
            proposals.append(Proposal(hazard=hazard))
        return proposals
