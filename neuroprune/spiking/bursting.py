"""Young cells innervated by bursting afferents: what the cerebellum and the retinogeniculate system share."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import derive_seed
from neuroprune.core.tables import Table, Tables
from neuroprune.core.units import ByAge, Days, Metres, Seconds, Siemens, Volts, by_age
from neuroprune.development import Activity
from neuroprune.spiking.anatomy import Anatomy, innervation
from neuroprune.spiking.bursts import Bursts, Pattern
from neuroprune.spiking.driven_cells import NOISE_STEP, driven_cells, noise_current
from neuroprune.spiking.engine import EngineName, engine_provenance, make_engine

SYNCHRONY_BIN = 0.1
"""Seconds in which spikes count as simultaneous: the resolution of calcium imaging."""

NEVER = ByAge(((0.0, 0.0),))
"""A rate of stimulation that is zero at every age."""

KICK = 1.0
"""Volts by which a pulse of an electrode lifts a cell: it fires once, unless it is refractory."""


class Parameters(BaseModel):
    """Parameters that every system of bursting afferents has; see a model's ``model.toml`` for sources."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at_start: ClassVar[frozenset[str]] = frozenset({"time_step"})
    """Parameters that are read when development starts, and cannot change later."""

    time_step: Seconds = Field(gt=0)
    synaptic_conductance: Siemens = Field(gt=0)
    epsc_decay: Seconds = Field(gt=0)
    membrane_capacitance: by_age("F") = Field(gt=0)  # type: ignore[valid-type]
    input_resistance: by_age("ohm") = Field(gt=0)  # type: ignore[valid-type]
    resting_potential: Volts = Field(lt=0)
    threshold: Volts
    reset: Volts
    membrane_noise: Volts = Field(ge=0)

    burst_rate: by_age("Hz") = Field(ge=0)  # type: ignore[valid-type]
    burst_correlation: by_age("") = Field(ge=0, le=1)  # type: ignore[valid-type]
    burst_jitter: Seconds = Field(ge=0)
    axon_latency_sd: Seconds = Field(ge=0)
    spikes_per_burst: float = Field(ge=1, le=6)
    intraburst_rate: by_age("Hz") = Field(gt=0)  # type: ignore[valid-type]
    activity_pattern: Pattern = "natural"

    eligibility_decay: Seconds = Field(gt=0)
    eligibility_memory: Days = Field(gt=0)
    unselective_credit: float = Field(ge=0)
    calcium_half: by_age("Hz") = Field(gt=0)  # type: ignore[valid-type]
    synchrony_reach: Metres = Field(default=100e-6, gt=0)

    @model_validator(mode="after")
    def _resets_below_threshold(self) -> Self:
        if self.reset >= self.threshold:
            raise ValueError(f"reset is {self.reset:g} V: it must be below the threshold, {self.threshold:g} V")
        return self


class BurstingAfferents(ABC):
    """Cells innervated by bursting axons, a substrate for :func:`neuroprune.development.develop`.

    Subclasses grow the anatomy and name things.

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
    The table has one row per cell; ``weight`` counts the synapses of an axon on it. Traces: ``eligibility`` (credit
    from spike timing, remembered over days), ``usage`` (spikes per second), ``timing`` (credit per spike of the
    axon: how close its spikes come before the cell's, whatever the credit is worth), ``dendritic`` (synapses on the
    dendrite), ``calcium`` (0 to 1, by cell) and the positions ``x``, ``y``, ``z``.
    """

    name: ClassVar[str]
    cells: ClassVar[str]
    """Name of the population of cells, and of their table."""
    rates: ClassVar[tuple[str, str]]
    """Names of the measured rates of cells and axons."""
    static: ClassVar[tuple[str, ...]] = ("x", "y", "z")
    """Traces that never change."""

    def __init__(
        self,
        parameters_at: Callable[[float], Any],
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
        if abs(NOISE_STEP / p.time_step - round(NOISE_STEP / p.time_step)) > 1e-6 or p.time_step > NOISE_STEP:
            raise SpecificationError(f"system.time_step is {p.time_step:g} s: it must divide 1 ms into whole steps")
        self.anatomy = self.grow(p, seed)
        self._tables = self.anatomy.tables
        n_cells, n_slots = self._tables[0].shape
        self._credit, self._usage = np.zeros((n_cells, n_slots)), np.zeros((n_cells, n_slots))
        self._eligibility = np.zeros((n_cells, n_slots))
        self._calcium = np.zeros((n_cells, 1))
        self._sampled = 0
        stages = [parameters_at(clock.age(k)) for k in range(clock.n_steps + 1)]
        fibre = max(self._most_spikes(stage) for stage in stages)
        pulses = max(max(rate for _, rate in getattr(s, f"stimulate_{self.cells}").points) for s in stages)
        # Room for four times the mean number of spikes, and never less than a few bursts per input.
        room = n_cells * (n_slots * max(20.0, 4 * fibre * activity) + max(20.0, 4 * pulses * activity))
        capacity = 2 ** math.ceil(math.log2(room))  # so that most perturbations share a binary
        baked = {
            "n_cells": n_cells,
            "n_inputs": n_slots + 1,  # the last one is the stimulating electrode
            "duration": activity,
            "capacity": capacity,
            "dt": p.time_step,
        }
        self.engine = make_engine(partial(driven_cells, **baked), baked, engine, say)
        self.capacity = capacity

    @staticmethod
    @abstractmethod
    def grow(p: Any, seed: int) -> Anatomy:
        """Return the anatomy before anything is pruned."""

    def calcium_per_spike(self, p: Any) -> float:
        """Return how much calcium a spike of the cell lets in, relative to control."""
        return 1.0

    @property
    def provides(self) -> frozenset[str]:
        """Traces that the tables carry once activity was sampled."""
        return frozenset({"eligibility", "usage", "timing", "dendritic", "calcium", *self.static})

    @property
    def compile_seconds(self) -> float:
        """Wall time spent on compiling the spiking model."""
        return self.engine.compile_seconds

    def _most_spikes(self, p: Any) -> float:
        """Return the mean spikes per second of the most active axon at any age."""
        extra = max(max(r for _, r in getattr(p, f"stimulate_{name}").points) for name in self.anatomy.populations)
        return (max(rate for _, rate in p.burst_rate.points) + extra) * p.spikes_per_burst

    def tables(self) -> Tables:
        """Return the afferent table of the cells."""
        return self._tables

    def sample(self, now: Now) -> Activity:
        """Simulate spiking at this age and return credit, usage and calcium."""
        p = self.parameters_at(now.age)
        table = self._tables[0]
        n_cells, n_slots = table.shape
        index, time, n_fibre_spikes = self._input_spikes(p, now, table)
        outputs = self.engine.run(
            self._inputs(p, now.age, table),
            seed=derive_seed(self.activity_seed, "noise", now.step) % 2**32,
            spikes=(index, time),
        )
        spikes = outputs.spikes["cells"]
        fired = np.bincount(spikes.index, minlength=n_cells) / self.activity
        usage = np.bincount(index, minlength=n_cells * (n_slots + 1)).reshape(n_cells, -1)[:, :-1] / self.activity
        credit = outputs.arrays["credit"].reshape(n_cells, -1)[:, :-1] / self.activity
        entering = self.calcium_per_spike(p)
        earned = np.where(table.alive, entering * credit + p.unselective_credit * usage, 0.0)
        # Activity is sampled for seconds in every step of hours: credit and calcium are remembered over days.
        keep = math.exp(-now.dt / p.eligibility_memory) if self._sampled else 0.0

        def remember(past: np.ndarray, present: np.ndarray) -> np.ndarray:
            return np.where(table.alive, keep * past + (1 - keep) * present, 0.0)

        self._eligibility = remember(self._eligibility, earned)
        self._credit, self._usage = remember(self._credit, credit), remember(self._usage, usage)
        self._calcium = keep * self._calcium + (1 - keep) * entering * fired[:, None]
        self._sampled += 1
        traces = {
            "eligibility": self._eligibility,
            "usage": usage,
            "timing": np.divide(self._credit, self._usage, out=np.zeros_like(usage), where=self._usage > 0),
            "calcium": self._calcium / (self._calcium + p.calcium_half.at(now.age)),
        }
        cell_rate, axon_rate = self.rates
        measures = {
            cell_rate: float(fired.mean()),
            axon_rate: n_fibre_spikes / self.anatomy.group.size / self.activity,
            "synchrony": self._synchrony(spikes.index, spikes.time, p.synchrony_reach),
        }
        return Activity([traces], measures, (spikes.index.astype(np.int64), spikes.time))

    def _synchrony(self, index: np.ndarray, time: np.ndarray, reach: float) -> float:
        """Return how correlated the spike counts of cells are within bands `reach` wide, weighted by their variance.

        Notes
        -----
        :math:`\\sum_{i \\ne j} \\mathrm{cov}_{ij} / ((n - 1) \\sum_i \\mathrm{var}_i)` over the n cells of a band,
        pooled over bands, in bins of 0.1 s: defined when most cells are silent, as young ones are.
        """
        x = np.asarray(self._tables[0]["x"])[:, 0]
        bins = max(2, round(self.activity / SYNCHRONY_BIN))
        counts = np.zeros((len(x), bins))
        np.add.at(counts, (index, np.minimum((time / self.activity * bins).astype(int), bins - 1)), 1.0)
        band = np.unique(np.floor(x / reach), return_inverse=True)[1]
        size = np.bincount(band)
        together = np.zeros((len(size), bins))
        np.add.at(together, band, counts)
        own = np.bincount(band, counts.var(axis=1))
        shared, possible = together.var(axis=1) - own, (size - 1) * own
        return float(shared.sum() / possible.sum()) if possible.sum() > 0 else math.nan

    def _input_spikes(self, p: Any, now: Now, table: Table) -> tuple[np.ndarray, np.ndarray, int]:
        """Return the spikes that arrive at living inputs and electrodes (input, time), and how many axons fired."""
        n_cells, n_slots = table.shape
        axon, time = self._axon_spikes(p, now)
        post, slot = np.nonzero(table.alive)
        source = np.asarray(table.source)[post, slot]
        order = np.argsort(source, kind="stable")
        first, last = np.searchsorted(source[order], axon), np.searchsorted(source[order], axon, side="right")
        counts = last - first
        spike = np.repeat(np.arange(len(axon)), counts)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        target = order[first[spike] + within]
        index, at = (post * (n_slots + 1) + slot)[target], time[spike]
        rate = getattr(p, f"stimulate_{self.cells}").at(now.age)
        if rate > 0 and not getattr(p, f"silence_{self.cells}"):
            cell, pulse = self._pulses(rate, n_cells, p, now)
            index, at = np.concatenate([index, cell * (n_slots + 1) + n_slots]), np.concatenate([at, pulse])
            order = np.lexsort((index, at))
            index, at = index[order], at[order]
        if len(index) > self.capacity:
            raise SpecificationError(
                f"{len(index)} input spikes in {self.activity:g} s at P{now.age:g} exceed the room for "
                f"{self.capacity}: lower burst_rate or the rate of stimulation"
            )
        return index, at, len(axon)

    def _axon_spikes(self, p: Any, now: Now) -> tuple[np.ndarray, np.ndarray]:
        bursts = Bursts(
            rate=p.burst_rate.at(now.age),
            correlation=p.burst_correlation.at(now.age),
            jitter=p.burst_jitter,
            spikes_per_burst=p.spikes_per_burst,
            intraburst_rate=p.intraburst_rate.at(now.age),
            dt=p.time_step,
            pattern=p.activity_pattern,
        )
        n = self.anatomy.group.size
        active, extra = np.ones(n, bool), np.zeros(n)
        for name, members in self.anatomy.populations.items():
            active[members] &= not getattr(p, f"silence_{name}")
            extra[members] += getattr(p, f"stimulate_{name}").at(now.age)
        return bursts.draw(
            self.anatomy.group,
            p.axon_latency_sd * self.anatomy.latency,
            self.activity,
            derive_seed(self.activity_seed, "afferents", now.step),
            active=active,
            extra=extra,
        )

    def _pulses(self, rate: float, n_cells: int, p: Any, now: Now) -> tuple[np.ndarray, np.ndarray]:
        """Return the times at which electrodes fire each cell, Poisson and apart by more than a step."""
        electrodes = Bursts(rate, 0.0, 0.0, 1.0, 1.0, dt=p.time_step)
        seed = derive_seed(self.activity_seed, "electrodes", now.step)
        return electrodes.draw(np.arange(n_cells), np.zeros(n_cells), self.activity, seed)

    def _inputs(self, p: Any, age: float, table: Table) -> dict[str, np.ndarray]:
        n_cells = table.shape[0]
        capacitance, resistance = p.membrane_capacitance.at(age), p.input_resistance.at(age)
        silent = getattr(p, f"silence_{self.cells}")
        cell = {
            "v": p.resting_potential,
            "capacitance": capacitance,
            "resistance": resistance,
            "v_rest": p.resting_potential,
            # The reversal potential of the synapses is 0 mV: a threshold beyond it is never reached.
            "v_threshold": max(p.threshold, KICK) if silent else p.threshold,
            "v_reset": p.reset,
            "tau_epsc": p.epsc_decay,
            "noise_sd": noise_current(p.membrane_noise, resistance, capacitance),
        }
        synapses = np.where(table.alive, p.synaptic_conductance * np.asarray(table.weight), 0.0)
        w = np.concatenate([synapses, np.zeros((n_cells, 1))], axis=1)
        kick = np.zeros_like(w)
        kick[:, -1] = KICK
        return {
            **{name: np.full(n_cells, value) for name, value in cell.items()},
            "w": w.ravel(),
            "kick": kick.ravel(),
            "tau_eligibility": np.full(w.size, p.eligibility_decay),
        }

    def apply(self, tables: Tables) -> None:
        """Take over what was decided; dead inputs get no spikes and no synapses from the next sample on."""
        table = tables[0]
        traces = {k: table[k] for k in ("dendritic", *self.static)}
        self._tables = Tables([Table(table.name, table.ids, table.alive, table.weight, table.source, traces)])

    def measures(self, tables: Tables) -> dict[str, float]:
        """Return the statistics of innervation."""
        return innervation(tables[0], self.anatomy.group.size)

    def state(self) -> dict[str, np.ndarray]:
        """Return tables, remembered credit and calcium."""
        table = self._tables[0]
        return {
            "alive": np.asarray(table.alive).astype(np.int8),
            "weight": np.asarray(table.weight),
            "dendritic": np.asarray(table["dendritic"]),
            "eligibility": self._eligibility,
            "credit": self._credit,
            "usage": self._usage,
            "calcium_entry": self._calcium,
            "sampled": np.asarray([self._sampled]),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state; the anatomy follows from the seed."""
        start = self.anatomy.tables[0]
        traces = {**start.traces, "dendritic": state["dendritic"]}
        alive = state["alive"].astype(bool)
        self._tables = Tables([Table(start.name, start.ids, alive, state["weight"], start.source, traces)])
        self._eligibility, self._calcium = state["eligibility"], state["calcium_entry"]
        self._credit, self._usage = state["credit"], state["usage"]
        self._sampled = int(state["sampled"][0])

    def provenance(self) -> dict[str, Any]:
        """Return the engine and versions that spike trains depend on."""
        return {
            **engine_provenance(self.engine),
            "activity_seed": self.activity_seed,
            "activity_seconds": self.activity,
        }
