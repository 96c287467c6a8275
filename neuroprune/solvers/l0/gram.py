"""Everything that least squares needs to know of the data: second moments, added up over blocks of rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.l0.rounding import noise_of_centred_sums, noise_of_sums

BLOCK = 4096
"""Rows that are converted to float64 at a time."""
CONSTANT = 1e-12
"""Relative standard deviation below which a column is taken to be constant, where there is an intercept."""
LEAST_SQUARE = 2.0**-960
"""Square of a column below which products of its entries lose digits to underflow."""


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
    feature_noise : (p,) array of float64
    target_noise : (q,) array of float64
        What rounding can have done to the moments (:mod:`.rounding`): an entry of two columns is off by at most the
        geometric mean of theirs, times their lengths. 0 for moments that are exact.
    """

    gram: NDArray[np.float64]
    correlation: NDArray[np.float64]
    energy: NDArray[np.float64]
    rows: int
    rank: int
    feature_mean: NDArray[np.float64]
    target_mean: NDArray[np.float64]
    feature_noise: NDArray[np.float64]
    target_noise: NDArray[np.float64]

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
        self._largest = np.zeros(features + outputs)
        self._longest = self._batches = 0

    def add(self, features: ArrayLike, targets: ArrayLike) -> None:
        """Add rows of features (n, p) and targets (n, q).

        Raises
        ------
        SpecificationError
            If shapes do not fit, or a value is no real number or not finite.
        """
        X = self._check("features", features, self.features)
        Y = self._check("targets", targets, self._sums.size - self.features)
        if len(X) != len(Y):
            raise SpecificationError(f"features have {len(X)} rows and targets {len(Y)}: they must have as many")
        Z = np.concatenate([X, Y], axis=1)
        if len(Z) == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # an overflow is reported when the moments are asked for
            if self.intercept:
                if self.rows == 0:
                    self._shift = Z.mean(axis=0)
                Z -= self._shift
                self._sums += Z.sum(axis=0)
            self._products += Z.T @ Z
        self._largest = np.maximum(self._largest, np.abs(Z).max(axis=0))
        self._longest, self._batches = max(self._longest, len(Z)), self._batches + 1
        self.rows += len(Z)

    def _check(self, name: str, values: ArrayLike, columns: int) -> NDArray[np.float64]:
        if np.iscomplexobj(values):
            raise SpecificationError(f"{name} must be real numbers, and they are complex")
        try:
            block = np.asarray(values, np.float64)
        except (TypeError, ValueError) as error:
            raise SpecificationError(f"{name} must be real numbers: {error}") from None
        if block.ndim != 2 or block.shape[1] != columns:
            raise SpecificationError(f"a batch of {name} has shape {block.shape}: it must be (rows, {columns})")
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
            If nothing was added, the sums overflowed, or squares underflow.
        """
        if self.rows == 0:
            raise SpecificationError("there are no rows to fit")
        p = self.features
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self._sums / self.rows
            products = self._products - self.rows * np.outer(mean, mean)
            # What centring leaves of a constant column is rounding.
            constant = np.diag(products) <= self.rows * (CONSTANT * self._shift) ** 2
        # Nothing is left of their digits, and a column that is not zero would count as one that is.
        tiny = np.flatnonzero((np.diag(self._products) < LEAST_SQUARE) & (self._largest > 0.0))
        if tiny.size:
            name, column = ("feature", tiny[0]) if tiny[0] < p else ("target", tiny[0] - p)
            raise SpecificationError(
                f"the squares of {name} {column} underflow (its largest magnitude is {self._largest[tiny[0]]:.3g}): "
                "scale it up"
            )
        raw = np.diag(self._products)
        noise = np.full(raw.size, noise_of_sums(self._longest, self._batches))
        if self.intercept:
            noise = noise_of_centred_sums(self._longest, self._batches, raw, np.diag(products))
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
            feature_noise=noise[:p],
            target_noise=noise[p:],
        )
