"""Ages, courses, draws, quantities and tables."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from neuroprune.core.clock import COURSES, Clock, course_done, format_age, parse_age, window
from neuroprune.core.errors import NeuropruneError, SpecificationError
from neuroprune.core.randomness import Draws, derive_seed
from neuroprune.core.tables import Change, Decision, Table, Tables, row_max, row_sum
from neuroprune.core.units import Age, Days, PerDay, by_age, to_float

# --- clock


@pytest.mark.parametrize(
    ("text", "days"), [("P7", 7.0), ("P7.25", 7.25), (" P 7 ", 7.0), ("P-2", -2.0), (3, 3.0), (3.5, 3.5)]
)
def test_parse_age(text: str | float, days: float) -> None:
    assert parse_age(text) == days


@pytest.mark.parametrize("text", ["7", "E14", "P", "P7d", "p7", True, ""])
def test_parse_age_refuses(text: Any) -> None:
    with pytest.raises(SpecificationError, match="write it like P3"):
        parse_age(text)


def test_other_epochs() -> None:
    assert parse_age("W3", {"L": 0.0, "W": 20.0}) == 23.0
    with pytest.raises(SpecificationError, match="write it like L3 or W3"):
        parse_age("P3", {"L": 0.0, "W": 20.0})


@given(st.integers(-300, 3000))
def test_ages_survive_a_round_trip(quarters: int) -> None:
    assert parse_age(format_age(quarters / 4)) == quarters / 4


def test_clock_counts_without_drift() -> None:
    clock = Clock(3.0, 21.0, 0.1)
    moments = list(clock.moments())
    assert clock.n_steps == len(moments) == 180
    assert [m.age for m in moments] == [round(3 + 0.1 * k, 9) for k in range(180)]
    assert moments[-1].progress == 1.0
    assert [m.step for m in clock.moments(177)] == [177, 178, 179]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 21, 0), "must be positive"),
        ((3, 21, math.nan), "must be positive"),
        ((3, 3, 1), "must be later"),
        ((3, 21, 0.7), "whole number of steps"),
    ],
)
def test_clock_refuses(arguments: tuple[float, float, float], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        Clock(*arguments)


def test_window() -> None:
    assert [window(age, 5, 8) for age in (4.9, 5, 7.9, 8)] == [0, 1, 1, 0]
    assert window(1e6, None, None) == 1
    assert [window(age, 5, None, ramp=2) for age in (3.9, 4.5, 5, 6.1)] == pytest.approx([0, 0.15625, 0.5, 1])
    assert window(8, 5, 8, ramp=1) == pytest.approx(0.5)


@pytest.mark.parametrize("course", ["constant", "decreasing", "increasing"])
def test_courses_run_from_0_to_1(course: Any) -> None:
    done = [course_done(course, u, 8.0) for u in np.linspace(0, 1, 50)]
    assert done[0] == 0
    assert done[-1] == pytest.approx(1)
    assert (np.diff(done) > 0).all()
    speed = np.diff(done)
    change = {"constant": 1.0, "decreasing": math.exp(-8 * 48 / 49), "increasing": math.exp(8 * 48 / 49)}[course]
    assert speed[-1] / speed[0] == pytest.approx(change)


@pytest.mark.parametrize("course", COURSES)
@pytest.mark.parametrize("steepness", [0.1, 4.0, 30.0])
def test_every_course_is_monotone_and_complete(course: Any, steepness: float) -> None:
    done = [course_done(course, u, steepness) for u in np.linspace(0, 1, 101)]
    assert done[0] == pytest.approx(0, abs=1e-12) and done[-1] == pytest.approx(1, abs=1e-12)
    assert (np.diff(done) >= 0).all()


def test_courses_by_hand() -> None:
    assert course_done("cubic", 0.5, 8.0) == pytest.approx(1 - 0.5**3)
    assert [course_done("at_once", u, 8.0) for u in (0.0, 1e-9, 0.5, 1.0)] == [0, 1, 1, 1]
    assert course_done("pulse", 0.5, 8.0) == pytest.approx(0.5)
    for u in (0.1, 0.3):
        assert course_done("pulse", u, 8.0) + course_done("pulse", 1 - u, 8.0) == pytest.approx(1)

    def rate(u: float) -> float:
        return (course_done("pulse", u + 1e-5, 12.0) - course_done("pulse", u - 1e-5, 12.0)) / 2e-5

    assert rate(0.3) / rate(0.5) == pytest.approx(math.cosh(12 * 0.2) ** -2, rel=1e-6)  # a squared hyperbolic secant
    assert rate(1 - 1e-5) / rate(0.5) == pytest.approx(4 * math.exp(-12), rel=0.01)  # what `steepness` promises


# --- randomness


def test_draws_are_uniform_and_unrelated() -> None:
    ids = np.arange(40_000)
    a = Draws(1, "a", 0).uniform(ids)
    assert a.min() >= 0 and a.max() < 1
    assert stats.kstest(a, "uniform").pvalue > 1e-3
    others = [Draws(2, "a", 0), Draws(1, "b", 0), Draws(1, "a", 1)]
    for b in [*(d.uniform(ids) for d in others), Draws(1, "a", 0).uniform(ids, "other"), np.roll(a, 1)]:
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(len(ids))
        assert abs(np.corrcoef(a < 0.01, b < 0.01)[0, 1]) < 5 / math.sqrt(len(ids))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, unique=True), st.randoms(use_true_random=False))
def test_a_draw_depends_on_its_id_alone(ids: list[int], random: Any) -> None:
    draws = Draws(5, "rule", 3)
    alone = {i: float(draws.uniform(np.asarray([i]))[0]) for i in ids}
    random.shuffle(ids)
    assert draws.uniform(np.asarray([ids]))[0].tolist() == [alone[i] for i in ids]


def test_draws_are_the_same_for_ever() -> None:
    """A change of the hash would silently change every published run."""
    draws = Draws(seed=1, stream="engulfment", step=7)
    assert draws.uniform(np.asarray([0, 1, -1, 2**40])).tolist() == [
        0.6951299516282432,
        0.3178165083993919,
        0.9271837803602974,
        0.5464462050341771,
    ]
    assert draws.one("quota") == 0.01675513815899543
    assert derive_seed(3, "sample", 12) == 16227978701416500823


# --- quantities


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("39 pF", "F", 39e-12),
        ("0.36 / day", "1/day", 0.36),
        ("6 h", "day", 0.25),
        ("50 %", "", 0.5),
        (2, "", 2.0),
    ],
)
def test_to_float(text: Any, unit: str, value: float) -> None:
    assert to_float(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "unit", "message"),
    [
        ("39 pF", "s", "wrong unit: it must be convertible to s"),
        (39, "F", "has no unit"),
        ("39 pX", "F", "not a quantity in F"),
        (True, "", "not a quantity"),
        (None, "s", "not a quantity"),
    ],
)
def test_to_float_refuses(value: Any, unit: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_float(value, unit)


def test_quantities_in_parameters() -> None:
    assert TypeAdapter(PerDay).validate_python("1 / hour") == pytest.approx(24)
    assert TypeAdapter(Days).validate_python(0.5) == 0.5
    assert TypeAdapter(Age).validate_python("P9.5") == 9.5
    with pytest.raises(ValidationError, match="wrong unit"):
        TypeAdapter(Days).validate_python("3 mV")
    with pytest.raises(ValidationError, match="write it like P3"):
        TypeAdapter(Age).validate_python("day 3")


def test_quantities_by_age() -> None:
    adapter = TypeAdapter(by_age("F"))
    quantity = adapter.validate_python([["P5", "39 pF"], ["P18", "334 pF"]])
    assert quantity.at(1) == quantity.at(5) == pytest.approx(39e-12)
    assert quantity.at(11.5) == pytest.approx((39e-12 + 334e-12) / 2)
    assert quantity.at(30) == pytest.approx(334e-12)
    assert adapter.validate_python("10 pF").at(7) == pytest.approx(1e-11)
    assert adapter.validate_python(quantity) is quantity
    for bad in ([["P5", "1 pF"], ["P4", "2 pF"]], [], [["P5"]]):
        with pytest.raises(ValidationError):
            adapter.validate_python(bad)


# --- tables


def table(**changes: Any) -> Table:
    fields: dict[str, Any] = {
        "name": "cells",
        "ids": np.asarray([[0, 1, 2], [3, 4, -1]]),
        "alive": np.asarray([[True, True, False], [True, False, False]]),
        "weight": np.asarray([[2.0, 3.0, 0.0], [5.0, 0.0, 0.0]]),
        "source": np.zeros((2, 3), np.int64),
        "traces": {"usage": np.ones((2, 3)), "calcium": np.asarray([[0.5], [1.0]])},
        "candidates": np.asarray([[False, False, True], [False, True, False]]),
    }
    return Table(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.ones((2, 2))}, r"weight has type float64 and shape \(2, 2\)"),
        ({"weight": np.ones((2, 3), np.float32)}, "weight has type float32"),
        ({"ids": np.zeros((2, 3), np.int32)}, "ids has type int32"),
        ({"alive": np.ones((2, 3))}, "alive has type float64"),
        ({"source": np.zeros(3, np.int64)}, "source"),
        ({"alive": np.ones((2, 3), bool)}, r"without an id \(padding\) is alive"),
        ({"traces": {"usage": np.ones((3, 2))}}, "trace 'usage' has shape"),
        ({"traces": {"usage": np.ones(3)}}, "trace 'usage' has shape"),
    ],
)
def test_table_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        table(**changes)


def test_table_reads_traces() -> None:
    t = table()
    assert t.n_alive() == 3 and t.shape == (2, 3)
    np.testing.assert_array_equal(t.full("calcium"), [[0.5] * 3, [1.0] * 3])
    assert "usage" in t and "tag" not in t
    with pytest.raises(SpecificationError, match=r"'cells' has no trace 'tag' \(it has: calcium, usage\)"):
        t["tag"]
    changed = t.with_traces({"tag": np.zeros((2, 3)), "usage": np.zeros((1, 1))})
    assert changed["tag"].shape == (2, 3) and changed["usage"].shape == (1, 1) and "tag" not in t


def test_after_carries_a_decision_out() -> None:
    eliminate = np.asarray([[True, False, False], [False, False, False]])
    form = np.asarray([[False, False, True], [False, False, False]])
    change = Change(eliminate=eliminate, form=form, weight=np.full((2, 3), 7.0), traces={"tag": np.ones((2, 3))})
    before = Tables([table()])
    (after,) = before.after(Decision("rule", (change,)))
    np.testing.assert_array_equal(after.alive, [[False, True, True], [True, False, False]])
    np.testing.assert_array_equal(after.weight, [[0, 7, 7], [7, 0, 0]])
    np.testing.assert_array_equal(after.candidates, [[False, False, False], [False, True, False]])
    assert "tag" in after and "usage" in after
    np.testing.assert_array_equal(before[0].alive, table().alive)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change(eliminate=np.asarray([[False, False, True], [False] * 3])), "'rule' eliminates .* not alive"),
        (Change(form=np.asarray([[True, False, False], [False] * 3])), "'rule' forms .* no candidate"),
        (Change(form=np.asarray([[False] * 3, [False, False, True]])), "'rule' forms .* no candidate"),
    ],
)
def test_after_refuses(change: Change, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        Tables([table()]).after(Decision("rule", (change,)))


def test_after_does_nothing_when_nothing_was_decided() -> None:
    (after,) = Tables([table()]).after(Decision("rule", (Change(),)))
    np.testing.assert_array_equal(after.alive, table().alive)
    np.testing.assert_array_equal(after.weight, table().weight)


def test_rows() -> None:
    t = table(weight=np.asarray([[2.0, 3.0, 9.0], [5.0, 9.0, 9.0]]))
    np.testing.assert_array_equal(row_max(t.weight, t.alive), [[3], [5]])
    np.testing.assert_array_equal(row_sum(t.weight, t.alive), [[5], [5]])
    empty = np.zeros((2, 0))
    assert row_max(empty, empty > 0).tolist() == row_sum(empty, empty > 0).tolist() == [[0], [0]]


def test_tables_are_a_sequence() -> None:
    tables = Tables([table(), table(name="more")])
    assert len(tables) == 2 and tables[1].name == "more" and [t.name for t in tables[:1]] == ["cells"]
    assert tables.n_alive() == 6
    with_tag = tables.with_traces([{"tag": np.zeros((2, 1))}, {"tag": np.ones((2, 1))}])
    assert [float(t["tag"][0, 0]) for t in with_tag] == [0, 1]
    with pytest.raises(ValueError, match="shorter"):
        tables.with_traces([{}])


def test_errors_have_one_base() -> None:
    assert issubclass(SpecificationError, NeuropruneError) and issubclass(SpecificationError, ValueError)
