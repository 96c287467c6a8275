"""One figure of how a network developed: the course of its wiring, strengths, and the fates of inputs."""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from neuroprune.core.clock import format_age
from neuroprune.datasets import climbing_fibre_course
from neuroprune.plotting.courses import plot_causes, plot_course, plot_living
from neuroprune.plotting.inputs import plot_fates, plot_strengths
from neuroprune.plotting.style import styled

if TYPE_CHECKING:
    from neuroprune.record import Record

COURSES = ("climbing_fibres_per_cell", "mono_innervated")


@styled
def plot_development(records: "Record | Sequence[Record]", *, cells: Sequence[int] | None = None) -> Figure:
    """Draw how a network developed: four panels on one page.

    Parameters
    ----------
    records : Record or sequence of Record
        Several seeds of one experiment give the means of panels A and B; C and D are of the first.
    cells : sequence of int, optional
        Cells of panel D; by default those of :func:`example_cells`.

    Returns
    -------
    Figure

    Notes
    -----
    A and B are inputs per cell and the share of mono-innervated cells, with accepted intervals; C the
    strengths of all inputs; D the fate of every input of some cells. Records of systems that do not measure
    climbing fibres get living connections and eliminations by cause as A and B, and the figure says so.
    """
    records = list(records) if isinstance(records, Sequence) else [records]
    first = records[0]
    figure = plt.figure(figsize=(7.2, 6.0))
    # Apart, so that the legend beside D does not narrow A to C.
    rows = figure.add_gridspec(2, 1, height_ratios=[1, 1.2])
    panels: dict[str, Axes] = figure.add_subfigure(rows[0]).subplot_mosaic("ABC")
    panels["D"] = figure.add_subfigure(rows[1]).subplots()
    for letter, ax in panels.items():
        _letter(ax, str(letter))
    notes = []
    if all(measure in record.measures() for measure in COURSES for record in records):
        for letter, measure in zip("AB", COURSES, strict=True):
            plot_course(records, measure, intervals=climbing_fibre_course(), legend=letter == "A", ax=panels[letter])
        if any(_conditions(record) for record in records):
            notes.append("Accepted intervals are those of the wild type.")
    else:
        plot_living(records, ax=panels["A"])
        plot_causes(first, ax=panels["B"])
        missing = " and ".join(m.replace("_", " ") for m in COURSES if any(m not in r.measures() for r in records))
        notes.append(f"Not measured in this record: {missing}. A: living connections instead; B: eliminations.")
    plot_strengths(first, ax=panels["C"])
    plot_fates(first, cells, ax=panels["D"])
    if cells is None:
        notes.append("Cells of D are chosen for the variety of their fates.")
    lines = [_caption(records), *wrap(" ".join(notes), 130)]
    figure.suptitle("\n".join(lines), fontsize=7)
    return figure


def _letter(ax: Axes, letter: str) -> None:
    """Put a bold letter at the upper left corner of a panel, outside of it."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    outside = ax.transAxes + ScaledTranslation(-30 / 72, 6 / 72, figure.dpi_scale_trans)
    ax.text(0, 1, letter, transform=outside, fontsize=10, fontweight="bold", va="bottom")


def _caption(records: Sequence["Record"]) -> str:
    first = records[0]
    seeds = ", ".join(str(record.seed) for record in records)
    pairs = zip(*(first.connections[key].values.tolist() for key in ("table", "post")), strict=True)
    parts = [
        ", ".join(dict.fromkeys([first.system, *(c for record in records for c in _conditions(record))])),
        f"seeds {seeds} (C and D: seed {first.seed})" if len(records) > 1 else f"seed {seeds}",
        f"{len(set(pairs)):,} cells",
        f"{format_age(first.clock.start)} to {format_age(first.ages[-1])}",
    ]
    interrupted = [str(record.seed) for record in records if not record.complete]
    if interrupted:
        parts.append(f"interrupted: seed {', '.join(interrupted)}")
    return "; ".join(parts)


def _conditions(record: "Record") -> list[str]:
    """Return the conditions put on the experiment that a record is of."""
    return record.identity["config"].get("conditions", [])
