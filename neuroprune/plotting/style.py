"""One style for every figure: colours, axes of ages, labels with units, and how figures are saved."""

from collections.abc import Callable
from functools import wraps
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, PercentFormatter

from neuroprune.core.clock import format_age

if TYPE_CHECKING:
    from neuroprune.record import Record

STYLE = "neuroprune.plotting.journal"
"""Name of the style sheet, for ``matplotlib.pyplot.style``."""

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
GREY, PALE = "#767676", "#D0D0D0"
WINNER, OTHER = BLUE, GREY
CAUSES = (VERMILLION, GREEN, ORANGE, PURPLE, SKY, "#000000")

MEASURES = {
    "climbing_fibres_per_cell": "climbing fibres per Purkinje cell",
    "mono_innervated": "Purkinje cells with one fibre (%)",
    "disparity_ratio": "disparity ratio",
    "disparity_index": "disparity index",
    "synapses_per_input": "synapses per connected pair",
    "dendritic_fraction": "synapses on the dendrite (%)",
    "fibres_on_dendrite_per_cell": "fibres on the dendrite per Purkinje cell",
    "axons_without_cell": "axons without a Purkinje cell (%)",
    "cells_per_axon": "Purkinje cells per axon",
    "purkinje_rate": "rate of Purkinje cells (Hz)",
    "climbing_fibre_rate": "rate of climbing fibres (Hz)",
}
"""Axis labels, with units, of the measures that have a better one than their name."""

P = ParamSpec("P")
R = TypeVar("R")


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Let a function draw in the style of the package, whatever the caller's is."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with plt.style.context(STYLE):
            return plot(*args, **kwargs)

    return drawn


def axes(ax: Axes | None, size: tuple[float, float] | None = None) -> Axes:
    """Return `ax`, or the axes of a new figure, of `size` (inches) if that is given."""
    return plt.subplots(figsize=size)[1] if ax is None else ax


def age_axis(ax: Axes, low: float, high: float) -> None:
    """Label the horizontal axis with ages from `low` to `high` (days), with ticks at both if that is even."""
    margin = 0.03 * (high - low)
    ax.set_xlim(low - margin, high + margin)
    even = [n for n in (6, 5, 4, 3) if ((high - low) / n).is_integer()]
    locator = (
        FixedLocator(np.linspace(low, high, even[0] + 1).tolist()) if even else MaxNLocator(5, steps=[1, 2, 5, 10])
    )
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda days, _: format_age(days)))
    ax.set_xlabel("age (days)")


def measure_axis(ax: Axes, measure: str) -> None:
    """Label the vertical axis with a measure and its unit."""
    label = MEASURES.get(measure, measure.replace("_", " "))
    ax.set_ylabel(label)
    if label.endswith("(%)"):
        ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))


@styled
def save_figure(figure: Figure, *paths: Path | str) -> None:
    """Write a figure to files, in the format that each suffix names; the same figure gives the same file.

    Parameters
    ----------
    figure : Figure
    *paths : path
        Folders are made as needed.
    """
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    # Saving a figure without a layout engine would leave it with the one of the style, for the next file.
    with plt.rc_context({"figure.constrained_layout.use": False}):
        for path in map(Path, paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, metadata=undated.get(path.suffix))


def cause_colours(record: "Record") -> dict[str, str]:
    """Return a colour for every cause of elimination in a record.

    The order is that of the rules in the experiment if the record has its configuration, else alphabetical:
    never that of their first victims, so that records of one experiment agree.
    """
    names = dict.fromkeys([*_rules(record), *sorted(record.causes)])
    return dict(zip((name for name in names if name in record.causes), cycle(CAUSES), strict=False))


def cause_label(record: "Record", cause: str) -> str:
    """Return the name of a cause for legends, with the kind of its rule where the name does not say it."""
    kind = _rules(record).get(cause, cause).rpartition(":")[2]
    return (cause if kind in cause else f"{cause} ({kind})").replace("_", " ")


def _rules(record: "Record") -> dict[str, str]:
    """Return name and kind of the rules that the experiment in a record lists."""
    return {rule["name"]: rule["rule"] for rule in record.identity["config"].get("rules", [])}


def strength_label(record: "Record") -> str:
    """Return the axis label of strengths: synapses where a record counts them."""
    return "synapses per input" if "synapses_per_input" in record.measures() else "strength of input (weight)"
