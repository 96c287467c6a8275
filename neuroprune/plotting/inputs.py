"""Inputs one by one: their strengths through age, and the fate of every input of some cells."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from neuroprune.core.clock import format_age
from neuroprune.core.errors import SpecificationError
from neuroprune.plotting.lives import Strengths
from neuroprune.plotting.style import (
    OTHER,
    WINNER,
    age_axis,
    axes,
    cause_colours,
    cause_label,
    strength_label,
    styled,
)
from neuroprune.record import strongest_inputs

if TYPE_CHECKING:
    from neuroprune.record import Record


@styled
def plot_strengths(record: "Record", *, most: int = 1000, ax: Axes | None = None) -> Axes:
    """Plot the strength of every input by age, winners apart from the others, and the median of each.

    Parameters
    ----------
    record : Record
    most : int
        Draw no more lines than this, evenly chosen by id; the medians are of all inputs.
    ax : Axes, optional

    Returns
    -------
    Axes

    Notes
    -----
    The winner of a cell is its strongest input at the last recorded age. The median of the others is taken
    over those that live at each age, so that it is of fewer and fewer.
    """
    ax = axes(ax)
    strengths = Strengths.of(record)
    n = strengths.weight.shape[1]
    wins = np.zeros(n, bool)
    wins[strongest_inputs(record)] = True
    last = format_age(record.ages[-1])
    for chosen, color, alpha, name in (
        (~wins, OTHER, 0.4, "other inputs"),
        (wins, WINNER, 0.25, f"strongest input at {last}"),
    ):
        drawn = np.flatnonzero(chosen)
        drawn = drawn[:: max(1, -(-n // most))]
        lines = [np.column_stack(strengths.course(int(i))) for i in drawn]
        # Hundreds of faint lines are a picture: as vectors they would make the file large and slow.
        ax.add_collection(LineCollection(lines, colors=color, linewidths=0.4, alpha=alpha, rasterized=True))
        living = np.flatnonzero((~np.isnan(strengths.weight[:, chosen])).any(axis=1))
        medians = np.nanmedian(strengths.weight[np.ix_(living, chosen)], axis=1) if len(living) else []
        ax.plot(strengths.ages[living], medians, color=color, marker="o", label=name, zorder=3)
    positive = strengths.weight[strengths.weight > 0]
    ax.set_yscale("log")
    if len(positive):
        low, high = positive.min(), positive.max()
        ax.set_ylim(0.8 * low, high * max(4.0, (high / low) ** 0.65))  # with room for the legend
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    age_axis(ax, record.ages[0], record.ages[-1])
    ax.set_ylabel(strength_label(record))
    ax.legend(loc="upper left", title="medians of the living\n(thin: every input)", alignment="left")
    if n > most:
        ax.set_title(f"lines: 1 in {-(-n // most)} of {n:,} inputs", loc="right", fontsize=7)
    return ax


def example_cells(record: "Record", number: int = 4, *, table: int = 0) -> list[int]:
    """Return the cells whose inputs met the greatest variety of fates, the lowest numbers first among equals.

    Parameters
    ----------
    record : Record
    number : int
    table : int
        Which of the record's tables.

    Returns
    -------
    list of int
        Numbers of cells (rows of the table), ascending.
    """
    connections = record.connections
    inside = connections["table"].values == table
    post, cause = connections["post"].values[inside], connections["cause"].values[inside]
    cells, index = np.unique(post, return_inverse=True)
    fates = np.zeros((len(cells), len(record.causes) + 1), bool)
    fates[index, cause + 1] = True
    order = np.lexsort((cells, -fates.sum(axis=1)))
    return sorted(cells[order[:number]].tolist())


@styled
def plot_fates(
    record: "Record",
    cells: Sequence[int] | None = None,
    *,
    table: int = 0,
    agent: str = "microglial cell",
    ax: Axes | None = None,
) -> Axes:
    """Plot the fate of every input of some cells: its life through age, its strength, and what ended it.

    Parameters
    ----------
    record : Record
    cells : sequence of int, optional
        Numbers of postsynaptic cells; by default those of :func:`example_cells`.
    table : int
        Which of the record's tables the cells are rows of.
    agent : str
        What the agents of eliminations are: what one of them ended has a square with its number.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    SpecificationError
        If a cell never had an input.

    Notes
    -----
    The thickness of a line is proportional to strength, interpolated between recorded ages, and never less
    than a hair. The strongest input of a cell at the last recorded age is coloured.
    """
    ax = axes(ax, size=(7.2, 3.2))
    connections, strengths = record.connections, Strengths.of(record)
    inside, post = connections["table"].values == table, connections["post"].values
    cells = example_cells(record, table=table) if cells is None else list(cells)
    winners = strongest_inputs(record)
    lanes: list[tuple[int, float]] = []
    ticks: list[float] = []
    top = 0.0
    for cell in cells:
        inputs = np.flatnonzero(inside & (post == cell))
        if not len(inputs):
            raise SpecificationError(f"cell {cell} of table {table} never had an input: choose another one")
        # From the top: the winner first, then those that last longest.
        order = np.lexsort((inputs, -strengths.death[inputs], ~np.isin(inputs, winners)))
        lanes += [(int(i), top + k) for k, i in enumerate(inputs[order])]
        ticks.append(top + (len(inputs) - 1) / 2)
        top += len(inputs) + 0.8
    courses = {i: strengths.course(i) for i, _ in lanes}
    thickest = max((values.max() for _, values in courses.values() if len(values)), default=0.0) or 1.0
    for i, lane in lanes:
        ages, values = courses[i]
        color, half = WINNER if i in winners else OTHER, 0.46 * values / thickest
        ax.fill_between(ages, lane - half, lane + half, color=color, lw=0, zorder=2)
        ax.plot(ages, np.full(len(ages), lane), color=color, lw=0.8, solid_capstyle="butt", zorder=2)
    ends = _draw_ends(ax, record, lanes, agent)
    age_axis(ax, record.clock.start, record.ages[-1])
    ax.set_ylim(top - 0.8, -0.9)
    ax.set_yticks(ticks, [f"cell {c}" for c in cells])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    handles = [
        Line2D([], [], color=WINNER, lw=4, label=f"strongest input at {format_age(record.ages[-1])}"),
        Line2D([], [], color=OTHER, lw=2, label="other input"),
        *ends,
        Line2D([], [], ls="", label=f"thickness: {strength_label(record)}\n(thickest: {thickest:g})"),
    ]
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _draw_ends(ax: Axes, record: "Record", lanes: Sequence[tuple[int, float]], agent: str) -> list[Line2D]:
    """Mark what ended the inputs (connection, lane), number the agents, and return handles for a legend."""
    death, colours = record.death_age(), cause_colours(record)
    cause, who = record.connections["cause"].values, record.connections["agent"].values
    ended = [(i, lane) for i, lane in lanes if np.isfinite(death[i])]
    handles = []
    for name, color in colours.items():
        for by_agent, marker in ((False, "o"), (True, "s")):
            mine = [(i, y) for i, y in ended if record.causes[cause[i]] == name and (who[i] >= 0) == by_agent]
            if mine:
                label = f"ended by {cause_label(record, name)}" + (f"\n(number: {agent})" if by_agent else "")
                at = [death[i] for i, _ in mine], [y for _, y in mine]
                handles += ax.plot(*at, marker=marker, color=color, ls="", zorder=4, label=label)
    for i, lane in ended:
        if who[i] >= 0:
            beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": 6}
            ax.annotate(str(who[i]), (death[i], lane), **beside)
    return handles
