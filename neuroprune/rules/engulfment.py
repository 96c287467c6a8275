"""Microglial engulfment: a contact may take an input, the more likely the less it is protected."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables, namespace
from neuroprune.rules.base import Proposal, Rule


class Engulfment(Rule):
    """Let the microglia that contact an input engulf it with a probability per contact.

    Parameters
    ----------
    probability : float
        Chance that one contact engulfs an unprotected input.
    factor : float
        Dimensionless factor for complement knock-outs (C3, CR3).

    Notes
    -----
    With protection :math:`p_i = c(1 - T_i)`, :math:`n_i` contacts in the step leave the input with probability
    :math:`(1 - q f (1 - p_i))^{n_i}`. With intact protection (:math:`c = 1`) that is proportional to the tag;
    without it every input is as likely to go, as after CD47 knock-out (Lehrman et al. 2018). The contacts, and
    the cell that makes them, come from the environment of microglia.
    """

    key: ClassVar[str] = "engulfment"
    requires: ClassVar[tuple[str, ...]] = ("contacts", "microglia", "protection")
    prunes: ClassVar[bool] = True

    probability: float = Field(ge=0, le=1)
    factor: float = Field(default=1.0, ge=0)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        scale = min(1.0 - 1e-12, self.probability * self.factor) * self.openness(now.age)
        proposals = []
        for table in tables:
            xp = namespace(table.ids)
            per_contact = scale * (1.0 - table.full("protection"))
            hazard = -xp.log1p(-per_contact) * table["contacts"] / now.dt
            agent = xp.astype(table.full("microglia"), xp.int64)
            proposals.append(Proposal(hazard=hazard, agent=agent))
        return proposals
