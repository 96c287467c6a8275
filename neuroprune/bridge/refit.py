"""The last layer of a network, fitted again with few weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from neuroprune.bridge.images import Split
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.l0 import Moments, Solution, solve_l0


@dataclass(frozen=True)
class Refit:
    """What became of a layer.

    Parameters
    ----------
    layer : str
        Name of the module whose weights were changed.
    solution : Solution
        Its coefficients are the layer's weights, transposed: a column for each output.
    weights : int
        How many the layer has.
    """

    layer: str
    solution: Solution
    weights: int

    @property
    def density(self) -> float:
        """Share of the layer's weights that are not zero."""
        return self.solution.size / self.weights

    def as_dict(self) -> dict[str, Any]:
        """Return what became of the layer, for JSON."""
        return {"layer": self.layer, "density": self.density, **self.solution.as_dict()}


def refit_last_layer(
    model: nn.Module,
    data: Split,
    *,
    k: int | None = None,
    penalty: float | None = None,
    ridge: float = 0.0,
    targets: torch.Tensor | None = None,
    exact: bool = False,
    time_limit: float | None = None,
    seed: int = 0,
    batch_size: int = 4096,
) -> Refit:
    """Replace the weights of a network's last linear layer by a sparse regression on its inputs, in place.

    Parameters
    ----------
    model : nn.Module
        The last ``nn.Linear`` that runs is changed, on the device that it is on; the mode of the network is kept.
    data : Split
        What to fit; ``data.y`` are classes.
    k : int, optional
        Most inputs of each output.
    penalty : float, optional
        Price of a weight, in units of half the sum of squared errors over the data. Give either this or `k`.
    ridge : float
        Price of the squared weights, in the same units.
    targets : (n, outputs) tensor, optional
        What the layer should give. Without it that is 1 for the class of an image and 0 for others, less the mean of
        that if the layer has no bias.
    exact, time_limit, seed
        As in :func:`neuroprune.solvers.l0.fit_l0`.
    batch_size : int
        Images that run at a time; of their features only the second moments are kept.

    Returns
    -------
    Refit

    Raises
    ------
    SpecificationError
        If there is no linear layer, its input is no vector for each image, its weights belong to a mask, or the targets
        do not fit it.

    Notes
    -----
    Each output has a support of its own. The bias is the intercept of the regression. What the network makes of the
    outputs after the layer is not looked at; squared error is not cross-entropy, so score it before and after.
    """
    if len(data) == 0:
        raise SpecificationError("there are no images to fit a layer to")
    device = next(model.parameters()).device
    with evaluating(model), torch.no_grad():
        name, layer = _last_linear(model, data.x[:1].to(device))
        wanted = _targets(data, layer, targets)
        moments = Moments(layer.in_features, layer.out_features, intercept=layer.bias is not None)
        with _Inputs(layer) as inputs:
            for x, y in zip(data.x.split(batch_size), wanted.split(batch_size), strict=True):
                model(x.to(device))
                moments.add(inputs.last.cpu().double().numpy(), y.cpu().double().numpy())
    solution = solve_l0(
        moments.gram(), k=k, penalty=penalty, ridge=ridge, exact=exact, time_limit=time_limit, seed=seed
    )
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(solution.coefficients.T))
        if layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(solution.intercept))
    return Refit(name, solution, layer.weight.numel())


class _Inputs:
    """Keeps the last input of a layer while it is open."""

    def __init__(self, layer: nn.Module) -> None:
        self.last = torch.empty(0)
        self._layer = layer

    def __enter__(self) -> "_Inputs":
        self._hook = self._layer.register_forward_pre_hook(self._keep)
        return self

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _keep(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.last = inputs[0].detach()


def _last_linear(model: nn.Module, x: torch.Tensor) -> tuple[str, nn.Linear]:
    """Return name and module of the linear layer that runs last, found by running one image."""
    ran: list[tuple[str, nn.Linear, torch.Size]] = []

    def watch(name: str, layer: nn.Linear) -> Any:
        return layer.register_forward_pre_hook(lambda _, inputs: ran.append((name, layer, inputs[0].shape)))

    hooks = [watch(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    if not ran:
        raise SpecificationError("no nn.Linear runs in this network: there is no last layer to fit")
    name, layer, shape = ran[-1]
    if len(shape) != 2:
        raise SpecificationError(
            f"the input of {name or 'the layer'} has shape {tuple(shape)}: only (images, features) can be fitted"
        )
    if parametrize.is_parametrized(layer, "weight"):
        raise SpecificationError(f"the weights of {name or 'the layer'} are parametrized (masked?): fold that in first")
    return name, layer


def _targets(data: Split, layer: nn.Linear, targets: torch.Tensor | None) -> torch.Tensor:
    expected = (len(data), layer.out_features)
    if targets is not None:
        if tuple(targets.shape) != expected:
            raise SpecificationError(f"targets must have shape {expected}, not {tuple(targets.shape)}")
        return targets
    if int(data.y.min()) < 0:
        raise SpecificationError(f"there is a class {int(data.y.min())}: classes are numbered from 0")
    classes = int(data.y.max()) + 1
    if classes > layer.out_features:
        raise SpecificationError(f"there are {classes} classes but the layer has {layer.out_features} outputs")
    wanted = nn.functional.one_hot(data.y, layer.out_features).double()
    return wanted if layer.bias is not None else wanted - wanted.mean(dim=0)
