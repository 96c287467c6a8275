"""Turnover: how many connections form and where, and what the pruning rule behind makes of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Table, Tables
from neuroprune.development import Development
from neuroprune.record import Record
from neuroprune.rules import Regrowth, Rule, WeakestFirst, decide
from neuroprune.testing import TableSubstrate, check_rule

CLOCK = Clock(0.0, 10.0, 1.0)
SHAPES = ((10, 20), (4, 10))


def window(start: float | None = None, stop: float | None = None) -> dict[str, Any]:
    """Return the ages between which a rule acts, by the names that they have in TOML."""
    return {key: age for key, age in (("from", start), ("to", stop)) if age is not None}


def moment(step: int = 0, progress: float = 0.1) -> Now:
    return Now(step=step, age=CLOCK.age(step), dt=1.0, progress=progress)


def draws(seed: int = 1) -> Draws:
    return Draws(seed, "regrowth", 0)


def half_alive(n_post: int = 10, n_slots: int = 20, first: int = 0, seed: int = 0, **more: Any) -> Table:
    """Return a table of which one half lives, and the other are candidates with gradients of either sign."""
    random = np.random.default_rng(seed)
    shape = (n_post, n_slots)
    alive = random.permutation(n_post * n_slots).reshape(shape) < n_post * n_slots // 2
    return Table(
        name=f"from {first}",
        ids=first + np.arange(n_post * n_slots).reshape(shape),
        alive=alive,
        weight=np.where(alive, random.lognormal(size=shape), 0.0),
        source=np.broadcast_to(np.arange(n_slots), shape).copy(),
        traces={"gradient": random.normal(size=shape), **more},
        candidates=~alive,
    )


def formed(rule: Regrowth, table: Table, now: Now, seed: int = 1) -> np.ndarray:
    (change,) = decide(rule, Tables([table]), now, draws(seed)).changes
    return np.asarray(change.form)


# --- how many, and which


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_the_share_falls_as_a_cosine_towards_the_end(progress: float) -> None:
    expected = round(0.3 * 0.5 * (1 + math.cos(math.pi * progress)) * 100)
    assert formed(Regrowth(), half_alive(), moment(progress=progress)).sum() == expected


@pytest.mark.parametrize(("age", "left"), [(1.0, None), (2.0, 1.0), (4.0, 0.5), (5.0, (1 - math.sqrt(0.5)) / 2)])
def test_with_an_age_it_falls_to_0_there(age: float, left: float | None) -> None:
    rule = Regrowth(share=0.4, **window(2.0, 6.0))
    now = Now(step=int(age), age=age, dt=1.0, progress=0.999)
    assert rule.fall(now) == pytest.approx(0.0 if left is None else left)  # shut before
    assert formed(rule, half_alive(), now).sum() == round(40 * rule.fall(now))


def test_without_a_start_it_falls_from_the_first_step() -> None:
    rule = Regrowth(**window(stop=13.0))
    first, middle = Now(0, 3.0, 0.5, 0.05), Now(10, 8.0, 0.5, 0.55)
    assert (rule.fall(first), rule.fall(middle)) == pytest.approx((1.0, 0.5))


def test_by_gradient_the_largest_form_whatever_their_sign() -> None:
    table = half_alive()
    form = formed(Regrowth(share=0.25), table, moment(progress=0.0))
    size = np.abs(table["gradient"])
    assert form.sum() == 25 and not (form & table.alive).any()
    assert size[form].min() > size[~form & ~table.alive].max()
    assert (table["gradient"][form] < 0).any()
    np.testing.assert_array_equal(form, formed(Regrowth(share=0.25), table, moment(progress=0.0), seed=2))


def test_by_chance_all_candidates_are_equal() -> None:
    table = half_alive(100, 60)
    rule = Regrowth(share=0.5, by="chance")
    form = formed(rule, table, moment(progress=0.0))
    assert form.sum() == 1500 and not (form & table.alive).any()
    strong = np.abs(table["gradient"]) > 1
    assert form[strong & ~table.alive].mean() == pytest.approx(0.5, abs=5 * math.sqrt(0.25 / strong.sum()))
    other = formed(rule, table, moment(progress=0.0), seed=2)
    assert (form & other).sum() == pytest.approx(750, abs=5 * math.sqrt(1500 / 4))
    assert rule.needs() == () and Regrowth().needs() == ("gradient",) and Regrowth(by="usage").needs() == ("usage",)


def test_no_more_form_than_there_are_candidates() -> None:
    table = half_alive()
    few = Table(table.name, table.ids, table.alive, table.weight, table.source, table.traces, table.ids < 20)
    form = formed(Regrowth(share=1.0), few, moment(progress=0.0))
    np.testing.assert_array_equal(form, (few.ids < 20) & ~few.alive)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_newborns_have_the_strength_they_are_given_and_are_marked(weight: float) -> None:
    table = half_alive()
    tables = Tables([table])
    decision = decide(Regrowth(weight=weight), tables, moment(), draws())
    (after,) = tables.after(decision)
    born = after.alive & ~table.alive
    assert (after.weight[born] == weight).all()
    np.testing.assert_array_equal(after.weight[table.alive], table.weight[table.alive])
    np.testing.assert_array_equal(after["newborn"], born)


@pytest.mark.parametrize("by", ["gradient", "chance"])
def test_every_way_keeps_the_contract(by: str) -> None:
    report = check_rule(Regrowth(by=by, weight=0.2, **window(2.0, 9.0)))
    assert "ignores other tables" in report.passed
    bad: dict[str, Any]
    for bad in ({"share": 1.1}, {"share": -0.1}, {"weight": -1.0}):
        with pytest.raises(ValidationError, match=next(iter(bad))):
            Regrowth(by=by, **bad)


# --- with a rule that prunes behind


def test_the_rule_behind_takes_as_many_and_spares_what_was_just_formed() -> None:
    table = half_alive()
    tables = Tables([table])
    grown = tables.after(decide(Regrowth(), tables, moment(progress=0.0), draws()))
    born = grown[0].alive & ~table.alive
    assert born.sum() == 30
    (change,) = decide(WeakestFirst(), grown, moment(), draws(), 30).changes
    assert change.eliminate is not None
    order = np.sort(table.weight[table.alive])
    np.testing.assert_array_equal(change.eliminate, table.alive & (table.weight <= order[29]))


def dense() -> Tables:
    """Return two tables of full layers of unequal size and strength, with the densities of a random graph."""
    random = np.random.default_rng(1)
    tables, first = [], 0
    for scale, shape in zip((1.0, 5.0), SHAPES, strict=True):
        raw = np.full((1, 1), sum(shape) / math.prod(shape))
        tables.append(
            Table(
                name=f"from {first}",
                ids=first + np.arange(math.prod(shape)).reshape(shape),
                alive=np.ones(shape, bool),
                weight=scale * random.lognormal(size=shape),
                source=np.broadcast_to(np.arange(shape[1]), shape).copy(),
                traces={"erdos_renyi": raw},
                candidates=np.zeros(shape, bool),
            )
        )
        first += math.prod(shape)
    return Tables(tables)


def grow(rules: list[Rule], budget: Budget, seed: int = 3) -> tuple[Record, list[list[int]]]:
    """Return the record, and the living of each table after each step."""
    random = np.random.default_rng(2)
    steps = [[{"gradient": random.normal(size=shape)} for shape in SHAPES] for _ in range(CLOCK.n_steps + 1)]
    substrate = TableSubstrate(dense(), steps)
    development = Development(substrate, rules, clock=CLOCK, seed=seed, budget=budget)
    living = []
    while not development.done:
        development.step()
        living.append([t.n_alive() for t in substrate.tables()])
    return development.finish(), living


AT_ONCE = Budget(sparsity=0.75, course="at_once")


@pytest.mark.parametrize("scope", ["table", "erdos_renyi"])
@pytest.mark.parametrize("by", ["gradient", "chance"])
def test_turnover_keeps_the_density_of_each_layer(by: str, scope: Any) -> None:
    """RigL and SET: a network that is sparse from the start, whose connections move within layers."""
    record, living = grow([Regrowth(by=by, weight=0.1), WeakestFirst(scope=scope)], AT_ONCE)
    expected = {"table": [50, 10], "erdos_renyi": [round(60 * 30 / 44), round(60 * 14 / 44)]}[scope]
    assert living == [expected] * CLOCK.n_steps
    births = record.development["births"].values
    # Nothing can form in the first step, where all live; then the share falls.
    shares = [0.15 * (1 + math.cos(math.pi * (k + 1) / 10)) for k in range(10)]
    assert births.tolist() == [0] + [sum(round(s * n) for n in expected) for s in shares[1:]]
    deaths = record.development["deaths"].values
    assert deaths[1:].tolist() == births[1:].tolist()


def test_nothing_dies_in_the_step_in_which_it_formed() -> None:
    record, _ = grow([Regrowth(), WeakestFirst()], AT_ONCE)
    born, died = (record.connections[k].values for k in ("birth_step", "death_step"))
    assert (died[born >= 0] != born[born >= 0]).all()
    assert ((died > born) & (born >= 0)).sum() > 10  # of no strength, they are the first to go in the next


def test_without_the_mark_newborns_of_no_strength_would_go_at_once() -> None:
    """What the mark is for: the same turnover by a rule that does not know it forms and takes the same."""

    class Unaware(WeakestFirst):
        def propose(self, tables: Tables, now: Now, draws: Draws) -> Any:
            bare = [{k: v for k, v in t.traces.items() if k != "newborn"} for t in tables]
            parts = zip(tables, bare, strict=True)
            return super().propose(
                Tables([Table(t.name, t.ids, t.alive, t.weight, t.source, b) for t, b in parts]), now, draws
            )

    record, _ = grow([Regrowth(), Unaware()], AT_ONCE)
    born, died = (record.connections[k].values for k in ("birth_step", "death_step"))
    assert (died[born >= 1] == born[born >= 1]).all() and (born >= 1).any()


@pytest.mark.parametrize("course", ["cubic", "decreasing", "constant"])
def test_a_budget_is_kept_while_connections_turn_over(course: Any) -> None:
    """GraNet: gradual pruning with regrowth on the way."""
    budget = Budget(sparsity=0.9, course=course)
    record, living = grow([Regrowth(share=0.5, by="gradient"), WeakestFirst()], budget)
    assert record.development["births"].values.sum() > 10
    assert [sum(row) for row in living] == [budget.living(240, (k + 1) / 10) for k in range(10)]


def test_growth_behind_the_pruning_is_refused_under_a_budget() -> None:
    with pytest.raises(SpecificationError, match="'regrowth' forms connections after the last rule that prunes"):
        grow([WeakestFirst(), Regrowth()], AT_ONCE)
