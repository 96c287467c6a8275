"""The Brian2 model of young Purkinje cells driven by climbing fibres; nothing about development is in here.

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
tau_eligibility : second (constant)
credit : 1
drecent/dt = -recent/tau_eligibility : 1 (event-driven)
"""
ON_PRE = """
g_post += w
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


def purkinje_model(n_cells: int, n_slots: int, duration: float, capacity: int, dt: float = 1e-4) -> Model:
    """Make the model, for :func:`neuroprune.spiking.standalone.build`.

    Parameters
    ----------
    n_cells, n_slots : int
        Purkinje cells, and input slots of each. Input k belongs to cell ``k // n_slots``.
    duration : float
        Simulated time of a run in seconds.
    capacity : int
        Climbing-fibre spikes that a run has room for.
    dt : float
        Time step in seconds.
    """
    import numpy as np
    from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, ms, second

    n_inputs = n_cells * n_slots
    step = dt * second
    fibres = spike_input(n_inputs, capacity, duration=duration, dt=dt, name="climbing_fibres")
    cells = NeuronGroup(
        n_cells,
        EQUATIONS,
        threshold="v > v_threshold",
        reset="v = v_reset",
        refractory=2 * ms,  # pyright: ignore[reportArgumentType]
        method="euler",
        dt=step,
        namespace={},
        name="purkinje_cells",
    )
    redraw = cells.run_regularly(NOISE, dt=NOISE_STEP * second, when="start", name="purkinje_noise")
    inputs = Synapses(fibres, cells, SYNAPSES, on_pre=ON_PRE, on_post=ON_POST, dt=step, namespace={}, name="inputs")
    inputs.connect(i=np.arange(n_inputs), j=np.arange(n_inputs) // n_slots)
    monitor = SpikeMonitor(cells, name="purkinje_spikes")
    return Model(
        network=Network(fibres, cells, redraw, inputs, monitor),
        duration=duration,
        inputs={
            **{name: (cells, name) for name in CELL_INPUTS},
            "w": (inputs, "w"),
            "tau_eligibility": (inputs, "tau_eligibility"),
        },
        outputs={"credit": (inputs, "credit")},
        spikes={"purkinje": monitor},
        generator=fibres,
        namespace={},
    )
