"""Certificates where arithmetic is at its end: columns nearly the same, far from zero, or of very different size."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from l0_cases import sparse_data
from scipy.linalg import eigvalsh

from neuroprune.solvers.l0 import Gram, Solution, fit_l0, solve_l0
from neuroprune.solvers.l0.curvature import _least_eigenvalue
from neuroprune.solvers.l0.problem import Standard
from neuroprune.solvers.l0.rounding import noise_of_sums
from neuroprune.solvers.l0.search import Found, search
from neuroprune.solvers.l0.singular import composed
from neuroprune.solvers.l0.tree import FLOOR, Tree

EXACT = 1e-9
"""What an objective by orthogonal factors of the data can be off, relative to itself, with room to spare."""


def objective(X, y, w, penalty=0.0):
    residual = y - X @ w
    return 0.5 * float(residual @ residual) + penalty * np.count_nonzero(w)


def best_on_data(X, y, k, penalty=0.0):
    """Return the least objective of all supports without composed columns, by least squares on the data."""
    best = 0.5 * float(y @ y)
    for size in range(1, k + 1):
        for S in map(list, itertools.combinations(range(X.shape[1]), size)):
            A = X[:, S] / np.linalg.norm(X[:, S], axis=0)
            inverse = np.linalg.pinv(A, rcond=1e-15)
            if (1.0 / (inverse**2).sum(axis=1)).min() > 1e-10:
                best = min(best, objective(A, y, np.linalg.lstsq(A, y, rcond=None)[0]) + penalty * size)
    return best


def assert_honest(found: Solution, X, y, k: int, penalty: float = 0.0) -> None:
    best = best_on_data(X, y, k, penalty)
    assert found.lower_bound <= best * (1.0 + EXACT)
    reached = objective(X, y, found.coefficients.reshape(-1), penalty)
    if found.proven:
        assert reached - best <= 1.01e-6 * max(reached, FLOOR * float(y @ y))


def opposed_pair(seed: int, offset: float = 1e-4):
    """Two columns that differ by little, and a target that is what they differ by."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((50, 5))
    X = Z.copy()
    X[:, 1] = X[:, 0] + offset * Z[:, 1]
    return X, (X[:, 1] - X[:, 0]) / offset + 1e-4 * rng.standard_normal(50)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("offset", [1e-4, 1.2e-4, 3e-5])
@pytest.mark.parametrize("options", [{"k": 2}, {"penalty": 0.0}], ids=str)
def test_large_coefficients_that_cancel(seed: int, offset: float, options: dict) -> None:
    X, y = opposed_pair(seed, offset)
    found = fit_l0(X, y, exact=True, **options)
    assert_honest(found, X, y, options.get("k", 5))
    assert not found.proven
    assert found.value == pytest.approx(objective(X, y, found.coefficients), rel=1e-6)
    assert found.value == pytest.approx(best_on_data(X, y, options.get("k", 5)), rel=1e-6)
    of_moments = solve_l0(Gram.from_data(X, y), exact=True, **options)
    assert_honest(of_moments, X, y, options.get("k", 5))
    assert not of_moments.proven and of_moments.value > 1e-9 * y @ y  # its own error


def test_features_far_from_zero_without_an_intercept() -> None:
    rng = np.random.default_rng(0)
    X = 32622.0 + rng.standard_normal((50, 4))
    y = X[:, 0] - X[:, 1] + 1e-4 * rng.standard_normal(50)
    found = fit_l0(X, y, k=2, exact=True)
    assert_honest(found, X, y, 2)
    assert not found.proven and found.value == pytest.approx(best_on_data(X, y, 2), rel=1e-6)
    assert fit_l0(X, y, k=2, exact=True, intercept=True).proven  # about their means there is no difficulty


@pytest.mark.parametrize("seed", range(6))
def test_three_pairs_of_nearly_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, 8))
    for j in (1, 3, 5):
        X[:, j] = X[:, j - 1] + 7.3e-5 * rng.standard_normal(40)
    y = (X[:, 1] - X[:, 0] + X[:, 3] - X[:, 2]) / 7.3e-5 + X[:, 6] + 1e-3 * rng.standard_normal(40)
    assert_honest(fit_l0(X, y, k=5, exact=True), X, y, 5)


@pytest.mark.parametrize("offset", [1e-2, 1e-3, 1e-4])
def test_near_columns_are_no_obstacle_where_nothing_hangs_on_their_difference(offset: float) -> None:
    X, y, _ = sparse_data(60, 8, 3, seed=5)
    X[:, 1] = X[:, 0] + offset * X[:, 1]
    found = fit_l0(X, y, k=3, exact=True)
    assert_honest(found, X, y, 3)
    assert found.proven and found.gap <= 1e-6 and found.lower_bound > 0.99 * found.value


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(-6.0, -2.0), st.sampled_from([0.0, 10.0, 1e4]), st.integers(1, 4))
def test_no_certificate_is_false(seed: int, exponent: float, level: float, k: int) -> None:
    rng = np.random.default_rng(seed)
    n, p, offset = int(rng.integers(5, 20)), int(rng.integers(2, 6)), 10.0**exponent
    X = rng.standard_normal((n, p))
    for j in range(1, p, 2):
        X[:, j] = X[:, j - 1] + offset * rng.standard_normal(n)
    y = X[:, -1] + (X[:, 1] - X[:, 0]) * rng.choice([0.0, 1.0, 1.0 / offset]) + 1e-3 * rng.standard_normal(n)
    X = (X + level) * 10.0 ** rng.uniform(-6, 6, p)
    assert_honest(fit_l0(X, y, k=min(k, p), exact=True), X, y, min(k, p))
    price = 1e-4 * float(y @ y)
    assert_honest(fit_l0(X, y, penalty=price, exact=True), X, y, p, price)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(-3.0, 5.0), st.floats(1e-14, 1e-4), st.sampled_from([0.0, 0.1]))
def test_shortened_columns_cost_less_than_any_error_of_the_moments(seed, exponent, noise, ridge) -> None:
    # The moments are off as far as they may be, in the way that is worst for these weights.
    rng = np.random.default_rng(seed)
    p, m = 6, 3
    X, y = rng.standard_normal((20, p)), rng.standard_normal(20)
    gram = Gram.from_data(X, y)
    scale = rng.uniform(0.1, 1.0, p)
    gram = Gram(
        gram.gram, gram.correlation, gram.energy, 20, 20, np.zeros(p), np.zeros(1), noise * scale, np.array([noise])
    )
    standard = Standard.of(gram, ridge, m)
    w = np.zeros(p)
    w[rng.choice(p, m, replace=False)] = 10.0**exponent * rng.standard_normal(m)
    energy = float(gram.energy[0])
    square = energy - 2.0 * gram.correlation[:, 0] @ w + w @ gram.gram @ w
    worst = np.sqrt(noise * energy) + np.sqrt(noise * scale * np.diag(gram.gram)) @ np.abs(w)
    real = 0.5 * (square - worst**2 + ridge * w @ w) / energy
    v = w * standard.scale / np.sqrt(energy)
    easier = 0.5 * (1.0 - 2.0 * standard.correlation[:, 0] @ v + v @ standard.gram @ v)
    assert easier - standard.margin[0] <= real + 1e-12 * (1.0 + v @ v)


def test_moments_that_are_all_noise_bound_nothing() -> None:
    X, y = opposed_pair(0)
    gram = Gram.from_data(X, y)
    blind = Gram(
        gram.gram, gram.correlation, gram.energy, 50, 50, np.zeros(5), np.zeros(1), np.full(5, 0.3), np.ones(1)
    )
    found = solve_l0(blind, k=2, exact=True)
    assert found.lower_bound == 0.0 and not found.proven


def test_a_gap_counts_what_the_value_itself_can_be_off() -> None:
    X, y = opposed_pair(0)
    gram = Gram.from_data(X, y)
    noisy = Gram(
        gram.gram, gram.correlation, gram.energy, 50, 50, np.zeros(5), np.zeros(1), np.zeros(5), np.ones(1) / 8
    )
    found = solve_l0(noisy, k=0)  # half an eighth of the target's square too high or too low, and so is the bound
    assert found.value == pytest.approx(0.5 * y @ y)
    assert found.gap == pytest.approx(0.25)


def test_a_support_known_by_too_high_a_value_does_not_raise_the_bound() -> None:
    X, y, _ = sparse_data(40, 6, 2, snr=2.0)
    gram = Gram.from_data(X, y)
    for k, penalty in ((2, None), (None, 5.0)):
        problem = Standard.of(gram, 0.0).problem(0, penalty=penalty, budget=k, rows=gram.rank)
        best = search(problem)
        wrong = Found(best.columns, 1.1 * best.value)
        assert Tree(problem, wrong, 1e-6).search().bound <= best.value + 1e-13


def test_noise_grows_with_the_rows_of_a_batch() -> None:
    rng = np.random.default_rng(0)
    few, many = (Gram.from_data(rng.random((n, 2)), rng.random(n)).target_noise[0] for n in (10, 3000))
    assert few == noise_of_sums(10, 1) and many == noise_of_sums(3000, 1) > 100.0 * few


def test_no_curvature_is_taken_from_rounding() -> None:
    positive = 0
    for seed in range(20):
        X = np.random.default_rng(seed).standard_normal((5, 6))
        A = X.T @ X / np.outer(*[np.linalg.norm(X, axis=0)] * 2)
        positive += eigvalsh(A, subset_by_index=[0, 0])[0] > 0.0
        assert _least_eigenvalue(A) == 0.0
    assert positive  # as computed, some are


def test_a_column_is_composed_only_if_it_is_for_certain() -> None:
    # Row 2 is composed of the two before it with weights 1 and 2, so that errors count 1 + 1 + 4 times, twice.
    factor = np.array([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [2.0, 1.6, 0.0]])
    assert composed(-1e-9, 0.0, 2, factor) and composed(1e-10, 0.0, 2, factor)
    assert not composed(1.1e-10, 0.0, 2, factor)
    assert composed(-1e-9, 1.09e-9 / 12.0, 2, factor)
    assert not composed(-1e-9, 1.11e-9 / 12.0, 2, factor)


def test_composed_columns_do_not_stand_in_the_way_of_a_proof() -> None:
    X, y, _ = sparse_data(40, 8, 3, snr=2.0, seed=1)
    X[:, 3], X[:, 5] = X[:, 0] + X[:, 1], -2.0 * X[:, 2]
    for k, penalty in ((4, None), (None, 0.5), (None, 0.0)):
        found = fit_l0(X, y, exact=True, k=k, penalty=penalty)
        assert found.proven
        assert_honest(found, X, y, k or 8, penalty or 0.0)
