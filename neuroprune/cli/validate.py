"""``neuroprune validate``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.options import JsonOption, ModelArgument
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
        Path | None, typer.Option(metavar="PATH", help="Draw the scorecard, each mode in a file of its own.")
    ] = None,
) -> None:
    """Hold a model against published observations and print the scorecard.

    An observation holds when the mean over seeds is in the accepted interval, and at least 4 of 5 seeds are. The exit
    status is 0 when all rows hold that the model was fitted to or that are put in by assumption, in the default mode,
    and 1 when one fails. Predictions and the other modes are printed as they come and never change it.
    """
    from neuroprune.cli.progress import Overview
    from neuroprune.experiments import validate as hold_against

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
    figures = [] if figure is None else _draw(scorecard, figure)
    if as_json:
        _print_json(scorecard, figures)
    else:
        from neuroprune.cli.results import stdout_console
        from neuroprune.cli.scorecard import WIDTH, print_scorecard

        print_scorecard(scorecard, stdout_console(WIDTH))
        for path in figures:
            typer.echo(f"figure  {path}")
    if not scorecard.acceptable:
        raise typer.Exit(1)


def parse_rows(text: str) -> list[int]:
    """Return the numbers in a text such as ``"1-5,9"``.

    Raises
    ------
    SpecificationError
        If it is not of that form.

    Examples
    --------
    >>> parse_rows("1-3, 9")
    [1, 2, 3, 9]
    """
    rows: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise SpecificationError(f"--rows {text}: write numbers and ranges of rows like 1-5,9")
        rows += range(int(first), int(last or first) + 1)
    return rows


def _draw(scorecard: "Scorecard", path: Path) -> list[Path]:
    """Draw every mode; the default mode takes the name of the file as it is, the others add theirs."""
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    from neuroprune.plotting import plot_scorecard, save_figure

    paths = []
    for mode in scorecard.modes:
        figure = plot_scorecard(scorecard, mode=mode).get_figure(root=True)
        assert figure is not None
        paths.append(path if mode == scorecard.modes[0] else path.with_stem(f"{path.stem}-{mode}"))
        save_figure(figure, paths[-1])
    return paths


def _print_json(scorecard: "Scorecard", figures: list[Path]) -> None:
    import json

    content: dict[str, Any] = {**scorecard.as_dict(), "figures": [str(path) for path in figures]}
    typer.echo(json.dumps(content, indent=2, allow_nan=False))
