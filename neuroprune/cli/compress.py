"""``neuroprune compress``."""

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.networks import DataOption, DeviceOption, EpochsOption, NetworkOption, SeedOption, WeightsOption
from neuroprune.cli.options import JsonOption, check_figure, check_place, refuse
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    from neuroprune.bridge.compression import Compression


def compress(
    context: typer.Context,
    model: NetworkOption = "small-cnn",
    data: DataOption = "digits",
    weights: WeightsOption = None,
    epochs: EpochsOption = 10,
    macs: Annotated[
        float | None,
        typer.Option("--macs", metavar="SHARE", help="Prune units until this share of operations is left."),
    ] = None,
    svd: Annotated[
        float | None,
        typer.Option(
            "--svd", metavar="ENERGY", help="Make dense layers two thinner ones, keeping this share of energy."
        ),
    ] = None,
    fine_tune: Annotated[
        int, typer.Option("--fine-tune", min=0, metavar="N", help="Epochs of fine-tuning what is left.")
    ] = 5,
    distil: Annotated[
        bool, typer.Option("--distil/--no-distil", help="Fine-tune with the original as teacher, or by classes alone.")
    ] = True,
    temperature: Annotated[float, typer.Option(metavar="T", help="Temperature of the teacher's answers.")] = 2.0,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the smaller network (.safetensors).")
    ] = None,
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="PATH", help="Draw accuracy against cost (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Compress a network: prune units, make dense layers thinner, fine-tune with a teacher; costs and accuracy each.

    Accuracy is that on test images, which nothing was chosen on. The file has a plain state dict, and in its metadata
    the shapes that neuroprune.bridge.saving.load_network needs to make a network of it.
    """
    check_figure(figure)
    if macs is None and svd is None:
        raise SpecificationError("nothing to compress: give --macs, --svd or both")
    for option, share in (("--macs", macs), ("--svd", svd)):
        if share is not None and not 0 < share < 1:
            raise SpecificationError(f"{option} {share:g}: it must be a share above 0 and below 1")
    if not fine_tune:
        refuse(context, "distil", "temperature", because="there is no fine-tuning, in which a teacher could help")
    elif not distil:
        refuse(context, "temperature", because="there is no teacher, whose answers it would soften")
    if not 0 < temperature < math.inf:
        raise SpecificationError(f"--temperature {temperature:g}: it must be above 0")
    if out is not None:
        if out.suffix != ".safetensors":
            raise SpecificationError(f"cannot write {str(out)!r}: its name must end in .safetensors")
        check_place(out)
    from neuroprune.cli.networks import load_network

    _say("train" if weights is None else f"load {weights}")
    network = load_network(model, data, weights=weights, epochs=epochs, seed=seed, device=device)
    from neuroprune.bridge.compression import compress as make_smaller
    from neuroprune.bridge.distillation import Distillation

    training = replace(network.training, epochs=fine_tune) if fine_tune else None
    found = make_smaller(
        network.model,
        network.example(),
        data=network.images,
        prune=macs,
        svd=svd,
        training=training,
        distil_with=Distillation(temperature) if distil and training is not None else None,
        seed=seed,
        say=_say,
    )
    if out is not None:
        from neuroprune.bridge.saving import save_network

        images = network.images
        save_network(found.model, network.model, out, name=model, shape=images.shape, n_classes=images.n_classes)
    if figure is not None:
        _draw(found, figure)
    if as_json:
        _print_json(found, model, data, seed, out, figure)
    else:
        _print(found, f"{model} on {data}, seed {seed}", out, figure)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _draw(found: "Compression", path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    from neuroprune.plotting import plot_compression, save_figure

    figure = plot_compression(found.stations).get_figure(root=True)
    assert figure is not None
    save_figure(figure, path)


def _print(found: "Compression", title: str, out: Path | None, figure: Path | None) -> None:
    from rich.table import Table

    from neuroprune.cli.results import stdout_console

    console = stdout_console()
    console.print(f"{title}\n", markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for column in ("operations", "", "parameters", "", "validation (%)", "test (%)"):
        table.add_column(column, justify="right", no_wrap=True)
    first = found.stations[0].cost
    for station in found.stations:
        cost = station.cost
        table.add_row(
            station.name,
            f"{cost.macs:,}",
            f"{cost.macs / first.macs:.1%}",
            f"{cost.parameters:,}",
            f"{cost.parameters / first.parameters:.1%}",
            f"{100 * station.validation.accuracy:.2f}",
            f"{100 * station.test.accuracy:.2f}",
        )
    console.print(table)
    if found.removed:
        console.print("\nunits removed", markup=False)
        for name, units in found.removed.items():
            console.print(f"  {name}: {len(units)}", markup=False)
    if found.layers:
        console.print("\ndense layers", markup=False)
        for layer in found.layers:
            m, d = layer.shape
            became = (
                f"left whole: {layer.reason}"
                if layer.rank is None
                else f"rank {layer.rank}, {layer.weights[1]:,} of {layer.weights[0]:,} weights, "
                f"error of outputs {layer.error:.2%} (plain SVD {layer.plain_error:.2%})"
            )
            console.print(f"  {layer.name} ({d} to {m}): {became}", markup=False)
    for label, path in (("network", out), ("figure", figure)):
        if path is not None:
            console.print(f"\n{label}  {path}", markup=False)


def _print_json(found: "Compression", model: str, data: str, seed: int, out: Path | None, figure: Path | None) -> None:
    import json

    content: dict[str, Any] = {
        "model": model,
        "data": data,
        "seed": seed,
        "stations": [asdict(station) for station in found.stations],
        "removed": {name: list(units) for name, units in found.removed.items()},
        "layers": [asdict(layer) for layer in found.layers],
        "losses": list(found.losses),
        "out": None if out is None else str(out),
        "figure": None if figure is None else str(figure),
    }
    typer.echo(json.dumps(content, indent=2, allow_nan=False))
