"""The young cerebellum: climbing fibres that innervate Purkinje cells, P3 to P21.

The model is described in ``models/cerebellum/MODEL.md``; its parameters, with sources, are in ``model.toml``.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import Draws, derive_seed
from neuroprune.core.tables import Table, Tables
from neuroprune.core.units import Days, Metres, Seconds, Siemens, Volts, by_age
from neuroprune.datasets import climbing_fibre_synapses_p3
from neuroprune.development import Activity
from neuroprune.spiking.engine import EngineName, engine_provenance, make_engine
from neuroprune.spiking.olive import Olive
from neuroprune.spiking.purkinje import noise_current, purkinje_model

TABLE = "purkinje_cells"


class Parameters(BaseModel):
    """Parameters of the cerebellum; see ``models/cerebellum/model.toml`` for values, units and sources."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    purkinje_cells: int = Field(gt=0, le=100_000)
    cells_per_axon: float = Field(gt=0)
    fibres_mean: float = Field(ge=1)
    fibres_min: int = Field(ge=1)
    fibres_max: int = Field(ge=1, le=64)
    cell_spacing: Metres = Field(gt=0)
    strip_rows: int = Field(gt=0)
    axon_reach: Metres = Field(gt=0)
    microband_width: Metres = Field(gt=0)

    synaptic_conductance: Siemens = Field(gt=0)
    epsc_decay: Seconds = Field(gt=0)
    membrane_capacitance: by_age("F")  # type: ignore[valid-type]
    input_resistance: by_age("ohm")  # type: ignore[valid-type]
    resting_potential: Volts
    threshold: Volts
    reset: Volts
    membrane_noise: Volts = Field(ge=0)

    burst_rate: by_age("Hz")  # type: ignore[valid-type]
    burst_correlation: by_age("")  # type: ignore[valid-type]
    burst_jitter: Seconds = Field(ge=0)
    axon_latency_sd: Seconds = Field(ge=0)
    spikes_per_burst: float = Field(ge=1, le=6)
    intraburst_rate: by_age("Hz")  # type: ignore[valid-type]

    eligibility_decay: Seconds = Field(gt=0)
    eligibility_memory: Days = Field(gt=0)
    pq_channels: float = Field(ge=0)
    unselective_credit: float = Field(ge=0)
    calcium_half: by_age("Hz")  # type: ignore[valid-type]


class Cerebellum:
    """Climbing fibres on Purkinje cells, a substrate for :func:`neuroprune.development.develop`.

    Parameters
    ----------
    parameters_at : function of age in days
        Returns the parameters that hold at that age.
    clock : Clock
    activity : float
        Spiking simulated per step, in seconds.
    seed : int
        Seed of anatomy and, unless given apart, of activity.
    activity_seed : int, optional
        Seed of the spike trains and noise.
    engine : {"auto", "standalone", "runtime"}
    say : function of a line of text

    Notes
    -----
    The table has one row per Purkinje cell; ``weight`` counts the synapses of a climbing fibre on it. Traces:
    ``eligibility`` (credit from spike timing, remembered over days), ``usage`` (spikes per second), ``dendritic``
    (synapses on the dendrite), ``calcium`` (0 to 1, by cell) and the positions ``x``, ``y``, ``z``.
    """

    name = "cerebellum"
    provides = frozenset({"eligibility", "usage", "dendritic", "calcium", "x", "y", "z"})

    def __init__(
        self,
        parameters_at: Callable[[float], Parameters],
        *,
        clock: Clock,
        activity: float,
        seed: int,
        activity_seed: int | None = None,
        engine: EngineName = "auto",
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        if not activity > 0:
            raise SpecificationError(f"development.activity is {activity:g} s: it must be positive")
        self.parameters_at, self.activity = parameters_at, activity
        self.activity_seed = seed if activity_seed is None else activity_seed
        p = parameters_at(clock.start)
        self.anatomy = Anatomy.grow(p, seed)
        self._tables = self.anatomy.tables
        shape = self._tables[0].shape
        self._eligibility = np.zeros(shape)
        self._calcium = np.zeros((shape[0], 1))
        self._sampled = 0
        stages = [parameters_at(clock.age(k)) for k in range(clock.n_steps + 1)]
        peak = max(max(rate for _, rate in s.burst_rate.points) * s.spikes_per_burst for s in stages)
        # Room for four times the mean number of spikes, and never less than a few bursts per input.
        capacity = int(shape[0] * shape[1] * max(20.0, 4 * peak * activity))
        baked = {"n_cells": shape[0], "n_slots": shape[1], "duration": activity, "capacity": capacity}
        self.engine = make_engine(partial(purkinje_model, **baked), baked, engine, say)
        self.capacity = capacity

    @property
    def compile_seconds(self) -> float:
        """Wall time spent on compiling the spiking model."""
        return self.engine.compile_seconds

    def tables(self) -> Tables:
        """Return the afferent table of the Purkinje cells."""
        return self._tables

    def sample(self, now: Now) -> Activity:
        """Simulate spiking at this age and return credit, usage and calcium."""
        p = self.parameters_at(now.age)
        table = self._tables[0]
        n_cells, n_slots = table.shape
        index, time, axon = self._fibre_spikes(p, now, table)
        outputs = self.engine.run(
            self._inputs(p, now.age, table),
            seed=derive_seed(self.activity_seed, "noise", now.step) % 2**32,
            spikes=(index, time),
        )
        spikes = outputs.spikes["purkinje"]
        fired = np.bincount(spikes.index, minlength=n_cells) / self.activity
        usage = np.bincount(index, minlength=n_cells * n_slots).reshape(table.shape) / self.activity
        credit = outputs.arrays["credit"].reshape(table.shape) / self.activity
        earned = np.where(table.alive, p.pq_channels * credit + p.unselective_credit * usage, 0.0)
        # Activity is sampled for seconds in every step of hours: credit and calcium are remembered over days.
        keep = math.exp(-now.dt / p.eligibility_memory) if self._sampled else 0.0
        self._eligibility = np.where(table.alive, keep * self._eligibility + (1 - keep) * earned, 0.0)
        entry = p.pq_channels * fired[:, None]
        self._calcium = keep * self._calcium + (1 - keep) * entry
        self._sampled += 1
        half = p.calcium_half.at(now.age)
        calcium = self._calcium / (self._calcium + half)
        traces = {"eligibility": self._eligibility, "usage": usage, "calcium": calcium}
        axons = self.anatomy.band.size
        measures = {
            "purkinje_rate": float(fired.mean()),
            "climbing_fibre_rate": len(axon) / axons / self.activity,
        }
        return Activity([traces], measures, (spikes.index.astype(np.int64), spikes.time))

    def _fibre_spikes(self, p: Parameters, now: Now, table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the spikes that arrive at living inputs (input, time), and all spikes of axons."""
        olive = Olive(
            rate=p.burst_rate.at(now.age),
            correlation=min(1.0, p.burst_correlation.at(now.age)),
            jitter=p.burst_jitter,
            spikes_per_burst=p.spikes_per_burst,
            intraburst_rate=p.intraburst_rate.at(now.age),
        )
        latency = p.axon_latency_sd * self.anatomy.latency
        axon, time = olive.bursts(
            self.anatomy.band,
            latency,
            self.activity,
            derive_seed(self.activity_seed, "climbing fibres", now.step),
        )
        post, slot = np.nonzero(table.alive)
        source = np.asarray(table.source)[post, slot]
        order = np.argsort(source, kind="stable")
        first, last = np.searchsorted(source[order], axon), np.searchsorted(source[order], axon, side="right")
        counts = last - first
        spike = np.repeat(np.arange(len(axon)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        target = order[first[spike] + within]
        index = (post * table.shape[1] + slot)[target]
        if len(index) > self.capacity:
            raise SpecificationError(
                f"{len(index)} climbing-fibre spikes in {self.activity:g} s at P{now.age:g} exceed the room for "
                f"{self.capacity}: lower burst_rate"
            )
        return index, time[spike], axon

    def _inputs(self, p: Parameters, age: float, table: Table) -> dict[str, np.ndarray]:
        n = table.shape[0]
        capacitance, resistance = p.membrane_capacitance.at(age), p.input_resistance.at(age)
        cell = {
            "v": p.resting_potential,
            "capacitance": capacitance,
            "resistance": resistance,
            "v_rest": p.resting_potential,
            "v_threshold": p.threshold,
            "v_reset": p.reset,
            "tau_epsc": p.epsc_decay,
            "noise_sd": noise_current(p.membrane_noise, resistance, capacitance),
        }
        return {
            **{name: np.full(n, value) for name, value in cell.items()},
            "w": np.where(table.alive, p.synaptic_conductance * np.asarray(table.weight), 0.0).ravel(),
            "tau_eligibility": np.full(table.ids.size, p.eligibility_decay),
        }

    def apply(self, tables: Tables) -> None:
        """Take over what was decided; dead inputs get no spikes and no synapses from the next sample on."""
        table = tables[0]
        keep = ("dendritic", "x", "y", "z")
        self._tables = Tables(
            [
                Table(
                    table.name,
                    table.ids,
                    table.alive,
                    table.weight,
                    table.source,
                    {k: table[k] for k in keep},
                )
            ]
        )

    def measures(self, tables: Tables) -> dict[str, float]:
        """Return the statistics of innervation.

        Notes
        -----
        Disparity ratio: mean over the weaker fibres of :math:`A_i / A_{max}`; disparity index: SD (ddof 1) over
        mean; both averaged over multiply innervated cells (Hashimoto & Kano 2003), with synapse counts as
        amplitudes.
        """
        table = tables[0]
        alive, weight = np.asarray(table.alive), np.asarray(table.weight)
        count = alive.sum(axis=1)
        multi = count > 1
        total = weight.sum(axis=1)
        ratio = index = math.nan
        if multi.any():
            n, largest = count[multi], weight[multi].max(axis=1)
            ratio = float(((total[multi] / largest - 1) / (n - 1)).mean())
            mean = total[multi] / n
            squares = (np.where(alive[multi], weight[multi] - mean[:, None], 0.0) ** 2).sum(axis=1)
            index = float((np.sqrt(squares / (n - 1)) / mean).mean())
        cells = np.bincount(np.asarray(table.source)[alive], minlength=self.anatomy.band.size)
        dendritic = np.where(alive, np.asarray(table["dendritic"]), 0.0)
        return {
            "climbing_fibres_per_cell": float(count.mean()),
            "mono_innervated": float((count == 1).mean()),
            "disparity_ratio": ratio,
            "disparity_index": index,
            "synapses_per_input": float(weight[alive].mean()) if alive.any() else math.nan,
            "dendritic_fraction": float(dendritic.sum() / max(weight.sum(), 1.0)),
            "fibres_on_dendrite_per_cell": float((dendritic > 0).sum(axis=1).mean()),
            "cells_per_axon": float(cells.mean()),
            "axons_without_cell": float((cells == 0).mean()),
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return tables, remembered credit and calcium."""
        table = self._tables[0]
        return {
            "alive": np.asarray(table.alive).astype(np.int8),
            "weight": np.asarray(table.weight),
            "dendritic": np.asarray(table["dendritic"]),
            "eligibility": self._eligibility,
            "calcium_entry": self._calcium,
            "sampled": np.asarray([self._sampled]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state; the anatomy follows from the seed."""
        start = self.anatomy.tables[0]
        table = Table(
            start.name,
            start.ids,
            state["alive"].astype(bool),
            state["weight"],
            start.source,
            {**start.traces, "dendritic": state["dendritic"]},
        )
        self._tables = Tables([table])
        self._eligibility, self._calcium = state["eligibility"], state["calcium_entry"]
        self._sampled = int(state["sampled"][0])

    def provenance(self) -> dict[str, Any]:
        """Return the engine and versions that spike trains depend on."""
        return {
            **engine_provenance(self.engine),
            "activity_seed": self.activity_seed,
            "activity_seconds": self.activity,
        }


class Anatomy:
    """Who innervates whom before anything is pruned.

    Parameters
    ----------
    tables : Tables
    band : array of int, shape (n_axons,)
        Microband of each olivary axon.
    latency : array of float, shape (n_axons,)
        Lasting lead or lag of each axon, in units of its SD.
    """

    def __init__(self, tables: Tables, band: np.ndarray, latency: np.ndarray) -> None:
        self.tables, self.band, self.latency = tables, band, latency

    @classmethod
    def grow(cls, p: Parameters, seed: int) -> "Anatomy":
        """Place cells and axons on a strip and connect each cell with fibres of axons within reach.

        Notes
        -----
        Cells lie on a sheet of `strip_rows` rows; axons are spread evenly at random over it. The number of
        fibres of a cell is Poisson, truncated to `fibres_min` .. `fibres_max`. The synapses of each pair are drawn
        from the electron-microscopic counts at P3 (Wilson et al. 2019).
        """
        if p.fibres_min > p.fibres_max:
            raise SpecificationError(
                f"system.fibres_min is {p.fibres_min}: it must not exceed fibres_max, {p.fibres_max}"
            )
        rng = np.random.default_rng(derive_seed(seed, "anatomy"))
        n, slots = p.purkinje_cells, p.fibres_max
        columns = -(-n // p.strip_rows)
        cell = np.arange(n)
        place = np.stack([cell // p.strip_rows, cell % p.strip_rows], axis=1) * p.cell_spacing
        n_axons = max(2 * slots, math.ceil(n / p.cells_per_axon))
        size = np.asarray([columns, p.strip_rows]) * p.cell_spacing
        axon = rng.uniform(0, 1, (n_axons, 2)) * size
        distance = np.linalg.norm(place[:, None] - axon[None], axis=2)
        counts = _truncated_poisson(p.fibres_mean, p.fibres_min, p.fibres_max, n, rng)
        # A cell draws its fibres at random among the axons in reach; where there are too few, the nearest come next.
        key = np.where(distance <= p.axon_reach, rng.random(distance.shape), 1.0 + distance / p.axon_reach)
        source = np.argsort(key, axis=1)[:, :slots].astype(np.int64)
        alive = np.arange(slots)[None] < counts[:, None]
        observed = climbing_fibre_synapses_p3()
        observed = observed[observed > 0]
        ids = np.where(alive, np.cumsum(alive.ravel()).reshape(alive.shape) - 1, -1).astype(np.int64)
        pick = Draws(seed, "synapses at P3", 0).uniform(ids)
        weight = np.where(alive, observed[np.floor(pick * len(observed)).astype(int)], 0).astype(float)
        x, y = place[:, :1], place[:, 1:]
        traces = {"dendritic": np.zeros_like(weight), "x": x, "y": y, "z": np.zeros_like(x)}
        band = np.floor(axon[:, 0] / p.microband_width).astype(int)
        return cls(Tables([Table(TABLE, ids, alive, weight, source, traces)]), band, rng.standard_normal(n_axons))


def _truncated_poisson(mean: float, low: int, high: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw Poisson numbers whose rate is chosen so that the mean between `low` and `high` is `mean`."""
    k = np.arange(low, high + 1)
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(high + 1), 1)))[k]

    def weights(log_rate: float) -> np.ndarray:
        w = k * log_rate - log_factorial
        w = np.exp(w - w.max())
        return w / w.sum()

    if low == high:
        return np.full(n, low)
    if not low < mean < high:
        raise SpecificationError(f"system.fibres_mean is {mean:g}: it must lie between {low} and {high}")
    below, above = -20.0, 20.0
    for _ in range(60):
        middle = (below + above) / 2
        below, above = (middle, above) if (weights(middle) * k).sum() < mean else (below, middle)
    return rng.choice(k, size=n, p=weights(below))


build = Cerebellum
"""What an experiment calls to make this system in its state at the start of the clock."""
