"""Methods of pruning against each other: error by sparsity."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from neuroprune.core.errors import SpecificationError
from neuroprune.plotting.style import BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, SKY, VERMILLION, axes, styled


class Row(Protocol):
    """What is drawn of a method; :class:`neuroprune.experiments.comparison.Row` is one."""

    @property
    def method(self) -> str: ...
    def mean(self, measure: str) -> float: ...
    def sd(self, measure: str) -> float: ...


_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
_LEAST = 1e-4
"""Error that is drawn for none."""
_GREYS = ("-", "--", ":", "-.")


@styled
def plot_comparison(
    rows: Mapping[float, Sequence[Row]],
    *,
    dense: Sequence[float] = (),
    baselines: Collection[str] = (),
    measure: str = "test",
    ax: Axes | None = None,
) -> Axes:
    """Draw the error of methods against the share of weights that is left, both on logarithmic axes.

    Parameters
    ----------
    rows : mapping of float to sequence of Row
        Methods by sparsity.
    dense : sequence of float
        Accuracies without pruning, by seed.
    baselines : collection of str
        Methods drawn in grey.
    measure : str
        An accuracy, whose complement is drawn.
    ax : Axes, optional

    Returns
    -------
    Axes
        Bands are one standard deviation over seeds.

    Raises
    ------
    SpecificationError
        If there is nothing to draw.
    """
    if not rows or not any(rows.values()):
        raise SpecificationError("there are no methods to draw")
    ax = axes(ax, (4.6, 3.0))
    sparsities = sorted(rows)
    ax.set_xscale("log")
    left = [1 - s for s in sparsities]
    ax.set_xlim(1.15 * max(left), min(left) / 1.15)
    names = list(dict.fromkeys(row.method for s in reversed(sparsities) for row in rows[s]))
    if len(dense):
        error = max(_LEAST, 1 - float(np.mean(dense)))
        ax.axhline(error, color=PALE, lw=0.8, zorder=0)
        ax.annotate("dense", (1, error), xycoords=("axes fraction", "data"), xytext=(-2, 2),
                    textcoords="offset points", ha="right", va="bottom", fontsize=6, color=GREY)  # fmt: skip
    greys = [name for name in names if name in baselines]
    colours = dict(zip([n for n in names if n not in greys], _COLOURS * len(names), strict=False))
    for name in [*greys, *colours]:
        found = [(1 - s, row) for s in sparsities for row in rows[s] if row.method == name]
        x = np.asarray([left for left, _ in found])
        y = np.maximum(_LEAST, 1 - np.asarray([row.mean(measure) for _, row in found]))
        sd = np.nan_to_num(np.asarray([row.sd(measure) for _, row in found]))
        colour = colours.get(
            name, str(0.35 + 0.4 * greys.index(name) / max(1, len(greys) - 1)) if name in greys else GREY
        )
        style = _GREYS[greys.index(name) % len(_GREYS)] if name in greys else "-"
        ax.fill_between(x, np.maximum(_LEAST, y - sd), np.minimum(1.0, y + sd), color=colour, alpha=0.12, lw=0)
        ax.plot(x, y, style, color=colour, lw=0.9 if name in greys else 1.3, marker="o", ms=2.5, label=name)
    ax.xaxis.set_major_locator(FixedLocator(left))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda left, _: f"{100 * left:.3g} %"))
    ax.set_xlabel("weights that are left")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda error, _: f"{100 * error:.3g}"))
    ax.set_ylabel("error on test images (%)" if measure == "test" else f"error, {measure} (%)")
    handles, labels = ax.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: names.index(labels[k]))
    ax.legend([handles[k] for k in order], [labels[k] for k in order], loc="center left", bbox_to_anchor=(1.02, 0.5))
    return ax
