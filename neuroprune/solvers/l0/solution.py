"""What a solver returns: coefficients, and how far they are from the best there are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Solution:
    """Sparse coefficients with a certificate.

    Parameters
    ----------
    coefficients : (p, q) array of float64
        One column for each output; (p,) if the targets were a vector.
    intercept : (q,) array of float64
        Zeros where none was asked for.
    values : (q,) array of float64
        Objective of each output: half the sum of squares, the ridge and the penalty. Never less than what rounding
        can have done to it.
    lower_bounds : (q,) array of float64
        No support without composed columns gives a lower objective, whatever rounding did.
    gaps : (q,) array of float64
        How much lower each objective might be, its own rounding included, as a share of it, but of no less than
        5e-7 of the target's square: of a perfect fit there would be no share.
    tolerance : float
        Gap at which an output counts as proven.
    nodes : int
        Relaxations that were solved, over all outputs.
    seconds : float
    """

    coefficients: NDArray[np.float64]
    intercept: NDArray[np.float64]
    values: NDArray[np.float64]
    lower_bounds: NDArray[np.float64]
    gaps: NDArray[np.float64]
    tolerance: float
    nodes: int
    seconds: float

    @property
    def support(self) -> NDArray[np.bool_]:
        """Which coefficients are in use, in the shape of the coefficients."""
        return self.coefficients != 0.0

    @property
    def size(self) -> int:
        """Number of coefficients in use, over all outputs."""
        return int(np.count_nonzero(self.coefficients))

    @property
    def value(self) -> float:
        """Objective, over all outputs."""
        return float(self.values.sum())

    @property
    def lower_bound(self) -> float:
        """What no supports are below, over all outputs."""
        return float(self.lower_bounds.sum())

    @property
    def gap(self) -> float:
        """The largest of the gaps of outputs."""
        return float(self.gaps.max())

    @property
    def proven(self) -> bool:
        """Whether no output's gap is above the tolerance."""
        return self.gap <= self.tolerance

    def predict(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return the outputs (n, q), or (n,), for features (n, p)."""
        predicted = np.asarray(features, np.float64) @ self.coefficients
        return predicted + (self.intercept if self.coefficients.ndim == 2 else self.intercept[0])

    def as_dict(self) -> dict[str, Any]:
        """Return what is known, without the coefficients, for JSON."""
        return {
            "value": self.value,
            "lower_bound": self.lower_bound,
            "gap": self.gap,
            "proven": self.proven,
            "size": self.size,
            "nodes": self.nodes,
            "seconds": self.seconds,
        }
