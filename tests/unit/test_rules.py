"""Every registered rule keeps the contract, and each gives the numbers of its equation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from neuroprune.core.clock import Clock, Now, course_done
from neuroprune.core.errors import BudgetError, SpecificationError
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Table, Tables, namespace, quantise
from neuroprune.rules import (
    Competition,
    Elimination,
    Engulfment,
    Proposal,
    RandomPruning,
    RandomRegrowth,
    Rule,
    Tag,
    Translocation,
    WeakestFirst,
    available_rules,
    decide,
    find_rule,
    select,
)
from neuroprune.testing import check_rule, checks, example_rule, example_tables

NOW = Now(step=2, age=9.0, dt=0.25, progress=0.5)
DRAWS = Draws(seed=1, stream="test", step=2)


def window(start: float | None = None, stop: float | None = None) -> dict[str, Any]:
    """Return the ages between which a rule acts, by the names that they have in TOML."""
    return {key: age for key, age in (("from", start), ("to", stop)) if age is not None}


def one_table(weight: Any, **traces: Any) -> Tables:
    """Return a table of these weights in which exactly the positive ones live."""
    w = np.asarray(weight, np.float64)
    return Tables(
        [
            Table(
                name="cells",
                ids=np.arange(w.size).reshape(w.shape),
                alive=w > 0,
                weight=w,
                source=np.zeros(w.shape, np.int64),
                traces={name: np.asarray(value, np.float64) for name, value in traces.items()},
            )
        ]
    )


def outcome(rule: Rule, tables: Tables, now: Now, draws: Draws, budget: int | None = None) -> Any:
    """Return what a rule decides for the only table."""
    (change,) = decide(rule, tables, now, draws, budget).changes
    return change


def proposed(rule: Rule, tables: Tables, now: Now, draws: Draws) -> Any:
    """Return what a rule proposes for the only table."""
    (proposal,) = rule.propose(tables, now, draws)
    return proposal


# --- the contract


@pytest.mark.parametrize("key", available_rules())
def test_every_rule_keeps_the_contract(key: str) -> None:
    report = check_rule(available_rules()[key])
    assert report.rule == key
    assert {"decides validly", "is pure", "permutes", "refuses bad parameters"} <= set(report.passed)
    assert ("keeps budgets" in report.passed) == available_rules()[key].prunes


@pytest.mark.parametrize(
    "rule",
    [
        Competition(rate=0.5, quantum=0.0),
        Competition(rate=0.5, quantum=0.25, ramp=2.0, **window(3.0, 9.0)),
        Tag(threshold=0.7, protection=0.0),
        Translocation(rate=2.0, threshold=1.0),
        Elimination(rate=3.0, gates=("calcium", "inhibition"), **window(6.0)),
        Engulfment(probability=1.0, factor=2.0),
        RandomPruning(rate=0.4, course="decreasing", **window(4.0, 12.0)),
        WeakestFirst(rate=0.4, course="increasing", **window(4.0, 12.0)),
        RandomRegrowth(rate=1.0, weight=0.5, **window(stop=14.0)),
    ],
    ids=repr,
)
def test_other_parameters_keep_it_too(rule: Rule) -> None:
    check_rule([rule, rule.model_copy(update={"name": "again"})])


class Broken(Rule):
    """A rule that a subclass breaks in one way."""

    key: ClassVar[str] = "broken"
    prunes: ClassVar[bool] = True
    rate: float = Field(default=0.5, ge=0)

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        return [Proposal(hazard=self.hazard(t, draws)) for t in tables]

    def hazard(self, table: Table, draws: Draws) -> Any:
        return self.rate * namespace(table.ids).ones_like(table.weight)


class BySlot(Broken):
    def hazard(self, table: Table, draws: Draws) -> Any:
        return namespace(table.ids).cumulative_sum(namespace(table.ids).ones_like(table.weight), axis=1)


class Mutates(Broken):
    def hazard(self, table: Table, draws: Draws) -> Any:
        table.weight[...] = 1.0
        return table.weight


class NumpyOnly(Broken):
    def hazard(self, table: Table, draws: Draws) -> Any:
        return np.where(table.alive, self.rate, 0.0)


class SilentNaN(Broken):
    requires: ClassVar[tuple[str, ...]] = ("usage",)

    def hazard(self, table: Table, draws: Draws) -> Any:
        xp = namespace(table.ids)
        total = xp.sum(table["usage"], axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return 1.0 - table["usage"] / total


class Negative(Broken):
    def hazard(self, table: Table, draws: Draws) -> Any:
        return -namespace(table.ids).ones_like(table.weight)


class Unstable(Broken):
    def hazard(self, table: Table, draws: Draws) -> Any:
        return float(np.random.default_rng().random()) * namespace(table.ids).ones_like(table.weight)


class Crowded(Broken):
    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        return [Proposal(hazard=0.2 * len(tables) * namespace(t.ids).ones_like(t.weight)) for t in tables]


class Undeclared(Broken):
    def hazard(self, table: Table, draws: Draws) -> Any:
        return table["usage"]


class Lenient(Broken):
    rate: float = 0.5
    share: float = Field(default=0.5, ge=0, allow_inf_nan=True)


class FormsSecretly(Broken):
    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        return [
            Proposal(hazard=t.weight, form=None if t.candidates is None else t.candidates & ~t.alive) for t in tables
        ]


def test_the_unbroken_rule_passes() -> None:
    assert "keeps budgets" in check_rule(Broken).passed


@pytest.mark.parametrize(
    ("rule", "check"),
    [
        (BySlot, "permutes"),
        (Mutates, "is pure"),
        (NumpyOnly, "is the same in torch"),
        (SilentNaN, "takes silence"),
        (Negative, "runs freely"),
        (Unstable, "is pure"),
        (Crowded, "ignores other tables"),
        (Undeclared, "no trace 'usage'"),
        (Lenient, "refuses bad parameters"),
        (FormsSecretly, "`forms` is false"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_broken_rule_is_found(rule: type[Rule], check: str) -> None:
    if check.endswith("torch"):
        pytest.importorskip("torch")
    with pytest.raises(AssertionError, match=f"{rule.__name__}.*{check}"):
        check_rule(rule)


def test_a_library_that_is_missing_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_numpy_only(library: str, found: Any = checks.import_library) -> Any:
        if library != "numpy":
            raise ModuleNotFoundError(library)
        return found(library)

    monkeypatch.setattr(checks, "import_library", import_numpy_only)
    report = check_rule(Broken)
    assert report.skipped["is the same in torch"] == "torch is not installed"
    assert report.skipped["is the same in array_api_strict"] == "array_api_strict is not installed"
    assert "permutes" in report.passed


def test_a_rule_without_an_example_is_reported() -> None:
    class Demanding(Broken):
        window: tuple[float, float]

    with pytest.raises(AssertionError, match="'broken' cannot be made by example, pass an instance"):
        check_rule(Demanding)
    check_rule(Demanding(window=(0.0, 1.0)))
    with pytest.raises(AssertionError, match="no rule was given"):
        check_rule([])


def test_rules_are_found_by_name(tmp_path: Path) -> None:
    assert find_rule("tag") is Tag
    with pytest.raises(SpecificationError, match=r"unknown rule 'tagg'.*competition"):
        find_rule("tagg")
    file = tmp_path / "mine.py"
    file.write_text(
        "from neuroprune.rules import Proposal, Rule\n"
        "class Mine(Rule):\n"
        "    key = 'mine'\n"
        "    prunes = True\n"
        "    def propose(self, tables, now, draws):\n"
        "        return [Proposal(hazard=t.weight) for t in tables]\n"
    )
    check_rule(find_rule(f"{file}:Mine"))
    with pytest.raises(SpecificationError, match="no Rule named 'Yours'"):
        find_rule(f"{file}:Yours")
    with pytest.raises(SpecificationError, match="there is no file"):
        find_rule(f"{tmp_path / 'nothing.py'}:Mine")


@pytest.mark.parametrize("key", available_rules())
def test_names_default_to_the_key(key: str) -> None:
    rule = available_rules()[key]
    assert example_rule(rule).name == rule.key == key
    assert example_rule(rule, name="other").name == "other"
    with pytest.raises(ValidationError, match="frozen"):
        example_rule(rule).name = "changed"  # type: ignore[misc]


# --- numbers by hand


def test_competition_shares_growth_by_weight_and_eligibility() -> None:
    tables = one_table([[1, 2, 3, 0]], eligibility=[[3, 1, 1, 9]])
    change = outcome(Competition(rate=0.4, quantum=0), tables, NOW, DRAWS)
    # rate x dt x total = 0.4 x 0.25 x 6 = 0.6, shared as 3 : 2 : 3
    np.testing.assert_allclose(change.weight, [[1 + 0.225, 2 + 0.15, 3 + 0.225, 0]], rtol=1e-9)


def test_competition_adds_nothing_to_a_silent_cell() -> None:
    tables = one_table([[1, 2, 3]], eligibility=[[0, 0, 0]])
    change = outcome(Competition(rate=5, quantum=0), tables, NOW, DRAWS)
    np.testing.assert_array_equal(change.weight, [[1, 2, 3]])


@pytest.mark.parametrize("quantum", [0.5, 1.0])
def test_competition_adds_whole_synapses_and_the_right_number_on_average(quantum: float) -> None:
    n = 4000
    tables = one_table(np.tile([1.0, 2.0, 3.0], (n, 1)), eligibility=np.tile([3.0, 1.0, 1.0], (n, 1)))
    change = outcome(Competition(rate=0.4, quantum=quantum), tables, NOW, DRAWS)
    gain = change.weight - tables[0].weight
    np.testing.assert_array_equal(gain % quantum, 0)
    np.testing.assert_allclose(gain.mean(axis=0), [0.225, 0.15, 0.225], atol=5 * quantum * 0.5 / math.sqrt(n))


def test_tag_is_half_at_the_threshold_and_0_for_the_winner() -> None:
    tables = one_table([[10, 3, 6, 0], [4, 4, 2, 0], [0, 0, 0, 0]])
    change = outcome(Tag(threshold=0.3, steepness=3, protection=0.8), tables, NOW, DRAWS)
    tag = np.asarray([[0, 0.5, 1 / 9, 0], [0, 0, 1 / (1 + (5 / 3) ** 3), 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(change.traces["tag"], tag, rtol=1e-12)
    np.testing.assert_allclose(change.traces["protection"], np.where(tables[0].alive, 0.8 * (1 - tag), 0))


def test_inputs_without_any_strength_are_all_winners() -> None:
    (table,) = one_table([[1, 1]])
    weightless = Tables([Table("cells", table.ids, table.alive, 0 * table.weight, table.source)])
    change = outcome(Tag(), weightless, NOW, DRAWS)
    np.testing.assert_array_equal(change.traces["tag"], [[0, 0]])


def test_without_protection_every_input_is_equally_edible() -> None:
    change = outcome(Tag(protection=0), one_table([[10, 3, 6]]), NOW, DRAWS)
    np.testing.assert_array_equal(change.traces["protection"], 0)


def test_only_the_strongest_translocates() -> None:
    tables = one_table([[10, 9, 8, 0]], dendritic=[[2, 0, 0, 0]])
    rule = Translocation(rate=2.0)  # 2 x 0.25 = half of the somatic synapses: 8 -> 4 and 9 -> 4 or 5
    change = outcome(rule, tables, NOW, DRAWS)
    dendritic = change.traces["dendritic"][0]
    assert dendritic[0] == 6
    assert dendritic[1] in (4, 5)
    np.testing.assert_array_equal(dendritic[2:], 0)
    assert change.weight is None


def test_no_more_synapses_climb_than_there_are() -> None:
    tables = one_table([[10, 1]], dendritic=[[7, 0]])
    change = outcome(Translocation(rate=100), tables, NOW, DRAWS)
    np.testing.assert_array_equal(change.traces["dendritic"], [[10, 0]])


def test_the_tag_compares_the_signal_it_is_told_to() -> None:
    tables = one_table([[10, 3]], eligibility=[[0.3, 1.0]])
    by_weight, by_credit = (
        proposed(Tag(signal=s), tables, NOW, DRAWS).traces["tag"] for s in ("weight", "eligibility")
    )
    np.testing.assert_allclose(by_weight, [[0, 0.5]])
    np.testing.assert_allclose(by_credit, [[0.5, 0]])
    assert Tag().needs() == () and Tag(signal="eligibility").needs() == ("eligibility",)


def test_elimination_hazard_is_gated() -> None:
    tables = one_table([[1, 1], [1, 1]], tag=[[1, 0.5], [0, 1]], calcium=[[0.5], [1]], inhibition=[[0.8], [0]])
    rule = Elimination(rate=2, factor=0.5, gates=("calcium", "inhibition"))
    proposal = proposed(rule, tables, NOW, DRAWS)
    np.testing.assert_allclose(proposal.hazard, [[0.4, 0.2], [0, 0]])
    assert rule.needs() == ("tag", "calcium", "inhibition")


def test_elimination_shuts_with_its_window() -> None:
    tables = one_table([[1, 1]], tag=[[1, 1]])
    rule = Elimination(rate=2, ramp=2, **window(10, 12))
    for age, openness in ((8.9, 0), (10, 0.5), (11, 1), (12, 0.5), (13.1, 0)):
        proposal = proposed(rule, tables, Now(0, age, 0.25, 0.5), DRAWS)
        np.testing.assert_allclose(proposal.hazard, 2 * openness, atol=1e-12)


@pytest.mark.parametrize("contacts", [0, 1, 3])
@pytest.mark.parametrize("protection", [0.0, 0.5, 1.0])
def test_engulfment_probability_per_contact(contacts: int, protection: float) -> None:
    tables = one_table([[1]], contacts=[[contacts]], protection=[[protection]], microglia=[[4]])
    proposal = proposed(Engulfment(probability=0.2, factor=0.5), tables, NOW, DRAWS)
    stays = math.exp(-float(proposal.hazard[0, 0]) * NOW.dt)
    assert stays == pytest.approx((1 - 0.1 * (1 - protection)) ** contacts)
    assert proposal.agent.tolist() == [[4]]


def test_a_certain_engulfment_is_certain() -> None:
    n = 3000
    tables = one_table(np.ones((n, 1)), contacts=np.ones((n, 1)), protection=np.zeros((n, 1)), microglia=[[0]])
    change = outcome(Engulfment(probability=1), tables, NOW, DRAWS)
    assert change.eliminate.all()


def test_weakest_first_takes_the_weakest_of_all_tables() -> None:
    tables = Tables([*one_table([[5, 1, 9, 0]]), *one_table([[2, 7], [0, 3]])])
    tables = Tables([tables[0], Table("more", 50 + tables[1].ids, *_rest(tables[1]))])
    gone = [c.eliminate for c in decide(WeakestFirst(rate=0), tables, NOW, DRAWS, budget=3).changes]
    np.testing.assert_array_equal(gone[0], [[False, True, False, False]])
    np.testing.assert_array_equal(gone[1], [[True, False], [False, True]])


def _rest(table: Table) -> tuple[Any, Any, Any]:
    return table.alive, table.weight, table.source


def test_weakest_first_expects_the_quota_of_its_rate() -> None:
    tables = one_table(np.ones((30, 10)))
    rule = WeakestFirst(rate=0.5)
    expected = 300 * (1 - math.exp(-0.5 * 0.25))
    assert rule.quota(tables, NOW) == pytest.approx(expected)
    counts = [
        int(select(tables, rule.propose(tables, NOW, d), NOW, d, quota=expected)[0].sum())
        for d in (Draws(seed, "w", 0) for seed in range(200))
    ]
    assert set(counts) == {math.floor(expected), math.ceil(expected)}
    assert np.mean(counts) == pytest.approx(expected, abs=0.15)


def test_random_pruning_goes_at_its_rate() -> None:
    tables = one_table(np.ones((200, 100)))
    change = outcome(RandomPruning(rate=0.8), tables, NOW, DRAWS)
    expected = 1 - math.exp(-0.8 * 0.25)
    assert change.eliminate.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected / 20_000))


def test_random_pruning_ignores_weight_under_a_budget() -> None:
    weight = np.repeat([1.0, 100.0], 5000).reshape(2, 5000)
    change = outcome(RandomPruning(rate=0), one_table(weight), NOW, DRAWS, budget=4000)
    np.testing.assert_allclose(change.eliminate.sum(axis=1), 2000, atol=5 * math.sqrt(2000))


@pytest.mark.parametrize("course", ["constant", "decreasing", "increasing"])
def test_a_course_spends_the_same_hazard_in_all(course: Any) -> None:
    rule = RandomPruning(rate=0.3, course=course, **window(4.0, 12.0))
    hazards = [(rule.hazard(now) or 0.0) * now.dt for now in Clock(3.0, 14.0, 0.25).moments()]
    assert sum(hazards) == pytest.approx(0.3 * 8)
    inside = np.asarray(hazards[4:-8])
    steps = np.diff(inside)
    assert {"constant": (abs(steps) < 1e-12), "decreasing": steps < 0, "increasing": steps > 0}[course].all()
    assert inside[:16].sum() / inside.sum() == pytest.approx(course_done(course, 0.5, rule.steepness))


def test_a_course_needs_its_ends() -> None:
    with pytest.raises(ValidationError, match='"from" and "to"'):
        RandomPruning(rate=0.3, course="decreasing", **window(4.0))


def test_random_regrowth_forms_candidates_only() -> None:
    tables = example_tables(shapes=[(200, 60)])
    rule = RandomRegrowth(rate=2.0, weight=0.7)
    change = outcome(rule, tables, NOW, DRAWS)
    (table,), (after,) = tables, tables.after(decide(rule, tables, NOW, DRAWS))
    assert table.candidates is not None and change.form.any()
    assert not (change.form & ~table.candidates).any()
    expected, n = 1 - math.exp(-2 * 0.25), table.candidates.sum()
    assert change.form.sum() / n == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / n))
    np.testing.assert_array_equal(after.weight, np.where(change.form, 0.7, table.weight))


# --- selection

SCORES = st.lists(
    st.lists(st.sampled_from([0.0, 1.0, 1.0 + 2.0**-52, 2.0, -3.0, 1e-9]), min_size=1, max_size=8),
    min_size=1,
    max_size=3,
)


def scored(scores: list[list[float]], random: np.random.Generator) -> tuple[Tables, list[Proposal]]:
    tables, proposals, first = [], [], 0
    for k, row in enumerate(scores):
        n = len(row)
        alive = random.random((1, n)) < 0.8
        ids = (first + random.permutation(n)).reshape(1, n)
        tables.append(Table(f"t{k}", ids, alive, alive.astype(float), np.zeros((1, n), np.int64)))
        proposals.append(Proposal(score=np.asarray([row])))
        first += n
    return Tables(tables), proposals


def brute_force(tables: Tables, proposals: list[Any], budget: int) -> set[int]:
    """Sort plain tuples of (score, draw): the largest scores first, among equals the smallest draws."""
    inputs = [
        (-float(quantise(p.score[0, j])), float(DRAWS.uniform(t.ids, "tie")[0, j]), int(t.ids[0, j]))
        for t, p in zip(tables, proposals, strict=True)
        for j in range(t.shape[1])
        if t.alive[0, j]
    ]
    return {i for _, _, i in sorted(inputs)[:budget]}


def chosen(tables: Tables, masks: Sequence[Any]) -> set[int]:
    return {int(i) for t, mask in zip(tables, masks, strict=True) for i in t.ids[mask]}


@given(SCORES, st.integers(0, 2**32), st.data())
def test_largest_scores_go_as_sorting_says(scores: list[list[float]], seed: int, data: st.DataObject) -> None:
    tables, proposals = scored(scores, np.random.default_rng(seed))
    budget = data.draw(st.integers(0, tables.n_alive()))
    masks = select(tables, proposals, NOW, DRAWS, budget=budget)
    assert chosen(tables, masks) == brute_force(tables, proposals, budget)
    assert sum(int(m.sum()) for m in masks) == budget


@given(SCORES, st.integers(0, 2**32))
def test_larger_budgets_take_more_of_the_same(scores: list[list[float]], seed: int) -> None:
    tables, proposals = scored(scores, np.random.default_rng(seed))
    before: set[int] = set()
    for budget in range(tables.n_alive() + 1):
        now = chosen(tables, select(tables, proposals, NOW, DRAWS, budget=budget))
        assert before < now or budget == 0
        before = now


@given(st.floats(0, 50), st.floats(0.01, 5))
def test_hazards_are_probabilities(hazard: float, dt: float) -> None:
    tables = one_table(np.ones((20, 20)))
    now = Now(0, 5.0, dt, 0.5)
    (gone,) = select(tables, [Proposal(hazard=np.full((20, 20), hazard))], now, DRAWS)
    np.testing.assert_array_equal(
        gone, DRAWS.uniform(tables[0].ids, "select") < quantise(np.asarray(-math.expm1(-hazard * dt)))
    )


def test_what_select_refuses() -> None:
    tables = one_table([[1, 2]])
    for budget in (-1, 3):
        with pytest.raises(BudgetError, match=f"asks for {budget} .*between 0 and the 2 living"):
            select(tables, [Proposal(score=tables[0].weight)], NOW, DRAWS, budget=budget)
    with pytest.raises(SpecificationError, match="no hazard for table 'cells'"):
        select(tables, [Proposal(score=tables[0].weight)], NOW, DRAWS)
    with pytest.raises(SpecificationError, match="neither a hazard nor a score"):
        select(tables, [Proposal()], NOW, DRAWS, budget=1)
    for bad in (math.nan, math.inf):
        with np.errstate(invalid="ignore"), pytest.raises(SpecificationError, match="not finite"):
            select(tables, [Proposal(score=np.asarray([[bad, 1.0]]))], NOW, DRAWS, budget=1)


def test_a_score_of_a_dead_input_does_not_matter() -> None:
    tables = one_table([[1, 0, 2]])
    (gone,) = select(tables, [Proposal(score=np.asarray([[1.0, math.nan, 2.0]]))], NOW, DRAWS, budget=1)
    np.testing.assert_array_equal(gone, [[False, False, True]])
