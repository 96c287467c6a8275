"""The young cerebellum: climbing fibres that innervate Purkinje cells, P3 to P21.

The model is described in ``models/cerebellum/MODEL.md``; its parameters, with sources, are in ``model.toml``.
"""

import math

import numpy as np
from pydantic import Field

from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import derive_seed
from neuroprune.core.tables import Table, Tables
from neuroprune.core.units import Metres, by_age
from neuroprune.spiking import bursting
from neuroprune.spiking.anatomy import Anatomy, draw_sources, draw_synapses, sheet, truncated_poisson


class Parameters(bursting.Parameters):
    """Parameters of the cerebellum; see ``models/cerebellum/model.toml`` for values, units and sources."""

    at_start = bursting.Parameters.at_start | {
        "purkinje_cells",
        "cells_per_axon",
        "fibres_mean",
        "fibres_min",
        "fibres_max",
        "cell_spacing",
        "strip_rows",
        "axon_reach",
        "microband_width",
    }

    purkinje_cells: int = Field(gt=0, le=100_000)
    cells_per_axon: float = Field(gt=0)
    fibres_mean: float = Field(ge=1)
    fibres_min: int = Field(ge=1)
    fibres_max: int = Field(ge=1, le=64)
    cell_spacing: Metres = Field(gt=0)
    strip_rows: int = Field(gt=0)
    axon_reach: Metres = Field(gt=0)
    microband_width: Metres = Field(gt=0)
    pq_channels: float = Field(ge=0)

    stimulate_purkinje_cells: by_age("Hz") = Field(default=bursting.NEVER, ge=0)  # type: ignore[valid-type]
    silence_purkinje_cells: bool = False
    stimulate_climbing_fibres: by_age("Hz") = Field(default=bursting.NEVER, ge=0)  # type: ignore[valid-type]
    silence_climbing_fibres: bool = False


class Cerebellum(bursting.BurstingAfferents):
    """Climbing fibres on Purkinje cells; see :class:`neuroprune.spiking.bursting.BurstingAfferents`."""

    name = "cerebellum"
    cells = "purkinje_cells"
    rates = ("purkinje_rate", "climbing_fibre_rate")

    @staticmethod
    def grow(p: Parameters, seed: int) -> Anatomy:
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
        place, size = sheet(n, p.strip_rows, p.cell_spacing)
        n_axons = max(2 * slots, math.ceil(n / p.cells_per_axon))
        axon = rng.uniform(0, 1, (n_axons, 2)) * size
        counts = truncated_poisson(p.fibres_mean, p.fibres_min, p.fibres_max, n, rng)
        source = draw_sources(place, axon, p.axon_reach, slots, rng)
        alive = np.arange(slots)[None] < counts[:, None]
        ids, weight = draw_synapses(alive, seed)
        x, y = place[:, :1], place[:, 1:]
        traces = {"dendritic": np.zeros_like(weight), "x": x, "y": y, "z": np.zeros_like(x)}
        return Anatomy(
            tables=Tables([Table(Cerebellum.cells, ids, alive, weight, source, traces)]),
            group=np.floor(axon[:, 0] / p.microband_width).astype(int),
            latency=rng.standard_normal(n_axons),
            populations={"climbing_fibres": np.ones(n_axons, bool)},
        )

    def calcium_per_spike(self, p: Parameters) -> float:
        """Return the P/Q-type calcium entry of a spike, relative to control."""
        return p.pq_channels

    def measures(self, tables: Tables) -> dict[str, float]:
        """Return the statistics of innervation, under the names that the field uses."""
        own = {
            "inputs_per_cell": "climbing_fibres_per_cell",
            "inputs_on_dendrite_per_cell": "fibres_on_dendrite_per_cell",
        }
        return {own.get(name, name): value for name, value in super().measures(tables).items()}


build = Cerebellum
"""What an experiment calls to make this system in its state at the start of the clock."""
