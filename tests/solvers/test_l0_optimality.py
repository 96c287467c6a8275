"""Solutions against the best of all supports, and proofs on problems that no one can enumerate."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from l0_cases import brute_force, relu_features, sparse_data

from neuroprune.solvers.l0 import fit_l0


@st.composite
def problems(draw):
    """Small whole numbers, so that columns repeat, vanish and depend on each other."""
    n, p = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    entry = st.integers(-3, 3)
    X = np.array(draw(st.lists(st.lists(entry, min_size=p, max_size=p), min_size=n, max_size=n)), float)
    y = np.array(draw(st.lists(st.integers(-5, 5), min_size=n, max_size=n)), float)
    if draw(st.booleans()):
        X[:, draw(st.integers(0, p - 1))] = X[:, draw(st.integers(0, p - 1))]
    if draw(st.booleans()):
        options = {"k": draw(st.integers(0, p))}
    else:
        options = {"penalty": draw(st.sampled_from([0.0, 0.01, 0.5, 4.0, 1e4]))}
    return X, y, options, draw(st.sampled_from([0.0, 0.0, 1e-6, 0.1, 3.0]))


def assert_optimal(found, best, energy):
    assert found.value == pytest.approx(best, rel=1e-6, abs=1e-11 * energy)
    assert found.lower_bound <= best + 1e-12 * energy
    assert found.proven


@settings(max_examples=100, deadline=None)
@given(problems())
def test_the_optimum_of_any_small_problem_is_found_and_proven(problem) -> None:
    X, y, options, ridge = problem
    best = brute_force(X, y, ridge=ridge, **options)
    found = fit_l0(X, y, ridge=ridge, exact=True, **options)
    assert_optimal(found, best, 1.0 + y @ y)
    w = found.coefficients
    residual = y - X @ w
    price = options.get("penalty", 0.0) * np.count_nonzero(w)
    assert 0.5 * (residual @ residual + ridge * w @ w) + price == pytest.approx(found.value, abs=1e-9 * (1.0 + y @ y))
    assert np.count_nonzero(w) <= options.get("k", np.inf)
    assert fit_l0(X, y, ridge=ridge, **options).lower_bound <= best + 1e-12 * (1.0 + y @ y)


@pytest.mark.parametrize("options", [{"k": 5}, {"k": 9}, {"penalty": 0.5}, {"penalty": 0.02}], ids=str)
@pytest.mark.parametrize("kind", ["correlated", "fewer rows", "repeated", "ridge"])
def test_fifteen_features(kind: str, options: dict) -> None:
    n, ridge = (8 if kind == "fewer rows" else 40), (2.0 if kind == "ridge" else 0.0)
    X, y, _ = sparse_data(n, 15, 6, rho=0.9, equicorrelated=True, snr=2.0, seed=3)
    if kind == "repeated":
        X[:, 4], X[:, 9], X[:, 14] = X[:, 3], -2.0 * X[:, 3], 0.0
    best = brute_force(X, y, ridge=ridge, **options)
    assert_optimal(fit_l0(X, y, ridge=ridge, exact=True, **options), best, y @ y)


def test_a_target_that_does_not_vary() -> None:
    X = np.random.default_rng(0).standard_normal((20, 6))
    found = fit_l0(X, np.full(20, 3.0), k=2, intercept=True)
    assert found.size == 0 and found.intercept == [3.0] and found.value == 0.0 and found.proven
    assert_optimal(fit_l0(X, np.full(20, 3.0), k=2, exact=True), brute_force(X, np.full(20, 3.0), k=2), 180.0)


def test_orthogonal_features_are_thresholded() -> None:
    found = fit_l0(np.eye(4), [3.0, 0.5, -2.0, 1.0], penalty=0.6)
    # Each is worth half its square: 4.5, 0.125, 2, 0.5.
    assert found.coefficients.tolist() == [3.0, 0.0, -2.0, 0.0]
    assert found.value == pytest.approx(0.125 + 0.5 + 2 * 0.6)
    assert found.proven
    shrunk = fit_l0(np.eye(4), [3.0, 0.5, -2.0, 1.0], k=1, ridge=0.5)
    assert shrunk.coefficients == pytest.approx([2.0, 0.0, 0.0, 0.0])
    assert shrunk.value == pytest.approx(0.5 * (9.0 + 0.25 + 4.0 + 1.0) - 0.5 * 9.0 / 1.5)


def test_nothing_is_free_and_anything_too_dear() -> None:
    X, y, _ = sparse_data(30, 6, 3)
    free = fit_l0(X, y, penalty=0.0)
    assert free.coefficients == pytest.approx(np.linalg.lstsq(X, y, rcond=None)[0])
    assert free.proven and free.size == 6
    dear = fit_l0(X, y, penalty=1e9)
    assert dear.size == 0 and dear.value == pytest.approx(0.5 * y @ y) and dear.proven
    nothing = fit_l0(X, y, k=0)
    assert nothing.value == pytest.approx(0.5 * y @ y) == pytest.approx(nothing.lower_bound) and nothing.proven


def test_each_output_has_its_own_support() -> None:
    X, first, support = sparse_data(80, 12, 3, seed=1)
    _, second, _ = sparse_data(80, 12, 3, seed=2)
    both = fit_l0(X, np.column_stack([first, second, 0 * first]), k=3, exact=True)
    alone = fit_l0(X, first, k=3, exact=True)
    assert np.array_equal(np.flatnonzero(both.support[:, 0]), support)
    assert both.coefficients[:, 0] == pytest.approx(alone.coefficients)
    assert both.coefficients[:, 2].tolist() == [0.0] * 12
    assert both.value == pytest.approx(sum(both.values)) and both.values[0] == pytest.approx(alone.value)
    assert both.predict(X).shape == (80, 3) and alone.predict(X) == pytest.approx(both.predict(X)[:, 0])


def test_an_intercept_is_fitted_and_not_counted() -> None:
    X, y, _ = sparse_data(60, 10, 2, seed=4)
    moved = fit_l0(X + 1e4, y + 7.0, k=2, intercept=True, exact=True)
    centred = fit_l0(X - X.mean(axis=0), y - y.mean(), k=2, exact=True)
    assert moved.coefficients == pytest.approx(centred.coefficients, rel=1e-6)
    assert moved.value == pytest.approx(centred.value, rel=1e-8)
    assert moved.predict(X + 1e4).mean() == pytest.approx(y.mean() + 7.0)


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (sparse_data(1000, 300, 10), {"k": 10}),
        (sparse_data(1000, 300, 10), {"penalty": 10.0}),
        (sparse_data(500, 80, 15, rho=0.9, equicorrelated=True, snr=50.0), {"k": 15}),
        (relu_features(3000, 40), {"k": 10}),
        (relu_features(3000, 40), {"penalty": 2.0}),
    ],
    ids=["AR k", "AR penalty", "equicorrelated", "ReLU k", "ReLU penalty"],
)
def test_large_problems_are_proven(data, options) -> None:
    found = fit_l0(*data[:2], exact=True, time_limit=60.0, **options)
    assert found.proven and found.gap <= 1e-6
    if len(data) == 3:
        assert np.array_equal(np.flatnonzero(found.coefficients), data[2])


def test_five_thousand_features_with_a_ridge_are_proven() -> None:
    X, y, support = sparse_data(500, 5000, 10)
    found = fit_l0(X, y, k=10, ridge=0.05 * 500, exact=True, time_limit=60.0)  # columns have a square of 500
    assert found.proven
    assert np.array_equal(np.flatnonzero(found.coefficients), support)


def test_a_time_limit_leaves_a_bound() -> None:
    X, y, _ = sparse_data(500, 300, 20, rho=0.9, equicorrelated=True, snr=1.0)
    found = fit_l0(X, y, k=20, exact=True, time_limit=0.3)
    assert not found.proven and 0.0 < found.gap < 0.5
    assert 0.0 < found.lower_bound < found.value
    assert found.seconds < 3.0
    longer = fit_l0(X, y, k=20, exact=True, time_limit=2.0)
    assert longer.lower_bound >= found.lower_bound and longer.value <= found.value


def test_a_whole_number_of_features_may_be_of_any_type() -> None:
    numbers: list[Any] = [2.0, np.int32(2), np.float64(2.0)]
    for k in numbers:
        assert fit_l0(np.eye(3), [1.0, 2.0, 3.0], k=k).size == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either k or a penalty"),
        ({"k": 1, "penalty": 1.0}, "either k or a penalty"),
        ({"k": -1}, "from 0 to the 3 features, not -1"),
        ({"k": 4}, "from 0 to the 3 features, not 4"),
        ({"k": 1.5}, "whole number"),
        ({"k": np.nan}, "whole number from 0 to the 3 features, not nan"),
        ({"k": np.inf}, "whole number from 0 to the 3 features, not inf"),
        ({"k": "a"}, "whole number from 0 to the 3 features, not 'a'"),
        ({"k": True}, "whole number"),
        ({"penalty": "a"}, "penalty must be a finite number that is not negative, not 'a'"),
        ({"penalty": -0.1}, "penalty must be a finite number that is not negative, not -0.1"),
        ({"penalty": np.nan}, "penalty must be"),
        ({"k": 1, "ridge": -1.0}, "ridge must be"),
        ({"k": 1, "time_limit": -1.0}, "time_limit must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_l0(np.eye(3), [1.0, 2.0, 3.0], **options)
