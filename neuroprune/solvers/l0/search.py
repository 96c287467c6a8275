"""Local search for a good support: many starts, best moves, kicks. It proves nothing, but it rarely misses much."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuroprune.solvers.l0.moves import IMPROVEMENT
from neuroprune.solvers.l0.problem import Problem
from neuroprune.solvers.l0.support import Support

CONTINUATION = (16.0, 8.0, 4.0, 2.0, 1.0)
"""Multiples of the penalty from which it is lowered, and by which it is divided where it is raised."""


@dataclass
class Found:
    """The best support so far, and its value in units of the energy of the target."""

    columns: NDArray[np.int64]
    value: float

    def offer(self, support: Support) -> bool:
        """Take a support if it is better."""
        better = support.value < self.value - IMPROVEMENT
        if better:
            self.columns, self.value = support.columns, support.value
        return better


def search(
    problem: Problem,
    *,
    seed: int = 0,
    patience: int = 100,
    deadline: float = np.inf,
    starts: Iterable[NDArray[np.int64]] = (),
) -> Found:
    """Return the best support that a local search finds.

    Parameters
    ----------
    problem : Problem
    seed : int
        Of kicks and random starts.
    patience : int
        Kicks in a row without an improvement after which it stops.
    deadline : float
        Value of :func:`time.monotonic` after which it stops, though never before the first start.
    starts : iterable of integer arrays
        Supports to start from besides its own.

    Notes
    -----
    It starts from the best support along the paths of orthogonal matching pursuit and of forward selection, from
    solutions for penalties (budgets) that are lowered and raised step by step, from iterative hard thresholding and
    from random supports, and descends from each by the best addition, drop or exchange. Then the best support is
    kicked: some of its columns are barred until the others are a local optimum without them, or more columns are added
    than the problem wants before the worst are dropped. It is therefore never worse than orthogonal matching pursuit or
    forward selection.
    """
    rng = np.random.default_rng(seed)
    support = Support(problem)
    found = Found(support.columns, support.value)
    for _ in _starts(problem, support, found, starts, rng):
        support.descend()
        found.offer(support)
        if time.monotonic() > deadline:
            return found
    home = Support(problem)
    home.use(found.columns)
    failures = 0
    while failures < patience and home.size and time.monotonic() < deadline:
        support.take(home)
        _kick(support, rng)
        failures += 1
        if found.offer(support):
            home.take(support)
            failures = 0
    return found


def _starts(
    problem: Problem,
    support: Support,
    found: Found,
    given: Iterable[NDArray[np.int64]],
    rng: np.random.Generator,
) -> Iterator[None]:
    """Bring the support to one start after the other."""
    for by_correlation in (True, False):
        support.use(_best_of_path(problem, support, by_correlation))
        found.offer(support)
        yield
    for columns in given:
        support.use(columns[: problem.limit])
        yield
    yield from _continued(problem, support)
    support.use(_thresholded(problem, found.columns))
    yield
    size = found.columns.size
    for _ in range(3):
        support.use(rng.choice(problem.columns, size, replace=False))
        yield


def _best_of_path(problem: Problem, support: Support, by_correlation: bool) -> NDArray[np.int64]:
    """Return the best support along a path that adds one column at a time."""
    support.clear()
    best = Found(support.columns, support.value)
    # Longer supports than this cannot be better, even if they explained everything.
    while support.size < problem.limit and problem.penalty * (support.size + 1) < best.value:
        if not support.grow(support.size + 1, by_correlation=by_correlation):
            break
        best.offer(support)
    return best.columns


def _continued(problem: Problem, support: Support) -> Iterator[None]:
    """Start from the solution of a harder and of an easier problem, changed step by step into this one."""
    if problem.penalty > 0.0:
        for factors in (CONTINUATION, tuple(1.0 / f for f in CONTINUATION)):
            support.clear()
            for factor in factors:
                support.descend(penalty=factor * problem.penalty)
            yield
    else:
        support.clear()
        for size in range(1, problem.limit):
            support.descend(limit=size)
        yield
        support.clear()
        support.grow(min(2 * problem.limit, problem.columns))
        support.shrink(problem.limit)
        yield


def _thresholded(problem: Problem, columns: NDArray[np.int64], rounds: int = 50) -> NDArray[np.int64]:
    """Return the support of iterative hard thresholding, of as many columns as there are (Blumensath & Davies 2009)."""
    size = columns.size
    if size == 0:
        return columns
    w = np.zeros(problem.columns)
    kept = np.empty(0, np.int64)
    for _ in range(rounds):
        slope = problem.correlation - problem.gram[:, kept] @ w[kept]
        # The step that is exact along the slope, restricted to the support (normalised IHT).
        on = kept if kept.size else np.argpartition(-np.abs(slope), size - 1)[:size]
        curvature = slope[on] @ problem.gram[np.ix_(on, on)] @ slope[on]
        w = w + (slope[on] @ slope[on] / curvature if curvature > 0.0 else 1.0) * slope
        chosen = np.sort(np.argpartition(-np.abs(w), size - 1)[:size])
        w[np.setdiff1d(np.arange(problem.columns), chosen)] = 0.0
        if np.array_equal(chosen, kept):
            break
        kept = chosen
    return kept


def _kick(support: Support, rng: np.random.Generator) -> None:
    """Leave a local optimum and descend again."""
    size, limit = support.size, support.problem.limit
    n = int(rng.integers(1, max(2, size // 2) + 1))
    if rng.random() < 0.5:
        out = rng.choice(support.columns, min(n, size), replace=False)
        support.drop(out)
        support.banned[out] = True
        support.descend()
        support.banned[out] = False
    else:
        more = rng.choice(support.problem.columns, min(n, support.problem.columns), replace=False)
        support.add(more)
        support.shrink(min(size, limit))
    support.descend()
