"""``neuroprune roofline``."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.networks import DataOption, DeviceOption, NetworkOption, SeedOption, WeightsOption
from neuroprune.cli.options import JsonOption, check_figure
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from neuroprune.bridge.roofline import Explanation, Machine, Prediction
    from neuroprune.bridge.timing import Timing
    from neuroprune.cli.networks import Network

_SPREAD = 0.25
"""Of the samples of a network's latency, beyond which they are called disturbed."""
_SHOWN = 8
"""Layers whose explanation is printed: those that take longest."""


class DtypeOption(StrEnum):
    """Types of numbers."""

    float32 = "float32"
    bfloat16 = "bfloat16"


def roofline(
    model: NetworkOption = "lenet300",
    data: DataOption = "digits",
    batch: Annotated[str, typer.Option(metavar="B,..", help="Images at a time, with commas between.")] = "1,64",
    sparsity: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Prune that share of weights, or units, and explain what it brings."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, metavar="N", help="Threads of torch.")] = 1,
    dtype: Annotated[DtypeOption, typer.Option(help="Numbers that the network computes with.")] = DtypeOption.float32,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the machine again (about a minute).")] = False,
    weights: WeightsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="PATH", help="Draw ceilings and layers (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Show what bounds each layer of a network on this machine, and its predicted and measured latency.

    The machine is measured once, and kept in the user's cache. With --sparsity the network is pruned by magnitude, and
    compared in three forms: masked, with sparse layers where they are faster, and slimmed to as few operations. The
    network has random weights unless some are given: its latency is the same.
    """
    check_figure(figure)
    batches = parse_batches(batch)
    if sparsity is not None and not 0 < sparsity < 1:
        raise SpecificationError(f"--sparsity {sparsity:g}: the share must be between 0 and 1")
    from neuroprune.cli.networks import load_network

    network = load_network(model, data, weights=weights, epochs=0, seed=seed, device=device)
    import torch

    numbers = getattr(torch, dtype.value)
    network.model.to(numbers)
    place = next(network.model.parameters()).device
    machine = _machine(place, threads, numbers, fresh=measure)
    reports = [_report(network, machine, size, numbers, sparsity) for size in batches]
    if figure is not None:
        _draw(reports, machine, dtype.value, f"{model}, {data}", figure)
    if as_json:
        _print_json(reports, machine, dtype.value, figure, model=model, data=data, seed=seed, sparsity=sparsity)
    else:
        _print(reports, machine, dtype.value, f"{model} on {data}")
        if figure is not None:
            typer.echo(f"figure  {figure}")


def parse_batches(text: str) -> list[int]:
    """Return the numbers in a text such as ``"1,64"``.

    Raises
    ------
    SpecificationError
        If they are not positive whole numbers.

    Examples
    --------
    >>> parse_batches("1, 64")
    [1, 64]
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < len(part) < 7 and int(part) for part in parts):
        raise SpecificationError(f"--batch {text}: write numbers of images like 1,64")
    return [int(part) for part in parts]


def _machine(place: "torch.device", threads: int, dtype: "torch.dtype", *, fresh: bool) -> "Machine":
    """Return this machine: from the cache if it is there, can be read, and was measured with these numbers."""
    from neuroprune.bridge.roofline import Machine, default_path
    from neuroprune.bridge.roofline.machine import name_of

    path = default_path(place.type, threads)
    if not fresh and path.is_file():
        try:
            machine = Machine.load(path)
        except SpecificationError as error:
            typer.echo(f"note: {error}", err=True)
        else:
            if machine.is_here() and name_of(dtype) in machine.ceilings:
                return machine
    typer.echo("measuring this machine, which takes about a minute", err=True)
    machine = Machine.measure(threads, (dtype,), place, say=lambda text: typer.echo(f"  {text}", err=True))
    typer.echo(f"kept in {machine.save(path)}", err=True)
    return machine


class _Report:
    """What is said for one size of the batch."""

    def __init__(self, batch: int, prediction: "Prediction", timing: "Timing", layers: dict[str, float]) -> None:
        self.batch, self.prediction, self.timing, self.layers = batch, prediction, timing, layers
        self.forms: dict[str, Explanation] = {}
        self.missing: dict[str, str] = {}
        self.sparse: tuple[int, int] = (0, 0)


def _report(
    network: "Network", machine: "Machine", batch: int, dtype: "torch.dtype", sparsity: float | None
) -> _Report:
    from neuroprune.bridge.roofline import explain, make_variants, measure_network, predict, time_layers
    from neuroprune.bridge.timing import stopwatch

    example = tuple(x.to(dtype) for x in network.example(batch))
    time_call = stopwatch(machine.device, threads=machine.threads, seconds=0.3)
    report = _Report(
        batch,
        predict(network.model, example, machine),
        measure_network(network.model, example, time_call),
        dict(time_layers(network.model, example, threads=machine.threads)),
    )
    if sparsity is not None:
        quick = stopwatch(machine.device, threads=machine.threads)
        variants = make_variants(network.model, example, sparsity, time_call=quick)
        report.missing = variants.missing
        report.sparse = (sum(choice.chosen for choice in variants.choices), len(variants.choices))
        for name in ("masked", "sparse", "slimmed"):
            pruned = getattr(variants, name)
            if pruned is not None:
                report.forms[name] = explain(network.model, pruned, example, machine, time_call=time_call)
    return report


def _draw(reports: Sequence[_Report], machine: "Machine", dtype: str, title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    import matplotlib.pyplot as plt

    from neuroprune.plotting import plot_roofline, save_figure
    from neuroprune.plotting.style import STYLE

    with plt.style.context(STYLE):
        figure, grid = plt.subplots(1, len(reports), figsize=(3.7 * len(reports), 3.4), squeeze=False)
    for ax, report in zip(grid[0], reports, strict=True):
        form = next((f for f in ("slimmed", "sparse", "masked") if f in report.forms), None)
        found = report.forms.get(form or "")
        plot_roofline(
            machine.ceilings[dtype],
            report.prediction.layers,
            () if found is None else found.pruned.layers,
            measured=report.layers,
            measured_pruned=None
            if found is None
            else {x.name: x.measured_pruned for x in found.layers if x.measured_pruned is not None},
            title=f"{title}, batch {report.batch}" + ("" if form is None else f", {form}"),
            ax=ax,
        )
    save_figure(figure, path)


def _print(reports: Sequence[_Report], machine: "Machine", dtype: str, title: str) -> None:
    from neuroprune.cli.results import stdout_console

    console = stdout_console()
    _print_machine(console, machine, dtype)
    for report in reports:
        console.print(f"\n{title}, {dtype}, batch {report.batch}", markup=False)
        _print_layers(console, report)
        if report.forms or report.missing:
            _print_forms(console, report)


def _print_machine(console: "Console", machine: "Machine", dtype: str) -> None:
    from rich.table import Table

    found = machine.ceilings[dtype]
    threads = "1 thread" if machine.threads == 1 else f"{machine.threads} threads"
    console.print(f"{machine.name}, {machine.device}, {threads}, torch {machine.torch_version}", markup=False)
    for text in machine.quality.disturbances:
        console.print(f"note    measured on a disturbed machine: {text}; --measure measures again", markup=False)
    console.print(f"peak    {found.peak / 1e9:,.1f} GFLOP/s; a call {_time(found.call)}\n", markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("working set", justify="left")
    rows = [k for k in range(len(found.triad.sizes)) if k % 2 == 0 or k == len(found.triad.sizes) - 1]
    for k in rows:
        table.add_column(_bytes(found.triad.sizes[k]), justify="right", no_wrap=True)
    for name, curve in (("triad (GB/s)", found.triad), ("read (GB/s)", found.read)):
        table.add_row(name, *(f"{curve.rates[k] / 1e9:.1f}" for k in rows))
    console.print(table)


def _print_layers(console: "Console", report: _Report) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for title in ("layer", "type"):
        table.add_column(title, no_wrap=True, overflow="ellipsis", max_width=28)
    for title in ("MFLOP", "KiB", "FLOP/B"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    for title in ("predicted", "measured"):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in report.prediction.layers:
        work = layer.work
        if not work.calls:
            continue
        table.add_row(
            work.name or "(around layers)",
            work.type,
            f"{work.flops / 1e6:.3g}",
            f"{work.bytes / 1024:.3g}",
            f"{work.intensity:.3g}" if work.flops else "–",
            _BOUNDS[layer.parts.bound],
            _time(layer.seconds),
            _time(report.layers.get(work.name, 0.0)),
        )
    console.print(table)
    error = report.prediction.seconds / report.timing.seconds - 1
    console.print(
        f"network {_time(report.prediction.seconds)} predicted, {_time(report.timing.seconds)} measured ({error:+.0%})",
        markup=False,
    )
    if report.timing.spread > _SPREAD:
        console.print(
            f"note    samples of that spread by {report.timing.spread:.0%}: the machine is busy", markup=False
        )
    if report.prediction.uncalibrated:
        kinds = ", ".join(report.prediction.uncalibrated)
        console.print(f"note    not calibrated, and taken for what is most like it: {kinds}", markup=False)


def _print_forms(console: "Console", report: _Report) -> None:
    for form, found in report.forms.items():
        console.print(f"\n{form}: {found.sentence}", markup=False)
        if form == "sparse":
            chosen, linear = report.sparse
            console.print(f"  {chosen} of {linear} Linear layers are sparse, where that is faster", markup=False)
        times = {x.name: x.seconds for x in found.dense.layers if x.work.flops}
        layers = sorted((x for x in found.layers if x.name in times), key=lambda x: -times[x.name])
        for layer in layers[:_SHOWN]:
            console.print(f"  {layer.name or '(around layers)'}: {layer.sentence}", markup=False)
        if len(layers) > _SHOWN:
            console.print(f"  and {len(layers) - _SHOWN} layers that take less (all of them with --json)", markup=False)
    for form, reason in report.missing.items():
        console.print(f"\n{form}: not made: {reason}", markup=False)


def _print_json(
    reports: Sequence[_Report], machine: "Machine", dtype: str, figure: Path | None, **identity: Any
) -> None:
    import json

    from neuroprune.bridge.roofline.explanation import describe

    found = machine.as_dict()
    content = {
        **identity,
        "dtype": dtype,
        "machine": {k: v for k, v in found.items() if k not in ("format", "costs", "ceilings")}
        | {"ceilings": found["ceilings"][dtype], "disturbances": list(machine.quality.disturbances)},
        "batches": [
            {
                "batch": report.batch,
                "predicted_seconds": report.prediction.seconds,
                "measured_seconds": report.timing.seconds,
                "measured_spread": report.timing.spread,
                "uncalibrated": list(report.prediction.uncalibrated),
                "layers": [
                    {"name": layer.name, **(describe(layer, report.layers.get(layer.name)) or {})}
                    for layer in report.prediction.layers
                ],
                "forms": {form: explained.as_dict() for form, explained in report.forms.items()},
                "sparse_layers": report.sparse[0],
                "missing": report.missing,
            }
            for report in reports
        ],
        "figure": None if figure is None else str(figure),
    }
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


_BOUNDS = {"compute": "arithmetic", "memory": "memory", "overhead": "calls"}


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _bytes(size: int) -> str:
    return f"{size // 1024} KiB" if size < 2**20 else f"{size // 2**20} MiB"
