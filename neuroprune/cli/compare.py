"""``neuroprune compare``."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.networks import DataOption, DeviceOption, NetworkOption
from neuroprune.cli.options import JsonOption, check_figure
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    from neuroprune.experiments.comparison import Comparison, Row, Trial


def compare(
    model: NetworkOption = "lenet300",
    data: DataOption = "digits",
    rules: Annotated[
        str | None,
        typer.Option("--rules", metavar="NAMES", help="Methods, with commas between; `list` says which there are."),
    ] = None,
    schedules: Annotated[
        str,
        typer.Option(metavar="NAMES", help="Each method on each: decreasing, cubic, linear, increasing, pulse, once."),
    ] = "decreasing",
    sparsity: Annotated[
        str, typer.Option(metavar="SHARES", help="Shares of the weights that go, with commas between.")
    ] = "0.9,0.95,0.98",
    seeds: Annotated[int, typer.Option(min=1, metavar="K", help="Networks, with the seeds 0 to K - 1.")] = 3,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Epochs of training, for every method.")] = 15,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N")] = 64,
    lr: Annotated[
        float | None, typer.Option(metavar="RATE", help="Learning rate.  [default: that of the model]")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, metavar="N", help="Training images to use.")] = None,
    label_noise: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Training images with a wrong class.")
    ] = 0.0,
    imbalance: Annotated[float, typer.Option(metavar="SHARE", help="Of its images that the rarest class keeps.")] = 1.0,
    device: DeviceOption = "auto",
    processes: Annotated[
        int | None,
        typer.Option(min=1, metavar="P", help="Networks trained at a time, a thread each.  [default: one per CPU]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep every trial there; what is there is not made again.")
    ] = None,
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="PATH", help="Draw accuracy by sparsity (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Prune the same networks by rules of the brain and by standard methods, and compare them.

    Every method gets the same initial weights, images, order and number of training steps. Of several schedules each
    method stands on the one that is best on validation images, and differences are to the baseline that is best there,
    paired by seed, with 95 % intervals. Accuracy is that on test images, which nothing is chosen on.
    """
    check_figure(figure)
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise SpecificationError("this command needs torch: pip install 'neuroprune[bridge]'") from None
    from neuroprune.cli.networks import choose_device
    from neuroprune.cli.progress import Overview
    from neuroprune.experiments.comparison import METHODS, Setting
    from neuroprune.experiments.comparison import compare as compare_methods
    from neuroprune.experiments.comparison.comparing import DEFAULT_METHODS

    if rules == "list":
        _list()
        return
    place = str(choose_device(device))
    setting = Setting(data, model, epochs, batch_size, lr, images, label_noise, imbalance, place)
    names = DEFAULT_METHODS if rules is None else tuple(METHODS) if rules == "all" else _split(rules)
    with Overview() as overview:
        found = compare_methods(
            setting,
            methods=names,
            schedules=_split(schedules),
            sparsities=[_share(part) for part in _split(sparsity)],
            seeds=range(seeds),
            out=out,
            processes=processes or (1 if place.startswith("cuda") else os.cpu_count() or 1),
            progress=overview.step,
        )
    if figure is not None:
        _draw(found, figure)
    if as_json:
        _print_json(found, figure)
    else:
        _print(found)
        for label, path in (("trials", out), ("figure", figure)):
            if path is not None:
                typer.echo(f"{label}  {path}")


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpecificationError(f"--sparsity {text!r} is no number: write shares such as 0.9,0.95") from None


def _list() -> None:
    from rich.table import Table

    from neuroprune.cli.results import stdout_console
    from neuroprune.experiments.comparison import METHODS

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for column in ("method", "", "acts", "knows"):
        table.add_column(column, no_wrap=True)
    acts = {"during": "on a schedule", "before": "before training", "turnover": "before, then turnover", "never": ""}
    for method in METHODS.values():
        table.add_row(method.name, method.title, acts[method.when], method.basis if method.when != "never" else "")
    stdout_console().print(table)


def _print(found: "Comparison") -> None:
    from rich.table import Table

    from neuroprune.cli.results import stdout_console

    console, setting = stdout_console(), found.setting
    n = len(found.dense())
    console.print(
        f"{setting.model} on {setting.data}, {setting.epochs} epochs, {n} seed{'s' if n > 1 else ''}; "
        f"dense {_accuracy(found.dense())} %; {found.seconds:.0f} s of processor time in all\n",
        markup=False,
    )
    for sparsity in found.sparsities:
        rows = found.rows(sparsity)
        reference = next((row for row in rows if math.isnan(row.difference)), None)
        table = Table(box=None, pad_edge=False, padding=(0, 1))
        table.add_column(f"{sparsity:.4g} gone", no_wrap=True)
        table.add_column("schedule", no_wrap=True)
        for column in ("test (%)", "minus reference", "noisy", "occluded", "MACs", "dense", "sparse"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(
                row.method,
                row.schedule or "–",
                _accuracy(row.trials),
                "reference" if row is reference else _difference(row),
                f"{100 * row.mean('noisy'):.1f}",
                f"{100 * row.mean('occluded'):.1f}",
                f"{row.mean('macs'):,.0f}",
                _micro(row.latency("64")),
                _micro(row.latency("64 sparse")),
            )
        console.print(table)
        console.print()
    console.print(
        "Best accuracy on validation images first; the reference is the baseline that is best there. Differences in "
        "points,\npaired by seed, with 95 % intervals. MACs: by weights that are left, for one image. Dense, sparse: "
        "µs for 64\nimages on one thread, and with sparse layers where they are faster.",
        markup=False,
        soft_wrap=True,
    )


def _accuracy(trials: "list[Trial] | tuple[Trial, ...]") -> str:
    import statistics

    values = [100 * t.test for t in trials]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{spread}"


def _difference(row: "Row") -> str:
    low, high = row.interval
    interval = "" if math.isnan(low) else f" ({100 * low:+.2f}, {100 * high:+.2f})"
    return f"{100 * row.difference:+.2f}{interval}"


def _micro(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{1e6 * seconds:.0f}"


def _draw(found: "Comparison", path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    from neuroprune.experiments.comparison import METHODS
    from neuroprune.plotting import plot_comparison, save_figure

    rows = {sparsity: found.rows(sparsity) for sparsity in found.sparsities}
    baselines = {name for name, method in METHODS.items() if method.baseline}
    figure = plot_comparison(rows, dense=[t.test for t in found.dense()], baselines=baselines).get_figure(root=True)
    assert figure is not None
    save_figure(figure, path)


def _print_json(found: "Comparison", figure: Path | None) -> None:
    import json
    from dataclasses import asdict

    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    content: dict[str, Any] = {
        "setting": asdict(found.setting),
        "processor_seconds": found.seconds,
        "rows": [
            {
                "sparsity": row.sparsity,
                "method": row.method,
                "schedule": row.schedule,
                "test": {"mean": row.mean("test"), "sd": number(row.sd("test")), "n": len(row.trials)},
                "difference": number(row.difference),
                "interval": [number(x) for x in row.interval],
            }
            for sparsity in found.sparsities
            for row in found.rows(sparsity)
        ],
        "trials": [asdict(trial) for trial in found.trials],
        "figure": None if figure is None else str(figure),
    }
    typer.echo(json.dumps(content, indent=2, allow_nan=False))
