"""Traces that no hook can collect: the flow through a network, and what the Hessian makes of its gradient."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.layers import view_of
from neuroprune.bridge.masks import original
from neuroprune.bridge.traces import LayerTraces, watch
from neuroprune.core.errors import SpecificationError

MeanLoss = Callable[[Any, Any], torch.Tensor]
"""Mean over the samples of a batch, from outputs and targets."""


class SynapticFlow:
    """The flow of SynFlow: ``flow``, the derivative of the summed outputs with respect to each strength.

    Parameters
    ----------
    example_inputs : tuple
        What the module is called with; tensors of floating point are replaced by ones, for one sample.

    Notes
    -----
    All parameters and buffers of a copy are replaced by their magnitudes, in float64 and in evaluation mode: in
    training mode normalisation would subtract the flow (Tanaka et al. 2020, arXiv:2006.05467).
    """

    produces: tuple[str, ...] = ("flow",)

    def __init__(self, example_inputs: tuple[Any, ...]) -> None:
        self.inputs = tuple(torch.ones_like(x[:1], dtype=torch.float64) if _floats(x) else x for x in example_inputs)

    def __call__(self, module: nn.Module, layers: Sequence[str]) -> list[Mapping[str, torch.Tensor]]:
        """Return the flow of some layers."""
        linear = copy.deepcopy(module).eval()
        if any(p.device.type == "mps" for p in linear.parameters()):
            linear.cpu()  # which has float64
        linear.double()
        for tensor in (*linear.parameters(), *linear.buffers()):
            if tensor.is_floating_point():
                tensor.data = tensor.data.abs()
        found = [linear.get_submodule(name) for name in layers]
        views = [view_of(layer) for layer in found]
        traces = [
            LayerTraces(name, view, view.layer.weight.device, ("gradient",))
            for name, view in zip(layers, views, strict=True)
        ]
        with torch.enable_grad(), watch(dict(zip(found, traces, strict=True))):
            device = next(linear.parameters()).device
            total = linear(*(x.to(device) if isinstance(x, torch.Tensor) else x for x in self.inputs)).sum()
            torch.autograd.grad(total, [p for p in linear.parameters() if p.requires_grad], allow_unused=True)
        return [{"flow": view.tensor(trace.take()["gradient"])} for view, trace in zip(views, traces, strict=True)]


class HessianGradient:
    """The product of the loss's Hessian and its gradient: ``hessian_gradient``, by strength.

    Parameters
    ----------
    batches : iterable of (inputs, targets)
        Run through once for the gradient, and again for its product with the Hessian.
    loss : function of outputs and targets
        Mean over samples.
    temperature : float
        Outputs are divided by it, as in the original (200 there).

    Notes
    -----
    A copy is run, in the mode that the module is in (Wang, Zhang & Grosse 2020, arXiv:2002.07376).
    """

    produces: tuple[str, ...] = ("hessian_gradient",)

    def __init__(
        self, batches: Iterable[tuple[Any, Any]], loss: MeanLoss = functional.cross_entropy, temperature: float = 200.0
    ) -> None:
        self.batches, self.loss, self.temperature = list(batches), loss, temperature
        if not self.batches:
            raise SpecificationError("there are no batches to take a gradient of")

    def __call__(self, module: nn.Module, layers: Sequence[str]) -> list[Mapping[str, torch.Tensor]]:
        """Return the product for some layers."""
        module = copy.deepcopy(module)
        weights = [original(module.get_submodule(name)) for name in layers]
        share = 1 / len(self.batches)

        def gradient(inputs: Any, targets: Any, keep: bool) -> Sequence[torch.Tensor]:
            out = module(*inputs) if isinstance(inputs, tuple) else module(inputs)
            value = share * self.loss(out / self.temperature, targets)
            return torch.autograd.grad(value, weights, create_graph=keep)

        with torch.enable_grad():
            first = [torch.zeros_like(w) for w in weights]
            for inputs, targets in self.batches:
                first = [a + g for a, g in zip(first, gradient(inputs, targets, False), strict=True)]
            product = [torch.zeros_like(w) for w in weights]
            for inputs, targets in self.batches:
                parts = gradient(inputs, targets, True)
                dot = sum(((a * g).sum() for a, g in zip(first, parts, strict=True)), torch.zeros(()).to(first[0]))
                product = [p + h for p, h in zip(product, torch.autograd.grad(dot, weights), strict=True)]
        return [{"hessian_gradient": torch.where(w < 0, -p, p).detach()} for w, p in zip(weights, product, strict=True)]


def _floats(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point()
