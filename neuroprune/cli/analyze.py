"""``neuroprune analyze``: the network science of one graph."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.options import JsonOption, check_figure
from neuroprune.core.errors import GraphError, SpecificationError

if TYPE_CHECKING:
    from neuroprune.netsci import Analysis, Graph


class MotifOption(StrEnum):
    """Nodes of the largest motifs."""

    three = "3"
    four = "4"


def analyze(
    graph: Annotated[
        str,
        typer.Argument(
            metavar="GRAPH|DATASET|RUN",
            help="A CSV with the columns source and target (also .gz), GraphML, a connectome "
            "(`neuroprune analyze list`), or the record of a run (.nc).",
        ),
    ],
    age: Annotated[str | None, typer.Option("--age", metavar="AGE", help="Age in a record, such as P12.")] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", metavar="COLUMN", help="Column of weights; without it edges are binary.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", metavar="W", help="Keep only edges with at least this weight.")
    ] = None,
    keep_isolated: Annotated[
        bool, typer.Option("--keep-isolated", help="Keep nodes that are left without an edge.")
    ] = False,
    undirected: Annotated[
        bool, typer.Option("--undirected", help="A CSV lists pairs without direction, each once.")
    ] = False,
    null: Annotated[
        str | None,
        typer.Option("--null", metavar="NAME", help="Null model: degree, degree+reciprocity, gnm, distance, weights."),
    ] = None,
    samples: Annotated[int, typer.Option("--samples", metavar="N", min=2, help="Samples of the null model.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", min=0, help="Seed of the samples.")] = 1,
    workers: Annotated[int, typer.Option("--workers", metavar="K", min=1, help="Threads; the result is the same.")] = 1,
    motifs: Annotated[MotifOption, typer.Option("--motifs", help="Count motifs of up to so many nodes.")] = (
        MotifOption.three
    ),
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="Draw it all on one page (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Measure a graph, and compare it with a null model.

    Sizes, reciprocity, clustering, paths and motifs; with --null, each with mean, SD, z and p of that model.
    """
    import json

    from neuroprune.cli.progress import sampling
    from neuroprune.netsci import NULLS
    from neuroprune.netsci import analyze as analyze_graph

    if graph == "list":
        _list_datasets()
        return
    if null is not None and null not in NULLS:
        raise SpecificationError(f"no null model {null!r}; there are {', '.join(NULLS)}")
    check_figure(figure)
    opened = _open(graph, age, weight, threshold, keep_isolated, undirected)
    if opened.n == 0:
        raise GraphError(
            f"no edges are left in {graph}: {opened.self_loops} self-loops were removed, and edges of weight 0 "
            "or below a threshold; --keep-isolated keeps their nodes"
        )
    with sampling(samples if null else 0) as done:
        found = analyze_graph(opened, null, samples, motifs=int(motifs), rng=seed, workers=workers, progress=done)
    if figure is not None:
        from neuroprune.plotting import plot_analysis, save_figure

        save_figure(plot_analysis(found), figure)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2, allow_nan=False))
    else:
        _print(graph, found, figure)


def _open(
    name: str,
    age: str | None,
    weight: str | None,
    threshold: float | None,
    keep_isolated: bool,
    undirected: bool,
) -> "Graph":
    """Open a file, a record or a connectome, as far as the options go with it."""
    from neuroprune.netsci import Graph

    path = Path(name)
    is_record = path.suffix == ".nc"
    if age is not None and not is_record:
        raise SpecificationError(f"--age {age} needs the record of a run (.nc), not {name}")
    if path.is_file() and not is_record and path.suffix != ".graphml":
        return Graph.read_csv(path, weight, threshold=threshold, keep_isolated=keep_isolated, directed=not undirected)
    if undirected:
        raise SpecificationError("--undirected says how to read a CSV; other graphs know whether they are directed")
    opened = _open_whole(path, name, age, weight, threshold is not None)
    if threshold is not None:
        opened = opened.threshold(threshold)
    if weight is None:
        opened = opened.binary()
    return opened if keep_isolated else opened.without_isolated()


def _open_whole(path: Path, name: str, age: str | None, weight: str | None, weighted: bool) -> "Graph":
    """Return the graph that is no CSV, with all its weights."""
    from neuroprune.netsci import Graph

    column = weight or ("weight" if weighted else None)
    if path.suffix == ".nc":
        from neuroprune.core.clock import format_age, parse_age
        from neuroprune.record import open_record

        record = open_record(path)
        opened = Graph.from_record(record, None if age is None else parse_age(age))
        if column is not None and opened.weight is None:
            raise GraphError(f"weights are in {name} at {', '.join(map(format_age, record.ages))} only, not at {age}")
    elif path.suffix == ".graphml":
        return Graph.read_graphml(path, column)
    else:
        from neuroprune.datasets import load

        try:
            opened = load(name)
        except GraphError as error:
            raise GraphError(f"no file {name!r}; {error}") from None
    if column not in (None, "weight"):
        raise GraphError(f"no weights {column!r} in {name}: what it has is called 'weight'")
    return opened


def _list_datasets() -> None:
    from rich.table import Table

    from neuroprune.cli.results import stdout_console
    from neuroprune.datasets import available

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for name, description in available().items():
        table.add_row(name, description)
    stdout_console().print(table)


def _print(name: str, found: "Analysis", figure: Path | None) -> None:
    """Print tables: the measures, then the motifs, each with its null."""
    from rich.table import Table

    from neuroprune.cli.results import stdout_console

    console = stdout_console()
    graph, test = found.graph, found.test
    console.print(f"{name}: {repr(graph)[1:-1].removeprefix('Graph: ')}", markup=False, soft_wrap=True)
    if test is not None:
        console.print(f"null    {test.null}, {test.samples:,} samples, seed {test.seed}", markup=False, soft_wrap=True)
    for note in found.notes:
        console.print(f"note    {note}", markup=False, soft_wrap=True)
    console.print()
    rows: dict[str, Any] = dict(found.values)
    rows |= {f"triads.{label}": count for label, count in found.triads.to_dict().items()}
    if found.tetrads is not None:
        rows |= {f"tetrads.{label}": count for label, count in found.tetrads.to_dict().items() if count}
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for title in ("observed", *(("null mean", "SD", "z", "p") if test is not None else ())):
        table.add_column(title, justify="right", no_wrap=True)
    known = {} if test is None else {key: k for k, key in enumerate(test.names)}
    for key, value in rows.items():
        cells = [_number(value)]
        if test is not None and key in known:
            k = known[key]
            cells += [_number(test.mean[k]), _number(test.sd[k]), _number(test.z[k], 1), _number(test.p[k], 4)]
        table.add_row(key.replace(".", " ").replace("_", " "), *cells)
    console.print(table)
    if figure is not None:
        console.print(f"\nfigure  {figure}", markup=False)


def _number(value: float, decimals: int = 4) -> str:
    """Write counts whole, and other numbers with few decimals."""
    if value != value:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 10:
        decimals = 1 if abs(value) < 1000 else 0
    return f"{value:,.{decimals}f}"
