"""Regression with few coefficients: checks, scaling, and one output after the other."""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import derive_seed
from neuroprune.solvers.l0.gram import Gram
from neuroprune.solvers.l0.problem import Problem, Standard
from neuroprune.solvers.l0.search import Found, search
from neuroprune.solvers.l0.solution import Solution
from neuroprune.solvers.l0.support import Support
from neuroprune.solvers.l0.tree import Proof, Tree, relative_gap

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

    or the first two terms subject to :math:`\\|w\\|_0 \\le k`. Data enter by their second moments only, in float64. A
    feature of which less than :math:`10^{-10}` of the square is free of others counts as composed of them, and is never
    in a support with all of these. Gaps are relative to the value, but at least to :math:`5 \\cdot 10^{-7}` of the
    target's square; bounds are rounded down by what the arithmetic on the moments can have lost.

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
    check_options(gram, k, penalty, ridge, time_limit, tolerance)
    began = time.monotonic()
    deadline = math.inf if time_limit is None else began + time_limit
    standard = Standard.of(gram, ridge)
    place = np.full(gram.features, -1)
    place[standard.kept] = np.arange(standard.kept.size)
    parts = []
    for output in range(gram.outputs):
        energy = float(gram.energy[output])
        if energy == 0.0 or standard.kept.size == 0 or k == 0:
            parts.append((np.zeros(gram.features), 0.5 * energy, 0.5 * energy, 0))
            continue
        problem = standard.problem(output, penalty=penalty, budget=k, rows=gram.rank)
        if problem.penalty == 0.0 and problem.limit == problem.independent:
            proof = _fit_all(problem)
        else:
            known = [place[np.flatnonzero(start.coefficients[:, output])] for start in starts]
            # Each output may use its share of the time that is left.
            share = time.monotonic() + (deadline - time.monotonic()) / (gram.outputs - output)
            found = search(problem, seed=derive_seed(seed, output), patience=patience, deadline=share, starts=known)
            max_nodes = math.inf if exact else 1
            proof = Tree(problem, found, tolerance).search(deadline=share, max_nodes=max_nodes)
        fitted, value = problem.fit(proof.columns)
        weights = np.zeros(gram.features)
        weights[standard.kept[proof.columns]] = fitted * math.sqrt(energy) / standard.scale[proof.columns]
        parts.append((weights, value * energy, min(proof.bound, value) * energy, proof.nodes))
    weights, values, bounds, nodes = (list(part) for part in zip(*parts, strict=True))
    coefficients = np.stack(weights, axis=1)
    energy = np.where(gram.energy > 0.0, gram.energy, 1.0)
    return Solution(
        coefficients=coefficients,
        intercept=gram.target_mean - gram.feature_mean @ coefficients,
        values=np.array(values),
        lower_bounds=np.array(bounds),
        gaps=np.array([relative_gap(v / e, b / e) for v, b, e in zip(values, bounds, energy, strict=True)]),
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
) -> None:
    """Refuse options that make no sense.

    Raises
    ------
    SpecificationError
    """
    if (k is None) == (penalty is None):
        raise SpecificationError(f"give either k or a penalty, not k={k} and penalty={penalty}")
    if k is not None and (isinstance(k, bool) or k != int(k) or not 0 <= k <= gram.features):
        raise SpecificationError(f"k must be a whole number from 0 to the {gram.features} features, not {k}")
    for name, value in (("penalty", penalty), ("ridge", ridge), ("time_limit", time_limit), ("tolerance", tolerance)):
        if value is not None and not 0.0 <= value < math.inf:
            raise SpecificationError(f"{name} must be a finite number that is not negative, not {value}")


def _fit_all(problem: Problem) -> Proof:
    """Return the best fit by all independent columns, where nothing keeps any from being used."""
    support = Support(problem)
    support.add(np.arange(problem.columns))
    found = Found(support.columns, support.value)
    _, value = problem.fit(found.columns)
    return Proof(found.columns, value, value, 0)
