"""Removed synapses are gone and nothing else has changed: masking them instead gives the same spikes."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brian2
import numpy as np
import pytest
from brian2 import (
    Network,
    NetworkOperation,
    NeuronGroup,
    SpikeGeneratorGroup,
    SpikeMonitor,
    StateMonitor,
    Synapses,
    defaultclock,
    linked_var,
    ms,
    prefs,
    second,
)
from brian2.core.base import BrianObjectException
from brian2.core.names import find_name
from brian2.devices.device import reset_device
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuroprune.core.errors import EngineError, SpecificationError
from neuroprune.spiking import removal
from neuroprune.spiking.removal import remove_synapses

BRIAN2_VERSION = tuple(int(part) for part in brian2.__version__.split(".")[:2])


@pytest.fixture(autouse=True)
def numpy_target() -> Iterator[None]:
    saved = prefs.codegen.target
    prefs.codegen.target = "numpy"
    yield
    prefs.codegen.target = saved


# --- the whole story: a plastic recurrent network, four removals, spikes in flight

N_CELLS = 60
STDP = """
    weight : 1
    alive : 1
    dpre_trace/dt = -pre_trace / (20*ms) : 1 (event-driven)
    dpost_trace/dt = -post_trace / (20*ms) : 1 (event-driven)
"""


class PlasticNetwork:
    """Leaky cells, a plastic synapse between any two with probability 0.3, a delay of its own for each."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.cells = NeuronGroup(
            N_CELLS,
            """dv/dt = (drive + g - v) / (10*ms) : 1
               dg/dt = -g / (5*ms) : 1
               drive : 1""",
            threshold="v > 1",
            reset="v = 0",
            method="exact",
            name="cells",
        )
        self.cells.drive = rng.uniform(0.8, 1.6, N_CELLS)
        self.cells.v = rng.uniform(0, 1, N_CELLS)
        self.synapses = Synapses(
            self.cells,
            self.cells,
            STDP,
            on_pre="""g_post += weight * alive
                      pre_trace += 0.01
                      weight = clip(weight + alive * post_trace, 0, 0.2)""",
            on_post="""post_trace -= 0.012
                       weight = clip(weight + alive * pre_trace, 0, 0.2)""",
            name="plastic",
        )
        pre, post = np.nonzero(rng.random((N_CELLS, N_CELLS)) < 0.3)
        self.synapses.connect(i=pre, j=post)
        self.synapses.weight = rng.uniform(0.02, 0.1, pre.size)
        self.synapses.alive = 1
        self.synapses.pre.delay = rng.uniform(0.1, 15, pre.size) * ms
        self.synapses.post.delay = rng.uniform(0, 3, pre.size) * ms
        self.spikes = SpikeMonitor(self.cells, name="spikes")
        self.network = Network(self.cells, self.synapses, self.spikes)

    def run(self, duration: Any) -> None:
        self.network.run(duration, namespace={})

    def recorded(self) -> NDArray[np.float64]:
        return np.stack([self.spikes.i[:], self.spikes.t_[:]])


def in_flight(pathway: Any) -> NDArray[np.intp]:
    """Indices of the synapses that spikes are travelling along."""
    _, steps = pathway.queue._full_state()
    return np.array([synapse for step in steps for synapse in step], dtype=np.intp)


@pytest.mark.parametrize("target", ["numpy", pytest.param("cython", marks=pytest.mark.slow)])
def test_four_removals_give_the_spikes_and_weights_of_masking(target: str) -> None:
    prefs.codegen.target = target
    rng = np.random.default_rng(11)
    masked, removed = PlasticNetwork(), PlasticNetwork()
    n = len(masked.synapses)
    weights = masked.synapses.weight_[:].copy()
    survivors = np.arange(n)
    for _ in range(4):
        masked.run(30 * ms)
        removed.run(30 * ms)
        keep = rng.random(survivors.size) < 0.7
        for pathway in (removed.synapses.pre, removed.synapses.post):
            travelling = keep[in_flight(pathway)]
            assert travelling.any() and not travelling.all()
        assert remove_synapses(removed.synapses, keep) == np.count_nonzero(~keep)
        survivors = survivors[keep]
        dead = np.setdiff1d(np.arange(n), survivors)
        masked.synapses.alive[dead] = 0
        masked.synapses.weight[dead] = 0
    masked.run(30 * ms)
    removed.run(30 * ms)

    assert len(removed.synapses) == survivors.size < 0.3 * n
    assert removed.spikes.num_spikes > 10 * N_CELLS
    np.testing.assert_array_equal(removed.recorded(), masked.recorded())
    for name in ("i", "j", "weight", "pre_trace", "post_trace", "lastupdate"):
        mine, reference = (x.synapses.state(name, use_units=False)[:] for x in (removed, masked))
        np.testing.assert_array_equal(mine, reference[survivors], err_msg=name)
    assert np.mean(removed.synapses.weight_[:] != weights[survivors]) > 0.9  # plasticity went on


def test_the_comparison_sees_lost_spikes_in_flight() -> None:
    intact, lossy = PlasticNetwork(), PlasticNetwork()
    for network in (intact, lossy):
        network.run(30 * ms)
        remove_synapses(network.synapses, np.arange(len(network.synapses)) % 2 == 0)
    lossy.synapses.pre.queue._restore_from_full_state(None)
    intact.run(30 * ms)
    lossy.run(30 * ms)
    assert not np.array_equal(intact.recorded(), lossy.recorded())


# --- small networks: one thing at a time


def spiking(n: int, times: Any, name: str = "source*") -> SpikeGeneratorGroup:
    """`n` cells that all fire at each of `times` (ms)."""
    times = np.atleast_1d(times)
    indices = np.tile(np.arange(n), times.size)
    return SpikeGeneratorGroup(n, indices, np.repeat(times, n) * ms, name=name)


def counting(n: int) -> NeuronGroup:
    """`n` cells that add up what they receive."""
    return NeuronGroup(n, "received : 1", threshold="False", reset="")


def test_a_removed_synapse_delivers_nothing_and_learns_nothing() -> None:
    source, target = spiking(4, [1, 6, 11]), counting(4)
    synapses = Synapses(source, target, "weight : 1\narrived : integer", on_pre="received_post += weight; arrived += 1")
    synapses.connect(j="i")
    synapses.weight = [1, 2, 4, 8]
    synapses.delay = [2, 3, 4, 5] * ms
    network = Network(source, target, synapses)
    network.run(2 * ms)  # the first spikes are in flight
    assert remove_synapses(synapses, np.array([True, False, True, False])) == 2
    network.run(18 * ms)
    np.testing.assert_array_equal(target.received_[:], [3, 0, 12, 0])
    np.testing.assert_array_equal(synapses.arrived[:], [3, 3])


def build_on_subgroups() -> tuple[Network, NeuronGroup, Synapses]:
    cells = NeuronGroup(12, "v : 1\nreceived : 1", threshold="rand() < 0.5", reset="", name="cells")
    synapses = Synapses(
        cells[3:9],
        cells[2:7],
        """alive : 1
           seen : 1
           gain : 1 (shared)""",
        on_pre={"fast": "received_post += gain * alive * (i + 10*j)", "slow": "received_post -= alive"},
        on_post={"back": "seen += alive", "late": "v_pre += alive"},
        delay={"slow": 2.5 * ms},
        name="between_subgroups",
    )
    synapses.connect()
    synapses.alive = 1
    synapses.gain = 2
    order = np.random.default_rng(2).permutation(len(synapses))
    synapses.fast.delay = order * 0.1 * ms
    synapses.back.delay = (order % 4) * ms
    synapses.late.delay = (order % 3) * ms
    return Network(cells, synapses), cells, synapses


def test_subgroups_and_several_pathways() -> None:
    keep = np.arange(30) % 7 < 3
    results = []
    for remove in (False, True):
        network, cells, synapses = build_on_subgroups()
        brian2.seed(5)
        network.run(5 * ms)
        if remove:
            remove_synapses(synapses, keep)
        else:
            synapses.alive = keep
        network.run(5 * ms)
        survivors = slice(None) if remove else keep
        state = (synapses.i, synapses.j, synapses.seen_, synapses.fast.delay_, synapses.back.delay_)
        results.append([cells.received_[:], cells.v_[:], *(values[:][survivors] for values in state)])
    for masked, removed in zip(*results, strict=True):
        np.testing.assert_array_equal(removed, masked)
    assert np.all(results[0][0][2:7] != 0)
    # Brian2 counts per neuron of the whole group up to the subgroup's end, and shows counts per synapse.
    np.testing.assert_array_equal(synapses.N_outgoing_pre[3:], np.bincount(synapses.i[:], minlength=6))
    np.testing.assert_array_equal(synapses.N_incoming_post[2:], np.bincount(synapses.j[:], minlength=5))
    np.testing.assert_array_equal(synapses.N_outgoing[:], np.bincount(synapses.i[:])[synapses.i[:]])


@pytest.mark.parametrize("keep", [True, False])
def test_shared_variables_and_scalar_delays_of_a_single_synapse_stay(keep: bool) -> None:
    source, target = spiking(1, [1, 3]), counting(1)
    synapses = Synapses(
        source, target, "weight : 1\ngain : 1 (shared)", on_pre="received_post += gain * weight", delay=4 * ms
    )
    synapses.connect()
    synapses.weight = 3
    synapses.gain = 5
    network = Network(source, target, synapses)
    network.run(2 * ms)
    assert remove_synapses(synapses, np.array([keep])) == (not keep)
    network.run(10 * ms)
    assert synapses.gain_ == 5
    assert np.asarray(synapses.delay / ms) == 4
    assert target.received_[0] == (30 if keep else 0)


def test_keeping_all_changes_nothing() -> None:
    reference, network = PlasticNetwork(), PlasticNetwork()
    reference.run(30 * ms)
    network.run(30 * ms)
    before = in_flight(network.synapses.pre)
    assert remove_synapses(network.synapses, np.ones(len(network.synapses), dtype=bool)) == 0
    np.testing.assert_array_equal(in_flight(network.synapses.pre), before)
    reference.run(30 * ms)
    network.run(30 * ms)
    np.testing.assert_array_equal(network.recorded(), reference.recorded())
    np.testing.assert_array_equal(network.synapses.weight_[:], reference.synapses.weight_[:])


def test_life_goes_on_after_the_removal_of_all() -> None:
    source, target = spiking(3, np.arange(1, 30)), counting(2)
    synapses = Synapses(
        source,
        target,
        """weight : 1
           dtag/dt = -tag / (5*ms) : 1 (clock-driven)
           dusage/dt = -usage / (5*ms) : 1 (event-driven)""",
        on_pre="received_post += weight; tag += 1; usage += 1",
        delay={"pre": 1.5 * ms},
        method="exact",
    )
    synapses.connect()
    synapses.weight = 1
    network = Network(source, target, synapses)
    network.run(5.1 * ms)
    received = target.received_[:].copy()
    assert remove_synapses(synapses, np.zeros(6, dtype=bool)) == 6
    network.run(5 * ms)
    assert len(synapses) == 0
    assert remove_synapses(synapses, np.zeros(0, dtype=bool)) == 0
    np.testing.assert_array_equal(target.received_[:], received)
    assert not synapses.N_outgoing_pre.any() and not synapses.N_incoming_post.any()

    synapses.connect(i=[0, 2], j=[1, 1])
    np.testing.assert_array_equal(np.stack([synapses.weight_[:], synapses.tag_[:], synapses.usage_[:]]), 0)
    synapses.weight = 10
    network.run(5 * ms)
    # Spikes at 11, 12 and 13 ms arrive before 15.1 ms; those before the new synapses grew are lost.
    np.testing.assert_array_equal(target.received_[:] - received, [0, 60])
    np.testing.assert_array_equal(synapses.N_outgoing_pre, [1, 0, 1])


def test_synapses_can_grow_again_while_spikes_travel() -> None:
    source, target = spiking(4, [1, 8]), counting(4)
    synapses = Synapses(source, target, "weight : 1", on_pre="received_post += weight")
    synapses.connect(j="i")
    synapses.weight = [1, 2, 4, 8]
    synapses.delay = 5 * ms
    network = Network(source, target, synapses)
    network.run(2 * ms)
    remove_synapses(synapses, np.array([False, False, True, True]))
    synapses.connect(i=[0], j=[3])
    synapses.weight[2] = 100
    np.testing.assert_array_equal(synapses.delay_[:], np.array([0.005, 0.005, 0]))
    network.run(12 * ms)
    np.testing.assert_array_equal(target.received_[:], [0, 0, 2 * 4, 2 * 8 + 100])
    np.testing.assert_array_equal(synapses.N_incoming_post, [0, 0, 1, 2])


def test_multisynaptic_index_keeps_telling_synapses_apart() -> None:
    source, target = spiking(2, 1), counting(1)
    synapses = Synapses(source, target, "weight : 1", multisynaptic_index="k")
    synapses.connect(n=3)
    synapses.weight = "10*i + k"
    remove_synapses(synapses, np.array([False, True, False, True, True, True]))
    np.testing.assert_array_equal(synapses.k[:], np.array([0, 1, 2, 0, 1, 2])[[1, 3, 4, 5]])
    np.testing.assert_array_equal(synapses.weight_[:], 10 * synapses.i[:] + synapses.k[:])
    np.testing.assert_array_equal(synapses.weight_[0, 0, 1], [1])


def test_summed_variables_and_regular_operations_use_the_survivors() -> None:
    source, target = spiking(3, 1), NeuronGroup(2, "total : 1")
    synapses = Synapses(source, target, "weight : 1\nage : 1\ntotal_post = weight : 1 (summed)")
    synapses.connect()
    synapses.weight = [1, 2, 4, 8, 16, 32]
    synapses.run_regularly("age += 1", dt=1 * ms)
    network = Network(source, target, synapses)
    network.run(1 * ms)
    np.testing.assert_array_equal(target.total_[:], [21, 42])
    remove_synapses(synapses, np.array([True, False, False, True, True, False]))
    network.run(1 * ms)
    np.testing.assert_array_equal(target.total_[:], [17, 8])
    np.testing.assert_array_equal(synapses.age_[:], 2)
    remove_synapses(synapses, np.zeros(3, dtype=bool))
    network.run(1 * ms)
    np.testing.assert_array_equal(target.total_[:], [0, 0])


def test_a_link_through_an_index_variable_follows_the_survivors() -> None:
    source, target = spiking(2, [1, 5]), counting(1)
    branches = NeuronGroup(2, "factor : 1")
    branches.factor = [10, 100]
    common = NeuronGroup(1, "factor : 1")
    common.factor = 7
    synapses = Synapses(
        source,
        target,
        """branch : integer (constant)
           local : 1 (linked)
           global_factor : 1 (linked)""",
        on_pre="received_post += local + global_factor",
    )
    synapses.connect(n=2)
    synapses.branch = [0, 1, 1, 1]
    synapses.local = linked_var(branches, "factor", index="branch")
    synapses.global_factor = linked_var(common, "factor")
    network = Network(source, target, branches, common, synapses)
    network.run(2 * ms)
    assert target.received_[0] == 310 + 4 * 7
    remove_synapses(synapses, np.array([True, False, True, False]))
    network.run(5 * ms)
    assert target.received_[0] == 310 + 4 * 7 + 110 + 2 * 7


def test_the_magic_network_goes_on() -> None:
    source, target = spiking(2, [1, 5]), counting(2)
    synapses = Synapses(source, target, on_pre="received_post += 1", delay=2 * ms)
    synapses.connect(j="i")
    brian2.run(2 * ms, namespace={})
    remove_synapses(synapses, np.array([True, False]))
    brian2.run(8 * ms, namespace={})
    assert source.t / ms == pytest.approx(10)
    np.testing.assert_array_equal(target.received_[:], [2, 0])


@settings(max_examples=20)
@given(st.data())
def test_identities_follow_any_sequence_of_removals(data: st.DataObject) -> None:
    n_pre, n_post = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    source, target = spiking(n_pre, 1), counting(n_post)
    synapses = Synapses(source, target, "identity : integer (constant)", on_pre="received_post += 1")
    synapses.connect()
    n = len(synapses)
    pre, post = synapses.i[:].copy(), synapses.j[:].copy()
    synapses.identity = np.arange(n)
    synapses.delay = np.arange(n) * ms
    alive = np.arange(n)
    for _ in range(3):
        keep = np.isin(alive, data.draw(st.lists(st.integers(0, n - 1))))
        assert remove_synapses(synapses, keep) == np.count_nonzero(~keep)
        alive = alive[keep]
        np.testing.assert_array_equal(synapses.identity[:], alive)
        np.testing.assert_array_equal(synapses.delay_[:], (np.arange(n) * 1e-3)[alive])
        np.testing.assert_array_equal(synapses.i[:], pre[alive])
        np.testing.assert_array_equal(synapses.j[:], post[alive])
        np.testing.assert_array_equal(synapses.N_outgoing_pre, np.bincount(pre[alive], minlength=n_pre))
        np.testing.assert_array_equal(synapses.N_incoming_post, np.bincount(post[alive], minlength=n_post))


# --- stored states


@pytest.mark.parametrize("to_file", [False, True])
def test_a_state_stored_after_a_removal_is_restored(to_file: bool, tmp_path: Path) -> None:
    where: dict[str, Any] = {"filename": str(tmp_path / "state")} if to_file else {}
    plastic = PlasticNetwork()
    plastic.run(30 * ms)
    remove_synapses(plastic.synapses, np.arange(len(plastic.synapses)) % 3 == 0)
    plastic.network.store(**where)
    plastic.run(30 * ms)
    first, weights = plastic.recorded(), plastic.synapses.weight_[:].copy()
    plastic.network.restore(**where)
    plastic.run(30 * ms)
    np.testing.assert_array_equal(plastic.recorded(), first)
    np.testing.assert_array_equal(plastic.synapses.weight_[:], weights)


def test_a_state_stored_before_a_removal_is_restored_whole_or_refused() -> None:
    plastic = PlasticNetwork()
    plastic.run(30 * ms)
    plastic.network.store()
    plastic.run(30 * ms)
    uncut = plastic.recorded()
    remove_synapses(plastic.synapses, np.arange(len(plastic.synapses)) % 3 == 0)
    plastic.network.restore()
    if BRIAN2_VERSION >= (2, 10):
        plastic.run(30 * ms)
        np.testing.assert_array_equal(plastic.recorded(), uncut)
    else:
        with pytest.raises(BrianObjectException) as error:
            plastic.run(30 * ms)
        assert isinstance(error.value.__cause__, EngineError)
        assert "values of 'delay'" in str(error.value.__cause__)


# --- refusals: nothing changes


def some_synapses() -> Synapses:
    source, target = spiking(3, 1), counting(3)
    synapses = Synapses(source, target, "weight : 1", on_pre="received_post += weight", name="refusing")
    synapses.connect()
    return synapses


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (np.arange(9), r"keep must be an array of bool.*9 synapses of 'refusing'.*int64"),
        (np.ones(9), "float64"),
        ([0, 1], "int64"),
        (None, "object"),
        (np.ones(8, dtype=bool), r"keep must have shape \(9,\).*not \(8,\)"),
        (np.ones((9, 1), dtype=bool), r"not \(9, 1\)"),
        (np.True_, r"not \(\)"),
    ],
)
def test_refuses_what_is_not_one_bool_per_synapse(keep: Any, message: str) -> None:
    synapses = some_synapses()
    with pytest.raises(SpecificationError, match=message):
        remove_synapses(synapses, keep)
    assert len(synapses) == 9


def test_refuses_what_is_not_synapses() -> None:
    with pytest.raises(SpecificationError, match=r"must be a brian2\.Synapses object, not NeuronGroup"):
        remove_synapses(counting(2), np.ones(2, dtype=bool))  # pyright: ignore[reportArgumentType]


def refuse(synapses: Synapses, message: str) -> None:
    n = len(synapses)
    with pytest.raises(SpecificationError, match=message):
        remove_synapses(synapses, np.arange(n) != 0)
    assert len(synapses) == n


def test_refuses_while_a_monitor_records_single_synapses() -> None:
    synapses = some_synapses()
    monitor = StateMonitor(synapses, "weight", record=[2], name="weights")
    network = Network(synapses.source, synapses.target, synapses, monitor)
    network.run(1 * ms)
    refuse(synapses, "'refusing' because other objects refer to them by index.*StateMonitor 'weights'")
    network.remove(monitor)
    refuse(synapses, "StateMonitor 'weights'")
    del monitor
    assert remove_synapses(synapses, np.arange(9) != 0) == 1
    network.run(1 * ms)


def test_refuses_while_synapses_connect_to_these() -> None:
    synapses = some_synapses()
    for source, target in ((spiking(2, 1), synapses), (synapses, counting(2))):
        modulating = Synapses(source, target, name="modulating")
        refuse(synapses, "Synapses 'modulating'")
        del modulating, source, target
        gc.collect()


def test_refuses_links_to_and_from_single_synapses() -> None:
    source, target = spiking(3, 1), counting(3)
    synapses = Synapses(source, target, "weight : 1\nstrength = 2 * weight : 1", name="refusing")
    synapses.connect()
    shadows = NeuronGroup(9, "strength : 1 (linked)", name="shadows")
    shadows.strength = linked_var(synapses, "strength")  # Brian2 itself refuses links to weight
    refuse(synapses, "NeuronGroup 'shadows'")

    spines = NeuronGroup(4, "volume : 1", name="spines")
    linked = Synapses(spiking(2, 1), counting(2), "volume : 1 (linked)", name="linked")
    linked.connect()
    linked.volume = linked_var(spines, "volume")
    refuse(linked, "'linked' because its variable 'volume' is linked to 'spines.volume' element by element")


def test_refuses_during_a_run() -> None:
    synapses = some_synapses()
    errors = []

    def prune() -> None:
        with pytest.raises(SpecificationError, match="while a network is running") as error:
            remove_synapses(synapses, np.arange(9) != 0)
        errors.append(error)

    network = Network(synapses.source, synapses.target, synapses, NetworkOperation(prune, dt=1 * ms))
    network.run(2 * ms)
    assert len(errors) == 2 and len(synapses) == 9


def test_an_aborted_run_does_not_block_removal() -> None:
    synapses = some_synapses()

    def abort() -> None:
        raise KeyboardInterrupt

    network = Network(synapses.source, synapses.target, synapses, NetworkOperation(abort, dt=1 * ms))
    with pytest.raises(KeyboardInterrupt):
        network.run(2 * ms)
    assert remove_synapses(synapses, np.arange(9) != 0) == 1


def test_refuses_the_standalone_device() -> None:
    brian2.set_device("cpp_standalone", build_on_run=False)
    try:
        synapses = some_synapses()
        with pytest.raises(EngineError, match=r"CPPStandaloneDevice.*set_device"):
            remove_synapses(synapses, np.ones(9, dtype=bool))
    finally:
        brian2.device.reinit()
        reset_device()


def test_brian2_refuses_stale_subgroups_of_synapses() -> None:
    synapses = some_synapses()
    first = synapses[:3]
    remove_synapses(synapses, np.arange(9) != 0)
    with pytest.raises(RuntimeError, match="added/removed"):
        StateMonitor(synapses, "weight", record=first)


# --- the self-test


@pytest.fixture
def untested() -> Iterator[None]:
    removal._verify_brian2.cache_clear()
    yield
    removal._verify_brian2.cache_clear()


@pytest.mark.usefixtures("untested")
def test_the_self_test_leaves_no_trace() -> None:
    group = NeuronGroup(2, "v : 1")
    network = Network(group)
    network.run(1 * ms)
    prefs.codegen.target = "cython"
    brian2.seed(3)
    gc.collect()

    def observed() -> list[Any]:
        device = vars(brian2.get_device())
        return [
            prefs.as_file,
            repr(np.random.get_state()),
            device["_last_run_time"],
            device["_last_run_completed_fraction"],
            device["rand_buffer_index"][0],
            defaultclock.dt / ms,
            defaultclock.t / ms,
            network.t / ms,
            {obj.name for obj in brian2.magic_network.objects},
            {obj.name for obj in brian2.collect(level=1)},
            [find_name(f"{kind}*") for kind in ("neurongroup", "synapses", "network", "clock")],
        ]

    before = observed()
    assert group.name in before[-2]
    removal._verify_brian2()
    assert observed() == before


Fault = Callable[[Synapses, NDArray[np.bool_]], None]
exact: Fault = removal._compact


def lose_spikes(synapses: Synapses, keep: NDArray[np.bool_]) -> None:
    exact(synapses, keep)
    synapses.near.queue._restore_from_full_state(None)


def keep_old_indices_in_flight(synapses: Synapses, keep: NDArray[np.bool_]) -> None:
    position, steps = synapses.near.queue._full_state()
    exact(synapses, keep)
    n = len(synapses)
    synapses.near.queue._restore_from_full_state((position, [[e for e in step if e < n] for step in steps]))


def forget_the_counts(synapses: Synapses, keep: NDArray[np.bool_]) -> None:
    counts = synapses.N_incoming_post.copy()
    exact(synapses, keep)
    synapses.variables["N_incoming"].set_value(counts)


def shift_delays(synapses: Synapses, keep: NDArray[np.bool_]) -> None:
    exact(synapses, keep)
    synapses.near.delay = np.roll(synapses.near.delay_[:], 1) * second


def use_what_is_not_there(synapses: Synapses, keep: NDArray[np.bool_]) -> None:
    exact(synapses, keep)
    _ = synapses.near.queue.events


@pytest.mark.usefixtures("untested")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lose_spikes, "spike transmission"),
        (keep_old_indices_in_flight, "spike transmission"),
        (forget_the_counts, "differ in N_incoming"),
        (shift_delays, "delay"),
        (use_what_is_not_there, "internals differ.*AttributeError"),
    ],
)
def test_the_self_test_finds_a_brian2_that_works_otherwise(
    fault: Fault, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synapses = some_synapses()
    monkeypatch.setattr(removal, "_compact", fault)
    target = prefs.codegen.target
    with pytest.raises(EngineError, match=rf"Brian2 {brian2.__version__}.*{message}"):
        remove_synapses(synapses, np.arange(9) != 0)
    assert len(synapses) == 9 and prefs.codegen.target == target


@pytest.mark.usefixtures("untested")
def test_the_self_test_finds_a_brian2_that_hides_monitors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "_references_to", lambda synapses: [])
    with pytest.raises(EngineError, match="detection of monitors"):
        remove_synapses(some_synapses(), np.arange(9) != 0)
