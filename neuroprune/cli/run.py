"""``neuroprune run``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.options import (
    ConditionOption,
    EngineOption,
    FromOption,
    JsonOption,
    ModelArgument,
    SetOption,
    ToOption,
)

if TYPE_CHECKING:
    from neuroprune.experiments import Run


def run(
    model: ModelArgument,
    sets: SetOption = None,
    conditions: ConditionOption = None,
    seed: Annotated[int, typer.Option(help="Seed of all that is random.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, metavar="K", help="Run K seeds, from --seed on.")] = 1,
    processes: Annotated[int, typer.Option(min=1, metavar="P", help="Seeds that run at a time.")] = 1,
    start: FromOption = None,
    stop: ToOption = None,
    out: Annotated[Path, typer.Option(help="Folder for records and figures.")] = Path("runs"),
    as_json: JsonOption = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from interrupted records in --out.")] = False,
    engine: Annotated[EngineOption, typer.Option(help="How Brian2 runs.")] = EngineOption.auto,
    no_figure: Annotated[bool, typer.Option("--no-figure", help="Draw no figure.")] = False,
) -> None:
    """Let a system develop and print how it went.

    Leaves a record and a figure in the folder --out.
    """
    from neuroprune.cli.progress import Reporter
    from neuroprune.experiments import run_seeds
    from neuroprune.experiments.overrides import parse_assignments

    loading: dict[str, Any] = {
        "conditions": conditions or (),
        "overrides": parse_assignments(sets or ()),
        "start": start,
        "stop": stop,
        "origin": "--set",
    }
    with Reporter() as reporter:
        runs = run_seeds(
            model,
            seeds=range(seed, seed + seeds),
            out=out,
            processes=min(processes, seeds),
            resume=resume,
            engine=engine.value,
            progress=reporter.step,
            say=reporter.say,
            **loading,
        )
    figures = [None if no_figure else _draw(finished) for finished in runs]
    if as_json:
        _print_json(runs, figures)
    else:
        _print_tables(runs, figures)


def _draw(finished: "Run") -> Path | None:
    if finished.path is None:
        return None
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    from neuroprune.plotting import plot_development, save_figure

    path = finished.path.with_suffix(".png")
    save_figure(plot_development(finished.record), path)
    return path


def _print_json(runs: "list[Run]", figures: list[Path | None]) -> None:
    import json

    from neuroprune.cli.results import describe_run, summarise

    described = [describe_run(r, figure) for r, figure in zip(runs, figures, strict=True)]
    if len(runs) == 1:
        content: dict[str, Any] = described[0]
    else:
        content = {"runs": described, "summary": summarise([d["ages"] for d in described])}
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def _print_tables(runs: "list[Run]", figures: list[Path | None]) -> None:
    from neuroprune.cli.results import describe_run, stdout_console, summarise, table_of

    console = stdout_console()
    described = [describe_run(r) for r in runs]
    first = described[0]
    seeds = f"seed {first['seed']}" if len(runs) == 1 else f"mean ± SD of {len(runs)} seeds"
    console.print(", ".join([first["experiment"] or first["system"], *first["conditions"], seeds]), markup=False)
    console.print()
    ages = [d["ages"] for d in described]
    console.print(table_of(ages[0] if len(runs) == 1 else summarise(ages)))
    console.print()
    for finished, figure in zip(runs, figures, strict=True):
        seconds = finished.seconds
        compiled = f"compiled in {seconds['compile']:.1f} s, " if seconds["compile"] else ""
        typer.echo(f"record  {finished.path}  ({compiled}ran in {seconds['run']:.1f} s)")
        if figure is not None:
            typer.echo(f"figure  {figure}")
