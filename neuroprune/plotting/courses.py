"""Courses through age: measures against accepted intervals, living connections, eliminations by cause."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from neuroprune.datasets import Interval
from neuroprune.plotting.lives import measure_by_age
from neuroprune.plotting.style import (
    BLUE,
    PALE,
    age_axis,
    axes,
    cause_colours,
    cause_label,
    measure_axis,
    styled,
)

if TYPE_CHECKING:
    from neuroprune.record import Record


@styled
def plot_course(
    records: "Record | Sequence[Record]",
    measure: str,
    *,
    intervals: Sequence[Interval] = (),
    label: str | None = None,
    color: str = BLUE,
    legend: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Plot a measure by age: mean and standard deviation over records, each record, and accepted intervals.

    Parameters
    ----------
    records : Record or sequence of Record
        For example one for each seed.
    measure : str
        A name in ``record.measures()``.
    intervals : sequence of Interval
        Drawn as bars where they are intervals of this measure. Their label says what they rest on.
    label : str, optional
        Of the mean, in the legend; the number of seeds by default.
    color : str
    legend : bool
        Whether to draw the legend; the artists have their labels in any case.
    ax : Axes, optional
        Drawn into; otherwise a new figure is made.

    Returns
    -------
    Axes

    Raises
    ------
    SpecificationError
        If there is no record, a record lacks the measure, or they share no age.

    Notes
    -----
    The standard deviation is that of the sample (n - 1).
    """
    records = list(records) if isinstance(records, Sequence) else [records]
    ages, values = measure_by_age(records, measure)
    ax = axes(ax)
    _draw_intervals(ax, [i for i in intervals if i.measure == measure])
    several = len(records) > 1
    if several:
        ax.plot(ages, values.T, color=color, lw=0.5, alpha=0.35, zorder=2)
    ax.errorbar(
        ages,
        values.mean(axis=0),
        values.std(axis=0, ddof=1) if several else None,
        color=color,
        marker="o",
        capsize=2,
        elinewidth=1,
        zorder=3,
        label=label or (f"mean ± SD of {len(records)} seeds" if several else f"seed {records[0].seed}"),
    )
    age_axis(ax, ages[0], ages[-1])
    if np.nanmin(values) >= 0:
        ax.set_ylim(bottom=0)
    measure_axis(ax, measure)
    if legend:
        ax.legend(handlelength=1.2)
    return ax


def _draw_intervals(ax: Axes, intervals: Sequence[Interval]) -> None:
    """Draw intervals as bars, one label for each confidence that they are held with."""
    for confidence in dict.fromkeys(i.confidence for i in intervals):
        alike = [i for i in intervals if i.confidence == confidence]
        kinds = ", ".join(dict.fromkeys(i.kind for i in alike))
        basis = "read" if confidence == "read" else f"recalled, {confidence}\nconfidence"
        ax.bar(
            [i.age for i in alike],
            [i.high - i.low for i in alike],
            bottom=[i.low for i in alike],
            width=0.8,
            color=PALE if confidence in ("read", "high", "medium") else "none",
            edgecolor=PALE,
            hatch=None if confidence in ("read", "high", "medium") else "/////",
            zorder=1,
            label=f"accepted interval\n({basis}; {kinds})",
        )


@styled
def plot_living(
    records: "Record | Sequence[Record]",
    *,
    color: str = BLUE,
    label: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the number of living connections by age, a line for each record.

    Parameters
    ----------
    records : Record or sequence of Record
    color : str
    label : str, optional
        In the legend; the number of seeds by default.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    records = list(records) if isinstance(records, Sequence) else [records]
    ax = axes(ax)
    for k, record in enumerate(records):
        living = record.development["living"].values
        ages = record.clock.start + record.clock.step * np.arange(len(living) + 1)
        name = label or (f"{len(records)} seeds" if len(records) > 1 else f"seed {record.seed}")
        at_start = int(record.tree.attrs["at_start"])
        ax.step(ages, [at_start, *living], where="pre", color=color, lw=1, label=name if k == 0 else None)
    age_axis(ax, records[0].clock.start, records[0].clock.stop)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("living connections")
    ax.legend()
    return ax


@styled
def plot_causes(record: "Record", *, ax: Axes | None = None) -> Axes:
    """Plot how many connections each cause has eliminated by each age.

    Parameters
    ----------
    record : Record
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = axes(ax)
    clock, connections = record.clock, record.connections
    steps = len(record.development["living"])
    ages = clock.start + clock.step * np.arange(steps + 1)
    for cause, color in cause_colours(record).items():
        of_cause = connections["cause"].values == record.causes.index(cause)
        gone = np.bincount(connections["death_step"].values[of_cause], minlength=steps)
        label = f"{cause_label(record, cause)}: {gone.sum()}"
        ax.step(ages, [0, *np.cumsum(gone)], where="pre", color=color, label=label)
    age_axis(ax, clock.start, clock.stop)
    ax.set_ylim(bottom=0, top=1.4 * max(1.0, ax.get_ylim()[1]))  # with room for the legend
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set_ylabel("eliminated connections")
    if record.causes:
        ax.legend(loc="upper left")
    return ax
