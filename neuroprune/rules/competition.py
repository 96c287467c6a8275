"""Activity-dependent competition: the inputs of a cell share the synapses that it adds."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables, namespace, quantise, row_sum
from neuroprune.core.units import PerDay
from neuroprune.rules.base import Proposal, Rule


class Competition(Rule):
    """Let the inputs of a cell compete for the synapses that it adds, by strength and credited activity.

    Parameters
    ----------
    rate : per day
        Growth of a cell's total strength, as a fraction of it.
    quantum : float
        Strength of one synapse; additions are whole numbers of it. 0 makes strength continuous.

    Notes
    -----
    A cell whose inputs have strengths :math:`w_i` and eligibilities :math:`H_i` (how much they contributed to
    its output) adds :math:`G\\,dt\\,\\sum_j w_j`, of which input :math:`i` takes the share
    :math:`w_i H_i / \\sum_j w_j H_j`. Feedback is positive because a stronger input drives the cell more and so
    earns more eligibility; no exponent is set. A cell none of whose inputs has eligibility adds nothing.

    Strength counts synapses in the climbing-fibre system, after Wilson et al. (2019), Cell Reports 29:2849, who
    found that fibres add synapses where they already have some.
    """

    key: ClassVar[str] = "competition"
    requires: ClassVar[tuple[str, ...]] = ("eligibility",)

    rate: PerDay = Field(ge=0)
    quantum: float = Field(default=1.0, ge=0)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        growth = self.rate * now.dt * self.openness(now.age)
        proposals = []
        for table in tables:
            xp = namespace(table.ids)
            earned = table.weight * table["eligibility"]
            total, pool = row_sum(table.weight, table.alive), row_sum(earned, table.alive)
            share = xp.where(table.alive & (pool > 0), earned / xp.where(pool > 0, pool, xp.ones_like(pool)), 0.0)
            gain = quantise(growth * total * share)
            if self.quantum > 0:
                gain = self.quantum * xp.floor(gain / self.quantum + draws.uniform(table.ids, "add"))
            proposals.append(Proposal(weight=table.weight + gain))
        return proposals
