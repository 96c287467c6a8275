"""The dLGN: two eyes that share cells but never a wave, and the rules of the cerebellum on their inputs."""

import math
from typing import Any

import numpy as np
import pytest

from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import SpecificationError
from neuroprune.core.units import ByAge
from neuroprune.experiments import load_experiment, run
from neuroprune.record import Record
from neuroprune.spiking.dlgn import DLGN, LEFT, RIGHT, Parameters

SMALL = {"system.relay_cells": 20, "development.activity": "2 s", "development.record": ["P4.5", "P6"]}
CLOCK = Clock(4.0, 10.0, 0.25)
NOW = Now(0, 4.0, 0.25, 0.01)


def parameters(**changes: Any) -> Parameters:
    values = load_experiment("dlgn", overrides=SMALL).system_at(4.0)
    assert isinstance(values, Parameters)
    return values.model_copy(update=changes)


def dlgn(p: Parameters, activity: float = 2.0, seed: int = 1) -> DLGN:
    """Return a system whose afferent spikes can be drawn; the cells are not simulated, so nothing is compiled."""
    return DLGN(lambda age: p, clock=CLOCK, activity=activity, seed=seed, engine="runtime")


def short(*conditions: str) -> Record:
    """Return a run of a few cells until P6; all share one binary."""
    return run("dlgn", seed=2, overrides=SMALL, conditions=conditions, stop="P6")


# --- anatomy


def test_each_cell_gets_half_of_its_inputs_from_either_eye() -> None:
    anatomy = DLGN.grow(parameters(relay_cells=2000), seed=3)
    table = anatomy.tables[0]
    inputs = table.alive.sum(axis=1)
    assert inputs.min() == 12 and inputs.max() == 20
    assert inputs.mean() == pytest.approx(16, abs=4 * inputs.std() / math.sqrt(2000))
    left = (table.alive & (table["eye"] == LEFT)).sum(axis=1)
    right = (table.alive & (table["eye"] == RIGHT)).sum(axis=1)
    assert (left + right == inputs).all()
    assert (np.abs(left - right) == inputs % 2).all(), "more than the odd input separates the eyes"
    odd = (left - right)[inputs % 2 == 1]
    assert abs(odd.mean()) < 4 / math.sqrt(odd.size), "the odd input prefers an eye"
    for row, alive in zip(table.source, table.alive, strict=True):
        assert len(set(row[alive])) == alive.sum(), "an axon gave a cell two inputs"


def test_the_trace_eye_tells_the_population_of_the_axon() -> None:
    anatomy = DLGN.grow(parameters(inputs_max=19, inputs_mean=15), seed=1)
    table = anatomy.tables[0]
    assert set(anatomy.populations) == {"left_eye", "right_eye"}
    assert (anatomy.populations["left_eye"] ^ anatomy.populations["right_eye"]).all()
    assert (anatomy.populations["right_eye"][table.source] == (table["eye"] == RIGHT)).all()
    assert table["eye"].shape == table.shape


def test_inputs_come_from_axons_in_reach() -> None:
    p = parameters(relay_cells=500)
    anatomy = DLGN.grow(p, seed=1)
    table = anatomy.tables[0]
    # A band is as wide as the reach, so inputs come from the cell's own band or the next one.
    own = np.floor(table["x"] / p.wave_width)
    assert np.abs(anatomy.group[table.source] // 2 - own)[table.alive].max() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"inputs_min": 21}, "inputs_min is 21"), ({"inputs_mean": 21.0}, "a mean of 21 inputs must lie between 12 and")],
)
def test_impossible_anatomy_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        DLGN.grow(parameters(**changes), seed=1)


def test_the_state_of_a_system_goes_into_another_one() -> None:
    p = parameters()
    system, other = dlgn(p), dlgn(p)
    alive = system.tables()[0].alive & (np.arange(20) != 3)
    state = {**system.state(), "alive": alive.astype(np.int8)}
    other.restore(state)
    assert (other.tables()[0].alive == alive).all() and other.tables()[0].n_alive() < system.tables()[0].n_alive()
    assert (other.tables()[0]["eye"] == system.tables()[0]["eye"]).all()


# --- activity


def test_a_wave_never_crosses_to_the_other_eye() -> None:
    p = parameters(relay_cells=100, burst_correlation=ByAge(((0.0, 1.0),)), burst_jitter=0.0, spikes_per_burst=1.0)
    system = dlgn(p, activity=60.0)
    axon, time = system._axon_spikes(p, NOW)
    group, is_right = system.anatomy.group, system.anatomy.populations["right_eye"]
    trains = {k: tuple(time[axon == k]) for k in range(group.size)}
    for g in np.unique(group):
        members = np.flatnonzero(group == g)
        assert len(set(is_right[members])) == 1, "axons of both eyes are in one group"
        assert len({trains[int(k)] for k in members}) == 1, "an axon misses waves of its band"
    waves = [set(trains[int(np.flatnonzero(group == g)[0])]) for g in np.unique(group)]
    assert all(waves) and not any(a & b for i, a in enumerate(waves) for b in waves[:i])


def test_a_silenced_eye_sends_no_spikes() -> None:
    def arriving(**changes: Any) -> tuple[np.ndarray, float]:
        p = parameters(relay_cells=100, **changes)
        system = dlgn(p, activity=20.0)
        table = system.tables()[0]
        index, _, _ = system._input_spikes(p, NOW, table)
        post, slot = np.divmod(index, table.shape[1] + 1)
        eye = table["eye"][post, slot]
        return np.asarray([(eye == LEFT).sum(), (eye == RIGHT).sum()]), 20.0 * table.n_alive() / 2

    expected = 0.33 * 5  # spikes per second of an axon
    both, trains = arriving()
    assert both / trains == pytest.approx(expected, rel=0.4)
    silenced, trains = arriving(silence_left_eye=True)
    assert silenced[0] == 0
    assert silenced[1] / trains == pytest.approx(expected, rel=0.4)
    stimulated, trains = arriving(stimulate_left_eye=ByAge(((0.0, 3.0),)))
    assert stimulated[0] / trains == pytest.approx(3.33 * 5, rel=0.1)
    assert stimulated[1] / trains == pytest.approx(expected, rel=0.4)


# --- development


def test_the_rules_are_those_of_the_cerebellum() -> None:
    def classes(model: str, age: float) -> dict[str, type]:
        return {rule.name: type(rule) for rule in load_experiment(model).rules_at(age)}

    ours, theirs = classes("dlgn", 5.0), classes("cerebellum", 7.0)
    assert ours == {name: theirs[name] for name in ("growth", "tag", "engulfment")}


def test_conditions_change_what_they_say() -> None:
    def rule(condition: str, name: str) -> Any:
        return next(r for r in load_experiment("dlgn", conditions=[condition]).rules_at(5.0) if r.name == name)

    assert rule("c3_knockout", "engulfment").factor == rule("cr3_knockout", "engulfment").factor == 0.5
    assert rule("cd47_knockout", "tag").protection == rule("cd47_knockout_left_eye_silenced", "tag").protection == 0
    for condition in ("left_eye_silenced", "cd47_knockout_left_eye_silenced"):
        silenced = load_experiment("dlgn", conditions=[condition])
        values = [silenced.system_at(age) for age in (4.25, 4.5, 5.75, 6.0)]
        assert [(p.silence_left_eye, p.silence_right_eye) for p in values if isinstance(p, Parameters)] == [
            (False, False),
            (True, False),
            (True, False),
            (False, False),
        ]
    stimulated = load_experiment("dlgn", conditions=["left_eye_stimulated"])
    rates = [p.stimulate_left_eye.at(0) for a in (4.25, 5.0) if isinstance(p := stimulated.system_at(a), Parameters)]
    assert rates == [0.0, 0.33]


def test_microglia_are_the_only_cause_and_have_names() -> None:
    record = short()
    connections = record.connections
    gone = connections["death_step"].values >= 0
    assert 0 < gone.sum() < gone.size and record.causes == ["engulfment"]
    assert (connections["agent"].values[gone] >= 0).all() and (connections["agent"].values[~gone] == -1).all()
    eye = record.snapshots["eye"].values
    assert np.isfinite(eye[0]).all()
    assert (np.isnan(eye[-1]) == gone).all()
    measures = record.measures()
    assert measures["left_eye_fraction"] == pytest.approx([(e[np.isfinite(e)] == LEFT).mean() for e in eye])
    assert measures["inputs_per_cell"][-1] == (~gone).sum() / 20
    assert not [name for name in measures if "dendrit" in name]


def test_a_silenced_eye_falls_behind_while_it_is_silenced() -> None:
    record = short("no_microglia", "left_eye_silenced")
    weight, eye = record.snapshots["weight"].values, record.snapshots["eye"].values[0]
    before, after = (weight[int(np.flatnonzero(record.ages == age)[0])] for age in (4.5, 6.0))
    growth = [after[eye == side].sum() / before[eye == side].sum() for side in (LEFT, RIGHT)]
    assert 1.0 <= growth[0] < growth[1]


def test_without_protection_activity_has_no_say_in_who_is_taken() -> None:
    both = short("cd47_knockout", "left_eye_silenced")
    assert both.identity["config"]["conditions"] == ["cd47_knockout", "left_eye_silenced"]
    assert both.decisions() == short("cd47_knockout_left_eye_silenced").decisions()
    alone, control = short("cd47_knockout"), short()
    for name in ("death_step", "agent"):
        assert (both.connections[name].values == alone.connections[name].values).all()
    assert (both.snapshots["weight"].fillna(0).values != alone.snapshots["weight"].fillna(0).values).any()
    taken = [(record.connections["death_step"].values >= 0).sum() for record in (alone, control)]
    assert taken[0] > taken[1], "the protective signal protects nothing"


def test_half_the_engulfment_without_complement() -> None:
    taken = [(short(*c).connections["death_step"].values >= 0).sum() for c in ((), ("c3_knockout",))]
    assert 0.4 < taken[1] / taken[0] < 0.8
