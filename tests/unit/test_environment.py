"""Microglia as cells, and inhibition that matures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Table, Tables
from neuroprune.environment import ENVIRONMENTS, Inhibition, Microglia, find_environment
from neuroprune.environment.microglia import poisson

NOW = Now(step=0, age=9.0, dt=0.25, progress=0.1)
MARGIN = 54e-6


def sheet(side: int, n_slots: int = 5, **traces: Any) -> Tables:
    """Return side x side cells 20 um apart in a plane."""
    n = side * side
    place = np.stack(np.divmod(np.arange(n), side), axis=1) * 20e-6
    return Tables(
        [
            Table(
                name="cells",
                ids=np.arange(n * n_slots).reshape(n, n_slots),
                alive=np.ones((n, n_slots), bool),
                weight=np.ones((n, n_slots)),
                source=np.zeros((n, n_slots), np.int64),
                traces={"x": place[:, :1], "y": place[:, 1:], "z": np.zeros((n, 1)), **traces},
            )
        ]
    )


def survey(
    microglia: Microglia, tables: Tables, seed: int = 1
) -> tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]:
    state = microglia.begin(tables, Draws(seed, "microglia", 0))
    after, traces = microglia.advance(state, tables, NOW, Draws(seed, "microglia", 0))
    return after, traces[0]


# --- microglia


@pytest.mark.parametrize("density", [6.5e12, 5e13])
def test_number_follows_from_density_and_volume(density: float) -> None:
    state = Microglia(density=density).begin(sheet(10), Draws(1, "microglia", 0))
    volume = (9 * 20e-6 + 2 * MARGIN) ** 2 * (2 * MARGIN)
    assert len(state["position"]) == round(density * volume)
    low, high = np.asarray([-MARGIN] * 3), np.asarray([180e-6 + MARGIN] * 2 + [MARGIN])
    assert (state["position"] >= low).all() and (state["position"] <= high).all()


def test_positions_fill_the_tissue_evenly() -> None:
    state = Microglia(density=1e15).begin(sheet(10), Draws(1, "microglia", 0))
    unit = (state["position"] - state["low"]) / (state["high"] - state["low"])
    assert len(unit) > 5000
    for axis in range(3):
        assert stats.kstest(unit[:, axis], "uniform").pvalue > 1e-3


def test_without_cells_there_are_no_contacts_and_no_agent() -> None:
    after, traces = survey(Microglia(presence=0.0), sheet(8))
    assert not after["present"].any()
    assert not traces["contacts"].any()
    np.testing.assert_array_equal(traces["microglia"], -1)
    np.testing.assert_array_equal(traces["support"], 0)


def test_the_surveying_cell_is_the_nearest_that_is_present() -> None:
    tables = sheet(8)
    after, traces = survey(Microglia(density=2e13, presence=0.5, reach=60e-6), tables)
    cells = np.concatenate([tables[0][axis] for axis in "xyz"], axis=1)
    distance = np.linalg.norm(cells[:, None] - after["position"], axis=2)
    present = after["present"].astype(bool)
    assert 0 < present.sum() < len(present)
    distance[:, ~present] = np.inf
    nearest = np.where(distance.min(axis=1) <= 60e-6, distance.argmin(axis=1), -1)
    np.testing.assert_array_equal(traces["microglia"][:, 0], nearest)
    assert not traces["contacts"][nearest < 0].any()
    assert traces["contacts"][nearest >= 0].any()


def test_support_is_the_fraction_present_in_reach() -> None:
    tables = sheet(8)
    microglia = Microglia(density=2e13, presence=0.5)
    after, traces = survey(microglia, tables)
    cells = np.concatenate([tables[0][axis] for axis in "xyz"], axis=1)
    near = np.linalg.norm(cells[:, None] - after["position"], axis=2) <= microglia.reach
    assert near.any(axis=1).all()
    expected = [after["present"][row].mean() for row in near]
    np.testing.assert_allclose(traces["support"][:, 0], expected)
    assert len(np.unique(expected)) > 3


def test_roles() -> None:
    both, inhibition, engulfment = (
        survey(Microglia(role=role, presence=0.4), sheet(8))[1] for role in ("both", "inhibition", "engulfment")
    )
    np.testing.assert_array_equal(inhibition["contacts"], 0)
    np.testing.assert_array_equal(inhibition["support"], both["support"])
    np.testing.assert_array_equal(engulfment["contacts"], both["contacts"])
    np.testing.assert_array_equal(engulfment["support"], 1)
    assert both["contacts"].any() and (both["support"] < 1).all()


def test_an_input_is_touched_about_once_an_hour() -> None:
    contacts = np.concatenate([survey(Microglia(), sheet(16), seed)[1]["contacts"] for seed in range(4)])
    per_hour = contacts.mean() / (NOW.dt * 24)
    assert 0.7 < per_hour < 1.3


def test_contacts_follow_the_cycle_of_a_process() -> None:
    """One cell at a known distance: the rate is 1 / (rest + contact + 2 d / v)."""
    tables = sheet(1, n_slots=20_000)
    microglia = Microglia(process_speed=2.5e-8, drift=0.0)
    d = 30e-6
    state = {"position": np.asarray([[d, 0.0, 0.0]]), "low": np.full(3, -1.0), "high": np.ones(3)}
    _, (traces,) = microglia.advance(state, tables, NOW, Draws(1, "microglia", 0))
    mean = 0.25 * 86400 / (900 + 300 + 2 * d / 2.5e-8)
    counts = traces["contacts"].ravel()
    assert counts.mean() == pytest.approx(mean, abs=5 * math.sqrt(mean / counts.size))
    assert counts.var() == pytest.approx(mean, rel=0.06)


@given(st.integers(0, 1000), st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_depletion_is_nested(seed: int, presences: tuple[float, float]) -> None:
    """The cells that stay at a low presence also stay at a higher one."""
    low, high = sorted(presences)
    tables = sheet(3, n_slots=1)
    few, many = (survey(Microglia(density=5e13, presence=p), tables, seed)[0]["present"] for p in (low, high))
    assert (few <= many).all()


def test_the_same_cells_stay_away() -> None:
    tables, microglia = sheet(5), Microglia(density=5e13, presence=0.5)
    state = microglia.begin(tables, Draws(1, "microglia", 0))
    present = []
    for now in Clock(3.0, 6.0, 0.5).moments():
        state, _ = microglia.advance(state, tables, now, Draws(1, "microglia", now.step))
        present.append(state["present"])
    assert (np.asarray(present) == present[0]).all()


def test_cells_walk_at_their_speed_inside_the_tissue() -> None:
    tables, microglia = sheet(20), Microglia(density=1e14, drift=4e-10)
    before = microglia.begin(tables, Draws(1, "microglia", 0))
    after, _ = microglia.advance(before, tables, NOW, Draws(1, "microglia", 0))
    step = np.linalg.norm(after["position"] - before["position"], axis=1)
    stride = 4e-10 * 0.25 * 86400
    assert np.median(step) == pytest.approx(stride)
    assert (step <= stride * (1 + 1e-9)).all()
    assert (after["position"] >= after["low"]).all() and (after["position"] <= after["high"]).all()


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1, exclude_max=True)), min_size=1, max_size=20))
def test_poisson_is_the_inverse_of_the_distribution(pairs: list[tuple[float, float]]) -> None:
    mean, uniform = (np.asarray(column) for column in zip(*pairs, strict=True))
    count = poisson(mean, uniform)
    # On an edge of the distribution, the last bit of the sum decides.
    tolerance = 1e-12
    assert (stats.poisson.cdf(count, mean) > uniform - tolerance).all()
    assert (stats.poisson.cdf(count - 1, mean) <= uniform + tolerance).all()


def test_poisson_against_scipy() -> None:
    uniform = Draws(1, "poisson", 0).uniform(np.arange(10_000).reshape(100, 100))
    mean = np.linspace(0, 20, 100)[:, None]
    np.testing.assert_array_equal(poisson(mean, uniform), np.maximum(stats.poisson.ppf(uniform, mean), 0))


# --- inhibition


def mature(inhibition: Inhibition, tables: Tables, ages: Sequence[float], dt: float) -> list[dict[str, float]]:
    state = inhibition.begin(tables, Draws(1, "inhibition", 0))
    seen = []
    for k, age in enumerate(ages):
        state, (traces,) = inhibition.advance(state, tables, Now(k, age, dt, 0.5), Draws(1, "inhibition", k))
        seen.append({name: float(np.asarray(trace)[0, 0]) for name, trace in traces.items()})
    return seen


@pytest.mark.parametrize("dt", [0.125, 0.5])
@pytest.mark.parametrize("support", [0.3, 1.0])
def test_inhibition_follows_the_solution_of_its_equation(dt: float, support: float) -> None:
    """Steps of any length give B = max - (max - initial) exp(-support t / tau), exactly."""
    window: dict[str, Any] = {"from": 6.5, "to": 11.5}
    inhibition = Inhibition(initial=0.4, maximum=1.0, time_constant=1.6, **window)
    ages = 3.0 + dt * np.arange(round(12 / dt))
    seen = mature(inhibition, sheet(2, support=np.full((4, 1), support)), ages.tolist(), dt)
    open_for = np.clip(ages + dt - 6.5, 0, 5)
    expected = 1 - 0.6 * np.exp(-support * open_for / 1.6)
    np.testing.assert_allclose([s["inhibition_strength"] for s in seen], expected, rtol=1e-12)


def test_the_gate_depends_on_inhibition_after_its_onset() -> None:
    tables = sheet(2, support=np.zeros((4, 1)))
    inhibition = Inhibition(initial=0.4, onset=10.0, exponent=1.5)
    early, half, late = (s["inhibition"] for s in mature(inhibition, tables, [3.0, 10.0, 20.0], 0.25))
    assert early == pytest.approx(1, abs=1e-5)
    assert half == pytest.approx((1 + 0.4**1.5) / 2)
    assert late == pytest.approx(0.4**1.5, rel=1e-6)


def test_gaba_and_enhancement() -> None:
    tables = sheet(2, support=np.zeros((4, 1)))
    (seen,) = mature(Inhibition(initial=0.8, gaba=0.5, enhancement=0.1), tables, [20.0], 0.25)
    assert seen["inhibition_strength"] == pytest.approx(0.5)
    (seen,) = mature(Inhibition(initial=0.8, enhancement=0.7), tables, [20.0], 0.25)
    assert seen["inhibition_strength"] == 1.0


def test_cells_without_microglia_stay_immature() -> None:
    tables = sheet(2, support=np.asarray([[1.0], [1.0], [0.0], [0.0]]))
    inhibition = Inhibition()
    state = inhibition.begin(tables, Draws(1, "inhibition", 0))
    for k in range(16):
        state, _ = inhibition.advance(state, tables, Now(k, 6.5 + k / 4, 0.25, 0.5), Draws(1, "inhibition", k))
    np.testing.assert_allclose(state["strength0"], [1 - 0.6 * math.exp(-4 / 1.6)] * 2 + [0.4] * 2)


# --- all environments


@pytest.mark.parametrize("key", ENVIRONMENTS)
def test_every_environment_is_pure_and_keeps_its_promises(key: str) -> None:
    environment = find_environment(key)()
    assert environment.name == key
    tables = sheet(3, support=np.ones((9, 1)))
    draws = Draws(1, key, 0)
    state = environment.begin(tables, draws)
    kept = {name: value.copy() for name, value in state.items()}
    first, again = (environment.advance(state, tables, NOW, draws) for _ in range(2))
    for name, value in kept.items():
        np.testing.assert_array_equal(state[name], value)
    for name, value in first[0].items():
        np.testing.assert_array_equal(again[0][name], value)
    assert set(first[1][0]) == set(environment.produces)
    tables.with_traces(first[1])  # they fit the tables


@pytest.mark.parametrize("key", ENVIRONMENTS)
def test_no_cells_are_no_trouble(key: str) -> None:
    environment = find_environment(key)()
    empty = Tables([Table(t.name, t.ids[:0], t.alive[:0], t.weight[:0], t.source[:0], _empty(t)) for t in sheet(2)])
    _, traces = environment.advance(environment.begin(empty, Draws(1, key, 0)), empty, NOW, Draws(1, key, 0))
    empty.with_traces(traces)


def _empty(table: Table) -> dict[str, np.ndarray]:
    return {**{name: trace[:0] for name, trace in table.traces.items()}, "support": np.zeros((0, 1))}


@pytest.mark.parametrize("parameters", [{"presence": 1.1}, {"density": 0.0}, {"reach": math.nan}, {"role": "none"}])
def test_microglia_refuse(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(parameters))):
        Microglia(**parameters)


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(SpecificationError, match="'astroglia'"):
        find_environment("astroglia")
