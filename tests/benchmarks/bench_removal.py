"""What 90 % dead synapses cost: masked against removed, in one plastic network of 10^6 synapses.

A balanced network of 4000 current-based leaky integrate-and-fire cells (the CUBA benchmark of Brette et al. 2007)
with pair STDP on 10^6 excitatory-to-excitatory synapses is built twice. In one copy dead synapses are masked
(weight zero, plasticity gated by a flag), in the other `remove_synapses` takes them out. The two copies take turns,
second by second, in one process; they must fire the same spikes. Times are CPU seconds per simulated second, of
whole calls of ``run``, medians over the turns.

Run it with ``python tests/benchmarks/bench_removal.py [--json]``; it needs a C++ compiler.
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
from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, mV, ms, prefs, second

from neuroprune.spiking.removal import remove_synapses

N_CELLS, N_EXCITATORY = 4000, 3200
N_PLASTIC = 1_000_000
P_STATIC = 0.02
REMOVED = 0.9

EXCITATORY_WEIGHT = 1.62 * P_STATIC * N_EXCITATORY**2 / N_PLASTIC  # mV, keeps the summed excitation of CUBA
CONSTANTS = {
    "static_weight": 1.62 * mV,
    "inhibitory_weight": -9 * mV,
    "largest_weight": 20 * EXCITATORY_WEIGHT * mV,
    "potentiation": 0.002 * EXCITATORY_WEIGHT * mV,
    "depression": -0.0021 * EXCITATORY_WEIGHT * mV,
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
        cells = NeuronGroup(
            N_CELLS,
            CELL,
            threshold="v > -50*mV",
            reset="v = -60*mV",
            refractory=5 * ms,
            method="exact",
            name="cells",
        )
        cells.v = rng.uniform(-60, -50, N_CELLS) * mV
        gate = " * alive" if masked else ""
        common: dict[str, Any] = {"delay": 1 * ms, "namespace": CONSTANTS}
        self.plastic = Synapses(
            cells[:N_EXCITATORY],
            cells[:N_EXCITATORY],
            STDP + ("alive : 1" if masked else ""),
            on_pre=f"""excitation_post += weight
                       pre_trace += potentiation
                       weight = clip(weight + post_trace, 0*mV, largest_weight){gate}""",
            on_post=f"""post_trace += depression
                        weight = clip(weight + pre_trace, 0*mV, largest_weight){gate}""",
            delay={"pre": common["delay"]},
            namespace=CONSTANTS,
            name="masked" if masked else "removed",
        )
        pairs = rng.choice(N_EXCITATORY**2, N_PLASTIC, replace=False)
        self.plastic.connect(i=pairs // N_EXCITATORY, j=pairs % N_EXCITATORY)
        self.plastic.weight = EXCITATORY_WEIGHT * mV
        if masked:
            self.plastic.alive = 1
        excite = Synapses(cells, cells, on_pre="excitation_post += static_weight", name="excite", **common)
        inhibit = Synapses(cells, cells, on_pre="inhibition_post += inhibitory_weight", name="inhibit", **common)
        linked = rng.random((N_CELLS, N_CELLS)) < P_STATIC
        linked[:N_EXCITATORY, :N_EXCITATORY] = False
        pre, post = np.nonzero(linked)
        excitatory = pre < N_EXCITATORY
        excite.connect(i=pre[excitatory], j=post[excitatory])
        inhibit.connect(i=pre[~excitatory], j=post[~excitatory])
        self.spikes = SpikeMonitor(cells, name="spikes")
        self.network = Network(cells, self.plastic, excite, inhibit, self.spikes)

    def seconds(self, duration: Any) -> float:
        """CPU seconds of one call of ``run``."""
        start = time.process_time()
        self.network.run(duration, namespace={})
        return time.process_time() - start


def measure(turns: int) -> dict[str, Any]:
    """Run both copies before and after 90 % of the plastic synapses have died.

    Parameters
    ----------
    turns : int
        Simulated seconds after the removal.

    Returns
    -------
    dict
        Times in CPU seconds per simulated second, their ratio, spikes after the removal, versions.

    Raises
    ------
    SystemExit
        If the two copies differ in a spike or in a surviving weight.
    """
    masked, removed = Copy(masked=True), Copy(masked=False)
    for copy in (masked, removed):
        copy.seconds(0.1 * second)  # compiles
    intact = {"masked": masked.seconds(1 * second), "removed": removed.seconds(1 * second)}
    n_before = masked.spikes.num_spikes

    keep = np.random.default_rng(2).random(N_PLASTIC) >= REMOVED
    masked.plastic.alive = keep
    masked.plastic.weight_ = masked.plastic.weight_[:] * keep / (1 - REMOVED)
    remove_synapses(removed.plastic, np.ones(N_PLASTIC, dtype=bool))
    start = time.process_time()
    n_removed = remove_synapses(removed.plastic, keep)
    removal = time.process_time() - start
    removed.plastic.weight_ = removed.plastic.weight_[:] / (1 - REMOVED)

    pruned: dict[str, list[float]] = {"masked": [], "removed": []}
    for _ in range(turns):
        pruned["masked"].append(masked.seconds(1 * second))
        pruned["removed"].append(removed.seconds(1 * second))

    spikes = [np.stack([copy.spikes.i[:], copy.spikes.t_[:]]) for copy in (masked, removed)]
    if not np.array_equal(*spikes):
        raise SystemExit("the masked and the removed network fired different spikes")
    if not np.array_equal(masked.plastic.weight_[:][keep], removed.plastic.weight_[:]):
        raise SystemExit("the masked and the removed network learned different weights")
    medians = {name: statistics.median(times) for name, times in pruned.items()}
    return {
        "plastic_synapses": N_PLASTIC,
        "removed_synapses": n_removed,
        "removal_cpu_s": removal,
        "cpu_s_per_s_intact": intact,
        "cpu_s_per_s_pruned": medians,
        "masked_over_removed": medians["masked"] / medians["removed"],
        "simulated_s_pruned": turns,
        "spikes_pruned": int(masked.spikes.num_spikes - n_before),
        "spikes_equal": True,
        "brian2": brian2.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def main(argv: list[str] | None = None) -> None:
    """Measure, then print a table or, with ``--json``, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of the table")
    parser.add_argument("--turns", type=int, default=3, help="simulated seconds after the removal (default 3)")
    arguments = parser.parse_args(argv)
    prefs.codegen.target = "cython"
    result = measure(arguments.turns)
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{'CPU s per simulated s':<24}{'masked':>9}{'removed':>9}{'ratio':>8}")
    for label, key in (("no synapse dead", "cpu_s_per_s_intact"), ("90 % dead", "cpu_s_per_s_pruned")):
        masked, removed = result[key]["masked"], result[key]["removed"]
        print(f"{label:<24}{masked:>9.2f}{removed:>9.2f}{masked / removed:>8.2f}")
    print(
        f"removing {result['removed_synapses']} of {N_PLASTIC} synapses took {result['removal_cpu_s']:.3f} CPU s; "
        f"{result['spikes_pruned']} spikes afterwards, the same in both (Brian2 {result['brian2']})"
    )


if __name__ == "__main__":
    main()
