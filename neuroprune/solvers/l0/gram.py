"""Everything that least squares needs to know of the data: second moments, added up over blocks of rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroprune.core.errors import SpecificationError

BLOCK = 4096
"""Rows that are converted to float64 at a time."""
CONSTANT = 1e-12
"""Relative standard deviation below which a column is taken to be constant, where there is an intercept."""


@dataclass(frozen=True)
class Gram:
    """Second moments of features and targets.

    Parameters
    ----------
    gram : (p, p) array of float64
        :math:`\\Phi^T\\Phi`, of centred features if there is an intercept.
    correlation : (p, q) array of float64
        :math:`\\Phi^T Y`.
    energy : (q,) array of float64
        Sum of squares of each output.
    rows : int
    rank : int
        Most features that can be independent: the rows, one less with an intercept.
    feature_mean : (p,) array of float64
        Zeros without an intercept.
    target_mean : (q,) array of float64
        Zeros without an intercept.
    """

    gram: NDArray[np.float64]
    correlation: NDArray[np.float64]
    energy: NDArray[np.float64]
    rows: int
    rank: int
    feature_mean: NDArray[np.float64]
    target_mean: NDArray[np.float64]

    @property
    def features(self) -> int:
        """Number of features, p."""
        return self.gram.shape[0]

    @property
    def outputs(self) -> int:
        """Number of outputs, q."""
        return self.energy.size

    @classmethod
    def from_data(cls, features: ArrayLike, targets: ArrayLike, *, intercept: bool = False) -> "Gram":
        """Return the moments of features (n, p) and targets (n,) or (n, q).

        Rows are read in blocks, so that `features` may be memory-mapped or of a small type.

        Raises
        ------
        SpecificationError
            If shapes do not fit, there are no rows, or a value is not finite.
        """
        X, Y = np.asarray(features), np.asarray(targets)
        if X.ndim != 2 or Y.ndim not in (1, 2):
            raise SpecificationError(f"features must be (n, p) and targets (n,) or (n, q), not {X.shape} and {Y.shape}")
        if len(X) != len(Y):
            raise SpecificationError(f"features have {len(X)} rows and targets {len(Y)}: they must have as many")
        Y = Y[:, None] if Y.ndim == 1 else Y
        moments = Moments(X.shape[1], Y.shape[1], intercept=intercept)
        for first in range(0, len(X), BLOCK):
            moments.add(X[first : first + BLOCK], Y[first : first + BLOCK])
        return moments.gram()


class Moments:
    """Sums of products that grow row by row, for data that come in batches.

    Parameters
    ----------
    features, outputs : int
        Columns of what is added.
    intercept : bool
        Take the moments about the means instead of about zero.

    Notes
    -----
    For moments about the means each column is shifted by its mean in the first rows: what is subtracted at the end
    then cancels few digits, even where a mean is large against the standard deviation.
    """

    def __init__(self, features: int, outputs: int, *, intercept: bool = False) -> None:
        if features < 1 or outputs < 1:
            raise SpecificationError(f"a regression needs features and targets, not {features} and {outputs} columns")
        self.features, self.intercept, self.rows = features, intercept, 0
        self._shift = np.zeros(features + outputs)
        self._sums = np.zeros(features + outputs)
        self._products = np.zeros((features + outputs, features + outputs))

    def add(self, features: ArrayLike, targets: ArrayLike) -> None:
        """Add rows of features (n, p) and targets (n, q).

        Raises
        ------
        SpecificationError
            If a value is no number, or not finite.
        """
        Z = np.concatenate([self._check("features", features), self._check("targets", targets)], axis=1)
        if len(Z) == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is reported when the moments are asked for
            if self.intercept:
                if self.rows == 0:
                    self._shift = Z.mean(axis=0)
                Z -= self._shift
                self._sums += Z.sum(axis=0)
            self._products += Z.T @ Z
        self.rows += len(Z)

    def _check(self, name: str, values: ArrayLike) -> NDArray[np.float64]:
        try:
            block = np.asarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise SpecificationError(f"{name} must be real numbers: {error}") from None
        bad = ~np.isfinite(block)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise SpecificationError(
                f"{name} must be finite; in row {self.rows + row}, column {column} there is {block[row, column]}"
            )
        return block

    def gram(self) -> Gram:
        """Return the moments of what was added.

        Raises
        ------
        SpecificationError
            If nothing was added, or the sums overflowed.
        """
        if self.rows == 0:
            raise SpecificationError("there are no rows to fit")
        p = self.features
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self._sums / self.rows
            products = self._products - self.rows * np.outer(mean, mean)
            # What centring leaves of a constant column is rounding.
            constant = np.diag(products) <= self.rows * (CONSTANT * self._shift) ** 2
        products[constant] = 0.0
        products[:, constant] = 0.0
        if not np.isfinite(products).all():
            raise SpecificationError("the sums of squares of these data overflow: scale them down")
        return Gram(
            gram=np.ascontiguousarray(products[:p, :p]),
            correlation=np.ascontiguousarray(products[:p, p:]),
            energy=np.diag(products)[p:].copy(),
            rows=self.rows,
            rank=self.rows - self.intercept,
            feature_mean=(mean + self._shift)[:p],
            target_mean=(mean + self._shift)[p:],
        )
