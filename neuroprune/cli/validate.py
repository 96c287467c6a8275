"""``neuroprune validate``."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.options import JsonOption, ModelArgument, check_figure
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    from neuroprune.experiments import Scorecard


def validate(
    model: ModelArgument,
    seeds: Annotated[int, typer.Option(min=1, metavar="K", help="Make every run with the seeds 1 to K.")] = 5,
    rows: Annotated[str | None, typer.Option(metavar="ROWS", help="Only these rows, such as 1-5,9.")] = None,
    modes: Annotated[str | None, typer.Option(metavar="MODES", help="Only these modes, with commas between.")] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, metavar="P", help="Runs that are made at a time.  [default: one per CPU]")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for records; what fits there is not run again.")] = Path(
        "runs/validate"
    ),
    fresh: Annotated[bool, typer.Option("--fresh", help="Make all runs anew.")] = False,
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Draw the scorecard (.png, .svg, .pdf), each mode in a file of its own."),
    ] = None,
) -> None:
    """Hold a model against published observations and print the scorecard.

    An observation holds when the mean over seeds is in the accepted interval, and at least 4 of 5 seeds are. The exit
    status is 0 when all rows hold that the model was fitted to or that are put in by assumption, in the default mode,
    and 1 when one fails. Predictions and the other modes are printed as they come and never change it.
    """
    from neuroprune.cli.progress import Overview
    from neuroprune.experiments import validate as hold_against

    check_figure(figure)
    with Overview() as overview:
        scorecard = hold_against(
            model,
            seeds=range(1, seeds + 1),
            rows=None if rows is None else parse_rows(rows),
            modes=None if modes is None else [mode.strip() for mode in modes.split(",")],
            out=out,
            processes=processes or os.cpu_count() or 1,
            fresh=fresh,
            progress=overview.step,
            say=overview.say,
        )
    figures = {} if figure is None else _name_figures(scorecard.modes, figure)
    if as_json:
        _print_json(scorecard, figures)
    else:
        from neuroprune.cli.results import stdout_console
        from neuroprune.cli.scorecard import WIDTH, print_scorecard

        print_scorecard(scorecard, stdout_console(WIDTH))
    for mode, path in figures.items():
        _draw(scorecard, mode, path)
        if not as_json:
            typer.echo(f"figure  {path}")
    if not scorecard.acceptable:
        raise typer.Exit(1)


_ROWS = re.compile(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", re.ASCII)
"""A number, or a range of numbers."""


def parse_rows(text: str) -> Iterator[int]:
    """Return the numbers in a text such as ``"1-5,9"``, one by one: a range may be longer than memory.

    Raises
    ------
    SpecificationError
        If it is not of that form.

    Examples
    --------
    >>> list(parse_rows("1-3, 9"))
    [1, 2, 3, 9]
    """
    ranges = []
    for part in text.split(","):
        match = _ROWS.fullmatch(part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise SpecificationError(f"--rows {text}: write numbers and ranges of rows like 1-5,9")
        ranges.append(range(int(match[1]), int(match[2] or match[1]) + 1))
    return chain.from_iterable(ranges)


def _name_figures(modes: Sequence[str], path: Path) -> dict[str, Path]:
    """Return the file of each mode: the default mode takes the name as it is, the others add theirs."""
    default, *others = modes
    return {default: path, **{mode: path.with_stem(f"{path.stem}-{mode}") for mode in others}}


def _draw(scorecard: "Scorecard", mode: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    from neuroprune.plotting import plot_scorecard, save_figure

    figure = plot_scorecard(scorecard, mode=mode).get_figure(root=True)
    assert figure is not None
    save_figure(figure, path)


def _print_json(scorecard: "Scorecard", figures: Mapping[str, Path]) -> None:
    import json

    content: dict[str, Any] = {**scorecard.as_dict(), "figures": [str(path) for path in figures.values()]}
    typer.echo(json.dumps(content, indent=2, allow_nan=False))
