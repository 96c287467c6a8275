"""What dead synapses cost: masked against removed, in one plastic network of 10^6 synapses.

A balanced network of 4000 current-based leaky integrate-and-fire cells (CUBA of Brette et al. 2007) with pair
STDP on 10^6 excitatory-to-excitatory synapses is built twice. In one copy dead synapses are masked (weight
zero, plasticity gated by a flag), from the other `remove_synapses` takes them out. The copies take turns,
second by second, in one process, and have to fire the same spikes. Times are CPU seconds per simulated
second, of whole calls of ``run`` and with the spikes recorded; medians over the turns. Survivors get stronger
so that the cells go on firing.

Run it with ``python tests/benchmarks/bench_removal.py [--json]``. It needs a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from typing import Any

import brian2
import numpy as np
from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, ms, mV, prefs, second

from neuroprune.spiking import remove_synapses

N_CELLS, N_EXCITATORY = 4000, 3200
N_PLASTIC = 1_000_000
P_STATIC = 0.02
DEAD_FRACTIONS = (0.0, 0.5, 0.9)

WEIGHT = 1.62 * P_STATIC * N_EXCITATORY**2 / N_PLASTIC  # in mV: as much excitation per cell as in CUBA
CONSTANTS = {
    "static_weight": 1.62 * mV,
    "inhibitory_weight": -9 * mV,
    "largest_weight": 20 * WEIGHT * mV,
    "potentiation": 0.002 * WEIGHT * mV,
    "depression": -0.0021 * WEIGHT * mV,
}
CELL = """
    dv/dt = (excitation + inhibition - (v + 49*mV)) / (20*ms) : volt (unless refractory)
    dexcitation/dt = -excitation / (5*ms) : volt
    dinhibition/dt = -inhibition / (10*ms) : volt
"""
STDP = """
    weight : volt
    dpre_trace/dt = -pre_trace / (20*ms) : volt (event-driven)
    dpost_trace/dt = -post_trace / (20*ms) : volt (event-driven)
"""


class Copy:
    """The benchmark network, with or without the flag that masks synapses."""

    def __init__(self, *, masked: bool) -> None:
        rng = np.random.default_rng(1)
        self.masked = masked
        cells = NeuronGroup(
            N_CELLS,
            CELL,
            threshold="v > -50*mV",
            reset="v = -60*mV",
            refractory=5 * ms,  # pyright: ignore[reportArgumentType]  (Brian2's default is a bool)
            method="exact",
            name="cells",
        )
        cells.v = rng.uniform(-60, -50, N_CELLS) * mV
        gate = " * alive" if masked else ""
        common: dict[str, Any] = {"delay": {"pre": 1 * ms}, "namespace": CONSTANTS}
        self.plastic = Synapses(
            cells[:N_EXCITATORY],
            cells[:N_EXCITATORY],
            STDP + ("alive : 1" if masked else ""),
            on_pre=f"""excitation_post += weight
                       pre_trace += potentiation
                       weight = clip(weight + post_trace, 0*mV, largest_weight){gate}""",
            on_post=f"""post_trace += depression
                        weight = clip(weight + pre_trace, 0*mV, largest_weight){gate}""",
            name="masked" if masked else "removed",
            **common,
        )
        pairs = rng.choice(N_EXCITATORY**2, N_PLASTIC, replace=False)
        self.plastic.connect(i=pairs // N_EXCITATORY, j=pairs % N_EXCITATORY)
        self.plastic.weight = WEIGHT * mV
        if masked:
            self.plastic.alive = 1
        excite = Synapses(cells, cells, on_pre="excitation_post += static_weight", **common)
        inhibit = Synapses(cells, cells, on_pre="inhibition_post += inhibitory_weight", **common)
        connected = rng.random((N_CELLS, N_CELLS)) < P_STATIC
        connected[:N_EXCITATORY, :N_EXCITATORY] = False
        pre, post = np.nonzero(connected)
        excitatory = pre < N_EXCITATORY
        excite.connect(i=pre[excitatory], j=post[excitatory])
        inhibit.connect(i=pre[~excitatory], j=post[~excitatory])
        self.spikes = SpikeMonitor(cells)
        self.network = Network(cells, self.plastic, excite, inhibit, self.spikes)

    def run(self, duration: Any) -> float:
        """CPU seconds of one call of ``run``."""
        start = time.process_time()
        self.network.run(duration, namespace={})
        return time.process_time() - start

    def prune(self, alive: np.ndarray, keep: np.ndarray, scale: float) -> float:
        """Let synapses die; CPU seconds of that.

        Parameters
        ----------
        alive : array of bool, shape (N_PLASTIC,)
            For every synapse there ever was.
        keep : array of bool, shape (number of synapses alive before,)
            The same, for those that were alive before.
        scale : float
            Multiplies the survivors' weights.
        """
        start = time.process_time()
        if self.masked:
            self.plastic.alive = alive
            self.plastic.weight_ = self.plastic.weight_[:] * alive
        else:
            remove_synapses(self.plastic, keep)
        elapsed = time.process_time() - start
        self.plastic.weight_ = self.plastic.weight_[:] * scale
        return elapsed


def measure(turns: int) -> dict[str, Any]:
    """Run both copies with more and more synapses dead.

    Parameters
    ----------
    turns : int
        Simulated seconds for each fraction of dead synapses.

    Returns
    -------
    dict
        Versions and, for each fraction: CPU seconds per simulated second of both copies, their ratio, CPU
        seconds of the pruning itself (the first removal includes the self-test), spikes.

    Raises
    ------
    SystemExit
        If the two copies differ in a spike or in a surviving weight.
    """
    copies = {"masked": Copy(masked=True), "removed": Copy(masked=False)}
    for copy in copies.values():
        copy.run(0.1 * second)  # compiles

    draws = np.random.default_rng(2).random(N_PLASTIC)
    alive = np.ones(N_PLASTIC, dtype=bool)
    stages = []
    for fraction in DEAD_FRACTIONS:
        survivors = draws >= fraction
        keep = survivors[alive]
        scale = alive.sum() / survivors.sum()
        pruning = {name: copy.prune(survivors, keep, scale) for name, copy in copies.items()}
        alive = survivors
        before = copies["masked"].spikes.num_spikes
        times: dict[str, list[float]] = {name: [] for name in copies}
        for _ in range(turns):
            for name, copy in copies.items():
                times[name].append(copy.run(1 * second))
        medians = {name: statistics.median(values) for name, values in times.items()}
        stages.append(
            {
                "dead_fraction": fraction,
                "cpu_s_per_s": medians,
                "masked_over_removed": medians["masked"] / medians["removed"],
                "pruning_cpu_s": pruning,
                "spikes": int(copies["masked"].spikes.num_spikes - before),
            }
        )

    masked, removed = copies["masked"], copies["removed"]
    for recorded in ("i", "t_"):
        if not np.array_equal(getattr(masked.spikes, recorded)[:], getattr(removed.spikes, recorded)[:]):
            raise SystemExit("the masked and the removed network fired different spikes")
    if not np.array_equal(masked.plastic.weight_[:][alive], removed.plastic.weight_[:]):
        raise SystemExit("the masked and the removed network learned different weights")
    return {
        "plastic_synapses": N_PLASTIC,
        "turns": turns,
        "stages": stages,
        "spikes_equal": True,
        "brian2": brian2.__version__,
        "python": platform.python_version(),
    }


def main(argv: list[str] | None = None) -> None:
    """Measure, then print a table or, with ``--json``, one line of JSON."""
    parser = argparse.ArgumentParser(description="masked against removed synapses")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    parser.add_argument("--turns", type=int, default=3, help="simulated seconds per stage (default 3)")
    arguments = parser.parse_args(argv)
    prefs.codegen.target = "cython"
    result = measure(arguments.turns)
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"Brian2 {result['brian2']}, {N_PLASTIC} plastic synapses; CPU s per simulated s")
    print(f"{'dead':>6}{'masked':>9}{'removed':>9}{'ratio':>7}{'removal (CPU s)':>17}{'spikes (equal)':>16}")
    for stage in result["stages"]:
        seconds = stage["cpu_s_per_s"]
        print(
            f"{stage['dead_fraction']:>6.0%}{seconds['masked']:>9.2f}{seconds['removed']:>9.2f}"
            f"{stage['masked_over_removed']:>7.2f}{stage['pruning_cpu_s']['removed']:>17.3f}{stage['spikes']:>16}"
        )


if __name__ == "__main__":
    main()
