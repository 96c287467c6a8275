"""The maturation of inhibition onto the postsynaptic cells."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from neuroprune.core.clock import Now, window
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Tables
from neuroprune.core.units import Age, Days
from neuroprune.environment.base import Environment, State, like, to_numpy


class Inhibition(Environment):
    """Let inhibition of each cell grow in a window of ages, with the support of microglia.

    Parameters
    ----------
    initial, maximum : float
        Relative strength of inhibition before and after maturation.
    time_constant : days
        Of the approach to the maximum, with full support.
    start, stop : age
        The window (TOML: ``from`` and ``to``).
    gaba : float
        Factor on the strength, below 1 when GABA synthesis is reduced (GAD67).
    enhancement : float
        Added to the strength, by a drug such as diazepam.
    onset : age
        Age at which elimination half depends on inhibition.
    exponent : float
        How steeply the gate depends on the strength.

    Notes
    -----
    :math:`dB/dt = M\\,P(t)\\,(B_{max} - B)/\\tau` with microglial support :math:`M`; the gate is
    :math:`(1 - i) + i\\,B^{e}` with :math:`i` logistic in age. Microglia promote the inhibition that climbing-fibre
    elimination needs (Nakayama et al. 2018, Nat Commun); GAD67 +/- impairs it from P10 (Nakayama et al. 2012).
    """

    key: ClassVar[str] = "inhibition"
    requires: ClassVar[tuple[str, ...]] = ("support",)
    produces: ClassVar[tuple[str, ...]] = ("inhibition", "inhibition_strength")
    at_start: ClassVar[frozenset[str]] = frozenset({"initial"})

    initial: float = Field(default=0.4, ge=0)
    maximum: float = Field(default=1.0, gt=0)
    time_constant: Days = Field(default=1.6, gt=0)
    start: Age = Field(default=6.5, alias="from")
    stop: Age = Field(default=11.5, alias="to")
    gaba: float = Field(default=1.0, ge=0)
    enhancement: float = Field(default=0.0, ge=0)
    onset: Age = 10.0
    exponent: float = Field(default=1.5, gt=0)

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> Self:
        if self.stop <= self.start:
            raise ValueError(f'"to" is day {self.stop:g}: it must be later than "from", day {self.start:g}')
        return self

    def begin(self, tables: Tables, draws: Draws) -> State:
        return {f"strength{k}": np.full(t.shape[0], self.initial) for k, t in enumerate(tables)}

    def advance(
        self, state: State, tables: Tables, now: Now, draws: Draws
    ) -> tuple[State, Sequence[Mapping[str, Array]]]:
        open_now = window(now.age, self.start, self.stop)
        dependence = 1.0 / (1.0 + math.exp(-(now.age - self.onset) / 0.5))
        after, traces = {}, []
        for k, table in enumerate(tables):
            strength = state[f"strength{k}"]
            support = np.broadcast_to(to_numpy(table["support"])[:, 0], strength.shape)
            step = 1.0 - np.exp(-open_now * support * now.dt / self.time_constant)
            strength = strength + (self.maximum - strength) * step
            after[f"strength{k}"] = strength
            effective = np.minimum(self.gaba * strength + self.enhancement, self.maximum)
            gate = (1 - dependence) + dependence * effective**self.exponent
            traces.append(
                {
                    "inhibition": like(gate[:, None], table),
                    "inhibition_strength": like(effective[:, None], table),
                }
            )
        return after, traces
