"""Heads of attention as a figure: how wide each looks, how much it matters, and which are alike."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from neuroprune.plotting.style import GREY, VERMILLION, axes, styled

_LABELS = 40
"""More heads than this are named by their layers alone."""


class Heads(Protocol):
    """What is drawn; :class:`neuroprune.bridge.heads.HeadReport` is one."""

    @property
    def layers(self) -> Sequence[str]: ...
    @property
    def indices(self) -> np.ndarray: ...
    @property
    def entropy(self) -> np.ndarray: ...
    @property
    def divergence(self) -> np.ndarray: ...
    @property
    def fisher(self) -> np.ndarray: ...
    @property
    def samples(self) -> int: ...
    def nearest(self) -> np.ndarray: ...
    def linkage(self) -> np.ndarray: ...


@styled
def plot_heads(report: Heads, removed: Mapping[str, Sequence[int]] | None = None) -> Figure:
    """Draw entropy, nearest divergence and importance by layer and head, and the divergence of all pairs.

    Parameters
    ----------
    report : HeadReport
    removed : mapping of str to sequence of int, optional
        Heads that are crossed out, by layer.

    Returns
    -------
    Figure
    """
    n_layers = len(dict.fromkeys(report.layers))
    upper = min(3.4, 0.75 + 0.19 * n_layers)
    figure = plt.figure(figsize=(7.2, upper + 4.4))
    parts: Any = figure.subfigures(2, 1, height_ratios=[upper, 4.4])
    above, below = parts
    first, second, third = above.subplots(1, 3, sharey=True)
    plot_by_layer(report, report.entropy, "entropy (nats)", removed, ax=first)
    plot_by_layer(report, report.nearest(), "JS divergence from the nearest (nats)", removed, ax=second)
    positive = report.fisher[report.fisher > 0]
    span = len(positive) > 0 and positive.max() > 10 * positive.min()
    plot_by_layer(report, report.fisher, "gate Fisher", removed, log=span, ax=third)
    for ax in (second, third):
        ax.set_ylabel("")
    if len(report.layers) > 1:
        plot_divergences(report, removed, figure=below)
    return figure


@styled
def plot_by_layer(
    report: Heads,
    values: np.ndarray,
    label: str,
    removed: Mapping[str, Sequence[int]] | None = None,
    *,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a value of each head as a field of layers and heads.

    Parameters
    ----------
    report : HeadReport
    values : array, shape (heads,)
    label : str
        What is drawn.
    removed : mapping of str to sequence of int, optional
        Heads that are crossed out, by layer.
    log : bool
        Colours by the logarithm.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = axes(ax, (3.5, 2.2))
    layers = list(dict.fromkeys(report.layers))
    rows = np.array([layers.index(layer) for layer in report.layers])
    field = np.full((len(layers), int(report.indices.max()) + 1), np.nan)
    field[rows, report.indices] = values
    norm = Normalize(0, float(values.max()) or 1.0)
    if log:
        field = np.where(field == 0, np.nan, field)
        norm = LogNorm(float(np.nanmin(field)), float(np.nanmax(field)))
    image = ax.imshow(field, cmap="viridis", norm=norm, aspect="auto", interpolation="nearest")
    for layer, numbers in (removed or {}).items():
        ax.plot(list(numbers), [layers.index(layer)] * len(numbers), "x", color=VERMILLION, ms=4, mew=1.2)
    ax.set_xlabel("head (× suggested to go)" if removed else "head")
    ax.set_ylabel("layer")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[:].set_visible(False)
    ticks = LogLocator(subs=(1.0, 3.0)) if log else MaxNLocator(4)
    bar = ax.figure.colorbar(image, ax=ax, location="top", ticks=ticks, aspect=25, pad=0.04)
    bar.set_label(label)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if log:
        bar.ax.xaxis.set_minor_formatter("")
    return ax


@styled
def plot_divergences(
    report: Heads, removed: Mapping[str, Sequence[int]] | None = None, *, figure: Figure | None = None
) -> Figure:
    """Draw the divergence of all pairs of heads, ordered by the tree of their hierarchical clustering beside it.

    Parameters
    ----------
    report : HeadReport
    removed : mapping of str to sequence of int, optional
        Heads whose names are coloured, by layer.
    figure : Figure or SubFigure, optional

    Returns
    -------
    Figure
    """
    from scipy.cluster.hierarchy import dendrogram

    figure = plt.figure(figsize=(7.2, 4.4)) if figure is None else figure
    tree, matrix = figure.subplots(1, 2, width_ratios=[0.28, 0.72], sharey=False)
    drawn = dendrogram(
        report.linkage(), orientation="left", ax=tree, color_threshold=0, above_threshold_color=GREY, no_labels=True
    )
    order: list[int] = list(drawn["leaves"])
    for lines in tree.collections:
        lines.set_linewidth(0.8)
    tree.invert_yaxis()
    tree.set_xlabel("√JS (nats$^{1/2}$)")
    tree.spines[["left"]].set_visible(False)
    tree.set_yticks([])
    field = report.divergence[np.ix_(order, order)]
    image = matrix.imshow(field, cmap="viridis_r", norm=Normalize(0, np.log(2)), aspect="auto", interpolation="nearest")
    layers = list(dict.fromkeys(report.layers))
    names = [f"{layers.index(report.layers[i])}.{report.indices[i]}" for i in order]
    size = 6 if len(order) <= _LABELS else max(2.5, 6 * _LABELS / len(order))
    matrix.set_yticks(range(len(order)), names, fontsize=size)
    matrix.yaxis.tick_left()
    matrix.tick_params(length=0)
    matrix.set_xticks([])
    for label, i in zip(matrix.get_yticklabels(), order, strict=True):
        if report.indices[i] in (removed or {}).get(report.layers[i], ()):
            label.set_color(VERMILLION)
    matrix.set_xlabel("heads (layer.head) in the order of the tree")
    matrix.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=matrix, ticks=[0, 0.2, 0.4, 0.6, np.log(2)], aspect=30, pad=0.02)
    bar.ax.set_yticklabels(["0", "0.2", "0.4", "0.6", "ln 2"])
    bar.set_label("JS divergence (nats)")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure
