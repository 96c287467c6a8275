"""Turnover: connections form where a signal says they are missed, and the weakest make room for them."""

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables, namespace
from neuroprune.rules.base import Proposal, Rule
from neuroprune.rules.select import largest


class Regrowth(Rule):
    """Form connections in each table, as a share of those that live, by chance or where a trace is largest.

    Parameters
    ----------
    share : float
        Of the living inputs of a table, at the start.
    by : str
        Trace whose size decides, or ``chance``.
    weight : float
        Strength of a new connection.

    Notes
    -----
    The share falls as :math:`\\tfrac{1}{2}(1 + \\cos \\pi u)` with the progress :math:`u` towards the age ``to``, or
    the end. A rule that prunes comes after it and takes as many; it spares what was just formed (``newborn``).
    With ``gradient`` and pruning by magnitude this is the turnover of RigL (Evci et al. 2020, arXiv:1911.11134) and
    of GraNet (Liu et al. 2021, arXiv:2106.10404); by chance it is that of SET (Mocanu et al. 2018).
    """

    key: ClassVar[str] = "regrowth"
    produces: ClassVar[tuple[str, ...]] = ("newborn",)
    forms: ClassVar[bool] = True

    share: float = Field(default=0.3, ge=0, le=1)
    by: str = "gradient"
    weight: float = Field(default=0.0, ge=0)

    def needs(self) -> tuple[str, ...]:
        return self.requires if self.by == "chance" else (*self.requires, self.by)

    def fall(self, now: Now) -> float:
        """Return the factor of the share at this moment, from 1 to 0."""
        if self.stop is not None:
            start = now.age - now.step * now.dt if self.start is None else self.start
            u = (now.age - start) / (self.stop - start)
        else:
            u = now.progress
        return 0.5 * (1.0 + math.cos(math.pi * min(1.0, max(0.0, u)))) * self.openness(now.age)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        fall, proposals = self.fall(now), []
        for table in tables:
            xp = namespace(table.ids)
            if table.candidates is None or 0 in table.shape:
                proposals.append(Proposal(traces={"newborn": xp.zeros_like(table.weight)}))
                continue
            free = table.candidates & ~table.alive
            signal = xp.zeros_like(table.weight) if self.by == "chance" else xp.abs(table.full(self.by))
            n = round(self.share * fall * table.n_alive())
            (form,) = largest(Tables([table]), [free], [signal], n, draws, "form")
            proposals.append(
                Proposal(
                    form=form,
                    weight=xp.where(form, self.weight, table.weight),
                    traces={"newborn": xp.astype(form, xp.float64)},
                )
            )
        return proposals
