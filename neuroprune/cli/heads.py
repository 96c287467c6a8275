"""``neuroprune heads``: what the heads of a transformer do, and which could go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.cli.networks import DataOption, DeviceOption, EpochsOption, SeedOption, WeightsOption
from neuroprune.cli.options import JsonOption, check_figure, refuse
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from neuroprune.bridge.heads import Batch, HeadReport, Loss

_DRAWS = 5
"""Random choices that the suggestion is compared with."""
_TOKENS = 128
_ALIKE = 0.1
"""Divergence in nats up to which heads are put into one cluster."""


class CriterionOption(StrEnum):
    """What heads are chosen by."""

    fisher_js = "fisher-js"
    fisher = "fisher"
    entropy = "entropy"
    low_entropy = "low-entropy"
    js = "js"
    random = "random"


def heads(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Option("--model", metavar="NAME", help="vit-tiny, minilm, or your own module:factory."),
    ] = "vit-tiny",
    data: DataOption = "digits",
    text: Annotated[
        Path | None,
        typer.Option("--text", metavar="FILE", help="Texts for minilm, one on each line; docstrings without it."),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Validation images, or texts, to measure on; test images, or as many others, judge.",
        ),
    ] = 96,
    share: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Share of the heads that is suggested to go.")
    ] = 0.25,
    criterion: Annotated[
        CriterionOption, typer.Option(help="What is suggested by; entropy and js alone are for comparison.")
    ] = CriterionOption.fisher_js,
    exponent: Annotated[
        float, typer.Option(min=0, metavar="A", help="Of the divergence in fisher-js, and only there; 0 is fisher.")
    ] = 0.5,
    weights: WeightsOption = None,
    epochs: EpochsOption = 40,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="PATH", help="Draw heads and their tree (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Measure attention heads: entropy, divergence from the nearest other, importance, and which could go.

    Importance is the squared gradient of a loss with respect to a gate on each head: cross-entropy for images, and for
    minilm the distance of an embedding to the network's own, perturbed by noise. Entropy and Jensen-Shannon
    divergence describe heads and do not tell which can go: on minilm the most diffuse heads, and those nearest to
    another, were worse to remove than heads at random. The suggestion is tried on other samples, beside as many heads
    at random.
    """
    check_figure(figure)
    if share == 1:
        raise SpecificationError("--share 1: each layer keeps a head, so it must be below 1")
    if criterion is not CriterionOption.fisher_js:
        refuse(context, "exponent", because=f"{criterion.value} has none; it belongs to --criterion fisher-js")
    if model == "minilm":
        refuse(context, "data", "weights", "epochs", because="minilm is trained already, and reads texts")
        subject = _sentences(text, samples, device)
    else:
        refuse(context, "text", because=f"{model} reads images, named by --data; texts are for minilm")
        subject = _images(model, data, samples, weights=weights, epochs=epochs, seed=seed, device=device)
    from neuroprune.bridge.heads import head_report, select_heads

    report = head_report(subject.model, subject.measured, subject.loss, seed=seed)
    if report.samples < samples:
        typer.echo(f"note: there are {report.samples} samples to measure on, not {samples}", err=True)
    gone = select_heads(report, share=share, criterion=criterion.value, exponent=exponent, seed=seed)
    fidelity = {
        "all": subject.judge({}),
        "suggested": subject.judge(gone),
        "random": [
            subject.judge(select_heads(report, share=share, criterion="random", seed=seed + k)) for k in range(_DRAWS)
        ],
    }
    if figure is not None:
        _draw(report, gone, figure)
    options = {"share": share, "criterion": criterion.value, "exponent": exponent, "seed": seed}
    if as_json:
        _print_json(report, gone, subject, fidelity, options, figure)
    else:
        _print(report, gone, subject, fidelity, options)
        if figure is not None:
            typer.echo(f"figure  {figure}")


@dataclass(frozen=True)
class _Subject:
    """A network, samples to measure its heads on, and others to judge it on."""

    name: str
    model: "nn.Module"
    measured: "Sequence[Batch]"
    judged: "Sequence[Batch]"
    loss: "Loss"
    score: str
    own: "torch.Tensor | None"

    def judge(self, gone: Mapping[str, Sequence[int]]) -> float:
        """Return the score without some heads: accuracy, or the mean cosine to the embeddings of the whole."""
        import torch

        from neuroprune.bridge.heads import without_heads
        from neuroprune.bridge.training import evaluating

        with evaluating(self.model), torch.no_grad(), without_heads(self.model, gone):
            out = torch.cat([batch.run(self.model) for batch in self.judged])
        if self.own is not None:
            return float(torch.nn.functional.cosine_similarity(out, self.own).mean())
        classes = torch.cat([batch.targets for batch in self.judged if batch.targets is not None])
        return float((out.argmax(1) == classes).float().mean())


def _images(model: str, data: str, samples: int, **options: Any) -> _Subject:
    from neuroprune.cli.networks import load_network

    network = load_network(model, data, **options)
    from neuroprune.bridge.heads import Batch, CrossEntropy

    def batches(split: Any, n: int) -> "list[Batch]":
        pairs = zip(split.x[:n].split(256), split.y[:n].split(256), strict=True)
        return [Batch((x,), y) for x, y in pairs]

    images = network.images
    name = f"{model} on {data}, seed {network.seed}"
    judged = batches(images.test, len(images.test))
    return _Subject(name, network.model, batches(images.validation, samples), judged, CrossEntropy(), "accuracy", None)


def _sentences(text: Path | None, samples: int, device: str) -> _Subject:
    try:
        import torch
    except ModuleNotFoundError:
        raise SpecificationError("this command needs torch: pip install 'neuroprune[bridge]'") from None
    from neuroprune.bridge.heads import SelfDistance
    from neuroprune.bridge.heads.minilm import load_minilm
    from neuroprune.bridge.heads.texts import docstrings, read_texts
    from neuroprune.cli.networks import choose_device

    texts = docstrings() if text is None else read_texts(text)
    if len(texts) < 2:
        raise SpecificationError(f"two texts at least are needed, to measure on and to judge on, not {len(texts)}")
    n = min(samples, len(texts) // 2)
    minilm = load_minilm()
    minilm.encoder.to(choose_device(device))
    measured, judged = (minilm.batches(part, most=_TOKENS) for part in (texts[:n], texts[n : 2 * n]))
    with torch.no_grad():
        own = torch.cat([batch.run(minilm.encoder) for batch in judged])
    source = "docstrings of numpy and scipy" if text is None else text.name
    name = f"minilm on {n} and {n} texts ({source})"
    return _Subject(name, minilm.encoder, measured, judged, SelfDistance(), "cosine to the whole network", own)


def _draw(report: "HeadReport", gone: Mapping[str, Sequence[int]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")  # no window, whatever the user's default is
    from neuroprune.plotting.heads import plot_heads
    from neuroprune.plotting.style import save_figure

    save_figure(plot_heads(report, gone), path)


def _alike(report: "HeadReport") -> dict[int, int]:
    """Return the cluster of each head that is not alone in it."""
    if len(report) < 2:
        return {}
    clusters = report.clusters(_ALIKE).tolist()
    shared = dict.fromkeys(c for c in clusters if clusters.count(c) > 1)
    number = {c: k for k, c in enumerate(shared, 1)}
    return {i: number[c] for i, c in enumerate(clusters) if c in number}


def _print_json(
    report: "HeadReport",
    gone: Mapping[str, Sequence[int]],
    subject: _Subject,
    fidelity: Mapping[str, Any],
    options: Mapping[str, Any],
    figure: Path | None,
) -> None:
    import json

    measured, alike = report.to_dict(), _alike(report)
    for i, head in enumerate(measured["heads"]):
        head["cluster"] = alike.get(i)
    found = {
        "network": subject.name,
        **options,
        "remove": {layer: list(numbers) for layer, numbers in gone.items()},
        "score": subject.score,
        "scores": fidelity,
        **measured,
        "figure": None if figure is None else str(figure),
    }
    typer.echo(json.dumps(found, indent=2, allow_nan=False))


def _print(
    report: "HeadReport",
    gone: Mapping[str, Sequence[int]],
    subject: _Subject,
    fidelity: Mapping[str, Any],
    options: Mapping[str, Any],
) -> None:
    from rich.table import Table

    from neuroprune.bridge.heads.selection import DIAGNOSTIC
    from neuroprune.cli.results import stdout_console

    console = stdout_console()
    console.print(f"{subject.name}; heads measured on {report.samples} samples\n", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("layer", no_wrap=True)
    for column in ("head", "entropy\n(nats)", "nearest JS\n(nats)", "cluster", "gate\nFisher", ""):
        table.add_column(column, justify="right", no_wrap=True)
    nearest, fisher, alike = report.nearest(), report.fisher, _alike(report)
    for i, layer in enumerate(report.layers):
        k = int(report.indices[i])
        table.add_row(
            layer if k == 0 else "",
            str(k),
            f"{report.entropy[i]:.2f}",
            f"{nearest[i]:.3f}",
            str(alike.get(i, "")),
            f"{fisher[i]:.2e}",
            "goes" if k in gone.get(layer, ()) else "",
        )
    console.print(table)
    console.print(f"\nclusters: heads within a JS of {_ALIKE} nats of each other on average", markup=False)
    n, chance = sum(map(len, gone.values())), fidelity["random"]
    by = options["criterion"] + (f" (exponent {options['exponent']:g})" if options["criterion"] == "fisher-js" else "")
    console.print(
        f"{subject.score} with all heads {fidelity['all']:.3f}; without {n} of {len(report)}, chosen by {by}, "
        f"{fidelity['suggested']:.3f}; at random {sum(chance) / len(chance):.3f} "
        f"({min(chance):.3f} to {max(chance):.3f} in {len(chance)} draws)",
        markup=False,
        soft_wrap=True,
    )
    if options["criterion"] in DIAGNOSTIC:
        typer.echo(
            "warning: entropy and JS describe heads and do not tell which can go: on minilm the most diffuse heads, "
            "and those nearest to another, were worse to remove than heads at random. Choose by fisher-js or fisher",
            err=True,
        )
