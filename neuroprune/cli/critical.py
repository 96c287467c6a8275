"""``neuroprune critical``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.networks import DataOption, DeviceOption, EpochsOption, NetworkOption, SeedOption, WeightsOption
from neuroprune.cli.options import JsonOption, check_figure
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    from neuroprune.bridge.critical import Ablation, Trial
    from neuroprune.solvers.vertex_cut import Cut


def critical(
    model: NetworkOption = "lenet300",
    data: DataOption = "digits",
    target: Annotated[
        int | None, typer.Option("--class", min=0, metavar="C", help="The class.  [default: each in turn]")
    ] = None,
    relevance: Annotated[
        float | None,
        typer.Option("--relevance", metavar="SHARE", help="Share of the support of each unit that is kept."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, metavar="N", help="Random sets of neurons to compare with.")] = 10,
    weights: WeightsOption = None,
    epochs: EpochsOption = 10,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="PATH", help="Draw what each class loses (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Find the fewest neurons without which no relevant path leads to a class, and silence them.

    What supports a class is measured on training images and accuracy on test images, without the cut, without as many
    of the most relevant neurons, and without as many at random. The cut of the whole network comes first: it is a
    whole layer unless the network is very sparse. Works on lenet300, lenet5, small-cnn and your own chains of layers.
    """
    check_figure(figure)
    from neuroprune.cli.networks import load_network

    network = load_network(model, data, weights=weights, epochs=epochs, seed=seed, device=device)
    from neuroprune.bridge.critical import RELEVANCE, try_critical, weakest_cut

    images = network.images
    if target is not None and target >= images.n_classes:
        raise SpecificationError(f"--class {target}: the classes of {data} are 0 to {images.n_classes - 1}")
    share = RELEVANCE if relevance is None else relevance
    layers, whole = weakest_cut(network.model, images.test.x[:2])
    trials = [
        try_critical(network.model, images.train, images.test, c, share, draws=draws, seed=seed)
        for c in (range(images.n_classes) if target is None else [target])
    ]
    if figure is not None:
        _draw(trials, figure)
    sizes = {name: len(units) for name, units in layers.items()}
    if as_json:
        _print_json(trials, whole, sizes, figure, model=model, data=data, seed=seed, relevance=share)
    else:
        _print(trials, whole, sizes, f"{model} on {data}, seed {seed}, relevance {share:g}")
        if figure is not None:
            typer.echo(f"figure  {figure}")


def _draw(trials: "Sequence[Trial]", path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    from neuroprune.plotting import plot_critical, save_figure

    figure = plot_critical(trials).get_figure(root=True)
    assert figure is not None
    save_figure(figure, path)


def _print(trials: "Sequence[Trial]", whole: "Cut", sizes: dict[str, int], title: str) -> None:
    from rich.table import Table

    from neuroprune.cli.results import stdout_console

    console = stdout_console()
    first = trials[0].found
    console.print(f"{title}\n", markup=False)
    where = ", ".join(f"{n} units of layer {name}" for name, n in sizes.items())
    console.print(f"whole network: {where} (cost {whole.cost:g} = flow {whole.flow:g})\n", markup=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("class", justify="right")
    table.add_column("cut", justify="right")
    table.add_column("neurons, by layer", no_wrap=True, overflow="ellipsis", max_width=36)
    for column in ("accuracy (%)", "without the cut", "most relevant", "random"):
        table.add_column(f"{column}\nclass / others", justify="right", no_wrap=True)
    for trial in trials:
        found = trial.found
        own, others = trial.lost_at_random
        table.add_row(
            str(found.target),
            str(found.n_units),
            "; ".join(f"{name}: {' '.join(map(str, units))}" for name, units in found.units.items()),
            _points(trial.before.target, trial.before.others),
            _points(trial.cut.target, trial.cut.others),
            _points(trial.ranked.target, trial.ranked.others),
            _points(trial.before.target - own, trial.before.others - others),
        )
    console.print(table)
    mean = sum(t.found.n_units for t in trials) / len(trials)
    lost = [sum(t.lost(t.cut)[k] for t in trials) / len(trials) for k in (0, 1)]
    console.print(
        f"\n{mean:.1f} of {first.n_hidden} neurons ({mean / first.n_hidden:.1%}) take {100 * lost[0]:.1f} points "
        f"from the class and {100 * lost[1]:.1f} from the others",
        markup=False,
    )


def _points(own: float, others: float) -> str:
    return f"{100 * own:5.1f} / {100 * others:5.1f}"


def _print_json(
    trials: "Sequence[Trial]", whole: "Cut", sizes: dict[str, int], figure: Path | None, **identity: Any
) -> None:
    import json

    content = {
        **identity,
        "hidden": trials[0].found.n_hidden,
        "whole_network": {"units_by_layer": sizes, "cost": whole.cost, "flow": whole.flow},
        "classes": [
            {
                "class": t.found.target,
                "units": {name: units.tolist() for name, units in t.found.units.items()},
                "cost": t.found.cut.cost,
                "flow": t.found.cut.flow,
                "proven": t.found.cut.proven,
                "connections": t.found.n_connections,
                "accuracy": _accuracies(t.before),
                "without_cut": _accuracies(t.cut),
                "without_most_relevant": _accuracies(t.ranked),
                "without_random": [_accuracies(r) for r in t.random],
            }
            for t in trials
        ],
        "figure": None if figure is None else str(figure),
    }
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def _accuracies(ablation: "Ablation") -> dict[str, float]:
    return {"class": ablation.target, "others": ablation.others}
