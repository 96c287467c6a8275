"""The cerebellum: anatomy, bursts, credit, and that the dead carry nothing. One small binary serves all tests."""

import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroprune import open_record
from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import EngineError, RecordError, SpecificationError
from neuroprune.core.tables import Change, Decision, Tables
from neuroprune.core.units import ByAge
from neuroprune.datasets import climbing_fibre_synapses_p3
from neuroprune.experiments import load_experiment, run
from neuroprune.spiking.bursts import Bursts
from neuroprune.spiking.cerebellum import Cerebellum, Parameters
from neuroprune.spiking.driven_cells import driven_cells, noise_current
from neuroprune.spiking.engine import Runtime, make_engine
from neuroprune.spiking.standalone import Outputs, SpikeTrain

SMALL = {"system.purkinje_cells": 10, "development.activity": "2 s", "development.record": []}
CLOCK = Clock(3.0, 21.0, 0.25)
NOW = Now(0, 3.0, 0.25, 0.01)


def parameters(**changes: Any) -> Parameters:
    values = load_experiment("cerebellum", overrides=SMALL).system_at(3.0)
    assert isinstance(values, Parameters)
    return values.model_copy(update=changes)


def cerebellum(seed: int = 1, **changes: Any) -> Cerebellum:
    p = parameters(**changes)
    return Cerebellum(lambda age: p, clock=CLOCK, activity=2.0, seed=seed)


# --- anatomy


def test_anatomy_has_the_counts_that_were_measured() -> None:
    table = Cerebellum.grow(parameters(purkinje_cells=2000), seed=3).tables[0]
    fibres = table.alive.sum(axis=1)
    assert fibres.min() == 3 and fibres.max() == 7
    assert fibres.mean() == pytest.approx(4.7, abs=4 * fibres.std() / math.sqrt(2000))
    observed = climbing_fibre_synapses_p3()
    observed = observed[observed > 0]
    drawn = table.weight[table.alive]
    assert drawn.mean() == pytest.approx(observed.mean(), abs=4 * observed.std() / math.sqrt(drawn.size))
    assert set(drawn) <= set(observed)
    for row, alive in zip(table.source, table.alive, strict=True):
        assert len(set(row[alive])) == alive.sum(), "an axon gave a cell two fibres"
    assert np.array_equal(np.sort(table.ids[table.alive]), np.arange(table.alive.sum()))
    assert (table.ids[~table.alive] == -1).all()


def test_fibres_come_from_axons_in_reach() -> None:
    p = parameters(purkinje_cells=500, cells_per_axon=2.0)
    anatomy = Cerebellum.grow(p, seed=1)
    table = anatomy.tables[0]
    # A microband is as wide as the reach, so fibres come from the cell's own band or the next one.
    own = np.floor(table["x"] / p.microband_width)
    apart = np.abs(anatomy.group[table.source] - own)
    assert apart[table.alive].max() <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"fibres_min": 8}, "fibres_min is 8"), ({"fibres_mean": 7.5}, "a mean of 7.5 inputs must lie between 3 and 7")],
)
def test_impossible_anatomy_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        Cerebellum.grow(parameters(**changes), seed=1)


# --- climbing-fibre activity


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_bursts_have_the_rate_and_the_correlation_asked_for(correlation: float) -> None:
    duration, rate = 4000.0, 0.5
    bursts = Bursts(rate=rate, correlation=correlation, jitter=0.0, spikes_per_burst=1.0, intraburst_rate=300.0)
    axon, at = bursts.draw(np.zeros(2, int), np.zeros(2), duration, seed=1)
    trains = [at[axon == k] for k in (0, 1)]
    for train in trains:
        assert len(train) / duration == pytest.approx(rate, abs=4 * math.sqrt(rate / duration))
    shared = np.isin(np.rint(trains[0] * 1e4), np.rint(trains[1] * 1e4)).mean()
    assert shared == pytest.approx(correlation, abs=0.06)


def test_groups_burst_apart_from_each_other() -> None:
    bursts = Bursts(rate=0.5, correlation=1.0, jitter=0.0, spikes_per_burst=1.0, intraburst_rate=300.0)
    axon, at = bursts.draw(np.asarray([0, 0, 1]), np.zeros(3), 400.0, seed=1)
    first, second, other = (at[axon == k] for k in range(3))
    assert np.array_equal(first, second) and len(first) > 100
    assert len(other) > 100 and np.isin(other, first).mean() < 0.05


def test_bursts_are_ordered_inside_the_sample_and_spread_by_the_jitter() -> None:
    bursts = Bursts(rate=1.0, correlation=1.0, jitter=0.04, spikes_per_burst=2.5, intraburst_rate=300.0)
    axon, at = bursts.draw(np.zeros(50, int), np.zeros(50), 200.0, seed=2)
    assert (np.diff(at) >= 0).all() and at.min() >= 0 and at.max() < 200.0
    assert len(axon) / 50 / 200.0 == pytest.approx(2.5, rel=0.15)
    bins = np.stack([axon, np.rint(at * 1e4)])
    assert np.unique(bins, axis=1).shape == bins.shape, "an axon fires twice in a step"
    single = replace(bursts, spikes_per_burst=1.0)
    axon, at = single.draw(np.zeros(4000, int), np.zeros(4000), 8.0, seed=7)
    events = np.split(at, np.flatnonzero(np.diff(at) > 0.2) + 1)
    whole = [e for e in events if len(e) == 4000]
    assert whole and abs(np.std(whole[0]) - 0.04) < 0.004


# --- the spiking model


def test_noise_gives_the_membrane_the_deviation_asked_for() -> None:
    model = Runtime(lambda: driven_cells(200, 1, 1.0, 2, 1e-4))
    resistance, capacitance = 380e6, 39e-12
    n = np.ones(200)
    inputs = {
        "v": -0.058 * n,
        "capacitance": capacitance * n,
        "resistance": resistance * n,
        "v_rest": -0.058 * n,
        "v_threshold": -0.058 * n,
        "v_reset": -0.058 * n,
        "tau_epsc": 0.006 * n,
        "noise_sd": noise_current(0.0025, resistance, capacitance) * n,
        "w": 0 * n,
        "kick": 0 * n,
        "tau_eligibility": 0.02 * n,
    }
    none = (np.zeros(0, int), np.zeros(0))
    # A threshold z deviations above rest is passed at once by a share of cells that only the deviation decides.
    inputs["v_threshold"] = inputs["v_threshold"] + 1.0
    model.run(inputs, seed=1, spikes=none)
    v = np.asarray(model._model.inputs["v"][0].variables["v"].get_value())
    assert v.std() == pytest.approx(0.0025, rel=4 / math.sqrt(2 * 200))
    assert v.mean() == pytest.approx(-0.058, abs=4 * 0.0025 / math.sqrt(200))


def test_credit_goes_to_the_fibre_nearest_before_the_output() -> None:
    model = Runtime(lambda: driven_cells(1, 4, 0.2, 8, 1e-4))
    n = np.ones(1)
    inputs = {
        "v": -0.058 * n,
        "capacitance": 39e-12 * n,
        "resistance": 380e6 * n,
        "v_rest": -0.058 * n,
        "v_threshold": -0.045 * n,
        "v_reset": -0.058 * n,
        "tau_epsc": 0.006 * n,
        "noise_sd": 0.0 * n,
        "kick": np.zeros(4),
        # Only the third input can fire the cell, at 100 ms; the others are silent partners at other times.
        "w": np.asarray([0.0, 0.0, 20e-9, 0.0]),
        "tau_eligibility": np.full(4, 0.02),
    }
    spikes = (np.asarray([0, 1, 2, 3]), np.asarray([0.06, 0.09, 0.1, 0.15]))
    outputs = model.run(inputs, seed=1, spikes=spikes)
    fired = outputs.spikes["cells"].time
    first = fired[fired < 0.15]
    assert 0.1 < first[0] < 0.105
    credit = outputs.arrays["credit"]
    expected = [sum(math.exp(-(t - s) / 0.02) for t in fired if t > s) for s in spikes[1]]
    assert credit == pytest.approx(expected, rel=0.01, abs=1e-12)
    assert credit[2] > credit[1] > credit[0] > credit[3] == 0.0


def test_the_dead_carry_no_spike_no_current_and_earn_no_credit() -> None:
    system = cerebellum()
    table = system.tables()[0]
    dead = table.alive & (np.arange(7) == 1)
    kill = Decision("test", (Change(eliminate=dead),))
    system.apply(system.tables().with_traces([{}]).after(kill))
    activity = system.sample(NOW)
    assert (system.tables()[0].weight[dead] == 0).all()
    for trace in ("usage", "eligibility"):
        assert (np.asarray(activity.traces[0][trace])[dead] == 0).all()
    assert (system._inputs(parameters(), 3.0, system.tables()[0])["w"].reshape(10, 8)[:, :7][dead] == 0).all()
    # Without any input the cells fire only from noise, as if no climbing fibre were there.
    everything = Decision("test", (Change(eliminate=system.tables()[0].alive),))
    system.apply(system.tables().after(everything))
    silent = system.sample(NOW)
    assert np.asarray(silent.traces[0]["usage"]).sum() == 0
    lonely = cerebellum(seed=1, synaptic_conductance=1e-30).sample(NOW)
    assert silent.measures["purkinje_rate"] == lonely.measures["purkinje_rate"]


def test_a_stronger_fibre_drives_its_cell_more() -> None:
    def rate(factor: float) -> float:
        return (
            cerebellum(synaptic_conductance=factor * 0.5e-9, membrane_noise=0.0).sample(NOW).measures["purkinje_rate"]
        )

    assert rate(0.01) == 0.0
    assert rate(1.0) < rate(10.0)


def test_engines_agree() -> None:
    p = parameters(membrane_noise=0.0, synaptic_conductance=2e-9)
    samples = []
    for engine in ("standalone", "runtime"):
        system = Cerebellum(lambda age: p, clock=CLOCK, activity=2.0, seed=4, engine=engine)  # pyright: ignore
        samples.append(system.sample(NOW))
    compiled, interpreted = samples
    assert compiled.spikes is not None and interpreted.spikes is not None and len(compiled.spikes[0]) > 5
    assert np.array_equal(compiled.spikes[0], interpreted.spikes[0])
    assert np.allclose(compiled.spikes[1], interpreted.spikes[1])
    assert np.allclose(compiled.traces[0]["eligibility"], interpreted.traces[0]["eligibility"], rtol=1e-9)


def test_measures_of_a_known_innervation() -> None:
    system = cerebellum()
    table = system.tables()[0]
    weight = np.zeros(table.shape)
    weight[0, :3] = [10, 5, 1]
    weight[1, 0] = 4
    known = Tables([replace(table, alive=weight > 0, weight=weight, ids=np.arange(70).reshape(10, 7))])
    m = system.measures(known)
    assert m["climbing_fibres_per_cell"] == pytest.approx(4 / 10)
    assert m["mono_innervated"] == pytest.approx(0.1)
    assert m["disparity_ratio"] == pytest.approx((0.5 + 0.1) / 2)
    assert m["disparity_index"] == pytest.approx(np.std([10, 5, 1], ddof=1) / np.mean([10, 5, 1]))
    assert m["synapses_per_input"] == pytest.approx(5.0)


# --- perturbations of activity


def at_all_ages(rate: float) -> ByAge:
    return ByAge(((0.0, rate),))


def test_uniform_bursts_are_one_train_and_uncorrelated_ones_share_nothing() -> None:
    bursts = Bursts(rate=2.0, correlation=0.9, jitter=0.03, spikes_per_burst=2.5, intraburst_rate=300.0)
    active = np.asarray([True, True, False, True])
    axon, at = replace(bursts, pattern="uniform").draw(np.zeros(4, int), np.arange(4) * 0.01, 50.0, 1, active=active)
    trains = [at[axon == k] for k in range(4)]
    assert len(trains[0]) > 150 and len(trains[2]) == 0
    assert np.array_equal(trains[0], trains[1]) and np.array_equal(trains[0], trains[3])
    single = replace(bursts, spikes_per_burst=1.0, jitter=0.0)
    for pattern, low, high in (("natural", 0.8, 1.0), ("uncorrelated", 0.0, 0.05)):
        axon, at = replace(single, pattern=pattern).draw(np.zeros(2, int), np.zeros(2), 400.0, seed=1)
        assert low <= np.isin(at[axon == 0], at[axon == 1]).mean() <= high


def test_stimulation_adds_bursts_and_silence_takes_all() -> None:
    bursts = Bursts(rate=0.5, correlation=0.5, jitter=0.0, spikes_per_burst=1.0, intraburst_rate=300.0)
    duration, active, extra = 4000.0, np.asarray([True, True, False]), np.asarray([0.0, 0.3, 0.3])
    axon, _ = bursts.draw(np.zeros(3, int), np.zeros(3), duration, seed=1, active=active, extra=extra)
    expected = np.asarray([0.5, 0.8, 0.0])
    rates = np.bincount(axon, minlength=3) / duration
    assert (np.abs(rates - expected) <= 4 * np.sqrt(expected / duration)).all(), rates


@pytest.mark.parametrize("pattern", ["natural", "uniform", "uncorrelated"])
def test_silencing_some_axons_changes_no_spike_of_the_others(pattern: Any) -> None:
    bursts = Bursts(1.0, 0.5, jitter=0.03, spikes_per_burst=2.5, intraburst_rate=300.0, pattern=pattern)
    group = np.arange(6) // 2
    plain = bursts.draw(group, np.zeros(6), 20.0, seed=3)
    silenced = bursts.draw(group, np.zeros(6), 20.0, seed=3, active=np.arange(6) != 0, extra=np.zeros(6))
    kept = plain[0] != 0
    assert kept.any() and not kept.all()
    assert all(np.array_equal(a[kept], b) for a, b in zip(plain, silenced, strict=True))


def test_long_bursts_are_as_frequent_at_the_edges_of_a_sample() -> None:
    bursts = Bursts(rate=0.33, correlation=0.7, jitter=0.035, spikes_per_burst=5.0, intraburst_rate=50.0)
    _, at = bursts.draw(np.arange(4000), np.zeros(4000), 2.0, seed=1)
    bins = np.histogram(at, np.arange(0, 1.95, 0.1))[0]
    # Spikes come in bursts of five: their number varies five times as much as independent ones.
    assert abs(bins[0] - bins[1:].mean()) < 4 * math.sqrt(5 * bins.mean())


@pytest.mark.parametrize("age", [3.0, 7.0, 12.0, 14.0, 20.0])
def test_an_electrode_fires_the_cell_once_a_pulse_at_any_age(age: float) -> None:
    now, quiet = Now(0, age, 0.25, 0.01), {"silence_climbing_fibres": True, "membrane_noise": 0.0}
    system = cerebellum(stimulate_purkinje_cells=at_all_ages(5.0), **quiet)
    activity = system.sample(now)
    assert activity.spikes is not None
    cell, pulse = system._pulses(5.0, 10, parameters(), now)
    apart = np.ones(len(cell), bool)  # the cell is refractory for 2 ms
    for k in range(10):
        mine = np.flatnonzero(cell == k)
        apart[mine[1:]] = np.diff(pulse[mine]) > 0.003
    assert len(activity.spikes[0]) == apart.sum() > 80
    assert (activity.traces[0]["eligibility"] == 0).all(), "an electrode earned a fibre credit"


def test_an_electrode_leaves_noise_and_fibres_as_they_are() -> None:
    # At P12 a cell is closest to firing twice; what the pulses add must be their own rate.
    now = Now(0, 12.0, 0.25, 0.01)
    plain = cerebellum().sample(now).measures["purkinje_rate"]
    driven = cerebellum(stimulate_purkinje_cells=at_all_ages(4.0)).sample(now).measures["purkinje_rate"]
    pulses = len(cerebellum()._pulses(4.0, 10, parameters(), now)[0]) / 20.0
    assert driven - plain == pytest.approx(pulses, abs=0.15 * pulses)


def test_silenced_cells_do_not_spike_though_stimulated() -> None:
    silent = cerebellum(
        synaptic_conductance=50e-9, silence_purkinje_cells=True, stimulate_purkinje_cells=at_all_ages(5.0)
    )
    activity = silent.sample(NOW)
    assert activity.measures["purkinje_rate"] == 0 and activity.measures["climbing_fibre_rate"] > 0
    assert (activity.traces[0]["calcium"] == 0).all() and math.isnan(activity.measures["synchrony"])


def test_silenced_climbing_fibres_carry_nothing() -> None:
    activity = cerebellum(silence_climbing_fibres=True).sample(NOW)
    assert activity.measures["climbing_fibre_rate"] == 0 and (activity.traces[0]["usage"] == 0).all()


def test_synchrony_is_the_mean_correlation_of_counts() -> None:
    system = cerebellum()  # ten cells in two columns, all within one band of 100 um
    random = np.random.default_rng(1)
    spikes = random.random((10, 20)) < 0.4
    spikes[:, 3] = True
    cell, bin_ = np.nonzero(spikes)
    order = np.argsort(bin_, kind="stable")
    cell, time = cell[order], bin_[order] * 0.1 + 0.05
    cov = np.cov(spikes.astype(float), ddof=0)
    expected = (cov.sum() - np.trace(cov)) / 9 / np.trace(cov)
    assert system._synchrony(cell, time, 100e-6) == pytest.approx(expected)
    together = np.tile(np.arange(10), 5), np.repeat(np.arange(5) * 0.3 + 0.05, 10)
    assert system._synchrony(*together, 100e-6) == pytest.approx(1.0)


def test_timing_tells_how_close_a_fibre_fires_whatever_the_calcium() -> None:
    ample, none = (cerebellum(pq_channels=pq, synaptic_conductance=3e-9).sample(NOW).traces[0] for pq in (1.0, 0.0))
    assert np.array_equal(ample["timing"], none["timing"]) and (np.asarray(ample["timing"]) > 0).any()
    assert (none["calcium"] == 0).all() and (ample["calcium"] > 0).any()


def test_what_no_membrane_can_be_is_refused() -> None:
    for key, value, message in (
        ("reset", "-40 mV", r"reset is -0.04 V: it must be below the threshold"),
        ("resting_potential", "0 mV", r"resting_potential"),
        ("intraburst_rate", "0 Hz", r"intraburst_rate"),
    ):
        with pytest.raises(SpecificationError, match=message):
            load_experiment("cerebellum", overrides={f"system.{key}": value})


@pytest.mark.parametrize("step", [3e-4, 2e-3])
def test_a_time_step_that_does_not_divide_the_noise_is_refused(step: float) -> None:
    with pytest.raises(SpecificationError, match=r"system.time_step is .* divide 1 ms"):
        cerebellum(time_step=step)


# --- development


def test_a_killed_run_resumes_with_the_same_decisions(tmp_path: Path) -> None:
    uninterrupted = run("cerebellum", seed=2, overrides=SMALL, stop="P9", out=tmp_path / "whole")
    script = (
        "import time; from neuroprune.experiments import run\n"
        f"run('cerebellum', seed=2, overrides={SMALL!r}, stop='P9', out={str(tmp_path / 'killed')!r},"
        " progress=lambda p: time.sleep(0.5))"
    )
    path = tmp_path / "killed" / "cerebellum-seed2.nc"
    child = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if path.exists() and open_record(path).tree["checkpoint"].attrs["next_step"] > 3:
            break
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not open_record(path).complete
    with pytest.raises(RecordError, match=r"record of another run: .*purkinje_cells"):
        run(
            "cerebellum",
            seed=2,
            overrides={**SMALL, "system.purkinje_cells": 11},
            stop="P9",
            out=path.parent,
            resume=True,
        )
    resumed = run("cerebellum", seed=2, overrides=SMALL, stop="P9", out=path.parent, resume=True)
    assert resumed.decisions() == uninterrupted.decisions()
    assert resumed.complete and [p.name for p in path.parent.iterdir()] == [path.name]


def test_births_minus_deaths_live_and_nobody_dies_twice() -> None:
    record = run("cerebellum", seed=3, overrides={**SMALL, "development.record": ["P7", "P11"]})
    development, connections = record.development, record.connections
    at_start = int((connections["birth_step"] == -1).sum())
    alive = at_start + np.cumsum(development["births"].values - development["deaths"].values)
    assert (alive == development["living"].values).all()
    deaths = np.bincount(connections["death_step"].values[connections["death_step"].values >= 0], minlength=72)
    assert (deaths == development["deaths"].values).all()
    for age, weight in zip(record.ages, record.snapshots["weight"].values, strict=True):
        assert (np.isfinite(weight) == (record.death_age() > age)).all()
    taken = connections["cause"].values == record.causes.index("engulfment")
    assert taken.any()
    assert (connections["agent"].values[taken] >= 0).all() and (connections["agent"].values[~taken] == -1).all()
    tags = connections["tag_at_death"].values[taken]
    assert ((tags > 0) & (tags <= 1)).all(), "microglia took an input that was not tagged"


def test_a_silent_cell_keeps_its_fibres() -> None:
    silenced = run(
        "cerebellum", seed=3, overrides=SMALL, conditions=("silenced_purkinje_cells", "microglia_inhibition")
    )
    control = run("cerebellum", seed=3, overrides=SMALL, conditions=("microglia_inhibition",))
    fibres = [r.measures()["climbing_fibres_per_cell"] for r in (silenced, control)]
    assert fibres[0][-1] == fibres[0][0] > fibres[1][-1]


def test_there_is_room_for_the_fastest_bursts_of_any_age() -> None:
    quiet, bursting = parameters(), parameters(burst_rate=ByAge(((0.0, 15.0),)))
    system = Cerebellum(
        lambda age: bursting if 4 <= age < 5 else quiet, clock=CLOCK, activity=2.0, seed=1, engine="runtime"
    )
    index, _, _ = system._input_spikes(bursting, Now(5, 4.25, 0.25, 0.1), system.tables()[0])
    ordinary = Cerebellum(lambda age: quiet, clock=CLOCK, activity=2.0, seed=1, engine="runtime")
    assert ordinary.capacity < len(index) <= system.capacity
    with pytest.raises(SpecificationError, match=r"exceed the room for .*: lower burst_rate"):
        ordinary._input_spikes(bursting, Now(5, 4.25, 0.25, 0.1), ordinary.tables()[0])


def test_credit_and_calcium_are_remembered_over_the_memory() -> None:
    class Scripted:
        name, compile_seconds = "scripted", 0.0

        def __init__(self, credits: list[float]) -> None:
            self.credits = iter(credits)

        def run(self, inputs: Any, *, seed: int, spikes: Any) -> Outputs:
            credit = next(self.credits)
            n = round(2 * credit)  # spikes of every cell in the two seconds
            train = SpikeTrain(np.repeat(np.arange(10, dtype=np.int32), n), np.linspace(0, 1, 10 * n))
            return Outputs({"credit": np.full(80, 2.0 * credit)}, {"cells": train})

    system = cerebellum(unselective_credit=0.0, eligibility_memory=2.0)
    system.engine = Scripted([1.0, 3.0, 0.0])
    alive = system.tables()[0].alive
    keep, half, expected = math.exp(-0.25 / 2.0), 0.05, 1.0
    for step, credit in enumerate((1.0, 3.0, 0.0)):
        expected = credit if step == 0 else keep * expected + (1 - keep) * credit
        traces = system.sample(Now(step, 3.0, 0.25, 0.1)).traces[0]
        assert traces["eligibility"][alive] == pytest.approx(expected) and (traces["eligibility"][~alive] == 0).all()
        assert traces["calcium"] == pytest.approx(expected / (expected + half))


def test_without_a_compiler_the_runtime_is_chosen_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuroprune.spiking.engine.compiler_available", lambda: None)
    said: list[str] = []
    assert make_engine(lambda: driven_cells(1, 1, 0.1, 2, 1e-4), {}, "auto", said.append).name == "runtime"
    assert len(said) == 1 and "no C++ compiler works here" in said[0]
    with pytest.raises(EngineError, match=r"needs a C\+\+ compiler"):
        make_engine(lambda: driven_cells(1, 1, 0.1, 2, 1e-4), {}, "standalone", said.append)
