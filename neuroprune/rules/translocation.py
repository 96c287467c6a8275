"""Climbing onto the dendrite: the strongest input of a cell moves its synapses from soma to dendrite."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables, namespace, quantise, row_max
from neuroprune.core.units import PerDay
from neuroprune.rules.base import Proposal, Rule


class Translocation(Rule):
    """Move the synapses of the strongest input of each cell from its soma onto its dendrite.

    Parameters
    ----------
    rate : per day
        Fraction of the somatic synapses that moves.
    threshold : float
        An input moves if its strength is at least this fraction of the strongest.

    Notes
    -----
    Strength stays the same; the trace ``dendritic`` counts the part of it that sits on the dendrite. In mice only
    the winner climbs, from P9 (Hashimoto et al. 2009; review PMC3830199). Calcium does not gate the climb itself:
    without P/Q channels several fibres of a cell climb (Hashimoto et al. 2011, PNAS); whether several do here
    follows from how equal they are.
    """

    key: ClassVar[str] = "translocation"
    requires: ClassVar[tuple[str, ...]] = ("dendritic",)

    rate: PerDay = Field(ge=0)
    threshold: float = Field(default=0.9, gt=0, le=1)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        proposals = []
        for table in tables:
            xp = namespace(table.ids)
            strongest = row_max(table.weight, table.alive)
            climbs = table.alive & (table.weight >= (self.threshold - 1e-9) * strongest) & (strongest > 0)
            somatic = table.weight - table["dendritic"]
            moving = self.rate * now.dt * self.openness(now.age) * somatic
            moved = xp.floor(quantise(moving) + draws.uniform(table.ids, "move"))
            moved = xp.where(climbs, xp.minimum(moved, somatic), 0.0)
            proposals.append(Proposal(traces={"dendritic": table["dendritic"] + moved}))
        return proposals
