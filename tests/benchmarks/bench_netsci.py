"""Network science against the libraries that people use: ratios of CPU time, one thread, in the same run.

Graphs are ``er`` (uniform), ``ws`` (a directed ring, 10 % rewired) and ``sf`` (heavy-tailed degrees with hubs). Ours
starts from sorted arrays and includes building every structure that it needs; a peer's own graph is built before its
clock starts, and that time is shown beside it. Ours is the best of several runs after the kernels were compiled; a
peer that takes seconds runs once. Every result is compared with the peer's.

Run it with ``python tests/benchmarks/bench_netsci.py``; it takes about ten minutes and needs igraph and networkit.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import igraph
import networkit  # type: ignore[import-not-found]  # of the extra "bench"
import networkx as nx
import numpy as np

from neuroprune.datasets import load
from neuroprune.netsci import (
    Graph,
    History,
    TriadTracker,
    clustering,
    global_efficiency,
    null_test,
    randomize,
    tetrad_census,
    triad_census,
)
from neuroprune.netsci.clustering import binary_clustering

LARGE, MEDIUM = (10_000, 500_000), (2_000, 60_000)
STEPS = 1000
PATIENCE = 60.0
"""Seconds after which igraph is stopped where hubs keep it busy."""
RECOUNTED = 50
"""Steps of a history that are recounted; their mean stands for all."""


# ---------------------------------------------------------------------- graphs
def _arcs(n: int, m: int, draw: Callable[[int], tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> Graph:
    key = np.empty(0, np.int64)
    while key.size < m:
        source, target = draw(int(1.2 * (m - key.size)) + 10)
        key = np.unique(np.concatenate([key, (source * n + target)[source != target]]))
    key = np.sort(rng.choice(key, m, replace=False))
    return Graph.from_coo(key // n, key % n, n=n)


def er(n: int, m: int) -> Graph:
    """Return a uniform random graph."""
    rng = np.random.default_rng(1)
    return _arcs(n, m, lambda k: (rng.integers(0, n, k), rng.integers(0, n, k)), rng)


def ws(n: int, m: int) -> Graph:
    """Return a ring whose nodes send arcs to half of the nodes near them, a tenth of the arcs rewired."""
    rng = np.random.default_rng(2)
    near = m // n

    def draw(k: int) -> tuple[np.ndarray, np.ndarray]:
        source = rng.integers(0, n, k)
        target = (source + rng.integers(1, near + 1, k) * rng.choice([-1, 1], k)) % n
        far = rng.random(k) < 0.1
        return source, np.where(far, rng.integers(0, n, k), target)

    return _arcs(n, m, draw, rng)


def sf(n: int, m: int) -> Graph:
    """Return a graph with power-law in- and out-degrees (exponent 2.5) that go together."""
    rng = np.random.default_rng(3)
    out = np.arange(1, n + 1) ** (-1 / 1.5)
    into = out * np.exp(0.5 * rng.standard_normal(n))
    out, into = out / out.sum(), into / into.sum()

    def draw(k: int) -> tuple[np.ndarray, np.ndarray]:
        source, target = rng.choice(n, k, p=out), rng.choice(n, k, p=into)
        back = rng.random(k) < 0.2
        return np.concatenate([source, target[back]]), np.concatenate([target, source[back]])

    return _arcs(n, m, draw, rng)


FAMILIES = {"er": er, "ws": ws, "sf": sf}


# ---------------------------------------------------------------------- measuring
def timed(work: Callable[[], Any], runs: int = 1) -> tuple[float, Any]:
    """Return the least CPU time (s) of some runs, and the last result."""
    best, result = float("inf"), None
    for _ in range(runs):
        began = time.process_time()
        result = work()
        best = min(best, time.process_time() - began)
    return best, result


def timed_within(limit: float, work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time and result of work in a process of its own; the limit and None if it takes longer."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(timed(work)))
    process.start()
    found = receiver.recv() if receiver.poll(limit) else (limit, None)
    process.kill()
    process.join()
    return found


def fresh(graph: Graph) -> Graph:
    """Return the graph without anything that was built for it."""
    return Graph(graph.n, graph.source, graph.target, graph.weight, directed=graph.directed)


def line(what: str, ours: float, peer: str, theirs: float, goal: float | None, note: str = "") -> None:
    """Print one comparison."""
    ratio = theirs / ours
    state = "" if goal is None else f"goal >= {goal:g}: {'met' if ratio >= goal else 'NOT MET'}"
    print(
        f"{what:34} {1e3 * ours:10.2f} ms  {peer:22} {1e3 * theirs:11.1f} ms {ratio:9.1f}x  {state} {note}", flush=True
    )


def as_igraph(graph: Graph) -> Any:
    return igraph.Graph(graph.n, np.column_stack([graph.source, graph.target]).tolist(), directed=True)


def as_networkit(graph: Graph) -> Any:
    peer = networkit.Graph(graph.n, directed=True)
    peer.addEdges((graph.source.astype(np.uint64), graph.target.astype(np.uint64)))
    return peer


# ---------------------------------------------------------------------- comparisons
def compare_census(graphs: dict[str, Graph]) -> None:
    print("\ntriad census, 16 classes, 10,000 nodes, 500,000 arcs")
    for family, graph in graphs.items():
        ours, census = timed(lambda g=graph: triad_census(fresh(g)), 7)
        built, peer = timed(lambda g=graph: as_igraph(g))
        theirs, expected = timed_within(PATIENCE, lambda p=peer: [int(x) for x in p.triad_census()])
        assert expected is None or list(census.to_dict().values()) == expected
        note = "" if expected else "(igraph was stopped: at least)"
        line(family, ours, "igraph triad_census", theirs, 100, f"(+ {1e3 * built:.0f} ms to build) {note}")
    graph = sf(*MEDIUM)
    ours, census = timed(lambda: triad_census(fresh(graph)), 7)
    peer = as_igraph(graph)
    theirs, expected = timed(peer.triad_census)
    assert list(census.to_dict().values()) == [int(x) for x in expected]
    line("sf, 2,000 / 60,000", ours, "igraph triad_census", theirs, 100)


def compare_tetrads() -> None:
    print("\ntetrad census, 199 classes, 2,000 nodes, 60,000 arcs")
    for family in ("er", "ws"):
        graph = FAMILIES[family](*MEDIUM)
        ours, census = timed(lambda g=graph: tetrad_census(fresh(g)), 5)
        peer = as_igraph(graph)
        theirs, expected = timed(lambda p=peer: p.motifs_randesu(4))
        number = census.to_dict("igraph")
        assert all(expected[k] == count for k, count in number.items())
        line(family, ours, "igraph motifs_randesu", theirs, 200)
    for family, make in FAMILIES.items():
        graph = make(*LARGE)
        ours, census = timed(lambda g=graph: tetrad_census(fresh(g)), 2)
        print(f"{family + ', 10,000 / 500,000':34} {1e3 * ours:10.2f} ms  ({census.total:.3g} subgraphs)")


def compare_nulls(graphs: dict[str, Graph]) -> None:
    print("\ndegree-preserving sample, 10 attempted switches for each of 500,000 arcs")
    for family, graph in graphs.items():
        ours, sample = timed(lambda g=graph: randomize(g, "degree", method="switching", moves=10, rng=1), 3)
        assert (sample.in_degree == graph.in_degree).all() and (sample.out_degree == graph.out_degree).all()
        peer = as_igraph(graph)
        theirs, _ = timed(lambda p=peer, m=graph.m: p.rewire(n=10 * m))
        line(family, ours, "igraph rewire", theirs, 20)
        other = as_networkit(graph)
        theirs, _ = timed(lambda p=other: networkit.randomization.EdgeSwitching(p, 10).run())
        line(family, ours, "networkit EdgeSwitching", theirs, 20, "(10 switches per edge)")
        ours, _ = timed(lambda g=graph: randomize(g, "degree", rng=1), 3)
        print(f"{family + ', curveball (default)':34} {1e3 * ours:10.2f} ms")
    worm = load("celegans_varshney2011").binary()
    ours, _ = timed(lambda: null_test(worm, "triads", "degree", 1000, rng=1), 3)
    state = "met" if ours <= 1 else "NOT MET"
    print(f"{'C. elegans, 1,000 samples + census':34} {1e3 * ours:10.2f} ms  goal <= 1 s: {state}")


def compare_history(graphs: dict[str, Graph]) -> None:
    print(f"\ncensus of every one of {STEPS:,} steps, against recounting with our own census ({RECOUNTED} steps, mean)")
    for family, graph in graphs.items():
        rng = np.random.default_rng(5)
        death = rng.integers(1, STEPS + 1, graph.arcs)
        birth = np.minimum(rng.integers(-STEPS, STEPS, graph.arcs).clip(0), death - 1)
        one, _ = timed(lambda g=graph: triad_census(fresh(g)), 7)
        for what, born, limit in (("deaths", None, 8), ("births and deaths", birth, 12)):
            history = History.from_lives(graph.source, graph.target, born, death, graph.n, STEPS)
            ours, counts = timed(lambda h=history: fresh_history(h).triad_census(), 3)
            steps = np.linspace(0, STEPS - 1, RECOUNTED).astype(int)
            snapshots = [history.graph(int(k)) for k in steps]
            recount, expected = timed(lambda s=snapshots: [triad_census(fresh(g)) for g in s])
            assert all((counts[k] == e.counts).all() for k, e in zip(steps, expected, strict=True))
            cost = ours / one
            note = f"= {cost:.1f} censuses, goal <= {limit}: {'met' if cost <= limit else 'NOT MET'}"
            line(f"{family}, {what}", ours, "recounting", recount * STEPS / RECOUNTED, 50, note)


def compare_tracker(graphs: dict[str, Graph]) -> None:
    print("\nlive census after 1 % of 500,000 arcs were removed, against recounting with our own census")
    for family, graph in graphs.items():
        one, _ = timed(lambda g=graph: triad_census(fresh(g)), 7)
        gone = np.sort(np.random.default_rng(6).choice(graph.m, graph.m // 100, replace=False))
        source, target = graph.source[gone], graph.target[gone]
        tracker, best = TriadTracker(graph), float("inf")
        for _ in range(5):
            ours, _ = timed(lambda t=tracker, u=source, v=target: t.remove(u, v))
            best = min(best, ours)
            census = tracker.census()
            tracker.add(source, target)
        left = np.ones(graph.m, bool)
        left[gone] = False
        assert (census.counts == triad_census(graph.keep(left)).counts).all()
        line(family, best, "recounting", one, 6)


def fresh_history(history: History) -> History:
    """Return the history without anything that was counted in it."""
    from dataclasses import replace

    return replace(history)


def compare_clustering(graphs: dict[str, Graph]) -> None:
    print("\nFagiolo and undirected clustering and transitivity, 10,000 nodes, 500,000 arcs")
    for family, graph in graphs.items():
        ours, (undirected, fagiolo) = timed(lambda g=graph: binary_clustering(fresh(g)), 7)
        if family == "sf":
            print(f"{family:34} {1e3 * ours:10.2f} ms  (networkx takes minutes at hubs)", flush=True)
            continue
        peer = nx.DiGraph()
        peer.add_nodes_from(range(graph.n))
        peer.add_edges_from(zip(graph.source.tolist(), graph.target.tolist(), strict=True))
        pairs = peer.to_undirected()

        def theirs_of(peer: Any = peer, pairs: Any = pairs) -> tuple[Any, Any, Any]:
            return nx.clustering(peer), nx.clustering(pairs), nx.transitivity(pairs)

        theirs, (directed, plain, transitive) = timed(theirs_of)
        assert np.allclose(np.nan_to_num(fagiolo.local), list(directed.values()), rtol=1e-11, atol=1e-12)
        assert np.allclose(np.nan_to_num(undirected.local), list(plain.values()), rtol=1e-11, atol=1e-12)
        assert np.isclose(undirected.transitivity, transitive, rtol=1e-11)
        line(family, ours, "networkx", theirs, 100)
    worm = load("celegans_varshney2011")
    ours, found = timed(lambda: clustering(fresh(worm), "fagiolo", weight="onnela"), 7)
    peer = worm.to_networkx()
    theirs, expected = timed(lambda: nx.clustering(peer, weight="weight"))
    assert np.allclose(np.nan_to_num(found.local), list(expected.values()), rtol=1e-11, atol=1e-12)
    line("C. elegans, weighted Fagiolo", ours, "networkx", theirs, None)


def compare_efficiency(graphs: dict[str, Graph]) -> None:
    print("\nexact global efficiency, 10,000 nodes, 500,000 arcs")
    for family, graph in graphs.items():
        ours, found = timed(lambda g=graph: global_efficiency(fresh(g)), 3)
        peer = as_igraph(graph)
        theirs, distances = timed(lambda p=peer: p.harmonic_centrality(mode="in"))
        assert np.isclose(found, np.nanmean(distances), rtol=1e-11)
        line(family, ours, "igraph harmonic", theirs, 50)


def report_first_use() -> None:
    print("\nfirst use of a fresh cache, and the process after it (wall time)")
    code = """
        import time; began = time.perf_counter()
        from neuroprune.netsci import Graph, clustering, triad_census
        g = Graph.from_coo([0, 1, 2], [1, 2, 0]); triad_census(g); clustering(g, "fagiolo")
        print(time.perf_counter() - began)
    """
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        for which in ("first", "second"):
            command = [sys.executable, "-c", textwrap.dedent(code)]
            seconds = float(subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout)
            print(f"import, census and clustering, {which:6} process {seconds:6.2f} s", flush=True)


def report_memory() -> None:
    print("\n100,000 nodes, 10,000,000 arcs: census from sorted int32 arrays")
    code = """
        import resource, time, numpy as np
        from neuroprune.netsci import Graph, triad_census
        triad_census(Graph.from_coo([0, 1, 2], [1, 2, 0]))
        n, m, rng = 100_000, 10_000_000, np.random.default_rng(1)
        target = np.concatenate([np.sort(rng.choice(n - 1, m // n, replace=False, shuffle=False)) for _ in range(n)])
        source = np.repeat(np.arange(n, dtype=np.int32), m // n)
        target = (target + (target >= source)).astype(np.int32)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        census = triad_census(Graph.from_coo(source, target, n=n))
        seconds = time.process_time() - began
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, before / 2**20, census["030T"])
    """
    found = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True, text=True)
    seconds, peak, before, triads = map(float, found.stdout.split())
    state = "met" if peak < 2 else "NOT MET"
    print(f"{seconds:.2f} s; peak {peak:.2f} GiB, {before:.2f} before; goal < 2 GiB: {state}; 030T {triads:.0f}")


def main() -> None:
    """Run every comparison."""
    networkit.setNumberOfThreads(1)
    print(
        f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"igraph {igraph.__version__}, networkit {networkit.__version__}, networkx {nx.__version__}; "
        "CPU time, one thread"
    )
    graphs = {family: make(*LARGE) for family, make in FAMILIES.items()}
    for warm in graphs.values():  # compile what will be timed
        triad_census(warm)
        binary_clustering(warm)
        global_efficiency(Graph.from_coo([0], [1]))
        randomize(warm, "degree", rng=1)
        randomize(warm, "degree", method="switching", rng=1)
        tetrad_census(FAMILIES["er"](100, 500))
        break
    small = FAMILIES["er"](50, 300)
    tracker = TriadTracker(FAMILIES["er"](200, 5000))
    tracker.remove(tracker.graph().source[:3], tracker.graph().target[:3])
    History.from_lives(small.source, small.target, None, np.full(small.arcs, 3), 50, 5).triad_census()
    compare_census(graphs)
    compare_tetrads()
    compare_nulls(graphs)
    compare_history(graphs)
    compare_tracker(graphs)
    compare_clustering(graphs)
    compare_efficiency(graphs)
    report_first_use()
    report_memory()


if __name__ == "__main__":
    main()
