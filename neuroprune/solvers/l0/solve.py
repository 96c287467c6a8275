"""Regression with few coefficients: checks, scaling, and one output after the other."""

import math
import numbers
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import derive_seed
from neuroprune.solvers.l0.gram import Gram
from neuroprune.solvers.l0.problem import Problem, Standard
from neuroprune.solvers.l0.rounding import moments_error, noise_of_arithmetic, residual_error
from neuroprune.solvers.l0.search import Found, search
from neuroprune.solvers.l0.solution import Solution
from neuroprune.solvers.l0.support import Support
from neuroprune.solvers.l0.tree import Tree, relative_gap

TOLERANCE = 1e-6
"""Gap at which a solution counts as proven."""
PATIENCE = 100
"""Kicks in a row without an improvement after which the local search stops."""


def fit_l0(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    k: int | None = None,
    penalty: float | None = None,
    ridge: float = 0.0,
    intercept: bool = False,
    exact: bool = False,
    time_limit: float | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> Solution:
    """Fit targets by few features.

    Parameters
    ----------
    features : (n, p) array
        Real and finite.
    targets : (n,) or (n, q) array
        Each output has a support of its own.
    k : int, optional
        Most features of an output.
    penalty : float, optional
        Price of a feature, in units of the objective. Give either this or `k`.
    ridge : float
        Price of the squared coefficients. It is not multiplied by the number of rows.
    intercept : bool
        Fit a constant as well, which costs nothing.
    exact : bool
        Go on until the optimum is proven, or the time is up. Without it the lower bound is that of the root of the
        search tree.
    time_limit : float, optional
        Seconds, for all outputs together.
    tolerance : float
        Gap at which a solution counts as proven.
    seed : int
        Of the local search.

    Returns
    -------
    Solution

    Raises
    ------
    SpecificationError
        If shapes do not fit, a value is not finite, or an option is out of its range.

    Notes
    -----
    It minimises

    .. math:: \\tfrac12 \\|y - \\Phi w\\|^2 + \\tfrac{\\text{ridge}}{2}\\|w\\|^2 + \\text{penalty}\\,\\|w\\|_0

    or the first two terms subject to :math:`\\|w\\|_0 \\le k`. The support is searched for, and bounds are found,
    by the second moments of the data in float64; coefficients and values are then those of least squares on the data. A
    feature of which less than :math:`10^{-10}` of the square is free of others counts as composed of them, and is never
    in a support with all of these.

    Bounds are lowered by all that rounding can have done (:mod:`neuroprune.solvers.l0.rounding`), however large the
    coefficients of the optimum may be. Gaps are relative to the value, but at least to :math:`5 \\cdot 10^{-7}` of the
    target's square. A gap may therefore stay above the tolerance although the search has come to its end: where
    features are so close to each other, or so far from zero without an intercept, that their moments do not tell how
    good the optimum is, a solution is not proven.

    References
    ----------
    Hazimeh & Mazumder (2020), Operations Research 68:1517 (local search); Hazimeh, Mazumder & Saab (2022), Mathematical
    Programming 196:347, and Guyard, Herzet, Elvira & Arslan (2024), ICML (branch and bound).

    Examples
    --------
    >>> import numpy as np
    >>> features = np.eye(4)
    >>> found = fit_l0(features, [3.0, 0.0, -2.0, 1.0], k=2, exact=True)
    >>> found.coefficients
    array([ 3.,  0., -2.,  0.])
    >>> found.value, found.proven
    (0.5, True)
    """
    gram = Gram.from_data(features, targets, intercept=intercept)
    found = solve_l0(
        gram, k=k, penalty=penalty, ridge=ridge, exact=exact, time_limit=time_limit, tolerance=tolerance, seed=seed
    )
    found = refit_on_data(found, gram, features, targets, ridge=ridge, penalty=penalty or 0.0, intercept=intercept)
    return replace(found, coefficients=found.coefficients[:, 0]) if np.ndim(targets) == 1 else found


def solve_l0(
    gram: Gram,
    *,
    k: int | None = None,
    penalty: float | None = None,
    ridge: float = 0.0,
    exact: bool = False,
    time_limit: float | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    patience: int = PATIENCE,
    starts: Sequence[Solution] = (),
) -> Solution:
    """Fit targets by few features, of which only the second moments are known.

    Parameters
    ----------
    gram : Gram
    patience : int
        Kicks in a row without an improvement after which the local search stops.
    starts : sequence of Solution
        Of other options: the local search starts from their supports too.

    See Also
    --------
    fit_l0 : The other parameters, and what is minimised.
    """
    k = check_options(gram, k, penalty, ridge, time_limit, tolerance)
    began = time.monotonic()
    deadline = math.inf if time_limit is None else began + time_limit
    standard = Standard.of(gram, ridge, _most(gram, k, penalty))
    place = np.full(gram.features, -1)
    place[standard.kept] = np.arange(standard.kept.size)
    parts = []
    for output in range(gram.outputs):
        energy = float(gram.energy[output])
        if energy == 0.0 or standard.kept.size == 0 or k == 0:
            parts.append((np.zeros(gram.features), 0.5 * energy * (1.0 - gram.target_noise[output]), 0))
            continue
        problem = standard.problem(output, penalty=penalty, budget=k, rows=gram.rank)
        # Each output may use its share of the time that is left.
        share = time.monotonic() + (deadline - time.monotonic()) / (gram.outputs - output)
        if problem.penalty == 0.0 and problem.limit == problem.independent:
            found = _fit_all(problem)
        else:
            known = [place[np.flatnonzero(start.coefficients[:, output])] for start in starts]
            found = search(problem, seed=derive_seed(seed, output), patience=patience, deadline=share, starts=known)
        max_nodes = math.inf if exact else 1
        proof = Tree(problem, found, tolerance).search(deadline=share, max_nodes=max_nodes)
        weights = np.zeros(gram.features)
        fitted, _ = problem.fit(proof.columns)
        weights[standard.kept[proof.columns]] = fitted * math.sqrt(energy) / standard.scale[proof.columns]
        parts.append((weights, max(0.0, proof.bound - standard.margin[output]) * energy, proof.nodes))
    weights, bounds, nodes = (list(part) for part in zip(*parts, strict=True))
    coefficients = np.stack(weights, axis=1)
    values, errors = _objectives(gram, coefficients, ridge, penalty or 0.0)
    return Solution(
        coefficients=coefficients,
        intercept=gram.target_mean - gram.feature_mean @ coefficients,
        **_certificate(gram, values, errors, np.array(bounds)),
        tolerance=tolerance,
        nodes=sum(nodes),
        seconds=time.monotonic() - began,
    )


def check_options(
    gram: Gram,
    k: int | None,
    penalty: float | None,
    ridge: float,
    time_limit: float | None = None,
    tolerance: float = TOLERANCE,
) -> int | None:
    """Refuse options that make no sense; return k as an integer.

    Raises
    ------
    SpecificationError
    """
    if (k is None) == (penalty is None):
        raise SpecificationError(f"give either k or a penalty, not k={k} and penalty={penalty}")
    for name, value in (("penalty", penalty), ("ridge", ridge), ("time_limit", time_limit), ("tolerance", tolerance)):
        if value is not None and not (isinstance(value, numbers.Real) and 0.0 <= value < math.inf):
            raise SpecificationError(f"{name} must be a finite number that is not negative, not {value!r}")
    if k is None:
        return None
    whole = isinstance(k, numbers.Real) and not isinstance(k, bool) and 0 <= k <= gram.features and k == int(k)
    if not whole:
        raise SpecificationError(f"k must be a whole number from 0 to the {gram.features} features, not {k!r}")
    return int(k)


def refit_on_data(
    found: Solution,
    gram: Gram,
    features: ArrayLike,
    targets: ArrayLike,
    *,
    ridge: float,
    penalty: float,
    intercept: bool,
) -> Solution:
    """Return a solution with the coefficients, on its supports, of least squares on the data, and with their values.

    What two nearly equal columns add to each other is lost in their moments long before it is in the data.
    """
    X, Y = np.asarray(features), np.asarray(targets, np.float64).reshape(gram.rows, -1)
    coefficients, constants = np.zeros_like(found.coefficients), np.zeros(gram.outputs)
    values, errors = np.zeros(gram.outputs), np.zeros(gram.outputs)
    for output in range(gram.outputs):
        support = np.flatnonzero(found.coefficients[:, output])
        A, y = X[:, support].astype(np.float64), Y[:, output]
        mean, level = (A.mean(axis=0), float(y.mean())) if intercept else (np.zeros(support.size), 0.0)
        A, y = A - mean, y - level
        length = np.sqrt((A**2).sum(axis=0) + ridge)
        rows = np.vstack([A / length, np.diag(math.sqrt(ridge) / length)])
        w = np.linalg.lstsq(rows, np.concatenate([y, np.zeros(support.size)]), rcond=None)[0] / length
        rest = y - A @ w
        if intercept:
            level += float(rest.mean())
            rest -= rest.mean()
        square = float(rest @ rest + ridge * (w @ w))
        coefficients[support, output], constants[output] = w, level - float(mean @ w)
        values[output] = 0.5 * square + penalty * np.count_nonzero(w)
        errors[output] = residual_error(np.abs(w) * length, float(np.linalg.norm(y)), math.sqrt(square), gram.rows)
    return replace(
        found,
        coefficients=coefficients,
        intercept=constants,
        **_certificate(gram, values, errors, found.lower_bounds),
    )


def _most(gram: Gram, k: int | None, penalty: float | None) -> int:
    """Return how many features a best support has at most: more would cost more than none at all."""
    if k is not None:
        return k
    return int(min(gram.features, 0.5 * float(gram.energy.max()) / penalty)) if penalty else gram.features


def _objectives(
    gram: Gram, coefficients: NDArray[np.float64], ridge: float, penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the objective of each output, and what it can be off, by the moments."""
    values, errors = np.zeros(gram.outputs), np.zeros(gram.outputs)
    for output in range(gram.outputs):
        support = np.flatnonzero(coefficients[:, output])
        w, energy = coefficients[support, output], float(gram.energy[output])
        curved = w @ gram.gram[np.ix_(support, support)] @ w + ridge * (w @ w)
        values[output] = 0.5 * float(energy - 2.0 * gram.correlation[support, output] @ w + curved)
        values[output] += penalty * support.size
        more = noise_of_arithmetic(support.size)
        size = np.abs(w) * np.sqrt(np.diag(gram.gram)[support] + ridge)
        errors[output] = moments_error(
            size, gram.feature_noise[support] + more, energy, float(gram.target_noise[output]) + more
        )
    return values, errors


def _certificate(
    gram: Gram, values: NDArray[np.float64], errors: NDArray[np.float64], bounds: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Return values no lower than what they can be off, bounds no higher than values, and their gaps."""
    energy = np.where(gram.energy > 0.0, gram.energy, 1.0)
    values = np.maximum(values, errors)
    bounds = np.minimum(bounds, values)
    gaps = [
        relative_gap(v / e, b / e, error / e) for v, b, e, error in zip(values, bounds, energy, errors, strict=True)
    ]
    return {"values": values, "lower_bounds": bounds, "gaps": np.array(gaps)}


def _fit_all(problem: Problem) -> Found:
    """Return the best fit by all independent columns, where nothing keeps any from being used."""
    support = Support(problem)
    support.add(np.arange(problem.columns))
    return Found(support.columns, support.value)
