"""``neuroprune compare-em``: synapses per connected pair of a run beside those of a reconstruction."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuroprune.cli.options import JsonOption, check_figure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from neuroprune.experiments import PairSizeComparison
    from neuroprune.experiments.em import PairSizes


def compare_em(
    record: Annotated[Path, typer.Argument(metavar="RUN", help="Record that a run left (.nc).")],
    matrix: Annotated[
        str,
        typer.Argument(
            metavar="MATRIX",
            help="CSV with a row for each axon, a column for each Purkinje cell and counts of synapses, with or "
            "without labels; or p3 or p7, those of Wilson et al. (2019), which come with the package.",
        ),
    ],
    age: Annotated[str, typer.Option("--age", metavar="AGE", help="Recorded age of the run, such as P7.")],
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Draw both distributions (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Compare synapses per connected pair with counts from electron microscopy.

    Counts are pooled over connected pairs. Pairs on one cell, or of one axon, are not independent, so p of the
    Kolmogorov-Smirnov statistic is descriptive: it is no test of the model.
    """
    import json

    from neuroprune.core.clock import format_age
    from neuroprune.experiments import compare_pair_sizes, read_connectivity
    from neuroprune.record import open_record

    check_figure(figure)
    found = compare_pair_sizes(open_record(record), read_connectivity(matrix), age)
    sides = {f"model {format_age(found.age)}": found.model, f"data {Path(matrix).name}": found.data}
    if as_json:
        files = {"record": str(record), "matrix": matrix, "figure": None if figure is None else str(figure)}
        typer.echo(json.dumps({**found.to_dict(), **files}, indent=2, allow_nan=False))
    else:
        _print(found, sides)
    if figure is not None:
        from neuroprune.plotting import plot_pair_sizes, save_figure

        ax = plot_pair_sizes({label: sizes.values for label, sizes in sides.items()})
        save_figure(ax.figure, figure)  # type: ignore[arg-type]
        if not as_json:
            typer.echo(f"figure  {figure}")


def _print(found: "PairSizeComparison", sides: "Mapping[str, PairSizes]") -> None:
    """Print a table with a column for each side, and the distances between them."""
    import math

    from rich.table import Table

    from neuroprune.cli.results import stdout_console

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("synapses per connected pair", no_wrap=True)
    for label in sides:
        table.add_column(label, justify="right")
    samples = list(sides.values())
    table.add_row("pairs", *(f"{sizes.pairs:,}" for sizes in samples))
    table.add_row("mean", *(f"{sizes.mean:.2f}" for sizes in samples))
    table.add_row("SD", *("–" if math.isnan(sizes.sd) else f"{sizes.sd:.2f}" for sizes in samples))
    for name in found.data.quantiles:
        table.add_row(f"quantile {name}", *(f"{sizes.quantiles[name]:.3g}" for sizes in samples))
    table.add_row("largest", *(f"{sizes.max:g}" for sizes in samples))
    console = stdout_console()
    console.print(table)
    console.print()
    note = "descriptive: pairs on a cell are not independent"
    console.print(f"Kolmogorov-Smirnov  {found.ks:.3f}  (p = {found.ks_p:.2g}, {note})")
    console.print(f"Wasserstein         {found.wasserstein:.2f} synapses")
    axons, cells = found.shape
    console.print(f"data                {axons} axons x {cells} cells")
