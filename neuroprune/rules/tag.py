"""Tagging: inputs that are weak beside the winner display an eat-me signal, strong ones a protective one."""

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables, namespace, row_max
from neuroprune.rules.base import Proposal, Rule


class Tag(Rule):
    """Tag each input by how weak it is beside the strongest input of its cell.

    Parameters
    ----------
    threshold : float
        Relative strength at which the tag is one half.
    steepness : float
        Hill exponent of the tag.
    signal : str
        What strength is read from: ``weight``, or a trace such as ``eligibility``, the credit that an input earned.
    protection : float
        Strength of the don't-eat-me signal (CD47-like), 0 to 1; 0 is its knock-out.

    Notes
    -----
    With :math:`r_i = x_i / \\max_j x_j` of the signal :math:`x`, the tag is :math:`T_i = 1 / (1 + (r_i/\\theta)^s)`
    and 0 for the winner; the protection is :math:`c\\,(1 - T_i)`. Equals are all winners. Tagging is established in the
    retinogeniculate system (Stevens et al. 2007; Lehrman et al. 2018 for CD47); for climbing fibres it is a hypothesis.
    """

    key: ClassVar[str] = "tag"
    produces: ClassVar[tuple[str, ...]] = ("tag", "protection")

    threshold: float = Field(default=0.3, gt=0)
    steepness: float = Field(default=3.0, gt=0)
    protection: float = Field(default=1.0, ge=0, le=1)
    signal: str = "weight"

    def needs(self) -> tuple[str, ...]:
        return self.requires if self.signal == "weight" else (*self.requires, self.signal)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        proposals = []
        for table in tables:
            xp = namespace(table.ids)
            signal = table.weight if self.signal == "weight" else table.full(self.signal)
            strongest = row_max(signal, table.alive)
            relative = signal / xp.where(strongest > 0, strongest, xp.ones_like(strongest))
            weak = table.alive & (relative < 1.0 - 1e-9) & (strongest > 0)
            tag = xp.where(weak, 1.0 / (1.0 + (relative / self.threshold) ** self.steepness), 0.0)
            guard = xp.where(table.alive, self.protection * (1.0 - tag), 0.0)
            proposals.append(Proposal(traces={"tag": tag, "protection": guard}))
        return proposals
