"""Microglia as cells: where they sit, which inputs they survey, and how often they touch them."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Tables
from neuroprune.core.units import Metres, MetresPerSecond, PerCubicMetre, Seconds
from neuroprune.environment.base import Environment, State, like, to_numpy

_DAY = 86400.0


class Microglia(Environment):
    """Cells that tile the tissue and touch the inputs in their territories.

    Parameters
    ----------
    role : {"inhibition", "engulfment", "both"}
        What microglia do: support the growth of inhibition, engulf inputs, or both.
    density : per cubic metre
        Cells per volume.
    presence : float
        Fraction of the cells that is there, 0 after complete depletion. Which cells leave is drawn once.
    margin : metres
        Tissue around the postsynaptic cells that is populated too.
    reach : metres
        Farthest distance at which a cell surveys.
    process_speed : metres per second
        Speed of the tips of processes.
    contact_duration, rest : seconds
        Length of a contact, and pause between two of them.
    drift : metres per second
        Speed of the somata, a random walk with a change of direction in every step.

    Notes
    -----
    An input belongs to the territory of the nearest cell that is present, if that is within reach. A process needs
    the time :math:`2d/v` to go to an input at distance :math:`d` and back, so an input is touched at the rate
    :math:`1 / (t_{rest} + t_{contact} + 2 d / v)`; with the default values, and cells 54 um apart, about once an
    hour (Wake et al. 2009). Traces: ``contacts`` (number in the step), ``microglia`` (index of the surveying cell,
    -1 for none) and ``support`` (fraction of the cells within reach of a postsynaptic cell that are present).

    In the role "inhibition" no contact engulfs, so ``contacts`` is 0; in the role "engulfment" inhibition does not
    depend on microglia, so ``support`` is 1.
    """

    key: ClassVar[str] = "microglia"
    requires: ClassVar[tuple[str, ...]] = ("x", "y", "z")
    produces: ClassVar[tuple[str, ...]] = ("contacts", "microglia", "support")
    at_start: ClassVar[frozenset[str]] = frozenset({"density", "margin"})

    role: Literal["inhibition", "engulfment", "both"] = "both"
    density: PerCubicMetre = Field(default=6.5e12, gt=0)
    presence: float = Field(default=1.0, ge=0, le=1)
    margin: Metres = Field(default=54e-6, ge=0)
    reach: Metres = Field(default=80e-6, gt=0)
    process_speed: MetresPerSecond = Field(default=2.5e-8, gt=0)
    contact_duration: Seconds = Field(default=300.0, gt=0)
    rest: Seconds = Field(default=900.0, ge=0)
    drift: MetresPerSecond = Field(default=4.2e-10, ge=0)

    def begin(self, tables: Tables, draws: Draws) -> State:
        cells = np.concatenate([_positions(t) for t in tables]) if len(tables) else np.zeros((0, 3))
        cells = cells if len(cells) else np.zeros((1, 3))
        low, high = cells.min(axis=0) - self.margin, cells.max(axis=0) + self.margin
        number = max(1, round(self.density * float(np.prod(high - low))))
        ids = np.arange(number)
        unit = np.stack([draws.uniform(ids, axis) for axis in "xyz"], axis=1)
        return {"position": low + unit * (high - low), "low": low, "high": high}

    def advance(
        self, state: State, tables: Tables, now: Now, draws: Draws
    ) -> tuple[State, Sequence[Mapping[str, Array]]]:
        position = self._walk(state, now, draws)
        order = Draws(draws.seed, draws.stream, 0).uniform(np.arange(len(position)), "presence")
        present = order < self.presence
        traces = [self._survey(t, position, present, now, draws) for t in tables]
        return {**state, "position": position, "present": present.astype(np.int8)}, traces

    def _walk(self, state: State, now: Now, draws: Draws) -> np.ndarray:
        position, low, high = state["position"], state["low"], state["high"]
        ids = np.arange(len(position))
        cosine = 2 * draws.uniform(ids, "cosine") - 1
        angle = 2 * math.pi * draws.uniform(ids, "angle")
        sine = np.sqrt(1 - cosine**2)
        direction = np.stack([sine * np.cos(angle), sine * np.sin(angle), cosine], axis=1)
        moved = position + self.drift * now.dt * _DAY * direction
        moved = np.where(moved < low, 2 * low - moved, moved)
        moved = np.where(moved > high, 2 * high - moved, moved)
        return np.clip(moved, low, high)

    def _survey(self, table, position: np.ndarray, present: np.ndarray, now: Now, draws: Draws) -> dict[str, Array]:
        from scipy.spatial import KDTree

        cells, ids = _positions(table), to_numpy(table.ids)
        nearest = np.full(len(cells), -1.0)
        mean = np.zeros(len(cells))
        if present.any() and len(cells):
            distance, index = KDTree(position[present]).query(cells)
            near = distance <= self.reach
            nearest = np.where(near, np.flatnonzero(present)[index], -1.0)
            cycle = self.rest + self.contact_duration + 2 * distance / self.process_speed
            mean = np.where(near, now.dt * _DAY / cycle, 0.0)
        around = KDTree(position).query_ball_point(cells, self.reach) if len(cells) else []
        support = np.asarray([present[i].mean() if len(i) else present.mean() for i in around])
        if self.role == "inhibition":
            mean = np.zeros_like(mean)
        if self.role == "engulfment":
            support = np.ones(len(cells))
        contacts = poisson(mean[:, None], draws.uniform(ids, "contacts"))
        return {
            "contacts": like(contacts, table),
            "microglia": like(nearest[:, None], table),
            "support": like(support.reshape(-1, 1), table),
        }


def _positions(table) -> np.ndarray:
    """Return the positions of the postsynaptic cells, shape (n_post, 3), in metres."""
    n = table.shape[0]
    return np.stack([np.broadcast_to(to_numpy(table[axis])[:, 0], (n,)) for axis in "xyz"], axis=1)


def poisson(mean: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return Poisson numbers by inversion of the distribution function, one for each uniform draw."""
    mean = np.broadcast_to(mean, uniform.shape)
    term = np.exp(-mean)
    below, count, k = term.copy(), np.zeros(uniform.shape), 0
    pending = uniform >= below
    while pending.any() and k < 10_000:
        k += 1
        count = count + pending
        term = term * mean / k
        below = below + term
        pending = pending & (uniform >= below) & (term > 0)
    return count
