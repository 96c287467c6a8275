"""How long a network takes on a machine, before it runs there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.roofline.calibration import MODULE, Parts, working_set
from neuroprune.bridge.roofline.machine import Machine, name_of
from neuroprune.bridge.roofline.work import LayerWork, intensity
from neuroprune.core.errors import SpecificationError


@dataclass(frozen=True)
class LayerPrediction:
    """What a layer does, and what its time is spent on.

    Parameters
    ----------
    work : LayerWork
    parts : Parts
        Seconds within the network.
    uncalibrated : tuple of str
        Kinds of its calls that the machine was not calibrated with: they were taken for what is most like them.
    """

    work: LayerWork
    parts: Parts
    uncalibrated: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the module."""
        return self.work.name

    @property
    def seconds(self) -> float:
        """All of its time."""
        return self.parts.seconds


@dataclass(frozen=True)
class Prediction:
    """How long a network takes.

    Parameters
    ----------
    layers : tuple of LayerPrediction
        In the order in which they first run.
    dtype : str
        Type of its numbers.
    """

    layers: tuple[LayerPrediction, ...]
    dtype: str

    @property
    def parts(self) -> Parts:
        """What the time is spent on."""
        return sum((layer.parts for layer in self.layers), Parts())

    @property
    def seconds(self) -> float:
        """Latency of one forward pass."""
        return self.parts.seconds

    @property
    def flops(self) -> int:
        """Floating-point operations of products."""
        return sum(layer.work.flops for layer in self.layers)

    @property
    def uncalibrated(self) -> tuple[str, ...]:
        """Kinds of calls that the machine was not calibrated with."""
        return tuple(dict.fromkeys(kind for layer in self.layers for kind in layer.uncalibrated))


def predict(model: nn.Module, example_inputs: tuple[Any, ...], machine: Machine) -> Prediction:
    """Predict the latency of a network, layer by layer.

    Parameters
    ----------
    model : nn.Module
        Dense, masked, sparse (:func:`neuroprune.bridge.sparse_linear.auto_sparse`) or slimmed: what it calls counts.
        It runs once.
    example_inputs : tuple
        What it is called with. The batch counts.
    machine : Machine

    Raises
    ------
    SpecificationError
        If the network is on another device, has a type of numbers that was not measured, or cannot be called so.
    """
    dtype = _check(model, example_inputs, machine)
    layers = tuple(intensity(model, example_inputs).values())
    return Prediction(tuple(_predict_layers(layers, machine, dtype)), dtype)


def _predict_layers(layers: Sequence[LayerWork], machine: Machine, dtype: str) -> list[LayerPrediction]:
    ceilings, size = machine.ceilings[dtype], working_set(layers)
    module, _ = machine.cost(MODULE, dtype)
    found = []
    for layer in layers:
        parts = Parts(overhead=layer.modules * (module.overhead + module.in_network))
        unknown = []
        for call in layer.calls:
            cost, calibrated = machine.cost(call.kind, dtype)
            parts += cost.parts(call, ceilings, size, in_network=True)
            if not calibrated:
                unknown.append(call.kind)
        found.append(LayerPrediction(layer, parts, tuple(dict.fromkeys(unknown))))
    return found


def _check(model: nn.Module, inputs: tuple[Any, ...], machine: Machine) -> str:
    """Return the type of a network's numbers, if the machine is one for it."""
    tensors = [*model.parameters(), *model.buffers(), *(x for x in inputs if isinstance(x, torch.Tensor))]
    numbers = [t for t in tensors if t.is_floating_point()]
    if not numbers:
        raise SpecificationError(f"{type(model).__name__} has no floating-point numbers: nothing can be predicted")
    other = next((t.device for t in numbers if t.device.type != machine.device), None)
    if other is not None:
        raise SpecificationError(f"the machine is a {machine.device}, and the network or its inputs are on {other}")
    dtype = name_of(numbers[0].dtype)
    if dtype not in machine.ceilings:
        measured = ", ".join(machine.ceilings)
        raise SpecificationError(f"the machine was measured with {measured}, and the network computes in {dtype}")
    return dtype
