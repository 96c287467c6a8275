"""Questions about the inputs on cells, answered on records small enough to answer them by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import NeuropruneError, SpecificationError
from neuroprune.core.tables import Change, Decision, Table, Tables
from neuroprune.record import (
    Record,
    Recorder,
    cells_per_axon,
    cells_with_inputs,
    cells_with_trace,
    decay_constant,
    eliminated_fraction,
    feedback_exponent,
    inputs_per_cell,
    pair_sizes,
    rank_correlation,
    step_mean,
    strongest_inputs,
    to_tree,
    winner_kept,
)

DEAD = 0.0


def record_of(
    weights: Sequence[Sequence[Sequence[float]]],
    *,
    source: Sequence[Sequence[int]] | None = None,
    trace: Sequence[Sequence[Sequence[float]]] | None = None,
    alive: Sequence[Sequence[Sequence[bool]]] | None = None,
    measures: Sequence[Mapping[str, float]] | None = None,
    causes: Mapping[int, str] | None = None,
    ages: Sequence[int] | None = None,
    rules: Sequence[str] = ("early", "late"),
    other_table: bool = False,
) -> Record:
    """Return the record of a day for each entry of `weights` (cells × inputs) but the last, from P3 on.

    An input is eliminated in the step before its first weight of 0 (or where `alive` says so), by ``early`` or by what
    `causes` says for that step. `trace` has the entries of the trace "mark", NaN where there is none; `ages` are those
    that are recorded. With `other_table`, a second table has one cell with one input, of axon 0 and strength 4.
    """
    w = np.asarray(weights, float)
    days, cells, slots = w.shape
    lives = w > 0 if alive is None else np.asarray(alive)
    ids = np.arange(cells * slots, dtype=np.int64).reshape(cells, slots)
    axon = ids % slots if source is None else np.asarray(source, np.int64)

    def tables(day: int) -> Tables:
        traces = {} if trace is None else {"mark": np.asarray(trace[day], float)}
        found = [Table("first", ids, lives[day], np.where(lives[day], w[day], 0), axon, traces)]
        if other_table:
            one = np.ones((1, 1))
            found.append(Table("second", np.array([[ids.size]]), one > 0, 4 * one, 0 * np.array([[1]]), {}))
        return Tables(found)

    config = {"rules": [{"name": name, "rule": "elimination"} for name in rules]}
    clock = Clock(3.0, 3.0 + days - 1, 1.0)
    traces = [] if trace is None else ["mark"]
    recorder = Recorder("by hand", tables(0), clock, traces, {"seed": 1, "config": config, "provenance": {}})
    for day in range(days):
        if ages is None or day + 3 in ages:
            recorder.snapshot(clock.age(day), tables(day), {}, None, {})
        if day + 1 < days:
            gone = lives[day] & ~lives[day + 1]
            rest = [Change()] * other_table
            decision = Decision((causes or {}).get(day, "early"), (Change(eliminate=gone), *rest))
            now = Now(day, clock.age(day), 1.0, (day + 1) / (days - 1))
            seen = {} if measures is None else measures[day]
            recorder.step(now, [(tables(day), decision)], tables(day + 1), seen)
    return Record(to_tree(recorder))


# Two cells with three inputs at P3, P4, P5. Axons: 0 reaches cell 0; 1 reaches both; 2 both; 3 cell 1.
COURSE = [
    [[3, 2, 1], [2, 2, 1]],
    [[4, 5, DEAD], [2, 3, 1]],
    [[DEAD, 7, DEAD], [2, 4, 4]],
]
SOURCE = [[0, 1, 2], [3, 1, 2]]


@pytest.fixture
def record() -> Record:
    return record_of(COURSE, source=SOURCE)


# ------------------------------------------------------------------------------------------ at recorded ages


def test_the_strongest_input_of_each_cell(record: Record) -> None:
    assert strongest_inputs(record, 3).tolist() == [0, 3]  # of the equal 3 and 4 the older
    assert strongest_inputs(record, 4).tolist() == [1, 4]
    assert strongest_inputs(record).tolist() == strongest_inputs(record, 5).tolist() == [1, 4]


def test_a_cell_without_inputs_has_no_strongest() -> None:
    gone = record_of([[[1, 2], [1, 2]], [[DEAD, DEAD], [3, 2]]])
    assert strongest_inputs(gone).tolist() == [2]


def test_cells_of_two_tables_are_different_cells() -> None:
    both = record_of(COURSE, source=SOURCE, other_table=True)
    assert strongest_inputs(both, 3).tolist() == [0, 3, 6]
    assert inputs_per_cell(both, 5).tolist() == [1, 3, 1]
    assert cells_per_axon(both, 5).tolist() == [1, 2, 1, 1]  # axon 0 has lost cell 0, and has the one of the other
    assert sorted(pair_sizes(both, 5)) == [2, 4, 4, 4, 7]


def test_pair_sizes_are_the_weights_of_the_living(record: Record) -> None:
    assert sorted(pair_sizes(record, 3)) == [1, 1, 2, 2, 2, 3]
    assert sorted(pair_sizes(record, 4)) == [1, 2, 3, 4, 5]
    assert sorted(pair_sizes(record, 5)) == [2, 4, 4, 7]


def test_two_connections_of_an_axon_on_a_cell_are_one_pair_but_two_inputs() -> None:
    twice = record_of([[[3, 2, 1]], [[3, 2, 1]]], source=[[5, 5, 6]])
    assert sorted(pair_sizes(twice, 3)) == [1, 5]
    assert inputs_per_cell(twice, 3).tolist() == [3]
    assert cells_per_axon(twice, 3).tolist() == [1, 1]


def test_a_living_pair_without_synapses_is_not_connected() -> None:
    weights = [[[3, 0]], [[3, 0]]]
    idle = record_of(weights, alive=[[[True, True]]] * 2)
    assert pair_sizes(idle, 3).tolist() == [3]
    assert inputs_per_cell(idle, 3).tolist() == [2]


def test_inputs_per_cell_and_cells_per_axon(record: Record) -> None:
    assert [inputs_per_cell(record, age).tolist() for age in (3, 4, 5)] == [[3, 3], [2, 3], [1, 3]]
    assert [cells_per_axon(record, age).tolist() for age in (3, 4, 5)] == [[1, 2, 2, 1], [1, 2, 1, 1], [0, 2, 1, 1]]
    assert inputs_per_cell(record, 3).dtype == cells_per_axon(record, 3).dtype == np.int64


def test_only_what_had_a_connection_at_the_start_is_counted() -> None:
    """Cell 1 and axon 9 have none at first; both get one in the first step."""
    ids = np.array([[0, 1], [2, 3]])
    axon, weight = np.array([[0, 1], [9, 8]]), np.ones((2, 2))
    before = np.array([[True, True], [False, False]])
    born = np.array([[False, False], [True, False]])
    start = Tables([Table("cells", ids, before, weight * before, axon, {}, born)])
    grown = start.after(Decision("growth", (Change(form=born, weight=weight),)))
    clock = Clock(3.0, 4.0, 1.0)
    recorder = Recorder("by hand", start, clock, [], {"seed": 1, "config": {}})
    recorder.snapshot(3.0, start, {}, None, {})
    recorder.step(Now(0, 3.0, 1.0, 1.0), [(start, Decision("growth", (Change(form=born),)))], grown, {})
    recorder.snapshot(4.0, grown, {}, None, {})
    record = Record(to_tree(recorder))
    assert len(pair_sizes(record, 4)) == 3
    assert inputs_per_cell(record, 4).tolist() == [2]
    assert cells_per_axon(record, 4).tolist() == [1, 1]


def test_fractions_of_cells(record: Record) -> None:
    assert [cells_with_inputs(record, 5, n) for n in (0, 1, 2, 3, 4)] == [1, 1, 0.5, 0.5, 0]
    assert cells_with_inputs(record, 4, 3) == 0.5


def test_cells_with_a_trace_count_living_inputs_above_zero() -> None:
    mark = [[[0, 0, 9], [1, 0.5, 0]]] * 3
    record = record_of(COURSE, source=SOURCE, trace=mark)
    assert cells_with_trace(record, "mark", 3, 1) == 1
    assert cells_with_trace(record, "mark", 4, 1) == 0.5  # that of cell 0 is dead
    assert cells_with_trace(record, "mark", 4, 2) == 0.5
    assert cells_with_trace(record, "mark", 4, 3) == 0
    assert cells_with_trace(record, "weight", 5, 2) == 0.5


def test_a_trace_of_one_table_counts_the_cells_of_all() -> None:
    record = record_of(COURSE, source=SOURCE, trace=[[[1, 1, 1], [1, 1, 1]]] * 3, other_table=True)
    assert cells_with_trace(record, "mark", 3, 1) == pytest.approx(2 / 3)


# ---------------------------------------------------------------------------------- from one age to another


def test_the_winner_is_kept_in_a_fraction_of_the_cells(record: Record) -> None:
    # Cell 0: input 0 leads at P3 and is dead at P5. Cell 1: 0 and 1 lead together, and 1 is one of the two at P5.
    assert winner_kept(record, 3, 5) == (0 + 0.5) / 2
    assert winner_kept(record, 3, 4) == (0 + 0.5) / 2
    assert winner_kept(record, 4, 5) == 1
    assert winner_kept(record, 3, 3) == 1


def test_a_cell_that_lost_all_inputs_kept_no_winner() -> None:
    assert winner_kept(record_of([[[1, 2], [1, 2]], [[DEAD, DEAD], [1, 2]]]), 3, 4) == 0.5


def test_rank_correlation_within_cells() -> None:
    mark = np.array([[[1, 2, 3], [1, 1, 5], [7, 7, 7], [1, 2, 3]]] * 2, float)
    weights = [
        [[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, DEAD]],
        [[6, 5, DEAD], [2, 3, 4], [1, 2, 3], [1, 2, DEAD]],
    ]
    # Cell 0: ranks 1, 2, 3 and 3, 2, 1 (dead is 0): -1. Cell 1: 1.5, 1.5, 3 and 1, 2, 3: 1.5 / sqrt(1.5 * 2).
    # Cell 2 has no variation, cell 3 two inputs.
    mark[:, 3, 2] = np.nan
    record = record_of(weights, trace=mark.tolist())
    assert rank_correlation(record, "mark", 3, 4) == pytest.approx((-1 + 1.5 / math.sqrt(3)) / 2)
    assert rank_correlation(record, "weight", 4, 4) == pytest.approx(1)
    assert math.isnan(rank_correlation(record, "weight", 3, 4))  # all 1 at P3


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5.
    record = record_of([[[1, 2, 2, 3]], [[1, 2, 3, 4]]])
    assert rank_correlation(record, "weight", 3, 4) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_rank_correlation_does_not_pool_cells() -> None:
    mark = [[[1, 2, 3], [11, 12, 13]]] * 2
    record = record_of([[[1, 1, 1], [1, 1, 1]], [[3, 2, 1], [13, 12, 11]]], trace=mark)
    assert rank_correlation(record, "mark", 3, 4) == pytest.approx(-1)  # +0.54 over all six


# ------------------------------------------------------------------------------------------------- feedback


@pytest.mark.parametrize("times", [1, 10, 1000])
@pytest.mark.parametrize(("gains", "exponent"), [((3, 3, 3), 0), ((1, 2, 4), 1), ((1, 4, 16), 2), ((4, 2, 1), -1)])
def test_feedback_of_gains_in_proportion_to_a_power(gains: tuple[int, ...], exponent: float, times: int) -> None:
    size = np.array([1, 2, 4])
    gained = times * np.array(gains)
    found = feedback_exponent(record_of(np.stack([[size], [size + gained]]).tolist()), 3, 4)
    p = gained / gained.sum()
    information = gained.sum() * (p @ np.log(size) ** 2 - (p @ np.log(size)) ** 2)
    assert found.exponent == pytest.approx(exponent, abs=1e-9)
    assert found.standard_error == pytest.approx(information**-0.5)
    assert found.gains == gained.sum()


def test_feedback_of_a_choice_between_two_is_a_log_odds() -> None:
    # Gains of 5 and 35 on sizes 1 and 3: the odds are 7, so the exponent is log 7 / log 3.
    found = feedback_exponent(record_of([[[1, 3]], [[6, 38]]]), 3, 4)
    assert found.exponent == pytest.approx(math.log(7) / math.log(3))
    assert found.standard_error == pytest.approx(1 / math.sqrt(40 * 7 / 64 * math.log(3) ** 2))


@pytest.mark.parametrize(
    ("sizes", "gains", "exponent"),
    [
        ((1, 2), (1, 1e6), math.log(1e6) / math.log(2)),  # the slope is known to 1e-10 only, for the million in it
        ((1, 2), (1e6, 1), -math.log(1e6) / math.log(2)),
        ((816844, 816845), (1, 70811), math.log(70811) / math.log1p(1 / 816844)),  # 9e6, far from the start
        ((33408, 33409), (1253269, 1), -math.log(1253269) / math.log1p(1 / 33408)),
    ],
)
def test_feedback_is_found_where_one_input_takes_almost_all(
    sizes: tuple[int, int], gains: tuple[float, float], exponent: float
) -> None:
    found = feedback_exponent(record_of([[sizes], [np.add(sizes, gains).tolist()]]), 3, 4)
    assert abs(found.exponent - exponent) < 1e-4 * found.standard_error
    assert found.gains == sum(gains)


def test_feedback_that_is_not_found_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuroprune.record.innervation.feedback.MOST_ITERATIONS", 3)
    with pytest.raises(NeuropruneError, match=r"no exponent of feedback was found in 3 steps: it is near 5\.3"):
        feedback_exponent(record_of([[[1, 2]], [[2, 1000002]]]), 3, 4)


def test_feedback_uses_all_intervals_and_inputs_alive_at_both_ends() -> None:
    # P3-P4: 1, 2 gain 1, 2 (the 9 dies and is no choice). P4-P5: 2, 4 gain 2, 4. A loss is no gain, and a cell whose
    # inputs do not compete tells nothing.
    weights = [
        [[1, 2, 9], [5, DEAD, DEAD]],
        [[2, 4, DEAD], [9, DEAD, DEAD]],
        [[4, 8, DEAD], [9, DEAD, DEAD]],
        [[1, 1, DEAD], [9, DEAD, DEAD]],
    ]
    record = record_of(weights)
    found = feedback_exponent(record, 3, 6)
    assert found == feedback_exponent(record, 3, 5)
    assert (found.exponent, found.gains) == (pytest.approx(1), 9)
    assert feedback_exponent(record, 4, 5).gains == 6
    skipped = record_of(weights, ages=[3, 5])
    assert feedback_exponent(skipped, 3, 5).gains == 9  # in one interval: 3 and 6


def test_feedback_leaves_out_inputs_that_had_no_synapse_to_feed_back() -> None:
    weights = [[[1, 2, 0]], [[2, 4, 3]]]
    found = feedback_exponent(record_of(weights, alive=[[[True] * 3]] * 2), 3, 4)
    assert (found.exponent, found.gains) == (pytest.approx(1), 3)


def test_feedback_where_nothing_tells() -> None:
    nothing = feedback_exponent(record_of([[[1, 2]], [[1, 2]]]), 3, 4)
    assert math.isnan(nothing.exponent) and math.isnan(nothing.standard_error) and nothing.gains == 0
    equal = feedback_exponent(record_of([[[2, 2]], [[3, 5]]]), 3, 4)
    assert math.isnan(equal.exponent) and equal.gains == 4
    assert feedback_exponent(record_of([[[2, 3, 3]], [[2, 5, 4]]]), 3, 4).exponent == math.inf
    assert feedback_exponent(record_of([[[2, 3]], [[5, 3]]]), 3, 4).exponent == -math.inf


def drawn(exponent: float, growth: float, seed: int, cells: int = 300, lasting: float = 0.0) -> Record:
    """Return a record of four days in which a planted exponent decides who gains, and a factor that lasts, too."""
    rng = np.random.default_rng(seed)
    favour = np.exp(lasting * rng.standard_normal((cells, 5)))
    weights = [1 + rng.geometric(0.5, (cells, 5))]
    for _ in range(3):
        before = weights[-1]
        odds = favour * before.astype(float) ** exponent
        gained = rng.multinomial(np.ceil(growth * before.sum(axis=1)).astype(int), odds / odds.sum(1, keepdims=True))
        weights.append(before + gained)
    return record_of(np.stack(weights).tolist())


@pytest.mark.parametrize("growth", [0.1, 1.0])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 1.8])
def test_feedback_recovers_a_planted_exponent_whatever_the_growth(exponent: float, growth: float) -> None:
    found = feedback_exponent(drawn(exponent, growth, seed=4), 3, 6)
    assert abs(found.exponent - exponent) < 3 * found.standard_error
    assert found.standard_error < 0.1


def test_the_error_of_feedback_covers_its_scatter_where_inputs_are_favoured_for_other_reasons() -> None:
    """Fisher's information alone takes every gain for independent: its error would be less than half of this."""
    fits = [feedback_exponent(drawn(0.0, 3.0, seed, cells=60, lasting=0.7), 3, 4) for seed in range(40)]
    scatter = np.std([fit.exponent for fit in fits], ddof=1)
    stated = np.mean([fit.standard_error for fit in fits])
    assert 0.7 < scatter / stated < 1.4


# ---------------------------------------------------------------------------------------------- over steps


def stepped(values: Sequence[float]) -> Record:
    """Return a record with a step at P3, P4, ... in which "count" has these values."""
    return record_of([[[1, 1]]] * (len(values) + 1), measures=[{"count": v} for v in values])


def test_decay_constant_is_that_of_the_excess_over_one() -> None:
    record = stepped([1 + 4 * math.exp(-day / 2.5) for day in range(8)])
    assert decay_constant(record, "count", 3, 10) == pytest.approx(2.5)
    assert decay_constant(record, "count", 5, 6) == pytest.approx(2.5)


def test_decay_constant_leaves_out_what_does_not_exceed_one() -> None:
    # A line through log 4, log 2 at P3, P4 and log 1 at P6, by least squares: days -4/3, -1/3, 5/3.
    record = stepped([5, 3, 1, 2])
    slope = (-4 * math.log(4) - math.log(2)) / 3 / (42 / 9)
    assert decay_constant(record, "count", 3, 6) == pytest.approx(-1 / slope)
    assert math.isnan(decay_constant(record, "count", 4, 5))
    assert decay_constant(stepped([2, 3]), "count", 3, 4) == pytest.approx(-1 / math.log(2))
    assert decay_constant(stepped([2, 2]), "count", 3, 4) == math.inf


def test_step_mean_is_over_the_steps_that_begin_in_the_span() -> None:
    record = stepped([1, 2, 6, math.nan])
    assert step_mean(record, "count", 3, 5) == 1.5
    assert step_mean(record, "count", 4, 6) == 4
    assert step_mean(record, "count", 4, 7) == 4  # undefined at P6
    assert math.isnan(step_mean(record, "count", 6, 7))
    assert step_mean(record, "count", 3, 3.5) == 1


def test_the_fraction_that_a_cause_eliminated() -> None:
    # Six inputs at P3; one ends in the step of P3 by early, one in that of P4 by late.
    record = record_of(COURSE, source=SOURCE, causes={0: "early", 1: "late"}, rules=("early", "late", "idle"))
    assert eliminated_fraction(record, "early", 3, 5) == pytest.approx(1 / 6)
    assert eliminated_fraction(record, "early", 3, 4) == pytest.approx(1 / 6)
    assert eliminated_fraction(record, "late", 3, 4) == 0
    assert eliminated_fraction(record, "late", 3, 5) == pytest.approx(1 / 6)
    assert eliminated_fraction(record, "late", 4, 5) == pytest.approx(1 / 5)
    assert eliminated_fraction(record, "early", 4, 5) == 0
    assert eliminated_fraction(record, "idle", 3, 5) == 0


def test_the_fraction_eliminated_among_those_with_a_trace() -> None:
    # Marked 1: inputs 0, 2 of cell 0 and 0 of cell 1. The trace of a later age does not matter.
    mark = [[[1, 0, 1], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    record = record_of(COURSE, source=SOURCE, trace=mark)
    assert eliminated_fraction(record, "early", 3, 5, "mark", 1) == pytest.approx(2 / 3)
    assert eliminated_fraction(record, "early", 4, 5, "mark", 1) == pytest.approx(1 / 2)
    assert eliminated_fraction(record, "early", 3, 5, "mark", 0) == 0
    assert math.isnan(eliminated_fraction(record, "early", 3, 5, "mark", 7))


# -------------------------------------------------------------------------------------- what cannot be asked

AT_AN_AGE = [
    lambda r, age: strongest_inputs(r, age),
    lambda r, age: pair_sizes(r, age),
    lambda r, age: inputs_per_cell(r, age),
    lambda r, age: cells_per_axon(r, age),
    lambda r, age: cells_with_inputs(r, age, 1),
    lambda r, age: cells_with_trace(r, "weight", age, 1),
    lambda r, age: winner_kept(r, 3, age),
    lambda r, age: rank_correlation(r, "weight", 3, age),
    lambda r, age: feedback_exponent(r, 3, age),
]


@pytest.mark.parametrize("ask", AT_AN_AGE)
def test_an_age_that_was_not_recorded_is_named_with_those_that_were(record: Record, ask) -> None:
    with pytest.raises(SpecificationError, match=r"^age P4\.5 was not recorded: it must be one of P3, P4, P5$"):
        ask(record, 4.5)


@pytest.mark.parametrize("ask", AT_AN_AGE)
def test_a_record_without_recorded_ages_says_so(ask) -> None:
    nothing = record_of(COURSE, ages=[])
    with pytest.raises(SpecificationError, match=r"age P[34] was not recorded: none was$"):
        ask(nothing, 4)
    with pytest.raises(SpecificationError, match="nothing was recorded in <Record"):
        strongest_inputs(nothing)


def test_ages_in_the_wrong_order_are_refused(record: Record) -> None:
    with pytest.raises(SpecificationError, match="P5 comes after P3"):
        winner_kept(record, 5, 3)
    with pytest.raises(SpecificationError, match="P5 comes after P3"):
        rank_correlation(record, "weight", 5, 3)
    with pytest.raises(SpecificationError, match="P4 to P4 is no interval"):
        feedback_exponent(record, 4, 4)


def test_a_trace_that_was_not_recorded_is_named(record: Record) -> None:
    with pytest.raises(SpecificationError, match="trace 'calcium' was not recorded: it must be one of weight"):
        cells_with_trace(record, "calcium", 3, 1)
    unknown = record_of(COURSE, trace=[[[math.nan] * 3] * 2] * 3)
    with pytest.raises(SpecificationError, match="trace 'mark' is not known of any connection at P4"):
        rank_correlation(unknown, "mark", 4, 5)


def test_strengths_that_are_no_counts_have_no_gained_synapses() -> None:
    with pytest.raises(SpecificationError, match="no whole numbers"):
        feedback_exponent(record_of([[[1, 2]], [[1.5, 2]]]), 3, 4)


@pytest.mark.parametrize(("start", "stop"), [(2, 5), (3, 8), (9, 10), (5, 4), (4.2, 4.8)])
def test_a_span_without_steps_is_refused(start: float, stop: float) -> None:
    record = stepped([3, 2, 1.5, 1.2])
    for ask in (
        lambda: decay_constant(record, "count", start, stop),
        lambda: step_mean(record, "count", start, stop),
        lambda: eliminated_fraction(record, "early", start, stop),
    ):
        with pytest.raises(SpecificationError, match=rf"no steps from P{start} to P{stop} .* from P3 to P7"):
            ask()


def test_unknown_measures_and_causes_are_named() -> None:
    record = stepped([3, 2])
    with pytest.raises(SpecificationError, match=r"no measure 'rate' .*births, count, deaths, living"):
        step_mean(record, "rate", 3, 4)
    with pytest.raises(SpecificationError, match=r"no rule 'erly' in .*: it must be one of early, late"):
        eliminated_fraction(record, "erly", 3, 4)
    with pytest.raises(SpecificationError, match="trace is 'mark' and value is None: give both or neither"):
        eliminated_fraction(record, "early", 3, 4, "mark")
