"""The local search: exact updates, and what it is never worse than."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from l0_cases import relu_features, sparse_data
from sklearn.linear_model import orthogonal_mp_gram

from neuroprune.solvers.l0 import Gram, fit_l0, l0_path, penalties_down_to, solve_l0
from neuroprune.solvers.l0.problem import Standard
from neuroprune.solvers.l0.search import search
from neuroprune.solvers.l0.support import Support


def problem_of(X, y, *, k=None, penalty=None, ridge=0.0):
    gram = Gram.from_data(X, y)
    return Standard.of(gram, ridge).problem(0, penalty=penalty, budget=k, rows=gram.rank)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 39), min_size=1, max_size=60), st.floats(0.0, 5.0))
def test_a_support_stays_exact_while_columns_come_and_go(toggled: list[int], ridge: float) -> None:
    X, y, _ = sparse_data(60, 40, 5, rho=0.8)
    problem = problem_of(X, y, k=40, ridge=ridge)
    support = Support(problem)
    for j in toggled:
        column = np.array([j])
        support.drop(column) if j in support.columns else support.add(column)
    S, A, c = support.columns, problem.gram, problem.correlation
    weights = np.linalg.solve(A[np.ix_(S, S)], c[S])
    assert support.value == pytest.approx(0.5 * (1.0 - c[S] @ weights), abs=1e-10)
    assert support._left == pytest.approx(c - A[:, S] @ weights, abs=1e-9)
    free = 1.0 - np.einsum("sj,sj->j", A[S], np.linalg.solve(A[np.ix_(S, S)], A[S]))
    assert support._free == pytest.approx(free, abs=1e-9)


def test_a_local_optimum_has_no_better_neighbour() -> None:
    X, y, _ = sparse_data(100, 25, 6, rho=0.7, equicorrelated=True, snr=1.0)
    problem = problem_of(X, y, penalty=3.0)
    support = Support(problem)
    support.descend()
    S, value = support.columns, support.value
    others = np.setdiff1d(np.arange(25), S)
    neighbours = [np.append(S, j) for j in others] + [np.delete(S, i) for i in range(S.size)]
    neighbours += [np.append(np.delete(S, i), j) for i in range(S.size) for j in others]
    assert value <= min(problem.fit(np.sort(n))[1] for n in neighbours) + 1e-12


def iterative_hard_thresholding(G, c, k):
    """Return the value that plain IHT reaches, refitted on its support."""
    w, step = np.zeros(c.size), 1.0 / np.linalg.eigvalsh(G)[-1]
    for _ in range(300):
        w += step * (c - G @ w)
        w[np.argsort(-np.abs(w))[k:]] = 0.0
    return np.flatnonzero(w)


@pytest.mark.parametrize(
    "data",
    [
        sparse_data(200, 300, 12, rho=0.9, equicorrelated=True, seed=5),
        sparse_data(300, 100, 10, rho=0.5, snr=1.0),
        relu_features(2000, 60),
    ],
    ids=["equicorrelated", "noise", "ReLU"],
)
@pytest.mark.parametrize("k", [3, 12, 25])
def test_it_is_never_worse_than_pursuit_or_thresholding(data, k: int) -> None:
    X, y = data[:2]
    gram = Gram.from_data(X, y)
    omp = np.flatnonzero(orthogonal_mp_gram(gram.gram, gram.correlation[:, 0], n_nonzero_coefs=k))
    for S in (omp, iterative_hard_thresholding(gram.gram, gram.correlation[:, 0], k)):
        w = np.linalg.lstsq(X[:, S], y, rcond=None)[0]
        loss = 0.5 * np.sum((y - X[:, S] @ w) ** 2)
        assert solve_l0(gram, k=k).value <= loss * (1 + 1e-9)


def test_kicks_help_and_follow_from_the_seed() -> None:
    better = 0
    for seed in range(8):
        X, y, _ = sparse_data(150, 300, 20, rho=0.9, equicorrelated=True, snr=1.0, seed=seed)
        gram = Gram.from_data(X, y)
        kicked, without = solve_l0(gram, k=25, seed=4), solve_l0(gram, k=25, patience=0)
        assert kicked.value <= without.value
        better += kicked.value < without.value
    assert np.array_equal(kicked.coefficients, solve_l0(gram, k=25, seed=4).coefficients)
    assert better


def test_a_passed_deadline_still_gives_a_start() -> None:
    X, y, _ = sparse_data(100, 50, 5)
    found = search(problem_of(X, y, k=5), deadline=time.monotonic() - 1.0)
    assert found.columns.size == 5


def test_given_supports_are_started_from() -> None:
    X, y, _ = sparse_data(100, 50, 5)
    gram = Gram.from_data(X, y)
    known = solve_l0(gram, k=5, exact=True)
    assert solve_l0(gram, k=5, patience=0, starts=[known]).value <= known.value


def test_a_path_of_budgets_falls_and_is_no_worse_than_its_points() -> None:
    X, y, _ = sparse_data(120, 60, 8, rho=0.8, equicorrelated=True, snr=3.0)
    gram = Gram.from_data(X, y, intercept=True)
    path = l0_path(gram, ks=range(11))
    assert path.settings == tuple(range(11)) and path.sizes.tolist() == list(range(11))
    assert (np.diff(path.losses) < 0).all() and path.explained[0] == 0.0 and path.explained[-1] > 0.7
    for k, solution in zip(path.settings, path.solutions, strict=True):
        assert solution.value <= solve_l0(gram, k=int(k), patience=0).value * (1 + 1e-12)
        assert solution.lower_bound <= solution.value


def test_a_path_of_penalties_goes_from_nothing_to_the_least() -> None:
    X, y, support = sparse_data(200, 30, 4)
    gram = Gram.from_data(X, y)
    penalties = penalties_down_to(gram, 2.0, steps=6)
    path = l0_path(gram, penalties=penalties[::-1], exact=True)
    assert path.settings == tuple(penalties) and path.settings[-1] == pytest.approx(2.0)
    assert np.array_equal(np.flatnonzero(path.solutions[-1].coefficients), support)
    assert (np.diff(path.sizes) >= 0).all() and all(s.proven for s in path.solutions)
    values = [s.value for s in path.solutions]
    assert path.losses == pytest.approx(np.array(values) - np.array(penalties) * path.sizes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either ks or penalties"),
        ({"ks": [1], "penalties": [1.0]}, "either ks or penalties"),
        ({"ks": []}, "at least one"),
        ({"ks": [1, 9]}, "not 9"),
        ({"penalties": [1.0, -1.0]}, "not -1.0"),
    ],
)
def test_paths_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        l0_path(Gram.from_data(np.eye(3), [1.0, 2.0, 3.0]), **options)


def test_a_path_to_too_high_a_penalty_is_refused() -> None:
    gram = Gram.from_data(np.eye(3), [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"no feature is worth over 4\.5"):
        penalties_down_to(gram, 5.0)
    with pytest.raises(ValueError, match="above 0"):
        penalties_down_to(gram, 0.0)


def test_sixty_thousand_rows_are_one_gram() -> None:
    X, y = relu_features(60_000, 20)
    found = fit_l0(X.astype(np.float32), y, k=5, intercept=True)
    assert found.size == 5 and found.gap < 0.05
