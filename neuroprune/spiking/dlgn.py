"""The young dLGN: retinal ganglion cells of both eyes that innervate relay cells, P4 to P10.

The model is described in ``models/dlgn/MODEL.md``; its parameters, with sources, are in ``model.toml``.
"""

import math
from typing import ClassVar

import numpy as np
from pydantic import Field

from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import derive_seed
from neuroprune.core.tables import Table, Tables
from neuroprune.core.units import Metres, by_age
from neuroprune.spiking import bursting
from neuroprune.spiking.anatomy import Anatomy, draw_sources, draw_synapses, sheet, truncated_poisson

LEFT, RIGHT = 0.0, 1.0
"""Values of the trace ``eye``."""


class Parameters(bursting.Parameters):
    """Parameters of the dLGN; see ``models/dlgn/model.toml`` for values, units and sources."""

    at_start: ClassVar[frozenset[str]] = bursting.Parameters.at_start | {
        "relay_cells",
        "axons_per_cell",
        "inputs_mean",
        "inputs_min",
        "inputs_max",
        "cell_spacing",
        "strip_rows",
        "axon_reach",
        "wave_width",
    }

    relay_cells: int = Field(gt=0, le=100_000)
    axons_per_cell: float = Field(gt=0)
    inputs_mean: float = Field(ge=2)
    inputs_min: int = Field(ge=2)
    inputs_max: int = Field(ge=2, le=64)
    cell_spacing: Metres = Field(gt=0)
    strip_rows: int = Field(gt=0)
    axon_reach: Metres = Field(gt=0)
    wave_width: Metres = Field(gt=0)

    stimulate_relay_cells: by_age("Hz") = Field(default=bursting.NEVER, ge=0)  # type: ignore[valid-type]
    silence_relay_cells: bool = False
    stimulate_left_eye: by_age("Hz") = Field(default=bursting.NEVER, ge=0)  # type: ignore[valid-type]
    silence_left_eye: bool = False
    stimulate_right_eye: by_age("Hz") = Field(default=bursting.NEVER, ge=0)  # type: ignore[valid-type]
    silence_right_eye: bool = False


class DLGN(bursting.BurstingAfferents):
    """Axons of both eyes on relay cells; see :class:`neuroprune.spiking.bursting.BurstingAfferents`.

    Notes
    -----
    The trace ``eye`` tells, input by input, which eye it comes from: 0 the left, 1 the right.
    """

    name = "dlgn"
    cells = "relay_cells"
    rates = ("relay_rate", "ganglion_rate")
    static = ("x", "y", "z", "eye")

    @staticmethod
    def grow(p: Parameters, seed: int) -> Anatomy:
        """Place relay cells on a strip where both eyes project, and connect each with axons of both.

        Notes
        -----
        The number of inputs of a cell is Poisson, truncated to `inputs_min` .. `inputs_max`; half are of either eye,
        and the odd one of an eye drawn at random. The axons of an eye are spread evenly at random over the strip,
        `axons_per_cell` for every cell. They burst together with those of the same eye whose places lie in the same
        band, `wave_width` wide, along x. The synapses of each pair are drawn from counts of climbing
        fibres at P3 (Wilson et al. 2019), for want of such counts here.
        """
        if p.inputs_min > p.inputs_max:
            raise SpecificationError(
                f"system.inputs_min is {p.inputs_min}: it must not exceed inputs_max, {p.inputs_max}"
            )
        rng = np.random.default_rng(derive_seed(seed, "anatomy"))
        n, slots = p.relay_cells, p.inputs_max
        per_eye = -(-slots // 2)
        place, size = sheet(n, p.strip_rows, p.cell_spacing)
        n_axons = max(2 * per_eye, math.ceil(n * p.axons_per_cell))
        axon = rng.uniform(0, 1, (2, n_axons, 2)) * size
        counts = truncated_poisson(p.inputs_mean, p.inputs_min, p.inputs_max, n, rng)
        drawn = [k * n_axons + draw_sources(place, axon[k], p.axon_reach, per_eye, rng) for k in (0, 1)]
        # The eyes alternate over the slots of a cell; which comes first, and so has the odd input, is drawn.
        first = rng.integers(0, 2, (n, 1, 1))
        pairs = np.stack(drawn, axis=2)
        source = np.where(first == 0, pairs, pairs[:, :, ::-1]).reshape(n, 2 * per_eye)[:, :slots]
        alive = np.arange(slots)[None] < counts[:, None]
        ids, weight = draw_synapses(alive, seed)
        x, y = place[:, :1], place[:, 1:]
        is_right = np.arange(2 * n_axons) >= n_axons
        traces = {
            "dendritic": np.zeros_like(weight),
            "x": x,
            "y": y,
            "z": np.zeros_like(x),
            "eye": np.where(is_right[source], RIGHT, LEFT),
        }
        band = np.floor(axon[:, :, 0].ravel() / p.wave_width).astype(int)
        return Anatomy(
            tables=Tables([Table(DLGN.cells, ids, alive, weight, source, traces)]),
            group=2 * band + is_right,
            latency=rng.standard_normal(2 * n_axons),
            populations={"left_eye": ~is_right, "right_eye": is_right},
        )

    def measures(self, tables: Tables) -> dict[str, float]:
        """Return the statistics of innervation, with the share of living inputs that the left eye has."""
        # No input moves onto a dendrite here, as climbing fibres do.
        shared = {name: v for name, v in super().measures(tables).items() if "dendrit" not in name}
        left = np.asarray(tables[0]["eye"])[np.asarray(tables[0].alive)] == LEFT
        return {**shared, "left_eye_fraction": float(left.mean()) if left.size else math.nan}


build = DLGN
"""What an experiment calls to make this system in its state at the start of the clock."""
