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
    ],
)
def test_data_that_make_no_sense_are_refused(X, Y, message) -> None:
    with pytest.raises(SpecificationError, match=message):
        Gram.from_data(X, Y)


def test_a_missing_value_is_named() -> None:
    X, Y = data()
    X[7000, 3] = np.nan
    with pytest.raises(SpecificationError, match="features must be finite; in row 7000, column 3 there is nan"):
        Gram.from_data(X, Y)
    with pytest.raises(SpecificationError, match="targets must be finite; in row 0, column 0 there is inf"):
        Gram.from_data(np.ones((1, 1)), [np.inf])
