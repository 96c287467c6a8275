"""Compress a network: prune its units, make its dense layers thinner, and fine-tune what is left with a teacher."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.costs import NetworkCost, network_cost
from neuroprune.bridge.distillation import Distillation, distil
from neuroprune.bridge.images import Images
from neuroprune.bridge.importance import gate_fisher, in_batches
from neuroprune.bridge.lowrank import Factored, FactoredLayer, factorize
from neuroprune.bridge.sensitivity import prune_to_budget
from neuroprune.bridge.slim import Removal, slim, trace
from neuroprune.bridge.training import Score, Training, evaluate, train
from neuroprune.core.errors import SpecificationError

CALIBRATION = 4096
"""Training images at most that dense layers are calibrated on."""
SCORED = 1024
"""Training images at most that units are ranked on."""


@dataclass(frozen=True)
class Station:
    """A network on its way.

    Parameters
    ----------
    name : "original", "pruned", "factorized" or "fine-tuned"
    cost : NetworkCost
        For one call with the example inputs.
    validation, test : Score
        On images that it was not trained on; what was chosen on the way was chosen on the first.
    """

    name: str
    cost: NetworkCost
    validation: Score
    test: Score


@dataclass(frozen=True)
class Compression:
    """A smaller network, and how it became so.

    Parameters
    ----------
    model : nn.Module
    stations : tuple of Station
        The first is the network as it was given.
    removed : mapping of str to tuple of int
        Units that were removed, by group.
    layers : tuple of FactoredLayer
        Dense layers that were looked at, with their ranks, or why they were left whole.
    losses : tuple of float
        Mean loss of each epoch of fine-tuning. With a teacher it is no cross-entropy.
    """

    model: nn.Module
    stations: tuple[Station, ...]
    removed: Mapping[str, tuple[int, ...]]
    layers: tuple[FactoredLayer, ...]
    losses: tuple[float, ...]


def compress(
    model: nn.Module,
    example_inputs: tuple[Any, ...],
    *,
    data: Images,
    prune: Removal | float | None = None,
    svd: Mapping[str, int | float] | float | None = None,
    training: Training | None = None,
    distil_with: Distillation | None = None,
    teacher: nn.Module | None = None,
    seed: int = 0,
    say: Callable[[str], object] | None = None,
) -> Compression:
    """Return a smaller copy of a network.

    Parameters
    ----------
    model : nn.Module
        A trained classifier; it is left as it is.
    example_inputs : tuple
        What it is called with. Costs are those of one such call.
    data : Images
        Fine-tuned on `train`, of which dense layers are calibrated on the first images; choices are made on
        `validation`, and `test` is only reported.
    prune : mapping of str to units, or float, optional
        Units to remove (see :func:`~neuroprune.bridge.slim.slim`), or the share of the operations to leave: group by
        group where the validation loss rises least per operation saved, within a group those of the lowest Fisher
        information first (see :func:`~neuroprune.bridge.sensitivity.prune_to_budget`).
    svd : mapping of str to int or float, or float, optional
        Ranks or shares of energy of dense layers, after pruning (see :func:`~neuroprune.bridge.lowrank.factorize`).
    training : Training, optional
        Fine-tuning; none without it.
    distil_with : Distillation, optional
        Fine-tune with a teacher; by cross-entropy alone without it. What it is worth is measured in
        ``analysis/distillation.py``.
    teacher : nn.Module, optional
        The network as given, without it.
    seed : int
        Of the order of images.
    say : function of a line of text, optional
        Told what is being done.

    Raises
    ------
    BudgetError
        If the share of operations is less than the narrowest network has.
    SpecificationError
        If there is nothing to do, or the parts make no sense: see the functions above.
    """
    if prune is None and svd is None:
        raise SpecificationError("nothing to compress: give units or a share to prune, or ranks or a share for the SVD")
    if training is None and (distil_with is not None or teacher is not None):
        raise SpecificationError("a teacher teaches while a network is fine-tuned: give its training")
    if teacher is not None and distil_with is None:
        raise SpecificationError("a teacher is given, but not what is learned from it: give a Distillation")
    tell = say or (lambda line: None)
    stations: list[Station] = []

    def stop(name: str, network: nn.Module) -> None:
        cost = network_cost(network, example_inputs)
        stations.append(Station(name, cost, evaluate(network, data.validation), evaluate(network, data.test)))

    stop("original", model)
    small: nn.Module = copy.deepcopy(model)
    removed: Mapping[str, tuple[int, ...]] = {}
    if prune is not None:
        tell("prune")
        small, removed = _prune(small, prune, data)
        stop("pruned", small)
    layers: tuple[FactoredLayer, ...] = ()
    if svd is not None:
        tell("factorize")
        factored: Factored = factorize(small, svd, calibration=(data.train.x[:CALIBRATION],), copy=False)
        small, layers = factored.model, factored.layers
        stop("factorized", small)
    losses: list[float] = []
    if training is not None:
        tell("fine-tune")
        if distil_with is None:
            losses = train(small, data.train, training, seed=seed)
        else:
            expert = copy.deepcopy(model) if teacher is None else teacher
            losses = distil(small, expert, data.train, training, distil_with, seed=seed)
        stop("fine-tuned", small)
    return Compression(small.train(model.training), tuple(stations), removed, layers, tuple(losses))


def _prune(model: nn.Module, prune: Removal | float, data: Images) -> tuple[nn.Module, Mapping[str, tuple[int, ...]]]:
    # Two images, because an axis of length 1 can be taken for one to broadcast.
    images = (data.train.x[:2],)
    structure = trace(model, images)
    if isinstance(prune, Mapping):
        removed = structure.normalise(prune)
        return slim(model, removed, images, structure=structure), removed
    scores = gate_fisher(structure, in_batches(data.train.take(torch.arange(min(SCORED, len(data.train))))))
    found = prune_to_budget(
        model, lambda network: evaluate(network, data.validation).loss, images, macs=prune, scores=scores
    )
    return found.model, found.removed
