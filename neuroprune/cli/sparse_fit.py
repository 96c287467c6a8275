"""``neuroprune sparse-fit``: a regression with few features, and how far from the best it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.options import JsonOption, check_figure
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from neuroprune.solvers.l0 import Gram, Solution
    from neuroprune.solvers.l0 import Path as Fits

STEPS = 20
"""Penalties of a path."""


def sparse_fit(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="A CSV with a header (also .gz), or an .npz of a target and a matrix of features."
        ),
    ],
    target: Annotated[str, typer.Option(metavar="NAME", help="Column (CSV) or array (.npz) to explain.")],
    k: Annotated[int | None, typer.Option("-k", metavar="N", help="Use N features at most.")] = None,
    penalty: Annotated[
        float | None, typer.Option(metavar="L", help="Or let each feature cost L, in half squared errors.")
    ] = None,
    ridge: Annotated[float, typer.Option(metavar="R", help="Add R/2 times the squared coefficients.")] = 0.0,
    path: Annotated[
        bool, typer.Option("--path", help="Solve for 0 to N features, or for penalties that fall to L.")
    ] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Go on until the optimum is proven.")] = False,
    time_limit: Annotated[
        float | None, typer.Option(metavar="S", help="Stop after S seconds, with the bound reached by then.")
    ] = None,
    intercept: Annotated[bool, typer.Option(help="Fit a constant as well, which is not counted.")] = True,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the local search.")] = 0,
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the path (.png, .svg, .pdf); it is solved for this.")
    ] = None,
) -> None:
    """Explain a column by few others, and say how far from the best choice that is.

    The value is half the sum of squared errors, with the ridge and the penalty. No choice of features has a value below
    the lower bound; without --exact that is the bound of one relaxation. Each output of an .npz has its own features.
    """
    from neuroprune.solvers.l0 import Gram, l0_path, penalties_down_to, solve_l0
    from neuroprune.solvers.l0.solve import check_options

    check_figure(figure)
    if (k is None) == (penalty is None):
        raise SpecificationError("give either -k or --penalty")
    table = read_table(data, target)
    gram = Gram.from_data(table.features, table.targets, intercept=intercept)
    shared: dict[str, Any] = {"ridge": ridge, "exact": exact, "time_limit": time_limit, "seed": seed}
    fits = None
    if path or figure is not None:
        check_options(gram, k, penalty, ridge, time_limit)
        if penalty is None:
            fits = l0_path(gram, ks=range((k or 0) + 1), **shared)
        else:
            fits = l0_path(gram, penalties=penalties_down_to(gram, penalty, ridge=ridge, steps=STEPS), **shared)
        solution = fits.solutions[-1]
    else:
        solution = solve_l0(gram, k=k, penalty=penalty, **shared)
    if fits is not None and figure is not None:
        _draw(fits, table, gram, figure)
    if as_json:
        _print_json(table, gram, solution, fits, figure)
        return
    _print(table, gram, solution, fits if path else None, intercept=intercept)
    if figure is not None:
        typer.echo(f"\nfigure  {figure}")


@dataclass(frozen=True)
class Table:
    """Data of a file."""

    name: str
    features: "NDArray[np.float64]"
    targets: "NDArray[np.float64]"
    names: list[str]
    outputs: list[str]


def read_table(path: Path, target: str) -> Table:
    """Read features and targets.

    Raises
    ------
    SpecificationError
        If there is no such file or target, or what is there are no numbers.
    """
    import zipfile
    import zlib

    if not path.is_file():
        raise SpecificationError(f"no file {str(path)!r}")
    if not path.name.endswith((".csv", ".csv.gz", ".npz")):
        raise SpecificationError(f"{str(path)!r} must be a .csv, .csv.gz or .npz")
    try:
        return _read_arrays(path, target) if path.suffix == ".npz" else _read_csv(path, target)
    except UnicodeDecodeError as error:
        raise SpecificationError(f"cannot read {path}: it is no UTF-8 text ({error.reason})") from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise SpecificationError(f"cannot read {path}: {error}") from None


def _read_csv(path: Path, target: str) -> Table:
    import csv
    import gzip
    import warnings

    import numpy as np

    text: dict[str, Any] = {"mode": "rt", "newline": "", "encoding": "utf-8-sig"}  # spreadsheets begin with a mark
    with gzip.open(path, **text) if path.suffix == ".gz" else open(path, **text) as file:
        try:
            header = [name.strip() for name in next(csv.reader(file), [])]
        except csv.Error as error:
            raise SpecificationError(f"cannot read the header of {path}: {error}") from None
        if target not in header:
            raise SpecificationError(f"no column {target!r} in {path}: it has {', '.join(header[:20]) or 'no header'}")
        wrong = sorted({name or "an empty name" for name in header if not name or header.count(name) > 1})
        if wrong:
            raise SpecificationError(f"each column of {path} needs a name of its own; check {', '.join(wrong[:20])}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there are no rows is said below
            try:
                values = np.loadtxt(file, delimiter=",", ndmin=2, quotechar='"', comments=None)
            except UnicodeDecodeError:
                raise
            except ValueError as error:
                raise SpecificationError(f"{path} must hold a number in every cell below its header: {error}") from None
    if len(values) == 0:
        raise SpecificationError(f"{path} has no rows below its header")
    if values.shape[1] != len(header):
        raise SpecificationError(f"{path} has {len(header)} names and {values.shape[1]} columns")
    column = header.index(target)
    names = header[:column] + header[column + 1 :]
    return Table(path.name, np.delete(values, column, axis=1), values[:, column], names, [target])


def _read_arrays(path: Path, target: str) -> Table:
    import numpy as np

    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise SpecificationError(f"cannot read {path}: it is a single array, and no .npz of several")
        with file:
            arrays = {name: file[name] for name in file.files}
    except SpecificationError:
        raise
    except ValueError as error:
        raise SpecificationError(f"cannot read {path}: {error}") from None
    if target not in arrays:
        raise SpecificationError(f"no array {target!r} in {path}: it has {', '.join(arrays)}")
    others = [name for name, a in arrays.items() if name != target and a.ndim == 2]
    if len(others) != 1:
        raise SpecificationError(f"{path} must have one matrix of features besides {target!r}, not {others or 'none'}")
    features, targets = arrays[others[0]], arrays[target]
    if targets.ndim not in (1, 2):
        raise SpecificationError(f"{target!r} in {path} has {targets.ndim} dimensions: it must be a vector or a matrix")
    names = [f"{others[0]}[{j}]" for j in range(features.shape[1])]
    outputs = [target] if targets.ndim == 1 else [f"{target}[{q}]" for q in range(targets.shape[-1])]
    return Table(path.name, features, targets, names, outputs)


def _used(table: Table, gram: "Gram", solution: "Solution") -> list[dict[str, Any]]:
    """Return the coefficients in use, by output, the largest first once features are scaled alike."""
    import numpy as np

    sd = np.sqrt(np.diag(gram.gram) / gram.rows)
    used = []
    for q, output in enumerate(table.outputs):
        w = solution.coefficients[:, q]
        for j in sorted(np.flatnonzero(w), key=lambda j: -abs(w[j] * sd[j])):
            scaled = float(w[j] * sd[j])
            used.append({"output": output, "feature": table.names[j], "coefficient": float(w[j]), "scaled": scaled})
    return used


def _steps(fits: "Fits") -> list[dict[str, Any]]:
    return [
        {fits.parameter: setting, "size": s.size, "explained": float(e), **s.as_dict()}
        for setting, s, e in zip(fits.settings, fits.solutions, fits.explained, strict=True)
    ]


def _print(table: Table, gram: "Gram", solution: "Solution", fits: "Fits | None", *, intercept: bool) -> None:
    from rich.table import Table as Grid

    from neuroprune.cli.results import stdout_console

    console = stdout_console()
    several = len(table.outputs) > 1
    console.print(
        f"{table.name}: {gram.rows:,} rows, {gram.features:,} features"
        + (f", {len(table.outputs)} outputs with features of their own" if several else ""),
        markup=False,
    )
    console.print()
    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in (*(["output"] if several else []), "feature"):
        grid.add_column(name, no_wrap=True)
    for name in ("coefficient", "x SD of feature"):
        grid.add_column(name, justify="right")
    for row in _used(table, gram, solution):
        start = [row["output"]] if several else []
        grid.add_row(*start, row["feature"], f"{row['coefficient']:.6g}", f"{row['scaled']:.4g}")
    console.print(grid)
    if intercept:
        console.print("\nconstant  " + "  ".join(f"{b:.6g}" for b in solution.intercept), markup=False)
    if fits is not None:
        console.print()
        console.print(_grid_of(fits))
    lower = solution.value - solution.lower_bound
    share = f" ({100 * lower / solution.value:.3g} % of it)" if solution.value > 0.0 else ""
    state = "proven optimal" if solution.proven else f"not proven: the optimum is lower by {lower:.3g}{share} at most"
    console.print(
        f"\nvalue {solution.value:.8g}, lower bound {solution.lower_bound:.8g}, {state}", markup=False, soft_wrap=True
    )


def _grid_of(fits: "Fits") -> Any:
    from rich.table import Table as Grid

    grid = Grid(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in (fits.parameter, "features", "explained (%)", "value", "gap (%)"):
        grid.add_column(name, justify="right", no_wrap=True)
    for step in _steps(fits):
        gap = "proven" if step["proven"] else f"{100 * step['gap']:.2g}"
        setting = f"{step[fits.parameter]:.5g}"
        grid.add_row(setting, str(step["size"]), f"{100 * step['explained']:.2f}", f"{step['value']:.6g}", gap)
    return grid


def _print_json(table: Table, gram: "Gram", solution: "Solution", fits: "Fits | None", figure: Path | None) -> None:
    import json

    content: dict[str, Any] = {
        "rows": gram.rows,
        "features": gram.features,
        "outputs": table.outputs,
        **solution.as_dict(),
        "intercept": solution.intercept.tolist(),
        "used": _used(table, gram, solution),
        "figure": None if figure is None else str(figure),
    }
    if fits is not None:
        content["path"] = _steps(fits)
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def _draw(fits: "Fits", table: Table, gram: "Gram", path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    import matplotlib.pyplot as plt
    import numpy as np

    from neuroprune.plotting import STYLE, save_figure
    from neuroprune.plotting.sparse_path import plot_sparse_path, plot_supports

    with plt.style.context(STYLE):
        if len(table.outputs) > 1:
            figure = plt.figure(figsize=(3.5, 2.6))
            plot_sparse_path(fits, ax=figure.subplots())
        else:
            figure = plt.figure(figsize=(7.2, 2.8))
            left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
            plot_sparse_path(fits, ax=left)
            plot_supports(fits, table.names, scale=np.sqrt(np.diag(gram.gram) / gram.rows), ax=right)
        save_figure(figure, path)
    plt.close(figure)
