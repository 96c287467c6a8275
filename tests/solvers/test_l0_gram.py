"""Second moments: blocks, batches, centring, and data that are refused."""

import numpy as np
import pytest

from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.l0 import Gram, Moments


def data(n=10_000, p=5, q=2):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, p)) + 3.0, rng.standard_normal((n, q)) - 2.0


@pytest.mark.parametrize("intercept", [False, True])
def test_blocks_add_up(intercept: bool) -> None:
    X, Y = data()
    gram = Gram.from_data(X, Y, intercept=intercept)
    A, B = (X - X.mean(axis=0), Y - Y.mean(axis=0)) if intercept else (X, Y)
    assert gram.gram == pytest.approx(A.T @ A, rel=1e-10)
    assert gram.correlation == pytest.approx(A.T @ B, rel=1e-9, abs=1e-7)
    assert gram.energy == pytest.approx((B**2).sum(axis=0))
    assert (gram.rows, gram.rank, gram.features, gram.outputs) == (10_000, 10_000 - intercept, 5, 2)


def test_batches_of_any_size_and_type_add_up() -> None:
    X, Y = data(500)
    X, Y = X.astype(np.float32), Y.astype(np.float32)
    moments = Moments(5, 2, intercept=True)
    for rows in np.split(np.arange(500), [0, 1, 200, 499]):
        moments.add(X[rows], Y[rows])
    assert moments.gram().gram == pytest.approx(Gram.from_data(X, Y, intercept=True).gram)


def test_centring_keeps_the_digits_of_a_column_far_from_zero() -> None:
    X, Y = data(9000)
    near, far = (Gram.from_data(X + offset, Y, intercept=True).gram for offset in (0.0, 1e6))
    assert far == pytest.approx(near, rel=1e-6, abs=1e-4)


def test_a_constant_column_has_no_variance() -> None:
    X, Y = data()
    X[:, 2] = 0.1
    gram = Gram.from_data(X, Y, intercept=True)
    assert not gram.gram[2].any() and not gram.gram[:, 2].any() and not gram.correlation[2].any()
    assert gram.feature_mean[2] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (np.zeros(3), np.zeros(3), r"must be \(n, p\)"),
        (np.zeros((3, 2)), np.zeros((3, 2, 1)), r"must be \(n, p\)"),
        (np.zeros((3, 2)), np.zeros(4), "3 rows and targets 4"),
        (np.zeros((0, 2)), np.zeros(0), "no rows"),
        (np.zeros((3, 0)), np.zeros(3), "0 and 1 columns"),
        (np.array([["a", "b"]]), np.zeros(1), "real numbers"),
        (np.full((2, 2), 1e200), np.zeros(2), "overflow"),
        (np.eye(2) + 1j, np.zeros(2), "features must be real numbers, and they are complex"),
        (np.eye(2), np.zeros(2) + 1j, "targets must be real numbers, and they are complex"),
        (np.diag([1.0, 1e-170]), np.ones(2), "the squares of feature 1 underflow .*1e-170.*: scale it up"),
        (np.eye(2), np.full(2, 1e-170), "the squares of target 0 underflow"),
    ],
)
def test_data_that_make_no_sense_are_refused(X, Y, message) -> None:
    with pytest.raises(SpecificationError, match=message):
        Gram.from_data(X, Y)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (np.eye(3), np.zeros(3), r"a batch of targets has shape \(3,\): it must be \(rows, 1\)"),
        (np.eye(2), np.zeros((3, 1)), r"a batch of features has shape \(2, 2\): it must be \(rows, 3\)"),
        (np.eye(3), np.zeros((2, 1)), "features have 3 rows and targets 2"),
    ],
)
def test_batches_that_do_not_fit_are_refused(X, Y, message) -> None:
    with pytest.raises(SpecificationError, match=message):
        Moments(3, 1).add(X, Y)


@pytest.mark.parametrize("intercept", [False, True])
def test_no_entry_is_off_by_more_than_the_noise(intercept: bool) -> None:
    rng = np.random.default_rng(1)
    # Of both signs and many sizes, so that much cancels; the mean of the first batch is far from that of all.
    Z = rng.standard_normal((3000, 4)) * 10.0 ** rng.uniform(-3, 3, (3000, 1)) + [0.0, 0.0, 1e5, -1e5]
    Z[:3] += 1e8 * intercept
    moments = Moments(3, 1, intercept=intercept)
    for rows in np.split(np.arange(3000), [3, 1000]):
        moments.add(Z[rows, :3], Z[rows, 3:])
    gram = moments.gram()
    exact = Z.astype(np.longdouble)
    exact = exact - exact.mean(axis=0) if intercept else exact
    wanted = exact.T @ exact
    off = np.abs(np.column_stack([gram.gram, gram.correlation]) - wanted[:3])
    noise, length = np.append(gram.feature_noise, gram.target_noise), np.sqrt(np.diag(wanted))
    allowed = np.sqrt(np.outer(noise, noise)) * np.outer(length, length)
    assert (off <= allowed[:3]).all() and 0.0 < noise.max() < (1e-7 if intercept else 1e-12)


def test_a_missing_value_is_named() -> None:
    X, Y = data()
    X[7000, 3] = np.nan
    with pytest.raises(SpecificationError, match="features must be finite; in row 7000, column 3 there is nan"):
        Gram.from_data(X, Y)
    with pytest.raises(SpecificationError, match="targets must be finite; in row 0, column 0 there is inf"):
        Gram.from_data(np.ones((1, 1)), [np.inf])
