"""Figures of graphs: degrees, adjacency by community, measures against a null, and one page with all of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from neuroprune.core.errors import GraphError
from neuroprune.plotting.motifs import label_motifs, plot_motif_profile
from neuroprune.plotting.style import BLUE, GREY, PALE, VERMILLION, age_axis, axes, styled

if TYPE_CHECKING:
    from neuroprune.netsci import Analysis, Graph, NullTest

BLOCKS = 400
"""Nodes above which an adjacency matrix is drawn as densities of so many blocks."""


@styled
def plot_degrees(graph: "Graph", *, ax: Axes | None = None) -> Axes:
    """Draw what fraction of the nodes has at least a degree, in and out, on logarithmic axes.

    Parameters
    ----------
    graph : Graph
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = axes(ax, (2.6, 2.2))
    courses = (
        [("in-degree", graph.in_degree, BLUE), ("out-degree", graph.out_degree, VERMILLION)]
        if graph.directed
        else [("degree", graph.degree, BLUE)]
    )
    for label, degree, colour in courses:
        values = np.sort(degree[degree > 0])
        if values.size:
            share = np.arange(values.size, 0, -1) / graph.n
            ax.step(values, share, where="pre", color=colour, label=label)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.set(xscale="log", yscale="log", xlabel="degree d", ylabel="nodes with degree ≥ d")
    if ax.get_lines():
        ax.legend()
    return ax


@styled
def plot_adjacency(graph: "Graph", membership: np.ndarray | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw the adjacency matrix, nodes ordered by community and within it by degree.

    Parameters
    ----------
    graph : Graph
    membership : array of int, shape (n,), optional
        Community of each node, for example ``communities(graph).membership``; by default all are in one.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = axes(ax, (2.8, 2.8))
    group = np.zeros(graph.n, np.int64) if membership is None else np.asarray(membership)
    if group.shape != (graph.n,):
        raise GraphError(f"membership has shape {group.shape}: it must have an entry for each of {graph.n} nodes")
    order = np.lexsort((-graph.degree, group))
    place = np.empty(graph.n, np.int64)
    place[order] = np.arange(graph.n)
    rows, columns = place[graph.source], place[graph.target]
    blocks = min(BLOCKS, max(graph.n, 1))
    counts, *_ = np.histogram2d(rows, columns, bins=blocks, range=[[0, max(graph.n, 1)]] * 2)
    extent = (-0.5, graph.n - 0.5, graph.n - 0.5, -0.5)
    ax.imshow(np.log1p(counts), cmap="Greys", extent=extent, interpolation="nearest", rasterized=True)
    for edge in np.flatnonzero(np.diff(group[order])) + 1:
        ax.axhline(edge - 0.5, color=VERMILLION, linewidth=0.5)
        ax.axvline(edge - 0.5, color=VERMILLION, linewidth=0.5)
    ax.set(xlim=(-0.5, graph.n - 0.5), ylim=(graph.n - 0.5, -0.5), aspect="equal")
    ax.set(xlabel="target", ylabel="source", xticks=[], yticks=[])
    ax.spines[["top", "right"]].set_visible(True)
    return ax


@styled
def plot_null_values(test: "NullTest", names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw measures beside their null distribution, each relative to the null's mean.

    Parameters
    ----------
    test : NullTest
    names : sequence of str
        Statistics of the test, from top to bottom. One whose null mean is 0 or undefined is left out.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = axes(ax, (3.0, 2.2))
    rows = [test.names.index(name) for name in names]
    rows = [k for k in rows if np.isfinite(test.mean[k]) and test.mean[k] != 0 and np.isfinite(test.observed[k])]
    for y, k in enumerate(rows):
        mean = test.mean[k]
        ax.plot([test.low[k] / mean, test.high[k] / mean], [y, y], color=PALE, linewidth=6, solid_capstyle="butt")
        ax.plot(test.observed[k] / mean, y, "o", color=BLUE, markersize=4.5)
        z = f"z = {test.z[k]:.1f}" if np.isfinite(test.z[k]) else "no spread"
        ax.annotate(z, (test.observed[k] / mean, y), (0, 5), textcoords="offset points", ha="center", fontsize=6)
    ax.axvline(1, color=GREY, linewidth=0.6, zorder=0)
    ax.set_yticks(range(len(rows)), [_words(test.names[k]) for k in rows], fontsize=6)
    ax.set_ylim(len(rows) - 0.4, -0.7)
    ax.margins(x=0.12)
    ax.set_xlabel("observed / mean of the null")
    ax.set_title(f"null “{test.null}”", fontsize=7)
    return ax


@styled
def plot_against_null(
    ages: np.ndarray,
    observed: np.ndarray,
    tests: Sequence["NullTest"],
    name: str = "clustering.undirected",
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw a measure over age, with the spread of a null model at each age.

    Parameters
    ----------
    ages : array_like of float, shape (ages,)
        Days.
    observed : array_like of float, shape (ages,)
        The measure of the graph at each age.
    tests : sequence of NullTest, length ages
        Of the same statistic and null model.
    name : str
        Which statistic of the tests.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    if not len(ages) == len(observed) == len(tests):
        raise GraphError(f"{len(ages)} ages, {len(observed)} values and {len(tests)} tests: there must be one per age")
    ax = axes(ax, (3.0, 2.2))
    rows = [test.names.index(name) for test in tests]
    mean, low, high = (
        [getattr(test, part)[k] for test, k in zip(tests, rows, strict=True)] for part in ("mean", "low", "high")
    )
    ax.fill_between(ages, low, high, color=PALE, linewidth=0, label=f"null “{tests[0].null}”")
    ax.plot(ages, mean, color=GREY)
    ax.plot(ages, observed, "o-", color=BLUE, markersize=3.5, label="observed")
    age_axis(ax, float(np.min(ages)), float(np.max(ages)))
    ax.set_ylabel(_words(name))
    ax.set_ylim(bottom=0)
    ax.legend()
    return ax


@styled
def plot_analysis(analysis: "Analysis") -> Figure:
    """Draw one page about a graph: adjacency, degrees, motifs, and measures against the null if there is one.

    Parameters
    ----------
    analysis : Analysis
        From :func:`neuroprune.netsci.analyze`.

    Returns
    -------
    Figure
    """
    figure = plt.figure(figsize=(7.2, 5.8), layout="none")
    graph, test = analysis.graph, analysis.test
    adjacency = plot_adjacency(graph, _membership(graph), ax=figure.add_axes((0.05, 0.54, 0.25, 0.40)))
    adjacency.set_title(f"{graph.n:,} nodes, {graph.m:,} {'arcs' if graph.directed else 'edges'}", fontsize=7)
    plot_degrees(graph, ax=figure.add_axes((0.40, 0.57, 0.2, 0.37)))
    values, motifs = figure.add_axes((0.78, 0.57, 0.2, 0.37)), figure.add_axes((0.09, 0.15, 0.89, 0.32))
    afferent = "bipartite.bifans" in analysis.values  # what is fixed by construction there says nothing
    if test is None:
        names = ["clustering.undirected", "clustering.fagiolo", "transitivity", "efficiency", "reciprocity"]
        if afferent:
            names = [f"bipartite.{part}" for part in ("clustering_sources", "clustering_targets", "robins_alexander")]
        shown = [name for name in names if np.isfinite(analysis.values[name])]
        values.barh(range(len(shown)), [analysis.values[name] for name in shown], 0.6, color=BLUE)
        values.set_yticks(range(len(shown)), [_words(name) for name in shown], fontsize=6)
        values.invert_yaxis()
        values.set_xlabel("value")
    else:
        shown = [name for name in test.names if not name.startswith(("triads.", "tetrads.", "reachable"))]
        plot_null_values(test, [name for name in shown if name.startswith("bipartite.") or not afferent], ax=values)
    if test is None or afferent:
        counts = {k: v for k, v in analysis.triads.to_dict().items() if k not in ("003", "012", "102")}
        motifs.bar(range(len(counts)), list(counts.values()), 0.62, color=BLUE)
        motifs.set_yscale("symlog")
        motifs.set_ylabel("induced triads")
        label_motifs(motifs, list(counts))
    else:
        plot_motif_profile(test, ax=motifs)
    return figure


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", ", ")


def _membership(graph: "Graph") -> np.ndarray | None:
    """Return communities if the optional libraries that find them are there."""
    from importlib.util import find_spec

    from neuroprune.netsci import communities

    if graph.arcs == 0 or find_spec("igraph") is None:
        return None
    return communities(graph.undirected(), rng=0, trials=1).membership
