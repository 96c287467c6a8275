"""The typer application: commands, exit statuses and what errors look like.

Exit status 0 is success, 1 a failure, 2 a request that makes no sense, 130 an interrupt.
"""

import shlex
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from neuroprune._version import __version__
from neuroprune.cli import (
    analyze,
    compare,
    compare_em,
    compress,
    critical,
    doctor,
    heads,
    inspect,
    roofline,
    run,
    sparse_fit,
    validate,
)
from neuroprune.core.errors import NeuropruneError, SpecificationError


class _Group(TyperGroup):
    """Commands whose expected failures are one line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SpecificationError as error:
            _fail(error, 2)
        except (NeuropruneError, OSError) as error:
            if isinstance(error, BrokenPipeError):  # as in `neuroprune rules | head`
                raise
            _fail(error, 1)
        except KeyboardInterrupt:
            arguments = [a for a in sys.argv[1:] if a not in ("--resume", "--fresh")]
            hint = ""
            if arguments[:1] in (["run"], ["validate"]):
                resume = ["--resume"] if arguments[0] == "run" else []
                hint = f"; go on with: {shlex.join(['neuroprune', *arguments, *resume])}"
            typer.echo(f"interrupted{hint}", err=True)
            raise typer.Exit(130) from None


def _fail(error: Exception, status: int) -> None:
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    typer.echo(f"error: {text}", err=True)
    raise typer.Exit(status) from None


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What pruning does to a network, in a growing brain and in an artificial one.",
)
app.command("run")(run.run)
app.command("show")(inspect.show)
app.command("analyze")(analyze.analyze)
app.command("compare")(compare.compare)
app.command("compare-em")(compare_em.compare_em)
app.command("compress")(compress.compress)
app.command("critical")(critical.critical)
app.command("heads")(heads.heads)
app.command("roofline")(roofline.roofline)
app.command("sparse-fit")(sparse_fit.sparse_fit)
app.command("validate")(validate.validate)
app.command("models")(inspect.models)
app.command("rules")(inspect.rules)
app.command("config")(inspect.config)
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"neuroprune {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the whole program."""


def main() -> None:
    """Run the command line."""
    app(prog_name="neuroprune")
