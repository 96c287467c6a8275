"""A scorecard as text: a table for each mode, why what fails fails, and counts."""

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from neuroprune.cli.results import decimals_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from neuroprune.experiments import Judgement, Observation, Scorecard

WIDTH = 140
"""Columns of a table in a file."""
_LEAST_WIDTH = 110
"""Columns below which texts would be cut off: a narrower terminal breaks the lines instead."""


def print_scorecard(scorecard: "Scorecard", console: "Console") -> None:
    """Print a scorecard."""
    console.width = max(console.width, _LEAST_WIDTH)
    seeds = f"{len(scorecard.seeds)} seed{'s' if len(scorecard.seeds) > 1 else ''}"
    console.print(f"{scorecard.model}, mean ± SD of {seeds}, neuroprune {scorecard.version}", markup=False)
    sources = list(dict.fromkeys(j.observation.source for j in scorecard.judged()))
    several = len(scorecard.modes) > 1
    for number, mode in enumerate(scorecard.modes):
        default = " (default)" if several and number == 0 else ""
        console.print(f"\nmode {mode}{default}", style="bold", markup=False)
        console.print(table_of(scorecard, mode, sources))
        failing = [j for j in scorecard.judged(mode) if not j.holds]
        if number == 0:
            _print_reasons(failing, console)
        elif failing:
            console.print(f"\nfails: {', '.join(j.observation.name for j in failing)}", markup=False)
    console.print("\nsources", style="bold")
    for number, source in enumerate(sources, start=1):
        _print_indented(f"{number:2}  {source}", console)
    console.print()
    console.print(counts_of(scorecard))
    runs = f"{scorecard.runs_made} runs made, {scorecard.runs_reused} found complete"
    console.print(f"\n{runs}, {scorecard.seconds:.0f} s", markup=False)


def _print_reasons(failing: "list[Judgement]", console: "Console") -> None:
    for judgement in failing:
        o = judgement.observation
        console.print(f"\n{o.name} fails ({o.kind}): {o.says}", markup=False)
        if o.why:
            _print_indented(f"    {' '.join(o.why.split())}", console)


def _print_indented(text: str, console: "Console") -> None:
    """Print a paragraph whose lines start below the fifth letter of the first."""
    for line in wrap(text, console.width, subsequent_indent="    "):
        console.print(line, markup=False)


def table_of(scorecard: "Scorecard", mode: str, sources: Sequence[str]) -> "Table":
    """Return the table of a mode, with a line for each observation and the place of its source among `sources`."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold", expand=True)
    table.add_column("row", no_wrap=True)
    table.add_column("what is reported", ratio=5)
    table.add_column("condition", ratio=3)
    table.add_column("age", max_width=9)
    for name in ("model", "accepted", "seeds", "verdict", "kind"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("model", "seeds") else "left")
    table.add_column("source", no_wrap=True)
    for row in scorecard.rows(mode):
        for judgement in row.judgements:
            o = judgement.observation
            holds = judgement.holds
            table.add_row(
                o.name,
                Text(o.says),
                Text(o.setting),
                o.when,
                mean_of(judgement),
                accepted_by(o),
                f"{judgement.inside}/{len(judgement.values)}",
                Text("holds" if holds else "FAILS", style="green" if holds else "bold red"),
                o.kind,
                Text(f"{sources.index(o.source) + 1} ({o.confidence})"),
            )
    return table


def counts_of(scorecard: "Scorecard") -> "Table":
    """Return the table of how many observations and rows hold, by kind and mode."""
    from rich.table import Table

    counts = {mode: scorecard.counts(mode) for mode in scorecard.modes}
    kinds = [kind for kind, tally in counts[scorecard.modes[0]].items() if tally.total]
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    table.add_column("holding: observations (rows)", no_wrap=True)
    for kind in kinds:
        table.add_column(kind, justify="right", no_wrap=True)
    for mode, by_kind in counts.items():
        tallies = [by_kind[kind] for kind in kinds]
        table.add_row(mode, *(f"{t.holding}/{t.total} ({t.rows_holding}/{t.rows})" for t in tallies))
    return table


def mean_of(judgement: "Judgement") -> str:
    """Return mean and SD in the unit of :func:`accepted_by`."""
    if judgement.undefined:
        return f"undefined in {judgement.undefined}"
    o = judgement.observation
    factor = 100.0 if o.is_share else 1.0
    # The largest step against a rise, turned round, is the smallest rise.
    mean, sd = factor * judgement.mean * (-1 if o.compare == "rising" else 1), factor * judgement.sd
    decimals = decimals_of(abs(mean), percent=o.is_share)
    sign = "+" if o.compare == "difference" or o.is_course else ""
    spread = "" if math.isnan(sd) else f" ± {sd:.{decimals}f}"
    return f"{mean:{sign}.{decimals}f}{spread}"


def accepted_by(observation: "Observation") -> str:
    """Return what is accepted: shares in percent, their differences in percentage points."""
    if observation.is_course:
        return f"always {observation.compare}"
    factor = 100.0 if observation.is_share else 1.0
    low, high = (factor * bound for bound in observation.interval)
    if math.isinf(high):
        text = f"≥ {low:.6g}"
    elif math.isinf(low):
        text = f"≤ {high:.6g}"
    else:
        text = f"{low:.6g} to {high:.6g}"
    unit = " pts" if observation.compare == "difference" else " %"
    return text + unit * observation.is_share
