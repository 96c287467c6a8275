"""``neuroprune show``, ``models``, ``rules`` and ``config``: what there is, and what a run left."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.options import (
    ConditionOption,
    FromOption,
    JsonOption,
    ModelArgument,
    SetOption,
    ToOption,
)

if TYPE_CHECKING:
    from neuroprune.rules import Rule


def show(
    record: Annotated[Path, typer.Argument(metavar="RUN", help="Record that a run left (.nc).")],
    as_json: JsonOption = False,
) -> None:
    """Say what the record of a run holds.

    What was run, what became of the connections, and the measures by age.
    """
    import json

    from neuroprune.cli.results import describe_record, stdout_console, table_of
    from neuroprune.record import open_record

    opened = open_record(record)
    content: dict[str, Any] = {
        **describe_record(opened),
        "record": str(record),
        "connections": _fates(opened),
        "provenance": opened.identity["provenance"],
    }
    if as_json:
        typer.echo(json.dumps(content, indent=2, allow_nan=False))
        return
    console = stdout_console()
    console.print(repr(opened), markup=False)
    for key in ("experiment", "conditions", "connections", "provenance"):
        value = content[key]
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        elif isinstance(value, list):
            value = ", ".join(value) or "none"
        console.print(f"{key:12} {value}", markup=False, soft_wrap=True)
    console.print()
    console.print(table_of(content["ages"]))


def _fates(record: Any) -> dict[str, int]:
    """Return how many connections live, and how many each cause has eliminated."""
    cause = record.connections["cause"].values
    fates = {"alive": int((record.connections["death_step"].values < 0).sum())}
    return fates | {name: int((cause == code).sum()) for code, name in enumerate(record.causes)}


def models() -> None:
    """List the models and their conditions."""
    from rich.table import Table

    from neuroprune.cli.results import stdout_console
    from neuroprune.experiments import list_conditions, list_models
    from neuroprune.experiments.reading import read_document

    console = stdout_console()
    for name, path in list_models().items():
        console.print(name, style="bold", end="")
        console.print(f"  {read_document(path).description}".rstrip(), markup=False)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for condition in list_conditions(path).values():
            table.add_row("", condition.name, condition.description)
        console.print(table)


def rules() -> None:
    """List the pruning rules and their parameters.

    For each, the traces that it needs and produces.
    """
    from rich.table import Table

    from neuroprune.cli.results import stdout_console
    from neuroprune.rules import available_rules

    console = stdout_console()
    for key, rule in available_rules().items():
        console.print(key, style="bold", end="  ")
        console.print((rule.__doc__ or "").strip().splitlines()[0], markup=False)
        acts = [name for name, does in (("prunes", rule.prunes), ("forms", rule.forms)) if does]
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_row("", "acts", " and ".join(acts) or "changes weights or traces")
        table.add_row("", "needs", ", ".join(rule.requires) or "nothing")
        table.add_row("", "produces", ", ".join(rule.produces) or "nothing")
        for number, line in enumerate(_parameters(rule)):
            table.add_row("", "parameters" if number == 0 else "", line)
        console.print(table)
    console.print("Every rule also takes from, to (ages) and ramp (a duration).", markup=False)


def _parameters(rule: "type[Rule]") -> list[str]:
    from neuroprune.experiments.schema import default_of, describe, fields_of
    from neuroprune.rules import Rule

    common = fields_of(Rule)
    lines = []
    for key, field in fields_of(rule).items():
        if key not in common:
            default = "required" if field.is_required() else f"default {default_of(field)}"
            lines.append(f"{key}: {describe(field)} ({default})")
    return lines or ["none of its own"]


def config(
    model: ModelArgument,
    sets: SetOption = None,
    conditions: ConditionOption = None,
    start: FromOption = None,
    stop: ToOption = None,
    sources: Annotated[bool, typer.Option("--sources", help="Say where each value comes from.")] = False,
) -> None:
    """Print all parameters of an experiment.

    The output is TOML that `neuroprune run` accepts.
    """
    from neuroprune.experiments import load_experiment, write_toml
    from neuroprune.experiments.overrides import parse_assignments

    experiment = load_experiment(
        model,
        conditions=conditions or (),
        overrides=parse_assignments(sets or ()),
        start=start,
        stop=stop,
        origin="--set",
    )
    typer.echo(write_toml(experiment, sources=sources), nl=False)
