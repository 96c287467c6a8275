"""The loop: the books balance, budgets are met, interrupted runs go on as if nothing had happened."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import BudgetError, RecordError, SpecificationError
from neuroprune.core.tables import Table, Tables
from neuroprune.development import Activity, Development, Progress, develop
from neuroprune.environment import Inhibition, Microglia
from neuroprune.record import ALIVE, Record, open_record
from neuroprune.rules import (
    Competition,
    Elimination,
    Engulfment,
    RandomPruning,
    RandomRegrowth,
    Rule,
    Tag,
    Translocation,
    WeakestFirst,
    find_rule,
)
from neuroprune.testing import TableSubstrate, example_tables

CLOCK = Clock(3.0, 9.0, 0.5)
STATIC = ("x", "y", "z", "dendritic")


def window(start: float | None = None, stop: float | None = None) -> dict[str, Any]:
    """Return the ages between which a rule acts, by the names that they have in TOML."""
    return {key: age for key, age in (("from", start), ("to", stop)) if age is not None}


def toy() -> TableSubstrate:
    """Return two tables whose activity changes from step to step."""
    tables = example_tables(STATIC, shapes=[(12, 8), (9, 14)])
    steps = [example_tables(["eligibility", "calcium"], seed, shapes=[(12, 8), (9, 14)]) for seed in range(13)]
    return TableSubstrate(tables, [[t.traces for t in step] for step in steps])


def process() -> list[Rule]:
    return [
        Competition(rate=0.3),
        Tag(),
        Translocation(rate=0.3, **window(5.0)),
        Elimination(rate=0.4, gates=("calcium", "inhibition")),
        Engulfment(probability=0.01),
        RandomRegrowth(rate=0.03),
    ]


def grow(substrate: Any = None, rules: Any = None, **options: Any) -> Record:
    return develop(
        toy() if substrate is None else substrate,
        process() if rules is None else rules,
        **{"clock": CLOCK, "seed": 3, "environment": [Microglia(density=2e13), Inhibition()], **options},
    )


class Failing(TableSubstrate):
    """The toy, with an accident when step `at` is sampled."""

    def __init__(self, at: int) -> None:
        healthy = toy()
        super().__init__(healthy.tables(), healthy._traces)
        self.at = at

    def sample(self, now: Now) -> Activity:
        if now.step == self.at:
            raise KeyboardInterrupt
        return super().sample(now)


# --- bookkeeping


def test_births_minus_deaths_are_the_living_at_every_step() -> None:
    substrate = toy()
    at_start = substrate.tables().n_alive()
    seen: list[Progress] = []
    record = grow(substrate, progress=seen.append)
    births, deaths, living = (record.development[k].values for k in ("births", "deaths", "living"))
    assert births.sum() > 3 and deaths.sum() > 20
    np.testing.assert_array_equal(at_start + np.cumsum(births) - np.cumsum(deaths), living)
    assert [p.alive for p in seen] == living.tolist()
    assert substrate.tables().n_alive() == living[-1]
    lives = record.connections
    born, died = lives["birth_step"].values, lives["death_step"].values
    for step in range(CLOCK.n_steps):
        assert ((born <= step) & ((died == ALIVE) | (died > step))).sum() == living[step]
        assert ((born == step).sum(), (died == step).sum()) == (births[step], deaths[step])


def test_a_connection_lives_once() -> None:
    record = grow()
    lives = record.connections
    assert len(np.unique(lives["id"].values)) == lives.sizes["connection"]
    died = lives["death_step"].values != ALIVE
    assert (lives["death_step"].values[died] >= lives["birth_step"].values[died]).all()
    assert ((lives["cause"].values >= 0) == died).all()


def test_the_record_names_cause_and_agent() -> None:
    record = grow()
    cause, agent = record.connections["cause"].values, record.connections["agent"].values
    assert set(record.causes) == {"elimination", "engulfment"}
    assert (agent[cause == record.causes.index("engulfment")] >= 0).all()
    assert (agent[cause != record.causes.index("engulfment")] == -1).all()


def test_the_record_holds_the_network_at_the_ages_asked_for() -> None:
    weights: dict[float, list[float]] = {}

    class Watched(TableSubstrate):
        def sample(self, now: Now) -> Activity:
            given = super().sample(now)
            weights[now.age] = sorted(np.concatenate([t.weight[t.alive] for t in self.tables()]).tolist())
            return given

    substrate = Watched(toy().tables(), toy()._traces)
    record = grow(substrate, ages=[4.5, 7.0], traces=["calcium"])
    assert record.ages.tolist() == [3.0, 4.5, 7.0, 9.0]
    for age, row in zip(record.ages, record.snapshots["weight"].values, strict=True):
        assert sorted(row[np.isfinite(row)].tolist()) == weights[float(age)]
    assert np.isfinite(record.snapshots["calcium"].values[1]).sum() == len(weights[4.5])
    died = record.connections["death_step"].values != ALIVE
    assert (np.isfinite(record.connections["calcium_at_death"].values) == died).all()


@pytest.mark.parametrize("age", [3.2, 2.5, 9.5])
def test_an_age_between_steps_is_refused(age: float) -> None:
    with pytest.raises(SpecificationError, match=f"record age P{age:g} is not a step between P3 and P9"):
        grow(ages=[age])


def test_rules_see_what_earlier_rules_did() -> None:
    """With everything eliminated by the first rule, nothing is left to the second."""
    rules = [RandomPruning(name="first", rate=1e6), RandomPruning(name="second", rate=1e6)]
    record = grow(rules=rules)
    assert (record.connections["cause"].values == record.causes.index("first")).all()
    assert record.development["living"].values.tolist() == [0] * CLOCK.n_steps


def test_rules_may_change_with_age() -> None:
    record = grow(rules=lambda age: [RandomPruning(rate=0.5 if age < 5 else 0.0)])
    deaths = record.development["deaths"].values
    assert deaths[:4].all() and not deaths[4:].any()


def test_seeds_decide() -> None:
    assert grow().decisions() == grow().decisions()
    assert grow().decisions() != grow(seed=4).decisions()


def test_a_rule_does_not_disturb_the_draws_of_another() -> None:
    alone = grow(rules=[RandomPruning(rate=0.2)])
    beside = grow(rules=[Tag(), RandomPruning(rate=0.2), RandomPruning(name="idle", rate=0.0)])
    assert alone.connections.identical(beside.connections)


# --- refusals


def test_a_missing_trace_is_refused_by_the_name_of_the_rule() -> None:
    with pytest.raises(SpecificationError, match=r"'soma' \(elimination\) cannot run on 'tables' at P3: it needs tag"):
        grow(rules=[Elimination(name="soma", rate=1)])
    with pytest.raises(SpecificationError, match="needs calcium, gaba, which neither"):
        gated = Elimination(rate=1, gates=("calcium", "gaba"))
        grow(TableSubstrate(toy().tables(), [{}, {}]), [Tag(), gated])
    with pytest.raises(SpecificationError, match=r"'inhibition' \(inhibition\).*it needs support"):
        grow(environment=[Inhibition()])


def test_the_order_of_rules_matters_for_what_is_missing() -> None:
    grow(rules=[Tag(), Elimination(rate=1)])
    with pytest.raises(SpecificationError, match="needs tag"):
        grow(rules=[Elimination(rate=1), Tag()])


def test_formation_needs_candidates() -> None:
    tables = Tables([_without_candidates(t) for t in toy().tables()])
    with pytest.raises(SpecificationError, match=r"'random_regrowth'.*needs candidates"):
        grow(TableSubstrate(tables, [{}, {}]), [RandomRegrowth(rate=1)])


def _without_candidates(table: Table) -> Table:
    return replace(table, candidates=None)


def test_names_must_be_unique() -> None:
    with pytest.raises(SpecificationError, match="two rules or environments are named 'tag'"):
        grow(rules=[Tag(), Tag()])
    with pytest.raises(SpecificationError, match="named 'microglia'"):
        grow(rules=[Tag(name="microglia")])
    grow(rules=[Tag(), Tag(name="other")])


# --- budgets


@settings(max_examples=15)
@given(st.floats(0, 1), st.sampled_from(["constant", "decreasing", "increasing"]))
def test_a_budget_is_met_exactly_in_every_step(sparsity: float, course: Any) -> None:
    budget = Budget(sparsity, course)
    rules = [Tag(), Elimination(rate=0.1), WeakestFirst(rate=0)]
    record = grow(rules=rules, budget=budget, clock=Clock(3.0, 6.0, 0.5))
    at_start = toy().tables().n_alive()
    living = record.development["living"].values.tolist()
    assert living == [budget.living(at_start, (k + 1) / 6) for k in range(6)]
    assert living[-1] == at_start - round(sparsity * at_start)


def test_rules_share_a_budget() -> None:
    rules = [WeakestFirst(name=name, rate=0) for name in ("a", "b", "c")]
    record = grow(rules=rules, budget=Budget(0.9, "constant"))
    deaths = np.bincount(record.connections["cause"].values[record.connections["cause"].values >= 0])
    assert record.causes == ["a", "b", "c"]
    assert deaths.max() - deaths.min() <= CLOCK.n_steps


def test_a_budget_allows_for_births() -> None:
    record = grow(rules=[RandomRegrowth(rate=0.3), WeakestFirst(rate=0)], budget=Budget(0.5))
    at_start = toy().tables().n_alive()
    assert record.development["births"].values.sum() > 10
    assert record.development["living"].values[-1] == at_start - round(0.5 * at_start)


def test_a_budget_is_kept_by_rules_that_end_early() -> None:
    record = grow(rules=[WeakestFirst(rate=0, **window(stop=6.0))], budget=Budget(0.5, course="constant"))
    at_start = toy().tables().n_alive()
    assert record.development["living"].values[-1] == at_start - round(0.5 * at_start)
    assert record.connections["death_step"].values.max() < CLOCK.n_steps - 1


def test_a_knock_out_stays_one_under_a_budget() -> None:
    rules = [Tag(), Elimination(name="out", rate=0.5, factor=0.0), Elimination(name="in", rate=0.1)]
    assert set(grow(rules=rules, budget=Budget(0.3)).causes) == {"in"}


def test_what_rules_say_of_inputs_is_recorded_at_every_age() -> None:
    record = grow(rules=[Tag(), WeakestFirst(rate=0.1)], ages=[5.0], traces=["tag"])
    for weight, tag in zip(record.snapshots["weight"].values, record.snapshots["tag"].values, strict=True):
        assert (np.isfinite(weight) == np.isfinite(tag)).all() and (np.nan_to_num(tag) > 0).any()
    with pytest.raises(SpecificationError, match=r"trace 'tagg' cannot be recorded: it must be one of .*tag"):
        grow(rules=[Tag()], traces=["tagg"])


def test_rules_are_checked_at_every_age_before_the_first_step() -> None:
    with pytest.raises(SpecificationError, match="cannot run on 'tables' at P6: it needs tag"):
        grow(rules=[Tag(**window(stop=6.0)), Elimination(rate=0.1)])


def test_a_rule_file_that_was_edited_is_not_resumed(tmp_path: Path) -> None:
    file, path = tmp_path / "mine.py", tmp_path / "run.nc"
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "from neuroprune.rules import Proposal, Rule\n"
        "@dataclass\nclass Rate:\n    value: float = 0.1\n"
        "class Mine(Rule):\n    key = 'mine'\n    prunes = True\n"
        "    def propose(self, tables, now, draws):\n"
        "        return [Proposal(hazard=t.weight * Rate().value) for t in tables]\n"
    )
    file.write_text(source)
    rule = find_rule(f"{file}:Mine")()
    with pytest.raises(KeyboardInterrupt):
        grow(Failing(2), rules=[rule], path=path, checkpoint_every=0.0)
    file.write_text(source.replace("0.1", "5.0"))
    with pytest.raises(RecordError, match=r"cannot be resumed: its rule_files\.mine is"):
        grow(rules=[rule], path=path, resume=True)


def test_a_budget_that_nothing_can_meet_is_refused() -> None:
    with pytest.raises(BudgetError, match="no rule prunes at any age"):
        grow(rules=[Tag()], budget=Budget(0.5))
    with pytest.raises(BudgetError, match="found no more to take"):  # winners are never tagged
        grow(rules=[Tag(), Elimination(rate=0.1)], budget=Budget(1.0))
    with pytest.raises(SpecificationError, match="'random_regrowth' forms connections after the last rule"):
        grow(rules=[WeakestFirst(rate=0), RandomRegrowth(rate=0.3)], budget=Budget(0.5))
    for sparsity in (-0.1, 1.1, float("nan")):
        with pytest.raises(SpecificationError, match="must lie between 0 and 1"):
            Budget(sparsity)


@pytest.mark.parametrize("course", ["cubic", "pulse", "at_once"])
def test_every_course_of_a_budget_is_met_in_every_step(course: Any) -> None:
    budget = Budget(0.8, course)
    record = grow(rules=[WeakestFirst()], budget=budget)
    at_start = toy().tables().n_alive()
    living = record.development["living"].values.tolist()
    assert living == [budget.living(at_start, (k + 1) / 12) for k in range(12)]
    assert living[-1] == at_start - round(0.8 * at_start)
    if course == "at_once":
        assert set(living) == {living[-1]}


def test_a_budget_may_be_a_number_of_connections() -> None:
    at_start = toy().tables().n_alive()
    assert grow(rules=[WeakestFirst()], budget=Budget(connections=17)).development["living"].values[-1] == 17
    kept = grow(rules=[WeakestFirst()], budget=Budget(connections=at_start + 5))
    assert set(kept.development["living"].values.tolist()) == {at_start}
    assert Budget(connections=17).left(100) == 17 and Budget(connections=17).left(10) == 10
    assert grow(rules=[WeakestFirst()], budget=Budget(connections=0)).development["living"].values[-1] == 0


def test_the_course_of_a_budget_may_run_in_a_part_of_development() -> None:
    budget = Budget(0.6, "constant", start=0.25, stop=0.75)
    assert [budget.living(1000, u) for u in (0.0, 0.25, 0.375, 0.5, 0.75, 1.0)] == [1000, 1000, 850, 700, 400, 400]
    at_start = toy().tables().n_alive()
    living = grow(rules=[WeakestFirst()], budget=budget).development["living"].values.tolist()
    left = at_start - round(0.6 * at_start)
    assert living[:3] == [at_start] * 3 and living[8:] == [left] * 4
    assert living[2] > living[3] > living[5] > living[7] > left - 1


@given(
    st.integers(0, 10**7),
    st.floats(0, 1),
    st.sampled_from(["constant", "decreasing", "increasing", "cubic", "pulse", "at_once"]),
    st.floats(0.01, 50),
)
def test_the_way_to_a_budget_never_turns_back(at_start: int, sparsity: float, course: Any, steepness: float) -> None:
    budget = Budget(sparsity, course, steepness)
    way = [budget.living(at_start, k / 20) for k in range(21)]
    assert way[0] == at_start and way[-1] == at_start - round(sparsity * at_start) == budget.left(at_start)
    assert way == sorted(way, reverse=True)


@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.99])
def test_a_geometric_course_is_a_decreasing_one(sparsity: float) -> None:
    """Density falls by the same factor in each round: the schedule of iterative pruning."""
    budget = Budget(sparsity, "decreasing", -math.log(1 - sparsity))
    for k in range(11):
        assert budget.living(10**6, k / 10) == pytest.approx(10**6 * (1 - sparsity) ** (k / 10), abs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either a sparsity or a number of connections"),
        ({"sparsity": 0.5, "connections": 3}, "either a sparsity or a number of connections"),
        ({"connections": -1}, "-1 connections: it must be 0 or more"),
        ({"sparsity": 0.5, "course": "linear"}, "course is 'linear': it must be one of constant, .*at_once"),
        ({"sparsity": 0.5, "steepness": 0.0}, "steepness is 0.0: it must be above 0"),
        ({"sparsity": 0.5, "steepness": math.inf}, "steepness is inf"),
        ({"sparsity": 0.5, "start": 0.5, "stop": 0.5}, "from 0.5 to 0.5 of the development: these must be in order"),
        ({"sparsity": 0.5, "start": -0.1}, "from -0.1 to 1"),
        ({"sparsity": 0.5, "stop": 1.5}, "from 0 to 1.5"),
        ({"sparsity": 0.5, "start": math.nan}, "from nan to 1"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        Budget(**options)


# --- step by step


def started(**options: Any) -> Development:
    environment = [Microglia(density=2e13), Inhibition()]
    return Development(toy(), process(), **{"clock": CLOCK, "seed": 3, "environment": environment, **options})


def test_steps_are_what_develop_does() -> None:
    options: dict[str, Any] = {"ages": [4.5, 7.0], "traces": ["tag"], "config": {"a": 1}}
    seen: list[Progress] = []
    whole = grow(progress=seen.append, **options)
    stepped = started(**options)
    made = []
    while not stepped.done:
        made.append(stepped.step())
    record = stepped.finish()
    assert made == seen
    assert record.decisions() == whole.decisions()
    for group in ("connections", "development", "snapshots", "cells"):
        assert record.tree[group].to_dataset().identical(whole.tree[group].to_dataset()), group


def test_a_development_ends_when_all_steps_were_made() -> None:
    development = started()
    for made in range(CLOCK.n_steps):
        assert development.next_step == made and not development.done
        with pytest.raises(SpecificationError, match=f"{made} of 12 steps of the development were made"):
            development.finish()
        development.step()
    assert development.done
    with pytest.raises(SpecificationError, match="all 12 steps of the development were made"):
        development.step()
    assert development.finish().decisions() == grow().decisions()


def test_steps_are_written_and_resumed(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    development = started(path=path, checkpoint_every=0.0)
    for _ in range(5):
        development.step()
        development.checkpoint()
    resumed = started(path=path, resume=True)
    assert resumed.next_step == 5 and not open_record(path).complete
    while not resumed.done:
        resumed.step()
    assert resumed.finish().decisions() == grow().decisions()
    assert open_record(path).complete


# --- checkpoints


@pytest.mark.parametrize("at", [0, 5, 12])
def test_an_interrupted_run_resumes_to_the_same_decisions(at: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"ages": [4.5, 7.0], "traces": ["tag"]}
    whole, path = grow(**options), tmp_path / "run.nc"
    with pytest.raises(KeyboardInterrupt):
        grow(Failing(at), path=path, checkpoint_every=0.0, **options)
    assert not open_record(path).complete
    steps: list[int] = []
    resumed = grow(path=path, resume=True, progress=lambda p: steps.append(p.step), **options)
    assert steps == list(range(at + 1, CLOCK.n_steps + 1))
    assert resumed.decisions() == whole.decisions()
    reopened = open_record(path)
    assert reopened.complete and reopened.decisions() == whole.decisions()
    for group in ("connections", "development", "snapshots", "cells"):
        assert reopened.tree[group].to_dataset().identical(whole.tree[group].to_dataset()), group
    assert [p.name for p in tmp_path.iterdir()] == ["run.nc"]


def test_a_run_can_be_interrupted_more_than_once(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    for at, resume in ((2, False), (4, True), (5, True)):
        with pytest.raises(KeyboardInterrupt):
            grow(Failing(at), path=path, checkpoint_every=0.0, resume=resume)
    assert grow(path=path, resume=True).decisions() == grow().decisions()


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    with pytest.raises(RecordError, match="no path"):
        grow(resume=True)
    with pytest.raises(RecordError, match="no record at"):
        grow(resume=True, path=path)
    with pytest.raises(KeyboardInterrupt):
        grow(Failing(5), path=path, config={"rules": {"rate": 1}})
    with pytest.raises(RecordError, match="seed is 3, but this run's is 4"):
        grow(resume=True, path=path, seed=4, config={"rules": {"rate": 1}})
    with pytest.raises(RecordError, match=r"config.rules.rate is 1, but this run's is 2"):
        grow(resume=True, path=path, config={"rules": {"rate": 2}})
    grow(resume=True, path=path, config={"rules": {"rate": 1}})
    with pytest.raises(RecordError, match="complete"):
        grow(resume=True, path=path, config={"rules": {"rate": 1}})
