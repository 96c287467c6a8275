"""Networks in which each layer hears only the one before: their units as nodes, and the same networks without some."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import batchnorm, dropout

from neuroprune.bridge.costs import call_network
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import SpecificationError

_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.RReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Tanh, nn.Hardtanh, nn.Tanhshrink, nn.Hardswish,
    nn.Hardshrink, nn.Softshrink, nn.Softplus, nn.Softsign, nn.Threshold,
)  # fmt: skip
"""Of one unit at a time. Subclasses may be anything."""
_OTHERS_APART = (nn.Flatten, nn.Identity, dropout._DropoutNd, batchnorm._BatchNorm)
_AXES: Mapping[type[nn.Module], int] = {
    nn.Linear: 2, nn.Conv2d: 4,
    nn.MaxPool1d: 3, nn.AvgPool1d: 3, nn.AdaptiveMaxPool1d: 3, nn.AdaptiveAvgPool1d: 3,
    nn.MaxPool2d: 4, nn.AvgPool2d: 4, nn.AdaptiveMaxPool2d: 4, nn.AdaptiveAvgPool2d: 4,
    nn.MaxPool3d: 5, nn.AvgPool3d: 5, nn.AdaptiveMaxPool3d: 5, nn.AdaptiveAvgPool3d: 5,
}  # fmt: skip
"""Axes of what goes in: images, then units or channels. With fewer torch takes the first axis for that of channels."""


class Chain:
    """A network in which each layer hears only the one before: Linear or Conv2d layers, a filter being one unit.

    Parameters
    ----------
    model : nn.Module
    x : tensor
        Inputs to call it with.

    Raises
    ------
    SpecificationError
        If it is no such chain, or has no hidden layer.
    """

    def __init__(self, model: nn.Module, x: torch.Tensor) -> None:
        called: list[tuple[str, nn.Module]] = []
        leaves = {n: m for n, m in model.named_modules() if _is_leaf(m)}
        handles = [
            m.register_forward_hook(lambda module, *_, name=n: called.append((name, module))) for n, m in leaves.items()
        ]
        try:
            with evaluating(model), torch.no_grad():
                expected = call_network(model, (x,))
                if not isinstance(expected, torch.Tensor) or not expected.isfinite().all():
                    raise SpecificationError(
                        f"{type(model).__name__} returns no tensor of finite numbers: its weights or inputs may be NaN "
                        "or infinite"
                    )
                chained, calls = x, list(called)
                for _, module in calls:
                    chained = _call_unmixed(module, chained)
        except _MixedError as error:
            raise SpecificationError(f"{type(model).__name__} is no chain of layers: {error}") from None
        finally:
            for handle in handles:
                handle.remove()
        if chained.shape != expected.shape or not torch.allclose(chained, expected, rtol=1e-4, atol=1e-5):
            raise SpecificationError(
                f"{type(model).__name__} is no chain of layers: calling its modules one after the other gives "
                "something else (shortcuts, or functions where modules are meant)"
            )
        self.layers = {n: m for n, m in calls if isinstance(m, nn.Linear | nn.Conv2d)}
        if len(self.layers) < 2 or len(self.layers) != sum(isinstance(m, nn.Linear | nn.Conv2d) for _, m in calls):
            raise SpecificationError(f"{type(model).__name__} has no hidden layer, or calls one twice: nothing to cut")
        self.names = list(self.layers)
        weights = [m.weight for m in self.layers.values()]
        self.sizes = [weights[0].shape[1], *(len(w) for w in weights)]
        self.offsets = np.concatenate([[0], np.cumsum(self.sizes)])

    @property
    def n_hidden(self) -> int:
        """Return the number of hidden units."""
        return int(sum(self.sizes[1:-1]))

    def between_units(self, k: int, values: torch.Tensor) -> np.ndarray:
        """Sum what belongs to each weight of layer k over those that join the same two units: (outputs, inputs)."""
        return values.reshape(self.sizes[k + 1], self.sizes[k], -1).sum(-1).double().cpu().numpy()

    def by_layer(self, nodes: np.ndarray) -> dict[str, np.ndarray]:
        """Return hidden nodes as units of the layers whose outputs they are."""
        found = {}
        for k, name in enumerate(self.names[:-1], start=1):
            units = nodes[(nodes >= self.offsets[k]) & (nodes < self.offsets[k + 1])] - self.offsets[k]
            if units.size:
                found[name] = units
        return found

    def costs(self, given: Mapping[str, Any] | None) -> np.ndarray:
        """Return the costs of all nodes: those given by layer, 1 for others."""
        costs = np.ones(self.offsets[-1])
        for name, values in (given or {}).items():
            if name not in self.names[:-1]:
                raise SpecificationError(f"no hidden layer {name!r}: they are {', '.join(self.names[:-1])}")
            k = self.names.index(name) + 1
            values = np.asarray(values, float)
            if values.shape != (self.sizes[k],):
                raise SpecificationError(f"costs of {name!r} have shape {values.shape}: it has {self.sizes[k]} units")
            for unit in np.flatnonzero(~(values > 0))[:1]:  # NaN is not above 0 either
                raise SpecificationError(f"costs of {name!r} must be above 0, and unit {unit} costs {values[unit]}")
            costs[self.offsets[k] : self.offsets[k + 1]] = values
        return costs

    def arcs(self, k: int, present: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the arcs of layer k, given as a mask of (outputs, inputs)."""
        inputs, outputs = np.nonzero(present.T)
        return inputs + self.offsets[k], outputs + self.offsets[k + 1]


def _is_leaf(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear | nn.Conv2d) or not any(True for _ in module.children())


class _MixedError(Exception):
    """Why it is not clear what a unit hears."""


def _call_unmixed(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return what a module makes of its input, if it leaves it clear which unit is which."""
    axes = next((n for kind, n in _AXES.items() if isinstance(module, kind)), None)
    grouped = isinstance(module, nn.Conv2d) and module.groups > 1
    if grouped or not (axes or type(module) in _ACTIVATIONS or isinstance(module, _OTHERS_APART)):
        raise _MixedError(
            f"{module} stands between layers: only activations of single units, pooling, batch normalisation, dropout "
            "and flattening between Linear and ungrouped Conv2d layers leave it clear what a unit hears"
        )
    if axes and x.ndim != axes:
        raise _MixedError(f"{module} gets {tuple(x.shape)}, and must get {axes} axes")
    try:
        y = module(x)
    except (RuntimeError, ValueError, TypeError) as error:  # in the network, something stands before it
        raise _MixedError(str(error)) from None
    if not isinstance(y, torch.Tensor):
        raise _MixedError(f"{module} returns {type(y).__name__}, and must return a tensor")
    if isinstance(module, nn.Flatten) and y.shape != (len(x), x[0].numel()):
        raise _MixedError(f"{module} makes {tuple(y.shape)} of {tuple(x.shape)}, and must leave the images alone apart")
    return y


@contextmanager
def silenced(model: nn.Module, example: torch.Tensor, units: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Let hidden units of a chain be silent: what the next layer hears of them is 0."""
    chain = Chain(model, example)
    handles = []
    try:
        for name, which in units.items():
            if name not in chain.names[:-1]:
                raise SpecificationError(f"no hidden layer {name!r}: they are {', '.join(chain.names[:-1])}")
            k = chain.names.index(name) + 1
            heard = torch.ones(chain.sizes[k])
            heard[torch.as_tensor(which)] = 0

            def mute(_: nn.Module, inputs: tuple[torch.Tensor], heard: torch.Tensor = heard) -> tuple[torch.Tensor]:
                (x,) = inputs
                # A filter is a channel here, or after flattening as many features as it has places.
                mask = heard.repeat_interleave(x.shape[1] // len(heard)).to(x)
                return (x * mask.reshape(-1, *[1] * (x.ndim - 2)),)

            handles.append(chain.layers[chain.names[k]].register_forward_pre_hook(mute))
        yield
    finally:
        for handle in handles:
            handle.remove()
