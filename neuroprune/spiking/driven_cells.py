"""The Brian2 model of young cells driven by bursting afferents; nothing about development is in here.

Every physiological parameter is an input of a run, so one compiled binary serves all ages and all conditions.
"""

import math

from neuroprune.spiking.standalone import Model, spike_input

EQUATIONS = """
dv/dt = ((v_rest - v)/resistance + g*(0*mV - v) + noise)/capacitance : volt (unless refractory)
dg/dt = -g/tau_epsc : siemens
noise : amp
capacitance : farad (constant)
resistance : ohm (constant)
v_rest : volt (constant)
v_threshold : volt (constant)
v_reset : volt (constant)
tau_epsc : second (constant)
noise_sd : amp (constant)
"""
"""Conductance-based leaky integrate-and-fire cell with a noise current."""

NOISE = "noise = noise_sd*randn()"
NOISE_STEP = 1e-3
"""Seconds between two draws of the noise: a draw per cell and 0.1 ms step would cost most of the run."""


def noise_current(membrane_sd: float, resistance: float, capacitance: float) -> float:
    r"""Return the SD of the noise current that gives the membrane potential the SD asked for.

    Notes
    -----
    A current that is redrawn every :math:`h` and held gives a leaky membrane with time constant :math:`\tau = RC`
    the variance :math:`R^2 \sigma_I^2 \tanh(h / 2\tau)`.
    """
    return membrane_sd / (resistance * math.sqrt(math.tanh(NOISE_STEP / (2 * resistance * capacitance))))


SYNAPSES = """
w : siemens
kick : volt (constant)
tau_eligibility : second (constant)
credit : 1
drecent/dt = -recent/tau_eligibility : 1 (event-driven)
"""
ON_PRE = """
g_post += w
v_post += kick
recent += 1
"""
ON_POST = "credit += recent"
"""At a spike of the cell each input is credited with how recently it fired: the input closest in time to the
output gains most (Kawamura et al. 2013)."""

CELL_INPUTS = (
    "v",
    "capacitance",
    "resistance",
    "v_rest",
    "v_threshold",
    "v_reset",
    "tau_epsc",
    "noise_sd",
)


def driven_cells(n_cells: int, n_inputs: int, duration: float, capacity: int, dt: float) -> Model:
    """Make the model, for :func:`neuroprune.spiking.standalone.build`.

    Parameters
    ----------
    n_cells, n_inputs : int
        Cells, and inputs of each. Input k belongs to cell ``k // n_inputs``.
    duration : float
        Simulated time of a run in seconds.
    capacity : int
        Input spikes that a run has room for.
    dt : float
        Time step in seconds; it must divide the millisecond after which noise is drawn anew.
    """
    import numpy as np
    from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, ms, second

    total = n_cells * n_inputs
    step = dt * second
    afferents = spike_input(total, capacity, duration=duration, dt=dt, name="afferents")
    cells = NeuronGroup(
        n_cells,
        EQUATIONS,
        threshold="v > v_threshold",
        reset="v = v_reset",
        refractory=2 * ms,  # pyright: ignore[reportArgumentType]
        method="euler",
        dt=step,
        namespace={},
        name="cells",
    )
    redraw = cells.run_regularly(NOISE, dt=NOISE_STEP * second, when="start", name="cell_noise")
    inputs = Synapses(afferents, cells, SYNAPSES, on_pre=ON_PRE, on_post=ON_POST, dt=step, namespace={}, name="inputs")
    inputs.connect(i=np.arange(total), j=np.arange(total) // n_inputs)
    monitor = SpikeMonitor(cells, name="cell_spikes")
    return Model(
        network=Network(afferents, cells, redraw, inputs, monitor),
        duration=duration,
        inputs={
            **{name: (cells, name) for name in CELL_INPUTS},
            **{name: (inputs, name) for name in ("w", "kick", "tau_eligibility")},
        },
        outputs={"credit": (inputs, "credit")},
        spikes={"cells": monitor},
        generator=afferents,
        namespace={},
    )
