"""Rules that rank: importances as their papers write them, who is compared with whom, and what a course spends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from neuroprune.core.clock import Clock, Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Table, Tables, quantise, source_sum
from neuroprune.rules import (
    DualConstraint,
    Fisher,
    Grasp,
    Lamp,
    Movement,
    RandomPruning,
    Ranking,
    Snip,
    SynFlow,
    Trophic,
    UseItOrLoseIt,
    Wanda,
    WeakestFirst,
    WinnerRelative,
    decide,
)
from neuroprune.rules.ranking import allotment, rank_in_cell
from neuroprune.testing import check_rule, example_tables

NOW = Now(step=2, age=9.0, dt=0.25, progress=0.5)
DRAWS = Draws(seed=1, stream="test", step=2)


def table(weight: Any, *, source: Any = None, alive: Any = None, first: int = 0, **traces: Any) -> Table:
    """Return a table of these weights in which the positive ones live, or those that are said to."""
    w = np.asarray(weight, np.float64)
    living = w > 0 if alive is None else np.asarray(alive, bool)
    inputs = np.broadcast_to(np.arange(w.shape[1]), w.shape) if source is None else np.asarray(source)
    return Table(
        name=f"from {first}",
        ids=first + np.arange(w.size).reshape(w.shape),
        alive=living,
        weight=w,
        source=inputs.astype(np.int64),
        traces={name: np.asarray(value, np.float64) for name, value in traces.items()},
    )


def importance(rule: Ranking, one: Table) -> np.ndarray:
    """Return the importance of living inputs, 0 where dead."""
    return np.where(one.alive, rule.importance(one, DRAWS), 0.0)


def gone(rule: Ranking, tables: Sequence[Table], budget: int, draws: Draws = DRAWS) -> list[np.ndarray]:
    return [np.asarray(c.eliminate) for c in decide(rule, Tables(tables), NOW, draws, budget).changes]


def counts(masks: Sequence[np.ndarray]) -> list[int]:
    return [int(mask.sum()) for mask in masks]


# --- importances by hand


def test_lamp_divides_by_the_squares_of_the_stronger() -> None:
    """Squares 1, 4, 9, 16: 1/30, 4/29, 9/25, 16/16 (Lee et al. 2021, equation 5)."""
    got = importance(Lamp(), table([[3, 1, 0], [2, 0, 4]]))
    np.testing.assert_allclose(got, [[9 / 25, 1 / 30, 0], [4 / 29, 0, 1]], rtol=1e-12)


def test_equals_count_all_of_each_other_in_lamp() -> None:
    got = importance(Lamp(), table([[2, 2, 1, 3, 3]]))
    np.testing.assert_allclose(got, [[4 / 26, 4 / 26, 1 / 27, 9 / 18, 9 / 18]], rtol=1e-12)


def test_lamp_leaves_no_table_empty_and_does_not_care_about_its_scale() -> None:
    random = np.random.default_rng(0)
    small, large = (scale * random.lognormal(size=(4, 5)) for scale in (1e-6, 1.0))
    left = [~mask for mask in gone(Lamp(), [table(small), table(large, first=20)], 38)]
    assert counts(left) == [1, 1]
    assert small[left[0]] == small.max() and large[left[1]] == large.max()
    assert counts(gone(WeakestFirst(), [table(small), table(large, first=20)], 20)) == [20, 0]
    scaled = gone(Lamp(), [table(1e3 * small), table(large, first=20)], 17)
    np.testing.assert_array_equal(scaled[0], gone(Lamp(), [table(small), table(large, first=20)], 17)[0])


def test_wanda_is_strength_times_the_norm_of_the_input_within_a_cell() -> None:
    """The norm of n samples is sqrt(n) times the root of their mean square, the same factor for all."""
    samples = np.asarray([[3.0, 0.0, 1.0], [4.0, 1.0, 1.0]])
    weight = np.asarray([[1.0, 6.0, 4.0], [0.3, 9.0, 0.5]])
    one = table(weight, drive=(samples**2).mean(0, keepdims=True))
    paper = weight * np.linalg.norm(samples, axis=0)
    np.testing.assert_allclose(math.sqrt(2) * importance(Wanda(), one), paper, rtol=1e-12)
    # 5, 6 and 5.657 in the first cell, 1.5, 9 and 0.707 in the second: each loses its own smallest.
    np.testing.assert_array_equal(gone(Wanda(), [one], 2)[0], [[True, False, False], [False, False, True]])


def brute_force_ria(weight: np.ndarray, alive: np.ndarray, source: np.ndarray, norm: np.ndarray, a: float) -> Any:
    result = np.zeros_like(weight)
    for i, j in zip(*np.nonzero(alive), strict=True):
        own = sum(weight[i, k] for k in range(weight.shape[1]) if alive[i, k])
        theirs = sum(
            weight[p, q]
            for p in range(weight.shape[0])
            for q in range(weight.shape[1])
            if alive[p, q] and source[p, q] == source[i, j]
        )
        result[i, j] = (weight[i, j] / own + weight[i, j] / theirs) * norm[i, j] ** a
    return result


@pytest.mark.parametrize("activity", [0.0, 0.5, 2.0])
def test_the_dual_constraint_is_relative_importance_and_activations(activity: float) -> None:
    """Sources repeat, as the channel of a convolution does at each place of a kernel, and are in no order."""
    random = np.random.default_rng(3)
    weight, drive = random.lognormal(size=(5, 8)), random.random((5, 8))
    alive = random.random((5, 8)) < 0.7
    source = random.permutation(np.repeat([7, 2, 9, 4], 10)).reshape(5, 8)
    one = table(np.where(alive, weight, 0.0), source=source, drive=drive)
    expected = brute_force_ria(weight, alive, source, np.sqrt(drive), activity)
    np.testing.assert_allclose(importance(DualConstraint(activity=activity), one), expected, rtol=1e-10)
    assert DualConstraint().scope == "table" and DualConstraint().activity == 0.5


def test_relative_importance_of_a_dense_layer_by_hand() -> None:
    one = table([[1, 3], [4, 0]], drive=[[16.0, 1.0]])
    # own sums 4 and 4, sums of the inputs 5 and 3, norms 4 and 1 to the power 1/2
    expected = [[(1 / 4 + 1 / 5) * 2, (3 / 4 + 3 / 3) * 1], [(4 / 4 + 4 / 5) * 2, 0]]
    np.testing.assert_allclose(importance(DualConstraint(), one), expected, rtol=1e-12)


def test_the_sum_of_a_source_is_over_the_living() -> None:
    one = table([[1, 2, 3], [4, 5, 6]], source=[[8, 3, 8], [3, 8, 5]], alive=[[1, 1, 0], [1, 1, 1]])
    np.testing.assert_allclose(source_sum(one.weight, one), [[6, 6, 6], [6, 6, 6]])
    apart = table([[1, 2], [4, 5]], source=[[0, 1], [2, 1]], alive=[[1, 1], [1, 1]])
    np.testing.assert_allclose(source_sum(apart.weight, apart), [[1, 7], [4, 7]])


def test_what_gradients_say() -> None:
    """Signs: ``gradient`` is of the strength, so that its product with it is w times dL/dw."""
    traces: dict[str, Any] = {
        "gradient": [[-2, 0.5]],
        "hessian_gradient": [[-2, 0.5]],
        "flow": [[2, 0.5]],
        "fisher": [[4, 0.25]],
    }
    one = table([[3, 8]], movement=[[-7, 2]], **traces)
    np.testing.assert_allclose(importance(Snip(), one), [[6, 4]])
    np.testing.assert_allclose(importance(Grasp(), one), [[-6, 4]])
    np.testing.assert_allclose(importance(SynFlow(), one), [[6, 4]])
    np.testing.assert_allclose(importance(Fisher(), one), [[18, 8]])
    np.testing.assert_allclose(importance(Movement(), one), [[-7, 2]])


def test_grasp_takes_what_hurts_the_flow_of_gradients() -> None:
    """The paper removes the largest of -w (H g): removal of a weight with a negative w (H g) raises the flow."""
    (mask,) = gone(Grasp(), [table([[1, 1, 1]], hessian_gradient=[[0.1, -5.0, 4.0]])], 1)
    np.testing.assert_array_equal(mask, [[False, True, False]])
    (mask,) = gone(Snip(), [table([[1, 1, 1]], gradient=[[0.1, -5.0, 4.0]])], 1)
    np.testing.assert_array_equal(mask, [[True, False, False]])
    (mask,) = gone(Movement(), [table([[9, 1, 1]], movement=[[-5.0, 0.1, 4.0]])], 1)
    np.testing.assert_array_equal(mask, [[True, False, False]])


def test_trophic_factor_is_used_by_strength_and_use_and_supplied_by_the_cell() -> None:
    one = table([[1, 2], [3, 1]], drive=[[5.0, 0.5]], retrograde=[[2.0], [0.1]])
    np.testing.assert_allclose(importance(Trophic(), one), [[10, 4], [4.5, 0.05]], rtol=1e-12)
    np.testing.assert_allclose(importance(Trophic(exponent=0), one), [[10, 1], [0.5, 0.05]], rtol=1e-12)
    of_a_brain = table([[1, 2]], eligibility=[[3.0, 1.0]], calcium=[[0.5]])
    rule = Trophic(use="eligibility", worth="calcium", exponent=1)
    np.testing.assert_allclose(importance(rule, of_a_brain), [[1.5, 1.0]])
    assert rule.needs() == ("eligibility", "calcium") and Trophic().needs() == ("drive", "retrograde")


def test_winner_relative_forgets_what_differs_between_cells() -> None:
    one = table([[1, 2, 0], [30, 1, 40]], usage=[[4.0, 1.0, 2.0]])
    expected = [[1, 0.5, 0], [1, 1 / 120, 80 / 120]]
    np.testing.assert_allclose(importance(WinnerRelative(), one), expected, rtol=1e-12)
    silent = table([[1, 2]], usage=[[0.0, 0.0]])
    np.testing.assert_array_equal(importance(WinnerRelative(), silent), [[0, 0]])


def test_use_it_or_lose_it_ignores_strength() -> None:
    one = table([[9, 1, 4]], eligibility=[[0.1, 0.3, 0.2]])
    np.testing.assert_array_equal(gone(UseItOrLoseIt(), [one], 1)[0], [[True, False, False]])
    assert UseItOrLoseIt(signal="usage").needs() == ("usage",) and UseItOrLoseIt().scope == "table"


@pytest.mark.parametrize(
    ("rule", "basis"),
    [
        (WeakestFirst(scope="erdos_renyi"), "weights"),
        (SynFlow(), "weights"),
        (Wanda(), "activity"),
        (Trophic(), "gradients"),
        (Trophic(use="eligibility", worth="calcium"), "activity"),
        (Movement(), "gradients"),
    ],
)
def test_a_rule_says_what_it_must_know(rule: Ranking, basis: str) -> None:
    assert rule.basis == basis


# --- who is compared


def test_all_are_compared_in_the_network() -> None:
    tables = [table([[1, 5], [6, 7]]), table([[2, 3, 4]], first=4)]
    assert counts(gone(WeakestFirst(), tables, 4)) == [1, 3]


def test_the_same_share_stays_in_each_table() -> None:
    tables = [table(np.arange(1.0, 41).reshape(4, 10)), table([np.arange(100.0, 110)], first=40)]
    assert counts(gone(WeakestFirst(scope="table"), tables, 35)) == [28, 7]
    np.testing.assert_array_equal(gone(WeakestFirst(scope="table"), tables, 35)[1][0], np.arange(10) < 7)


def test_the_same_share_stays_in_each_cell() -> None:
    random = np.random.default_rng(2)
    weight = np.exp(random.normal(size=(6, 10)) + np.arange(6)[:, None])
    (mask,) = gone(WeakestFirst(scope="cell"), [table(weight)], 24)
    np.testing.assert_array_equal(mask.sum(1), 4)
    for row, taken in zip(weight, mask, strict=True):
        assert row[taken].max() < row[~taken].min()


def test_cells_of_unequal_size_keep_nearly_the_same_share() -> None:
    weight = np.exp(np.random.default_rng(2).normal(size=(3, 12)))
    weight[1, 6:] = 0
    weight[2, 1:] = 0
    (mask,) = gone(WeakestFirst(scope="cell"), [table(weight)], 9)
    assert mask.sum(1).tolist() == [6, 3, 0]
    share = rank_in_cell(table(weight), weight, DRAWS)
    assert sorted(share[1, :6]) == pytest.approx([(k + 0.5) / 6 for k in range(6)])
    assert share[2, 0] == 0.5 and (share[1, 6:] == 1).all()


def by_wanda_paper(weight: np.ndarray, norm: np.ndarray, share: float) -> np.ndarray:
    """The reference code: sort each row of the metric, and take the first ``int(columns * share)``."""
    order = np.argsort(weight * norm, axis=1, kind="stable")[:, : int(weight.shape[1] * share)]
    mask = np.zeros(weight.shape, bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_wanda_prunes_a_layer_as_its_reference_code(share: float) -> None:
    random = np.random.default_rng(8)
    weight, norm = random.lognormal(size=(7, 20)), random.lognormal(size=20)
    (mask,) = gone(Wanda(), [table(weight, drive=norm[None] ** 2)], int(20 * share) * 7)
    np.testing.assert_array_equal(mask, by_wanda_paper(weight, norm, share))


def test_equals_in_a_cell_are_ordered_by_draws() -> None:
    one = table(np.ones((300, 2)))
    (mask,) = gone(WeakestFirst(scope="cell"), [one], 300)
    assert (mask.sum(1) == 1).all()
    assert mask[:, 0].sum() == pytest.approx(150, abs=5 * math.sqrt(75))
    (other,) = gone(WeakestFirst(scope="cell"), [one], 300, Draws(2, "test", 2))
    assert (mask != other).any()


@pytest.mark.parametrize("scope", ["network", "table", "cell"])
def test_equals_are_taken_by_draws_and_not_by_place(scope: Any) -> None:
    tables = [table(np.ones((20, 10))), table(np.ones((10, 10)), first=200)]
    masks = gone(WeakestFirst(scope=scope), tables, 150)
    assert sum(counts(masks)) == 150
    for mask in masks:
        halves = mask[:, :5].sum(), mask[:, 5:].sum()
        assert min(halves) > 0.3 * sum(halves)
    again = gone(WeakestFirst(scope=scope), tables, 150)
    for one, two in zip(masks, again, strict=True):
        np.testing.assert_array_equal(one, two)


def evci_densities(shapes: Sequence[tuple[int, ...]], density: float) -> list[float]:
    """The published algorithm: raise epsilon, and make dense each layer that would have more than all weights.

    Independent of the library's: the loop of ``get_mask_random_numpy`` / ``sparsity_calculator`` in the code of RigL.
    """
    dense: set[int] = set()
    raw = [(sum(s)) / math.prod(s) for s in shapes]
    while True:
        divisor = rhs = 0.0
        for k, shape in enumerate(shapes):
            n = math.prod(shape)
            if k in dense:
                rhs -= n * (1 - density)
            else:
                rhs += n * density
                divisor += raw[k] * n
        epsilon = rhs / divisor
        probabilities = [epsilon * raw[k] for k in range(len(shapes)) if k not in dense]
        if max(probabilities) <= 1:
            break
        largest = max((k for k in range(len(shapes)) if k not in dense), key=lambda k: raw[k])
        dense.add(largest)
    return [1.0 if k in dense else epsilon * raw[k] for k in range(len(shapes))]


@pytest.mark.parametrize("density", [0.5, 0.2, 0.05, 0.01])
@pytest.mark.parametrize(
    "shapes", [[(300, 784), (100, 300), (10, 100)], [(8, 3, 3, 3), (16, 8, 3, 3), (10, 256)]], ids=["lenet300", "cnn"]
)
def test_erdos_renyi_is_the_published_algorithm(shapes: list[tuple[int, ...]], density: float) -> None:
    tables, first = [], 0
    for shape in shapes:
        n_post, n_slots = shape[0], math.prod(shape[1:])
        raw = sum(shape) / math.prod(shape)
        tables.append(table(np.ones((n_post, n_slots)), first=first, erdos_renyi=[[raw]]))
        first += n_post * n_slots
    keep = round(density * first)
    shares = WeakestFirst(scope="erdos_renyi").allot(Tables(tables), first - keep)
    assert shares is not None and sum(shares) == first - keep
    for shape, share, expected in zip(shapes, shares, evci_densities(shapes, keep / first), strict=True):
        assert math.prod(shape) - share == pytest.approx(expected * math.prod(shape), abs=1)


def test_erdos_renyi_of_the_smallest_layer_is_dense() -> None:
    """LeNet-300-100 at 80 %: epsilon = 0.2 x 266200 - 1000 over (784 + 300 + 300 + 100), for example."""
    densities = evci_densities([(300, 784), (100, 300), (10, 100)], 0.2)
    epsilon = (0.2 * 266_200 - 1000) / (1084 + 400)
    assert densities == pytest.approx([epsilon * 1084 / 235_200, epsilon * 400 / 30_000, 1.0])


@st.composite
def networks(draw: st.DrawFn) -> tuple[Tables, list[float]]:
    tables, raw, first = [], [], 0
    for _ in range(draw(st.integers(1, 4))):
        shape = draw(st.tuples(st.integers(0, 5), st.integers(0, 8)))
        alive = np.random.default_rng(draw(st.integers(0, 99))).random(shape) < draw(st.sampled_from([0.3, 1.0]))
        tables.append(table(alive.astype(float), first=first))
        raw.append(draw(st.floats(1e-3, 10)))
        first += alive.size
    return Tables(tables), raw


@given(networks(), st.floats(0, 1))
def test_an_allotment_is_exact_possible_and_proportional(case: tuple[Tables, list[float]], share: float) -> None:
    tables, raw = case
    budget = round(share * tables.n_alive())
    shares = allotment(tables, budget, raw)
    assert sum(shares) == budget
    factors = []
    for one, taken, r in zip(tables, shares, raw, strict=True):
        assert 0 <= taken <= one.n_alive()
        left, slots = one.n_alive() - taken, one.ids.size
        if taken:  # not all stay: its density is the common factor times r, up to one connection
            factors.append(((left - 1) / (slots * r), (left + 1) / (slots * r)))
    if factors:
        lowest, highest = max(low for low, _ in factors), min(high for _, high in factors)
        assert lowest <= highest * (1 + 1e-9)
        for one, taken, r in zip(tables, shares, raw, strict=True):
            if not taken and one.n_alive():  # dense: it would have been given at least what lives, up to one
                assert one.n_alive() - 1 <= highest * one.ids.size * r * (1 + 1e-9)


def test_tables_of_density_0_go_first_and_no_more_than_the_budget() -> None:
    tables = Tables([table(np.ones((4, 5))), table(np.ones((4, 10)), first=20), table(np.ones((0, 3)))])
    assert allotment(tables, 15, [0.0, 1.0, 0.0]) == [15, 0, 0]
    assert allotment(tables, 30, [0.0, 1.0, 0.0]) == [20, 10, 0]
    assert allotment(tables, 30, [0.0, 0.0, 0.0]) == [10, 20, 0]


@given(networks(), st.floats(0, 1), st.randoms())
def test_an_allotment_does_not_depend_on_the_order_of_tables(
    case: tuple[Tables, list[float]], share: float, random: Any
) -> None:
    tables, raw = case
    budget = round(share * tables.n_alive())
    order = list(range(len(tables)))
    random.shuffle(order)
    shares = allotment(tables, budget, raw)
    shuffled = allotment(Tables([tables[k] for k in order]), budget, [raw[k] for k in order])
    nonempty = [k for k in range(len(tables)) if tables[k].ids.size]
    assert {k: shares[k] for k in nonempty} == {k: shuffled[order.index(k)] for k in nonempty}


@given(networks(), st.sampled_from(["network", "table", "cell"]), st.floats(0, 1))
def test_every_scope_meets_a_budget(case: tuple[Tables, list[float]], scope: Any, share: float) -> None:
    tables, _ = case
    budget = round(share * tables.n_alive())
    assert sum(counts(gone(WeakestFirst(scope=scope), list(tables), budget))) == budget


RANKING = (
    RandomPruning,
    WeakestFirst,
    Lamp,
    Trophic,
    WinnerRelative,
    UseItOrLoseIt,
    DualConstraint,
    Wanda,
    Fisher,
    Snip,
    Grasp,
    SynFlow,
    Movement,
)


@pytest.mark.parametrize(
    ("rule", "scope"), [(Fisher, "table"), (Fisher, "cell"), (WeakestFirst, "erdos_renyi"), (RandomPruning, "cell")]
)
def test_scopes_keep_the_contract(rule: Any, scope: Any) -> None:
    made = rule(rate=0.3, scope=scope)
    assert ("erdos_renyi" in made.needs()) == (scope == "erdos_renyi")
    check_rule(made)


@pytest.mark.parametrize("rule", RANKING, ids=lambda rule: rule.key)
def test_a_rule_takes_what_it_says_is_least_important(rule: type[Ranking]) -> None:
    """The order that all rules share: importance decides, with rounding to 30 bits, and then draws."""
    made = rule(scope="network")
    (one,) = example_tables(made.needs(), weights="continuous", shapes=[(9, 12)])
    values = quantise(np.asarray(made.importance(one, DRAWS)))
    budget = one.n_alive() // 2
    (mask,) = gone(made, [one], budget)
    assert mask.sum() == budget and not (mask & ~one.alive).any()
    assert values[mask].max() <= values[one.alive & ~mask].min()


def test_newborns_are_spared() -> None:
    one = table([[1, 2, 3, 4]], newborn=[[1, 0, 1, 0]])
    for scope in ("network", "table", "cell"):
        np.testing.assert_array_equal(gone(WeakestFirst(scope=scope), [one], 1)[0], [[False, True, False, False]])
        np.testing.assert_array_equal(gone(WeakestFirst(scope=scope), [one], 2)[0], [[False, True, False, True]])


# --- running freely


@pytest.mark.parametrize("course", ["constant", "decreasing", "increasing", "cubic", "pulse", "at_once"])
@pytest.mark.parametrize("rule", [WeakestFirst, Fisher], ids=lambda rule: rule.key)
def test_every_course_spends_the_same_hazard(rule: Any, course: Any) -> None:
    made = rule(rate=0.3, course=course, **{"from": 4.0, "to": 12.0})
    spent = [made.hazard(now) * now.dt for now in Clock(3.0, 14.0, 0.25).moments()]
    assert sum(spent) == pytest.approx(0.3 * 8)
    assert min(spent) >= 0 and not any(spent[:4]) and not any(spent[-8:])
    if course == "at_once":
        assert spent[4] == pytest.approx(0.3 * 8)
    if course == "pulse":
        assert int(np.argmax(spent)) in (19, 20) and spent[4:36] == pytest.approx(spent[4:36][::-1])


def test_without_a_rate_there_is_no_quota() -> None:
    one = Tables([table(np.ones((3, 4)))])
    assert WeakestFirst().quota(one, NOW) is None
    assert WeakestFirst(rate=0.5).quota(one, NOW) == pytest.approx(12 * (1 - math.exp(-0.125)))
    with pytest.raises(ValidationError, match="rate"):
        WeakestFirst(rate=-1.0)
    with pytest.raises(ValidationError, match='course "cubic" needs both "from" and "to"'):
        WeakestFirst(rate=0.1, course="cubic")
