"""Arguments that several commands share."""

from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated

import typer

from neuroprune.core.errors import SpecificationError

ModelArgument = Annotated[
    str, typer.Argument(metavar="SYSTEM|FILE", help="A model (see `neuroprune models`) or a TOML file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a parameter, e.g. rules.tag.threshold=0.2."),
]
ConditionOption = Annotated[
    list[str] | None, typer.Option("--condition", metavar="NAME", help="Put a condition on; may be repeated.")
]
FromOption = Annotated[str | None, typer.Option("--from", metavar="AGE", help="First age, such as P3.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="AGE", help="Last age, such as P21.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]


def check_figure(path: Path | None) -> None:
    """Make sure, before anything is computed, that a figure can be written to a file of this name.

    Nothing is left behind: folders are made when the figure is saved.

    Raises
    ------
    SpecificationError
        If its suffix is that of no format, or no file can be written there.
    """
    if path is None:
        return
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise SpecificationError(f"cannot draw {str(path)!r}: its name must end in .png, .svg or .pdf")
    check_place(path)


def check_place(path: Path) -> None:
    """Make sure that a file of this name can be written; nothing is left behind.

    Raises
    ------
    SpecificationError
        If it cannot.
    """
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    try:
        # Permissions do not tell: a disk may be read-only, and some folders take no files at all.
        with path.open("ab") if there == path else TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise SpecificationError(f"cannot write {str(path)!r}, because of {str(there)!r}: {error.strerror}") from None


def refuse(context: typer.Context, *names: str, because: str) -> None:
    """Make sure that options which would mean nothing here were not given.

    Raises
    ------
    SpecificationError
        If one of them was, whatever its value.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise SpecificationError(f"--{name.replace('_', '-')}: {because}")


class EngineOption(StrEnum):
    """How Brian2 runs."""

    auto = "auto"
    standalone = "standalone"
    runtime = "runtime"
