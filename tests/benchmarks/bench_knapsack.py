"""Knapsacks against the solvers that people use: CPU time, value and whether it is proven, in the same run.

Instances are blocks of a network with smaller blocks at the edges, filters and heads of mixed costs, many items with a
large budget, the strongly correlated class of Pisinger (2005, Comput. Oper. Res. 32:2271), and a width for each layer.
Real values are rounded for solvers that take integers only, to sums below 2**50; their value is that of the items they
keep. Ours is the best of three runs after the kernels were compiled; a peer runs once, and is stopped after a minute.

Run it with ``python tests/benchmarks/bench_knapsack.py``; it takes about five minutes. OR-tools is used if it is there.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from neuroprune.solvers.knapsack import choose_widths, knapsack

PATIENCE = 60.0
MANY = 5_000
"""Items beyond which HiGHS goes on for many minutes, whatever its time limit."""
Instance = tuple[np.ndarray, np.ndarray, int]


def blocks(size: int, keep: float = 0.2) -> Instance:
    """Return the blocks of LeNet-300-100 with weights like trained ones: heavy-tailed, layers of different spread."""
    rng = np.random.default_rng(0)
    values, costs = [], []
    for (rows, columns), spread in (((300, 784), 0.03), ((100, 300), 0.08), ((10, 100), 0.2)):
        weight = spread * rng.standard_t(5, (rows, columns))
        down, across = np.arange(0, rows, size), np.arange(0, columns, size)
        values.append(np.add.reduceat(np.add.reduceat(weight**2, down, 0), across, 1).ravel())
        heights, widths = np.diff(down, append=rows), np.diff(across, append=columns)
        costs.append(np.outer(heights, widths).ravel())
    cost = np.concatenate(costs)
    return np.concatenate(values), cost, int(keep * cost.sum())


def mixed(n: int, largest: int) -> Instance:
    rng = np.random.default_rng(1)
    costs = rng.integers(1, largest, n)
    return costs * rng.lognormal(0, 0.5, n), costs, int(costs.sum() // 2)


def strongly_correlated(n: int, largest: int = 100_000) -> Instance:
    costs = np.random.default_rng(2).integers(1, largest + 1, n)
    return costs + largest / 10, costs, int(costs.sum() // 2)


def whole(values: np.ndarray) -> np.ndarray:
    """Return values as integers, exact where they are whole already."""
    if np.array_equal(values, np.floor(values)):
        return values.astype(np.int64)
    return np.floor(values * (2.0**50 / values.sum())).astype(np.int64)


def by_milp(values: np.ndarray, costs: np.ndarray, budget: int) -> tuple[np.ndarray, bool]:
    found = milp(
        -values / values.max(), integrality=np.ones(values.size), bounds=Bounds(0, 1),
        constraints=LinearConstraint(costs[None].astype(float), ub=budget),
        options={"time_limit": PATIENCE, "mip_rel_gap": 0},
    )  # fmt: skip
    keep = np.zeros(values.size, bool) if found.x is None else found.x > 0.5
    return keep, found.status == 0


def widths_by_milp(values: np.ndarray, costs: np.ndarray, budget: int) -> Any:
    layer = np.repeat(np.arange(200), 64)
    one_each = scipy.sparse.csr_array((np.ones(layer.size), (layer, np.arange(layer.size))))
    return milp(
        -values / values.max(), integrality=np.ones(values.size), bounds=Bounds(0, 1),
        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(costs[None], ub=budget)],
        options={"time_limit": PATIENCE, "mip_rel_gap": 0},
    )  # fmt: skip


def by_ortools(kind: str) -> Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, bool]]:
    from ortools.algorithms.python import knapsack_solver  # type: ignore[import-not-found]

    def solve(values: np.ndarray, costs: np.ndarray, budget: int) -> tuple[np.ndarray, bool]:
        name = f"KNAPSACK_{kind}_SOLVER"
        solver = knapsack_solver.KnapsackSolver(getattr(knapsack_solver.SolverType, name), "items")
        solver.set_time_limit(PATIENCE)
        solver.init(whole(values).tolist(), [costs.tolist()], [budget])
        solver.solve()
        keep = np.array([solver.best_solution_contains(j) for j in range(values.size)])
        return keep, solver.is_solution_optimal()

    return solve


def by_cp_sat(values: np.ndarray, costs: np.ndarray, budget: int) -> tuple[np.ndarray, bool]:
    from ortools.sat.python import cp_model  # type: ignore[import-not-found]

    model = cp_model.CpModel()
    taken = [model.new_bool_var("") for _ in values]
    model.add(cp_model.LinearExpr.weighted_sum(taken, costs.tolist()) <= budget)
    model.maximize(cp_model.LinearExpr.weighted_sum(taken, whole(values).tolist()))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds, solver.parameters.num_workers = PATIENCE, 1
    status = solver.solve(model)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return np.zeros(values.size, bool), False
    return np.array([solver.boolean_value(t) for t in taken]), status == cp_model.OPTIMAL


def timed(run: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    best, found = np.inf, None
    for _ in range(repeats):
        began = time.process_time()
        found = run()
        best = min(best, time.process_time() - began)
    return best, found


def compare(name: str, instance: Instance, goal: float | None = None) -> None:
    values, costs, budget = instance
    print(f"\n{name}: {values.size:,} items, budget {budget:,}")
    seconds, found = timed(lambda: knapsack(values, costs, budget), 3)
    state = "" if goal is None else f"; goal < {goal:g} s: {'met' if seconds < goal and found.proven else 'NOT MET'}"
    greedy = knapsack(values, costs, budget, method="greedy")
    print(f"  {'neuroprune':20} {seconds:9.4f} s  {_proof(found.proven)}{state}")
    print(f"  {'greedy falls short':20} {1 - greedy.value / found.value:9.1e}    (its own bound: {greedy.gap:.1e})")
    peers: dict[str, Any] = {}
    if values.size <= MANY:
        peers["scipy milp (HiGHS)"] = by_milp
    if find_spec("ortools"):
        # Both tables ignore the time limit.
        if values.size * budget < 1e8:
            peers["ortools DP"] = by_ortools("DYNAMIC_PROGRAMMING")
        if values.size * budget < 1e10:
            peers["ortools D&C"] = by_ortools("DIVIDE_AND_CONQUER")
        peers["ortools B&B"] = by_ortools("MULTIDIMENSION_BRANCH_AND_BOUND")
        peers["ortools CP-SAT"] = by_cp_sat
    for peer, solve in peers.items():
        theirs, (keep, proven) = timed(lambda solve=solve: solve(values, costs, budget))
        if costs[keep].sum() > budget:
            verdict = f"exceeds the budget by {costs[keep].sum() - budget}"
        else:
            short = 1 - float(values[keep].sum()) / found.value
            verdict = "same value" if abs(short) < 1e-12 else f"short by {short:.1e}"
        print(f"  {peer:20} {theirs:9.4f} s  {_proof(proven)}, {verdict}; {theirs / seconds:.0f}x", flush=True)


def _proof(proven: bool) -> str:
    return "proven" if proven else "not proven"


def compare_widths() -> None:
    rng = np.random.default_rng(3)
    costs = [int(unit) * np.arange(1, 65) for unit in rng.integers(10, 5000, 200)]
    budget = sum(int(c[-1]) for c in costs) // 2
    kinds = {
        "concave": [np.cumsum(np.sort(rng.lognormal(0, 1, 64))[::-1]) for _ in costs],
        "rugged": [np.cumsum(rng.lognormal(0, 1, 64)) for _ in costs],
        "strongly correlated": [c + 100.0 * np.arange(64) for c in costs],
    }
    print(f"\nwidths: 200 layers of 64, budget {budget:,}")
    for kind, values in kinds.items():
        seconds, found = timed(lambda v=values: choose_widths(v, costs, budget, time_limit=PATIENCE), 3)
        state = "met" if seconds < 1 and found.proven else "NOT MET"
        print(f"  {'neuroprune, ' + kind:31} {seconds:9.4f} s  {_proof(found.proven)}, gap {found.gap:.1e}", end="")
        print(f"; goal < 1 s: {state}")
        flat, price = np.concatenate(values), np.concatenate(costs).astype(float)
        theirs, peer = timed(lambda v=flat, c=price: widths_by_milp(v, c, budget))
        verdict = (
            "no solution" if peer.x is None else f"short by {1 - float(flat[peer.x > 0.5].sum()) / found.value:.1e}"
        )
        print(f"  {'scipy milp (HiGHS)':31} {theirs:9.4f} s  {_proof(peer.status == 0)}, {verdict}", flush=True)


def main() -> None:
    """Run every comparison."""
    print(
        f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}; "
        "CPU time, one thread"
    )
    for method in ("core", "table"):  # compile
        knapsack(np.arange(1.0, 50), np.arange(1, 50), 100, method=method)
    knapsack(*strongly_correlated(100, 1000))
    compare("blocks of 16 x 16", blocks(16))
    compare("blocks of 8 x 8", blocks(8))
    compare("blocks of 4 x 4", blocks(4))
    compare("filters and heads", mixed(200, 5_800))
    compare("mixed costs", mixed(2_000, 1_400))
    compare("many items", mixed(20_000, 2_000), 0.5)
    compare("strongly correlated", strongly_correlated(200), 5)
    compare("strongly correlated", strongly_correlated(1_000), 10)
    compare_widths()


if __name__ == "__main__":
    main()
