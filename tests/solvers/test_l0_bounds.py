"""Lower bounds: valid wherever the relaxation stands, and for every part of a problem."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from l0_cases import brute_force, sparse_data

from neuroprune.solvers.l0 import Gram
from neuroprune.solvers.l0.curvature import measure, renew
from neuroprune.solvers.l0.problem import Problem, Standard
from neuroprune.solvers.l0.relaxation import FREE, IN, OUT, bound, primal, residual, solve_node
from neuroprune.solvers.l0.singular import coherence_bound


def problem_of(seed: int, *, k=None, penalty=None, ridge=0.0, n=30, p=9, rho=0.6) -> tuple[Problem, float, np.ndarray]:
    X, y, _ = sparse_data(n, p, 4, rho=rho, equicorrelated=True, snr=2.0, seed=seed)
    gram = Gram.from_data(X, y)
    problem = Standard.of(gram, ridge).problem(0, penalty=penalty, budget=k, rows=gram.rank)
    return problem, brute_force(X, y, k=k, penalty=penalty or 0.0, ridge=ridge) / float(y @ y), y


def best_with(problem: Problem, status: np.ndarray) -> float:
    """Return the least objective of all supports that a status allows."""
    free, inside = np.flatnonzero(status == FREE), np.flatnonzero(status == IN)
    limit = problem.limit if problem.penalty == 0.0 else problem.columns
    best = np.inf
    for code in range(2**free.size):
        support = np.union1d(inside, free[[bool(code >> b & 1) for b in range(free.size)]]).astype(int)
        if support.size <= limit:
            best = min(best, problem.fit(support)[1])
    return best


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5), st.lists(st.floats(-2, 2), min_size=9, max_size=9), st.sampled_from([2, 4, None]))
def test_any_weights_give_a_bound(seed: int, weights: list[float], k: int | None) -> None:
    problem, best, _ = problem_of(seed, k=k, penalty=None if k else 2.0, ridge=0.5)
    w, status = np.array(weights), np.zeros(9, np.int8)
    root = measure(problem).root(problem, status)
    v = residual(problem.gram, problem.correlation, w)
    price = problem.penalty or 0.02
    low = bound(problem.correlation, root, price, -1 if k is None else k, status, w, v, np.zeros(9))[0]
    assert low <= best
    above = primal(problem.correlation, root, np.sqrt(2 * price), status, w, v) - (price * k if k else 0.0)
    assert low <= above


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 5),
    st.lists(st.sampled_from([FREE, FREE, IN, OUT]), min_size=9, max_size=9),
    st.sampled_from([3, 5, None]),
    st.sampled_from([0.0, 1.0]),
)
def test_a_node_is_bounded_and_what_it_fixes_may_be_fixed(seed, statuses, k, ridge) -> None:
    problem, _, _ = problem_of(seed, k=k, penalty=None if k else 1.0, ridge=ridge)
    status = np.array(statuses, np.int8)
    if k is not None and np.sum(status == IN) > k:
        return
    best = best_with(problem, status)
    whole = measure(problem)
    curvature = renew(problem, whole, whole, status)
    for cutoff in (best * (1 + 1e-9), 1.0):
        after, w = status.copy(), np.zeros(9)
        low, _, branch = solve_node(
            problem.gram,
            problem.correlation,
            curvature.root(problem, status),
            problem.penalty or 0.03,
            -1 if k is None else k,
            cutoff,
            20,
            after,
            w,
        )
        assert low <= best
        assert best_with(problem, after) == pytest.approx(best)
        assert (after == FREE).any() == (branch >= 0)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 3),
    st.lists(st.sampled_from([FREE, IN, OUT]), min_size=9, max_size=9),
    st.sampled_from([0.0, 2.0]),
    st.sampled_from([30, 7]),
)
def test_the_curvature_leaves_a_positive_semidefinite_rest(seed, statuses, ridge, rows) -> None:
    problem, _, _ = problem_of(seed, k=4, ridge=ridge, n=rows)
    status = np.array(statuses, np.int8)
    whole = measure(problem)
    assert (whole.free > 0.0) == (rows > 9)
    curvature = renew(problem, whole, whole, status)
    allowed = status != OUT
    D = curvature.root(problem, status)[allowed] ** 2
    if allowed.any():
        assert np.linalg.eigvalsh(problem.gram[np.ix_(allowed, allowed)] - np.diag(D))[0] >= -1e-13


def test_deciding_on_columns_frees_curvature() -> None:
    problem, _, _ = problem_of(0, k=4)
    whole = measure(problem)
    status = np.array([IN, IN, OUT, OUT, OUT, FREE, FREE, FREE, FREE], np.int8)
    assert renew(problem, whole, whole, status).free > 1.3 * whole.free


@pytest.mark.parametrize("columns", [30, 1001])
def test_the_least_curvature_is_an_eigenvalue(columns: int) -> None:
    X, y, _ = sparse_data(columns + 400, columns, 3)
    gram = Gram.from_data(X, y)
    problem = Standard.of(gram, 1.0).problem(0, penalty=None, budget=3, rows=gram.rank)
    least = np.linalg.eigvalsh(problem.gram - np.diag(problem.ridge))[0]
    assert 0.9 * least < measure(problem).free <= least


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.sampled_from([1, 2, 3, None]))
def test_the_coherence_bound_is_one(seed: int, k: int | None) -> None:
    problem, best, _ = problem_of(seed, k=k, penalty=None if k else 4.0, n=7, rho=0.0)
    assert coherence_bound(problem) <= best + 1e-12
    if k == 1:
        assert coherence_bound(problem) == pytest.approx(best)  # one column: nothing is lost
