"""How much each unit of a group matters: weights, gates, use, or chance."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.images import Split
from neuroprune.bridge.slim.structure import Group, Slot, Structure
from neuroprune.core.errors import SpecificationError

Scores = Mapping[str, torch.Tensor]
"""A number for each unit of each group; the lowest go first."""
Batches = Iterable[tuple[Any, Any]]
"""What the network is called with (a tensor, or a tuple of arguments) and what it should give."""
Loss = Callable[[Any, Any], torch.Tensor]
"""Sum over the samples of a batch, from outputs and targets."""


def summed_cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of a batch, in nats."""
    return functional.cross_entropy(outputs, targets, reduction="sum")


def in_batches(split: Split, size: int = 256) -> Batches:
    """Return the images of a split with their classes, in batches."""
    return zip(split.x.split(size), split.y.split(size), strict=True)


def random_scores(structure: Structure, *, seed: int) -> Scores:
    """Return numbers drawn uniformly."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(group.size, generator=generator) for name, group in structure.groups.items()}


def magnitude(structure: Structure) -> Scores:
    """Return the root mean square of the weights that make each unit.

    The mean makes layers comparable whose units have more or fewer weights.
    """
    tensors = dict(structure.model.named_parameters())
    scores = {}
    for name, group in structure.groups.items():
        squares, counts = torch.zeros(group.size), torch.zeros(group.size)
        for slot in _slots(group, "written"):
            weight = tensors[slot.parameter].detach().float().cpu().movedim(slot.axis, 0).flatten(1)
            _add(squares, slot.unit, weight.square().sum(1))
            _add(counts, slot.unit, torch.full((len(weight),), float(weight.shape[1])))
        scores[name] = torch.sqrt(squares / counts)
    return scores


def gate_fisher(structure: Structure, batches: Batches, *, loss: Loss = summed_cross_entropy) -> Scores:
    r"""Return the empirical Fisher information of a gate on each unit.

    Parameters
    ----------
    structure : Structure
    batches : iterable of (inputs, targets)
        With samples along the first axis of what each layer gets.
    loss : function of outputs and targets
        Sum over samples, none of which may depend on another.

    Notes
    -----
    A gate :math:`g_u` multiplies the unit's activity :math:`a_u` at all places where layers read it, so
    :math:`\partial L_n/\partial g_u = \sum a_u\,\partial L_n/\partial a_u` for sample :math:`n`, and the score is
    the mean of its square: twice the loss that a second-order expansion expects from removing the unit, where the
    Fisher information stands for the Hessian (Theis et al. 2018, arXiv:1801.05787).

    Raises
    ------
    SpecificationError
        If a unit is read by anything but a dense or convolutional layer, or there is no data.
    """
    totals = {name: torch.zeros(group.size, dtype=torch.float64) for name, group in structure.groups.items()}
    if not totals:
        return {}
    n_samples = 0
    with _watching(structure) as seen:
        for inputs, targets in batches:
            seen.clear()
            with torch.enable_grad():
                value = loss(_call(structure.model, inputs), targets)
            seen.check()
            with torch.enable_grad():
                activity = [a for *_, a in seen]
                gradients = torch.autograd.grad(value, activity)
            samples = _samples(targets, seen)
            n_samples += samples
            gates: dict[str, torch.Tensor] = {}
            for (name, unit, axis, a), gradient in zip(seen, gradients, strict=True):
                product = (
                    (a.detach() * gradient).double().movedim(axis, 1).reshape(len(a), a.shape[axis], -1).sum(2).cpu()
                )
                gate = gates.setdefault(name, torch.zeros(len(a), len(totals[name]), dtype=torch.float64))
                _add(gate.T, unit, product.T)
            for name, gate in gates.items():
                totals[name] += gate.square().sum(0)
    return {name: (total / _positive(n_samples)).float() for name, total in totals.items()}


def usage(structure: Structure, batches: Batches) -> Scores:
    r"""Return what each unit is used for: its mean activity times the weights that read it.

    Notes
    -----
    :math:`\sum \overline{|a_u|}\,\lVert w_u\rVert_2` over the layers that read the unit, where the mean is over
    samples and places: a unit that is silent, or that nobody listens to, is lost. No gradient is needed.

    Raises
    ------
    SpecificationError
        As in :func:`gate_fisher`.
    """
    if not structure.groups:
        return {}
    sums: dict[tuple[str, str, int], torch.Tensor] = {}
    n_samples = 0
    with _watching(structure) as seen, torch.no_grad():
        for inputs, _ in batches:
            seen.clear()
            _call(structure.model, inputs)
            seen.check()
            for slot, (name, _, axis, a) in zip(seen.slots, seen, strict=True):
                mean = a.abs().movedim(axis, 1).reshape(len(a), a.shape[axis], -1).mean(2).double().sum(0).cpu()
                key = (name, slot.parameter, slot.axis)
                sums[key] = sums.get(key, torch.zeros_like(mean)) + mean
            n_samples += len(seen[0][3])
    n_samples = _positive(n_samples)
    tensors = dict(structure.model.named_parameters())
    scores = {name: torch.zeros(group.size, dtype=torch.float64) for name, group in structure.groups.items()}
    for name, group in structure.groups.items():
        for slot in _slots(group, "read"):
            mean = sums[name, slot.parameter, slot.axis] / n_samples
            norm = tensors[slot.parameter].detach().double().movedim(slot.axis, 0).flatten(1).norm(dim=1).cpu()
            unit = slot.unit.repeat(len(mean) // len(norm))
            _add(scores[name], unit, mean * norm.repeat(len(mean) // len(norm)))
    return {name: score.float() for name, score in scores.items()}


class _Seen(list[tuple[str, torch.Tensor, int, torch.Tensor]]):
    """What layers read in one forward pass: group, unit of each position, axis, and the tensor."""

    def __init__(self, layers: Iterable[str]) -> None:
        super().__init__()
        self.slots: list[Slot] = []
        self._layers = tuple(layers)

    def check(self) -> None:
        """Raise if a layer that reads units was not called, so that what it reads was not seen."""
        called = {slot.parameter.rpartition(".")[0] for slot in self.slots}
        for layer in self._layers:
            if layer not in called:
                raise SpecificationError(
                    f"layer {layer!r} reads units, but its weight is used without calling it, so that what it reads "
                    "cannot be watched: score these units by magnitude"
                )

    def clear(self) -> None:
        super().clear()
        self.slots.clear()


@contextmanager
def _watching(structure: Structure) -> Iterator[_Seen]:
    """Note what the layers that read units get, each by a tensor of its own."""
    reading: dict[str, list[tuple[str, Slot]]] = {}
    for name, group in structure.groups.items():
        for slot in _slots(group, "read"):
            reading.setdefault(slot.parameter.rpartition(".")[0], []).append((name, slot))
    seen = _Seen(reading)

    def hook(here: list[tuple[str, Slot]], axis: int) -> Callable[..., Any]:
        def note(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            # What comes in may go elsewhere too; the gradient should be that of this layer alone.
            x = inputs[0].view_as(inputs[0])
            x = x if x.requires_grad or not torch.is_grad_enabled() else x.detach().requires_grad_()
            for name, slot in here:
                seen.append((name, slot.unit.repeat(x.shape[axis] // len(slot.unit)), axis % x.ndim, x))
                seen.slots.append(slot)
            return (x, *inputs[1:])

        return note

    handles = []
    for layer, here in reading.items():
        module = structure.model.get_submodule(layer)
        if isinstance(module, nn.Linear):
            axis = -1
        elif isinstance(module, nn.modules.conv._ConvNd):
            axis = -1 - len(module.kernel_size)
        else:
            raise SpecificationError(
                f"layer {layer!r} ({type(module).__name__}) reads units of group {here[0][0]!r}, and only what dense "
                "and convolutional layers read can be watched: score these units by magnitude"
            )
        handles.append(module.register_forward_pre_hook(hook(here, axis)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _samples(targets: Any, seen: _Seen) -> int:
    """Return the number of samples, which is the length of the first axis of all that layers read."""
    lengths = {len(a): slot.parameter.rpartition(".")[0] for slot, (*_, a) in zip(seen.slots, seen, strict=True)}
    expected = len(targets) if isinstance(targets, torch.Tensor) and targets.ndim else next(iter(lengths))
    for length, layer in lengths.items():
        if length != expected:
            raise SpecificationError(
                f"layer {layer!r} gets {length} rows where there are {expected} samples: samples must be along the "
                "first axis of what every layer gets (attention needs batch_first=True)"
            )
    return expected


def _slots(group: Group, role: str) -> list[Slot]:
    return [slot for slot in group.slots if slot.role == role]


def _add(totals: torch.Tensor, unit: torch.Tensor, values: torch.Tensor) -> None:
    """Add values of positions to the units that they belong to."""
    mine = unit >= 0
    totals.index_add_(0, unit[mine], values[mine].to(totals.dtype))


def _call(model: nn.Module, inputs: Any) -> Any:
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def _positive(n_samples: int) -> int:
    if n_samples == 0:
        raise SpecificationError("there is no data to score units on")
    return n_samples
