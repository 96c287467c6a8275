"""Rules of two cells: what the presynaptic and the postsynaptic side of a connection know is enough for them."""

from typing import ClassVar

from pydantic import Field

from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Table, namespace, row_max, row_sum, source_sum
from neuroprune.rules.ranking import Ranking, Scope


class Trophic(Ranking):
    """Let inputs compete for a trophic factor that cells have unequal amounts of.

    Parameters
    ----------
    use : str
        Trace of how much the presynaptic side is used.
    worth : str
        Trace of how much the postsynaptic cell has to give.
    exponent : float
        Of the strength.

    Notes
    -----
    An input earns :math:`w^a\\,u\\,v` of the factor: its use :math:`u` and strength decide what share of its cell's
    supply it takes, and the cell's worth :math:`v` how large the supply is. Competition within a cell alone would keep
    equal numbers everywhere; what is limited and unequal is the supply.

    In an artificial network ``drive`` is the mean square of an input and ``retrograde`` that of the error that comes
    back to the cell, and :math:`w^2 u v` is the Fisher information of the weight's relative size where both are
    independent (as the rule of Scholl, Rule & Hennig 2021, PLoS Comput. Biol. 17:e1009458, is for Boltzmann
    machines). In a spiking network ``eligibility`` and ``calcium`` take these places.
    """

    key: ClassVar[str] = "trophic"

    use: str = "drive"
    worth: str = "retrograde"
    exponent: float = Field(default=2.0, ge=0)

    def needs(self) -> tuple[str, ...]:
        return (*super().needs(), self.use, self.worth)

    def importance(self, table: Table, draws: Draws) -> Array:
        return table.weight**self.exponent * table.full(self.use) * table.full(self.worth)


class WinnerRelative(Ranking):
    """Eliminate the inputs that earn least beside the strongest input of their cell.

    Parameters
    ----------
    signal : str
        Trace that multiplies strength.

    Notes
    -----
    Importance :math:`w_i x_i / \\max_j w_j x_j` within a cell, the quantity that tags compare: competition for one
    winner, as in the cerebellum, under a budget. What differs between cells does not count.
    """

    key: ClassVar[str] = "winner_relative"

    signal: str = "usage"

    def needs(self) -> tuple[str, ...]:
        return (*super().needs(), self.signal)

    def importance(self, table: Table, draws: Draws) -> Array:
        xp = namespace(table.ids)
        earned = table.weight * table.full(self.signal)
        strongest = row_max(earned, table.alive)
        return earned / xp.where(strongest > 0, strongest, xp.ones_like(strongest))


class UseItOrLoseIt(Ranking):
    """Eliminate the inputs that fire least together with their cell, whatever their strength.

    Parameters
    ----------
    signal : str
        Trace of use.

    Notes
    -----
    After the pruning of connections that are not or less activated (Zhao & Zeng 2021, Front. Syst. Neurosci. 15).
    Activities of different tables have no common scale: each table is compared by itself.
    """

    key: ClassVar[str] = "use_it_or_lose_it"

    scope: Scope = "table"
    signal: str = "eligibility"

    def needs(self) -> tuple[str, ...]:
        return (*super().needs(), self.signal)

    def importance(self, table: Table, draws: Draws) -> Array:
        return table.full(self.signal)


class Wanda(Ranking):
    """Eliminate in each cell the inputs with the smallest product of strength and use.

    Notes
    -----
    Importance :math:`|w|\\,\\lVert x\\rVert_2` (Sun et al. 2024, arXiv:2306.11695), compared within each cell, there
    after training and at once.
    """

    key: ClassVar[str] = "wanda"
    requires: ClassVar[tuple[str, ...]] = ("drive",)

    scope: Scope = "cell"

    def importance(self, table: Table, draws: Draws) -> Array:
        return table.weight * namespace(table.ids).sqrt(table.full("drive"))


class DualConstraint(Ranking):
    """Let inputs compete on both sides: for a share of the resources of their cell, and of their own neuron.

    Parameters
    ----------
    activity : float
        Exponent of the root mean square of the input.

    Notes
    -----
    Importance :math:`(|w_{ij}| / \\sum_k |w_{ik}| + |w_{ij}| / \\sum_k |w_{kj}|)\\,\\lVert x_j\\rVert^a`: the sums are
    over the living inputs of cell :math:`i` and over the living targets of neuron :math:`j`. This is relative
    importance and activations (Zhang et al. 2024, "Plug-and-play", ICLR), there after training, in each layer by
    itself and at once; dual constraints on axon and muscle fibre are the model of the neuromuscular junction
    (Rasmussen & Willshaw 1993, Biol. Cybern. 68:409).
    """

    key: ClassVar[str] = "dual_constraint"
    requires: ClassVar[tuple[str, ...]] = ("drive",)

    scope: Scope = "table"
    activity: float = Field(default=0.5, ge=0)

    def importance(self, table: Table, draws: Draws) -> Array:
        xp = namespace(table.ids)
        own = row_sum(table.weight, table.alive)
        theirs = source_sum(table.weight, table)
        share = table.weight / xp.where(own > 0, own, xp.ones_like(own))
        share = share + table.weight / xp.where(theirs > 0, theirs, xp.ones_like(theirs))
        return share * table.full("drive") ** (self.activity / 2)
