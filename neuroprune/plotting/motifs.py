"""Motifs as pictograms, and how far their counts are from a null model."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from neuroprune.core.errors import GraphError
from neuroprune.plotting.style import BLUE, GREY, PALE, VERMILLION, axes, styled

if TYPE_CHECKING:
    from neuroprune.netsci import NullTest

CORNERS = {
    3: np.array([[0.5, 0.92], [0.08, 0.18], [0.92, 0.18]]),
    4: np.array([[0.1, 0.9], [0.9, 0.9], [0.1, 0.1], [0.9, 0.1]]),
}
"""Where the nodes of a motif are drawn, in a unit square."""


def _arcs(label: str) -> tuple[int, list[tuple[int, int]]]:
    """Return the number of nodes and the arcs of a class, named as a triad or a tetrad."""
    from neuroprune.netsci import TRIADS, tetrad_edges, triad_edges

    return (3, triad_edges(label)) if label in TRIADS else (4, tetrad_edges(label))


@styled
def plot_motif(label: str, *, ax: Axes | None = None) -> Axes:
    """Draw a motif: its nodes, and arrows with two heads where arcs go both ways.

    Parameters
    ----------
    label : str
        A class of :data:`neuroprune.netsci.TRIADS`, or of the directed tetrad census.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = axes(ax, (0.6, 0.6))
    n, arcs = _arcs(label)
    where = CORNERS[n]
    for u, v in arcs:
        mutual = (v, u) in arcs
        if mutual and u > v:
            continue
        arrow = FancyArrowPatch(
            tuple(where[u]),
            tuple(where[v]),
            arrowstyle="<|-|>" if mutual else "-|>",
            mutation_scale=5,
            shrinkA=2.6,
            shrinkB=2.6,
            linewidth=0.7,
            color=VERMILLION if mutual else "black",
        )
        ax.add_patch(arrow)
    ax.plot(*where.T, "o", color="black", markersize=3, clip_on=False)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.axis("off")
    return ax


@styled
def plot_motif_profile(test: "NullTest", *, ax: Axes | None = None) -> Axes:
    """Draw how far motif counts are from a null model, each motif with its pictogram.

    Parameters
    ----------
    test : NullTest
        Of the statistic ``"triads"``, among others. Bars show the interval that holds the given part of the null
        samples, dots the observed counts, both in standard deviations of the null; a filled dot has p < 0.05 after
        the correction of the test.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    GraphError
        If the test has no motifs.
    """
    prefix = "triads."
    rows = [k for k, name in enumerate(test.names) if name.startswith(prefix)]
    if not rows:
        raise GraphError("a motif profile needs a test of the statistic 'triads'")
    ax = axes(ax, (5.2, 2.8))
    labels = [test.names[k].removeprefix(prefix) for k in rows]
    x = np.arange(len(rows))
    z, mean, sd = test.z[rows], test.mean[rows], test.sd[rows]
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = (np.where(sd > 0, (bound[rows] - mean) / sd, 0.0) for bound in (test.low, test.high))
    ax.bar(x, high - low, 0.62, low, color=PALE, linewidth=0)
    ax.axhline(0, color=GREY, linewidth=0.6)
    adjusted = test.p if test.p_adjusted is None else test.p_adjusted
    undefined = ~np.isfinite(z)
    certain = adjusted[rows] < 0.05
    for chosen, fill in ((certain & ~undefined, BLUE), (~certain & ~undefined, "white")):
        ax.plot(x[chosen], z[chosen], "o", color=BLUE, markersize=4.5, markerfacecolor=fill)
    ax.plot(x[undefined], np.zeros(undefined.sum()), "x", color=GREY, markersize=4)
    label_motifs(ax, labels)
    ax.set_ylabel(f"z in the null “{test.null}”")
    handles = [
        Line2D([], [], marker="o", linestyle="", color=BLUE, markersize=4.5, label="p < 0.05"),
        Line2D([], [], marker="o", linestyle="", color=BLUE, markerfacecolor="white", markersize=4.5, label="p ≥ 0.05"),
        Line2D([], [], color=PALE, linewidth=5, label=f"{test.interval:.0%} of {test.samples:,} null samples"),
    ]
    if undefined.any():
        handles.append(Line2D([], [], marker="x", linestyle="", color=GREY, markersize=4, label="no spread"))
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.36), ncols=len(handles), fontsize=6)
    return ax


def label_motifs(ax: Axes, labels: list[str]) -> None:
    """Put the names of motifs, and their pictograms, below an axis with one place for each."""
    ax.set_xticks(range(len(labels)), labels, fontsize=6)
    ax.tick_params(axis="x", length=0, pad=1)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    for k, label in enumerate(labels):
        plot_motif(label, ax=ax.inset_axes((k - 0.38, -0.36, 0.76, 0.24), transform=ax.get_xaxis_transform()))
