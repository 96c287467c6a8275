"""A scorecard as a figure: where the runs of a model lie in the accepted interval of each observation."""

import math
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from neuroprune.plotting.style import BLUE, GREY, PALE, VERMILLION, axes, styled

LOW, HIGH = -1.0, 2.0
"""Ends of the axis, in widths of the accepted interval, which is from 0 to 1."""
_OUTSIDE = 0.06
"""How far beyond the ends the arrows are."""
_LINE = 0.25
"""Height of a line in inches."""
_BELOW = 0.5
"""How far under the axis the legend is, in inches."""
_LETTERS = 70
"""Of what is reported, so that it fits beside the axis in a figure 7.2 inches wide."""


class Observed(Protocol):
    """What is drawn of an observation."""

    @property
    def name(self) -> str: ...
    @property
    def row(self) -> int: ...
    @property
    def says(self) -> str: ...
    @property
    def setting(self) -> str: ...
    @property
    def when(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def interval(self) -> tuple[float, float]: ...


class Judged(Protocol):
    """What is drawn of an observation and the values that runs gave."""

    @property
    def observation(self) -> Observed: ...
    @property
    def values(self) -> tuple[float, ...]: ...
    @property
    def mean(self) -> float: ...
    @property
    def inside(self) -> int: ...
    @property
    def undefined(self) -> int: ...
    @property
    def holds(self) -> bool: ...


class Row(Protocol):
    """Observations that belong together."""

    @property
    def judgements(self) -> Sequence[Judged]: ...


class Scorecard(Protocol):
    """What is drawn; :class:`neuroprune.experiments.Scorecard` is one."""

    @property
    def model(self) -> str: ...
    @property
    def seeds(self) -> Sequence[int]: ...
    @property
    def modes(self) -> Sequence[str]: ...
    def rows(self, mode: str | None = None) -> Sequence[Row]: ...
    def counts(self, mode: str | None = None) -> Mapping[str, Any]: ...


@styled
def plot_scorecard(scorecard: Scorecard, *, mode: str | None = None, ax: Axes | None = None) -> Axes:
    """Draw a scorecard: a line for each observation, on a common axis of accepted intervals.

    Parameters
    ----------
    scorecard : Scorecard
        Of :func:`neuroprune.experiments.validate`.
    mode : str, optional
        The default mode if none is named.
    ax : Axes, optional
        Drawn into; otherwise a new figure is made, as high as there are lines. Labels are left of it.

    Returns
    -------
    Axes

    Notes
    -----
    The accepted interval of each line is scaled to 0 .. 1. An interval that is open on one side is scaled by the
    absolute value of its bound, or by the largest value if the bound is 0. Values that lie further away than the width
    of the interval are arrows at the edge, and a mean that does is drawn at the edge.
    """
    judged = [j for row in scorecard.rows(mode) for j in row.judgements]
    ax = axes(ax, (7.2, _LINE * len(judged) + 1.1))
    for y, judgement in enumerate(judged):
        _draw(ax, y, judgement)
        if y and judgement.observation.row != judged[y - 1].observation.row:
            ax.axhline(y - 0.5, color=PALE, lw=0.5, zorder=0)
    ax.set_xlim(LOW - 0.1, HIGH + 0.1)
    ax.set_ylim(len(judged) - 0.5, -0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xticks([LOW, 0, 1, HIGH], ["–1", "lower\nbound", "upper\nbound", "2"])
    ax.set_xlabel("value, in widths of the accepted interval")
    counts = scorecard.counts(mode)
    holding = ", ".join(f"{kind} {t.holding} of {t.total}" for kind, t in counts.items() if t.total and kind != "all")
    title = f"{scorecard.model}, mode {mode or scorecard.modes[0]}, {len(scorecard.seeds)} seeds. Holding: {holding}.\n"
    title += "F fitted, A assumed, P predicted, and in how many seeds the value is accepted"
    ax.set_title(title, loc="right", fontsize=7)
    figure = ax.get_figure(root=True)
    assert figure is not None
    below = ax.transAxes + ScaledTranslation(0, -_BELOW, figure.dpi_scale_trans)
    ax.legend(handles=_legend(), loc="upper right", bbox_to_anchor=(1, 0), bbox_transform=below, ncols=5)
    return ax


def _legend() -> list[Any]:
    def mark(label: str, **style: Any) -> Line2D:
        return Line2D([], [], ls="none", label=label, **style)

    return [
        Patch(color=PALE, label="accepted"),
        mark("a seed", marker="o", ms=2.5, color=GREY),
        mark("mean, holds", marker="o", ms=5, color=BLUE),
        mark("mean, fails", marker="X", ms=5.5, color=VERMILLION),
        mark("a seed further away", marker=">", ms=3.5, color=GREY),
    ]


def _draw(ax: Axes, y: int, judgement: Judged) -> None:
    o, colour = judgement.observation, BLUE if judgement.holds else VERMILLION
    beside = ax.get_yaxis_transform()
    ax.text(-0.02, y - 0.02, f"{o.name}  {shorten(o.says, _LETTERS, placeholder=' …')}", transform=beside, **_TEXT)
    below = {**_TEXT, "va": "top", "color": GREY, "fontsize": 5.5}
    ax.text(
        -0.02, y + 0.02, shorten(f"{o.setting}, {o.when}", _LETTERS + 8, placeholder=" …"), transform=beside, **below
    )
    right = f"{o.kind[0].upper()}  {judgement.inside}/{len(judgement.values)}"
    ax.text(1.01, y, right, transform=beside, ha="left", va="center", fontsize=6.5, color=colour)
    scale = _scale(o.interval, judgement.values)
    low, high = (min(HIGH + 0.1, max(LOW - 0.1, scale(bound))) for bound in o.interval)
    ax.barh(y, high - low, left=low, height=0.6, color=PALE, edgecolor=PALE, lw=0.8, zorder=1)
    if judgement.undefined:
        ax.text(HIGH, y, f"undefined in {judgement.undefined}", ha="right", va="center", fontsize=6, color=colour)
    for value in map(scale, judgement.values):
        arrow = "<" if value < LOW else ">" if value > HIGH else None
        at = value if arrow is None else LOW - _OUTSIDE if arrow == "<" else HIGH + _OUTSIDE
        ax.plot([at], [y], arrow or "o", ms=3.5 if arrow else 2.5, color=GREY, zorder=2, clip_on=False)
    mean, style = float(np.clip(scale(judgement.mean), LOW, HIGH)), {"color": colour, "mec": "white", "mew": 0.4}
    marker, size = ("o", 5.0) if judgement.holds else ("X", 5.5)
    ax.plot([mean], [y], marker, ms=size, zorder=3, clip_on=False, **style)


_TEXT: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 6.5}


def _scale(interval: tuple[float, float], values: Sequence[float]) -> Any:
    """Return the function that takes the accepted interval to 0 .. 1."""
    low, high = interval
    width = high - low
    if not 0 < width < math.inf:
        bound = low if math.isfinite(low) else high
        largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
        width = abs(bound) or largest or 1.0
    return (lambda v: (v - low) / width) if math.isfinite(low) else (lambda v: 1 + (v - high) / width)
