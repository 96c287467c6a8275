"""The way of a network that is compressed: what each station costs, and how well it does there."""

from collections.abc import Sequence
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from neuroprune.core.errors import SpecificationError
from neuroprune.plotting.style import BLUE, GREY, PALE, VERMILLION, axes, styled


class Cost(Protocol):
    """What is drawn of a cost."""

    @property
    def macs(self) -> int: ...
    @property
    def parameters(self) -> int: ...


class Score(Protocol):
    """What is drawn of a score."""

    @property
    def accuracy(self) -> float: ...


class Station(Protocol):
    """What is drawn of a station; :class:`neuroprune.bridge.compression.Station` is one."""

    @property
    def name(self) -> str: ...
    @property
    def cost(self) -> Cost: ...
    @property
    def test(self) -> Score: ...


_MARKS = {"original": "o", "pruned": "s", "factorized": "D", "fine-tuned": "*"}


@styled
def plot_compression(stations: Sequence[Station], *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy at each station of a compression against what is left of operations and of parameters.

    Parameters
    ----------
    stations : sequence of Station
        The first is the network as it was; costs are shares of its own.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    SpecificationError
        If there are no stations.
    """
    if not stations:
        raise SpecificationError("there are no stations to draw")
    ax = axes(ax, (3.6, 2.6))
    accuracy = [s.test.accuracy for s in stations]
    first = stations[0].cost
    ax.axhline(accuracy[0], color=PALE, lw=0.8, zorder=0)
    for colour, costs in (
        (BLUE, [s.cost.macs / first.macs for s in stations]),
        (VERMILLION, [s.cost.parameters / first.parameters for s in stations]),
    ):
        ax.plot(costs, accuracy, "-", color=colour, lw=0.9, zorder=1)
        for x, y, station in zip(costs, accuracy, stations, strict=True):
            mark = _MARKS.get(station.name, "o")
            size = 8 if mark == "*" else 4.5
            ax.plot([x], [y], mark, color=colour, ms=size, mec="white", mew=0.5, zorder=2, clip_on=False)
    ax.set_xlim(0, 1.03)
    low, high = min(accuracy), max(accuracy)
    margin = max(0.1 * (high - low), 0.005)
    ax.set_ylim(max(0.0, low - margin), min(1.0, high + margin))
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None if high - low > 0.05 else 1, symbol=""))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel("left of the original (%)")
    ax.set_ylabel("test accuracy (%)")
    handles = [Line2D([], [], color=c, label=label) for c, label in ((BLUE, "operations"), (VERMILLION, "parameters"))]
    handles += [
        Line2D([], [], ls="none", marker=_MARKS.get(s.name, "o"), ms=5, color=GREY, label=s.name) for s in stations
    ]
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return ax
