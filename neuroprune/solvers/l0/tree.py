"""Branch and bound: proves that no better support exists, or says how much better one might be."""

import heapq
import time
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from neuroprune.solvers.l0.curvature import Curvature, measure, renew
from neuroprune.solvers.l0.problem import Problem
from neuroprune.solvers.l0.relaxation import FREE, IN, OUT, solve_node
from neuroprune.solvers.l0.search import Found
from neuroprune.solvers.l0.singular import coherence_bound, solve_singular_node
from neuroprune.solvers.l0.support import Support

FLOOR = 0.5e-6
"""Least value that gaps are relative to, in units of the target's energy: a perfect fit would leave them undefined."""
MEMORY = 2**30
"""Bytes that open nodes may take; when they are used up, the search ends as it does when time is up."""
LEAST_ROOT = 1e-5
"""Least square root of D with which the relaxation is worth more than the best fit of all columns."""
ROOT_ROUNDS, NODE_ROUNDS = 200, 20
"""Rounds of the relaxation at most."""


def relative_gap(value: float, bound: float, error: float = 0.0) -> float:
    """Return how much better than a value, as a share of it or of the floor, a solution might be.

    Parameters
    ----------
    value, bound, error : float
        In units of the target's energy; the value may be off by the error.
    """
    return max(0.0, value + error - bound) / max(value, FLOOR)


@dataclass(frozen=True)
class Proof:
    """What is known of a problem after the search.

    Parameters
    ----------
    columns : array of int
        The best support.
    value, bound : float
        Its objective, and what no support is below; in units of the target's energy.
    nodes : int
        Relaxations that were solved.
    """

    columns: NDArray[np.int64]
    value: float
    bound: float
    nodes: int


@dataclass(frozen=True)
class _Node:
    """A part of the problem: some columns in, some out, and the others free."""

    bound: float
    status: NDArray[np.int8]
    used: NDArray[np.int64]
    weights: NDArray[np.float64]
    multiplier: float
    branch: int
    curvature: Curvature

    @property
    def bytes(self) -> int:
        return self.status.nbytes + self.used.nbytes + self.weights.nbytes + 500

    def relaxed(self) -> NDArray[np.float64]:
        """Return the weights of all columns in the relaxation."""
        w = np.zeros(self.status.size)
        w[self.used] = self.weights
        return w


class Tree:
    """The search tree of one problem, from the best support that is known.

    Parameters
    ----------
    problem : Problem
    found : Found
        The best known support, from a local search.
    tolerance : float
        Gap at which a support counts as proven.
    """

    def __init__(self, problem: Problem, found: Found, tolerance: float) -> None:
        self.problem, self.found, self.tolerance = problem, found, tolerance
        self.nodes = 0
        self._decided = np.inf
        self._kept = np.arange(problem.columns)
        self._floor = coherence_bound(problem)
        self._whole = measure(problem)
        self._open: list[tuple[float, int, _Node]] = []
        self._bytes = 0
        self._numbers = count()

    @property
    def cutoff(self) -> float:
        """Value from which on a node does not matter: half the tolerance below the best, so that the gap closes."""
        return self.found.value - 0.5 * self.tolerance * max(self.found.value, FLOOR)

    @property
    def bound(self) -> float:
        """What no support is below."""
        lowest = self._open[0][0] if self._open else np.inf
        return max(0.0, self._floor, min(self.cutoff, lowest, self._decided))

    def search(self, *, deadline: float = np.inf, max_nodes: float = np.inf) -> Proof:
        """Split the problem until the gap is closed, or time, nodes or memory are used up."""
        self._plant()
        while (
            self._open
            and self.nodes < max_nodes
            and time.monotonic() < deadline
            and self._bytes < MEMORY
            and relative_gap(self.found.value, self.bound) > self.tolerance
        ):
            *_, node = heapq.heappop(self._open)
            self._bytes -= node.bytes
            if node.bound < self.cutoff:
                self._visit(node, IN)
                self._visit(node, OUT)
        return Proof(self._kept[self.found.columns], self.found.value, self.bound, self.nodes)

    def _plant(self) -> None:
        """Solve the root, and go on without the columns that it rules out."""
        problem = self.problem
        price = problem.penalty or (0.5 - self.found.value) / max(1, problem.limit)
        root = self._solve(
            np.zeros(problem.columns, np.int8), np.zeros(problem.columns), price, self._whole, ROOT_ROUNDS
        )
        if root is None:
            return
        # The best support must stay expressible, even if what it uses was ruled out as no better than itself.
        kept = np.union1d(np.flatnonzero(root.status != OUT), self.found.columns)
        place = np.full(problem.columns, -1)
        place[kept] = np.arange(kept.size)
        self.problem = problem.restricted(kept)
        self.found = Found(place[self.found.columns], self.found.value)
        self._kept = kept
        branch = int(place[root.branch]) if root.branch >= 0 else -1
        self._push(replace(root, status=root.status[kept], used=place[root.used], branch=branch))

    def _visit(self, node: _Node, choice: int) -> None:
        """Decide on a node's branching column, and bound what is left."""
        status, w = node.status.copy(), node.relaxed()
        status[node.branch] = choice
        if choice == OUT:
            w[node.branch] = 0.0
        curvature = renew(self.problem, self._whole, node.curvature, status)
        child = self._solve(status, w, node.multiplier, curvature, NODE_ROUNDS)
        if child is not None:
            self._push(child if child.bound >= node.bound else replace(child, bound=node.bound))

    def _solve(
        self, status: NDArray[np.int8], w: NDArray[np.float64], price: float, curvature: Curvature, rounds: int
    ) -> _Node | None:
        """Return the node of a status, or None if it holds nothing better than what is known."""
        self.nodes += 1
        problem = self.problem
        limit = -1 if problem.penalty > 0.0 else problem.limit
        root = curvature.root(problem, status)
        all_fit = problem.penalty == 0.0 and np.count_nonzero(status != OUT) <= problem.limit
        if root.min() > LEAST_ROOT and not all_fit:
            bound, price, branch = solve_node(
                problem.gram, problem.correlation, root, price, limit, self.cutoff, rounds, status, w
            )
            chosen = (status == IN) | ((status == FREE) & (np.abs(w) * root > 0.5 * np.sqrt(2.0 * price)))
        else:
            bound, branch = self._fit(status, limit)
            chosen = status != OUT if all_fit else status == IN
        if bound == np.inf:
            return None
        if branch < 0:
            # Nothing is left to decide. Its value may differ by rounding from that of the same support in the search.
            self._decided = min(self._decided, self._fit(status, limit)[0])
        self._round(np.flatnonzero(chosen))
        used = np.flatnonzero(w)
        return _Node(bound, status, used, w[used], price, branch, curvature)

    def _fit(self, status: NDArray[np.int8], limit: int) -> tuple[float, int]:
        """Return a bound from the best fit of what may be used, and the column to branch on."""
        problem = self.problem
        bound, _, branch = solve_singular_node(
            problem.gram,
            problem.correlation,
            problem.lost,
            problem.independent,
            problem.penalty,
            limit,
            self.cutoff,
            status,
        )
        return bound, branch

    def _round(self, columns: NDArray[np.int64]) -> None:
        """Try the support that a relaxation suggests."""
        if columns.size > self.problem.limit or np.array_equal(columns, self.found.columns):
            return
        support = Support(self.problem)
        support.use(columns)
        if self.found.offer(support):
            support.descend()
            self.found.offer(support)

    def _push(self, node: _Node) -> None:
        if node.branch >= 0 and node.bound < self.cutoff:
            heapq.heappush(self._open, (node.bound, next(self._numbers), node))
            self._bytes += node.bytes
