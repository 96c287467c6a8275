"""Minimum vertex cuts against networkx and igraph: CPU time, with the same graph and the same cost of the cut.

Ours starts from arrays of arcs and includes building the flow network and checking the certificate. A peer's split
graph is built before its clock starts, and that time is shown beside it. networkx is left out above 100,000 arcs, and
igraph above 1,000,000.

Run it with ``python tests/benchmarks/bench_vertex_cut.py``; it takes about a minute and needs igraph.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import igraph
import networkx as nx
import numpy as np
import scipy

from neuroprune.solvers.vertex_cut import minimum_vertex_cut


def layered(sizes: list[int], density: float) -> tuple[int, np.ndarray, np.ndarray, dict[str, Any]]:
    """Return a feed-forward network with a share of its connections, at random."""
    rng = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    tails, heads = [], []
    for k, (a, b) in enumerate(pairwise(sizes)):
        i, j = np.nonzero(rng.random((a, b)) < density)
        tails.append(i + offsets[k])
        heads.append(j + offsets[k + 1])
    ends = {"sources": np.arange(sizes[0]), "sinks": np.arange(offsets[-2], offsets[-1])}
    return int(offsets[-1]), np.concatenate(tails), np.concatenate(heads), ends


def timed(run: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    best, found = np.inf, None
    for _ in range(repeats):
        began = time.process_time()
        found = run()
        best = min(best, time.process_time() - began)
    return best, found


def split(n: int, tail: np.ndarray, head: np.ndarray, ends: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the arcs of the graph with two nodes for each, and their capacities; 2n and 2n + 1 are source and sink."""
    terminal = np.zeros(n, bool)
    terminal[ends["sources"]] = terminal[ends["sinks"]] = True
    nodes, infinite = np.arange(n), 10 * n
    arcs = np.concatenate(
        [
            np.stack([nodes, nodes + n], 1),
            np.stack([tail + n, head], 1),
            np.stack([np.full(ends["sources"].size, 2 * n), ends["sources"]], 1),
            np.stack([ends["sinks"] + n, np.full(ends["sinks"].size, 2 * n + 1)], 1),
        ]
    )
    capacity = np.full(len(arcs), infinite)
    capacity[:n][~terminal] = 1
    return arcs, capacity


def compare(name: str, sizes: list[int], density: float, goal: float | None = None) -> None:
    n, tail, head, ends = layered(sizes, density)
    seconds, cut = timed(lambda: minimum_vertex_cut(n, tail, head, **ends), 3)
    assert cut.cost == cut.flow
    state = "" if goal is None else f"  goal < {goal:g} s: {'met' if seconds < goal else 'NOT MET'}"
    print(
        f"\n{name}: {tail.size:,} arcs, cut of {cut.cost:.0f}\n  {'neuroprune':14} {seconds:9.4f} s{state}", flush=True
    )
    costs = np.random.default_rng(1).uniform(0.5, 2, n)
    seconds_real, real = timed(lambda: minimum_vertex_cut(n, tail, head, costs, **ends), 3)
    print(f"  {'real costs':14} {seconds_real:9.4f} s  cut of {real.cost:.3f}, gap {real.gap:.1e}", flush=True)
    if tail.size <= 1_000_000:
        arcs, capacity = split(n, tail, head, ends)
        built, graph = timed(lambda: igraph.Graph(2 * n + 2, arcs, directed=True))
        theirs, value = timed(lambda: graph.maxflow_value(2 * n, 2 * n + 1, capacity=capacity.tolist()))
        assert value == cut.cost
        print(f"  {'igraph':14} {theirs:9.4f} s  {theirs / seconds:.1f}x (+ {built:.2f} s to build)", flush=True)
    if tail.size <= 100_000:
        arcs, capacity = split(n, tail, head, ends)

        def build() -> nx.DiGraph:
            graph = nx.DiGraph()
            graph.add_weighted_edges_from(zip(*arcs.T.tolist(), capacity.tolist(), strict=True), weight="capacity")
            return graph

        built, graph = timed(build)
        theirs, value = timed(lambda: nx.maximum_flow_value(graph, 2 * n, 2 * n + 1))
        assert value == cut.cost
        print(f"  {'networkx':14} {theirs:9.4f} s  {theirs / seconds:.1f}x (+ {built:.2f} s to build)", flush=True)


def main() -> None:
    """Run every comparison."""
    print(
        f"{platform.machine()}, Python {platform.python_version()}, scipy {scipy.__version__}, "
        f"igraph {igraph.__version__}, networkx {nx.__version__}; CPU time, one thread"
    )
    minimum_vertex_cut(3, [0, 1], [1, 2], sources=[0], sinks=[2])  # compile
    compare("LeNet-300-100, 2 %", [784, 300, 100, 10], 0.02)
    compare("LeNet-300-100, 10 %", [784, 300, 100, 10], 0.1)
    compare("LeNet-300-100, dense", [784, 300, 100, 10], 1.0)
    compare("10 layers of 256, 5 %", [256] * 11, 0.05)
    compare("4 layers of 1024, 10 %", [1024] * 5, 0.1)
    compare("4 layers of 1024, dense", [1024] * 5, 1.0, goal=1.0)
    compare("4 layers of 4096, 5 %", [4096] * 5, 0.05)


if __name__ == "__main__":
    main()
