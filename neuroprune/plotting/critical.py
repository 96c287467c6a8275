"""What a network loses without the critical neurons of a class: that class, and the others."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes

from neuroprune.core.errors import SpecificationError
from neuroprune.plotting.style import BLUE, GREY, PALE, VERMILLION, axes, styled


class Found(Protocol):
    """What is drawn of critical neurons."""

    @property
    def target(self) -> int: ...
    @property
    def n_units(self) -> int: ...


class Trial(Protocol):
    """What is drawn of a trial; :class:`neuroprune.bridge.critical.Trial` is one."""

    @property
    def found(self) -> Found: ...
    @property
    def cut(self) -> Any: ...
    @property
    def ranked(self) -> Any: ...
    @property
    def lost_at_random(self) -> tuple[float, float]: ...
    def lost(self, after: Any, /) -> tuple[float, float]: ...


@styled
def plot_critical(trials: Sequence[Trial], *, ax: Axes | None = None) -> Axes:
    """Draw the points of accuracy that each class loses without its critical neurons, and what the others lose.

    Parameters
    ----------
    trials : sequence of Trial
        One for each class.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    SpecificationError
        If there are none.

    Notes
    -----
    Filled marks are the class itself, open ones the mean of the other classes. Below each class stands how many
    neurons were silent.
    """
    if not trials:
        raise SpecificationError("there are no trials to draw")
    ax = axes(ax, (max(3.6, 1.4 + 0.34 * len(trials)), 2.4))
    x = np.arange(len(trials))
    series = (
        ("cut", BLUE, "o", -0.22, [t.lost(t.cut) for t in trials]),
        ("most relevant", VERMILLION, "s", 0.0, [t.lost(t.ranked) for t in trials]),
        ("random", GREY, "D", 0.22, [t.lost_at_random for t in trials]),
    )
    ax.axhline(0, color=PALE, linewidth=0.8, zorder=0)
    for name, colour, mark, shift, losses in series:
        own, others = 100 * np.array(losses).T
        ax.vlines(x + shift, others, own, color=colour, linewidth=0.6, alpha=0.5, zorder=1)
        ax.plot(x + shift, own, mark, color=colour, markersize=3.6, label=name, linestyle="none")
        ax.plot(x + shift, others, mark, color=colour, markerfacecolor="white", markersize=3.6, linestyle="none")
    ax.set_xticks(x, [f"{t.found.target}\n{t.found.n_units}" for t in trials])
    ax.set_xlim(-0.6, len(trials) - 0.4)
    ax.tick_params(axis="x", length=0)
    ax.set_xlabel("class, and number of neurons silent")
    ax.set_ylabel("accuracy lost (points)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handletextpad=0.2, columnspacing=1.0, borderaxespad=0.2)
    ax.annotate(
        "filled: the class; open: the others", (1, 1), (0, 3), xycoords="axes fraction", textcoords="offset points",
        ha="right", va="bottom", fontsize="small", color=GREY,
    )  # fmt: skip
    return ax
