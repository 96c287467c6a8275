"""Does pruning the edges that triangles need least raise clustering, in real connectomes?

Removing edges that lie in no triangle cannot lower average clustering, transitivity or Fagiolo's coefficient: that is
proved, and checked here on every connectome that ships. Going on to the least embedded edges, those in the fewest
triangles, is the same idea carried further; whether it still raises clustering is measured, beside random pruning of
as many edges.

Prints a table and keeps it in ``results/``.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from neuroprune import __version__
from neuroprune.datasets import available, load
from neuroprune.netsci import Graph, clustering, edges_in_no_triangle, triangles_per_edge

FRACTION = 0.3
SEEDS = range(5)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    lines = [
        f"neuroprune {__version__}: python analysis/embedded_edges.py",
        "Average clustering (undirected, undefined nodes 0) of the pairs that an arc connects.",
        f"'least embedded' and 'random' remove {FRACTION:.0%} of the pairs; least embedded is ranked once, before any",
        "is removed ('once'), or again after each tenth of them ('again'). Random: mean of 5 seeds ± SD.",
        "",
        f"{'connectome':44} {'pairs':>7} {'C':>6} {'loose':>6} {'without':>8} {'once':>7} {'again':>7} {'random':>15}",
    ]
    lowered = {"once": 0, "again": 0}
    count = 0
    for name in available():
        if name.endswith(("/contact", "/common", "/signed", "/all")):
            continue  # contacts are no synapses, and others are parts of what is here
        graph = load(name).binary().undirected()
        before = clustering(graph)
        loose = edges_in_no_triangle(graph)
        without = clustering(graph.keep(~loose))
        assert without.mean() >= before.mean() - 1e-12 and not without.transitivity < before.transitivity - 1e-12
        results = {
            "once": clustering(pruned(graph, embedded, 1)).mean(),
            "again": clustering(pruned(graph, embedded, 10)).mean(),
        }
        at_random = [clustering(pruned(graph, shuffled(seed), 1)).mean() for seed in SEEDS]
        for way, mean in results.items():
            lowered[way] += mean < before.mean()
        count += 1
        spread = f"{np.mean(at_random):8.3f} ± {np.std(at_random, ddof=1):.3f}"
        lines.append(
            f"{name:44} {graph.m:7,} {before.mean():6.3f} {loose.mean():6.1%} {without.mean():8.3f} "
            f"{results['once']:7.3f} {results['again']:7.3f} {spread}"
        )
    lines += [
        "",
        f"Removing the loose edges lowered clustering in 0 of {count}. Removing the least embedded {FRACTION:.0%} "
        f"lowered it in {lowered['once']} (ranked once) and {lowered['again']} (ranked again) of {count}.",
    ]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    results_file = Path(__file__).parent / "results" / "embedded_edges.txt"
    results_file.write_text(text)
    print(f"kept in {results_file}", file=sys.stderr)


def embedded(graph: Graph) -> np.ndarray:
    """Score each arc by the triangles of its pair; equal ones keep the order of their nodes."""
    return triangles_per_edge(graph).astype(float)


def shuffled(seed: int) -> Callable[[Graph], np.ndarray]:
    """Score arcs at random, both of a pair alike."""

    def score(graph: Graph) -> np.ndarray:
        low, high = np.minimum(graph.source, graph.target), np.maximum(graph.source, graph.target)
        pair = np.unique(low.astype(np.int64) * graph.n + high, return_inverse=True)[1]
        return np.random.default_rng(seed).permutation(pair.max() + 1)[pair].astype(float)

    return score


def pruned(graph: Graph, score: Callable[[Graph], np.ndarray], rounds: int) -> Graph:
    """Remove the lowest scoring pairs, `FRACTION` of all, ranked again in each round."""
    total = round(FRACTION * graph.m)
    for k in range(rounds):
        goes = total * (k + 1) // rounds - total * k // rounds
        forward = np.flatnonzero(graph.source < graph.target)
        ranked = forward[np.argsort(score(graph)[forward], kind="stable")][:goes]
        key = graph.source.astype(np.int64) * graph.n + graph.target
        reverse = graph.target.astype(np.int64) * graph.n + graph.source
        gone = np.zeros(graph.arcs, bool)
        gone[ranked] = True
        gone |= np.isin(reverse, key[ranked])
        graph = graph.keep(~gone)
    return graph


if __name__ == "__main__":
    main()
