"""Masks on weights: a dead weight carries nothing, forwards or backwards, until it is formed again."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from neuroprune.core.errors import SpecificationError


class Mask(nn.Module):
    """Parametrization of a weight that lets only living connections through.

    Parameters
    ----------
    alive : tensor of bool
        The shape of the weight. It is a buffer, so it travels with ``state_dict``, ``deepcopy`` and ``to``.

    Notes
    -----
    Dead weights are selected away, not multiplied by 0, so that what a training step leaves in them (decay,
    momentum, even a NaN) never shows.
    """

    alive: torch.Tensor

    def __init__(self, alive: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("alive", alive)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weight with 0 where dead."""
        return torch.where(self.alive, weight, torch.zeros_like(weight))


def find_linear(module: nn.Module, names: tuple[str, ...] | None) -> dict[str, nn.Linear]:
    """Return the Linear layers to prune, by their names in the module.

    Parameters
    ----------
    module : nn.Module
    names : tuple of str, optional
        Layers to prune; without it all, and then a layer of another kind with connections is refused.

    Raises
    ------
    SpecificationError
        If a layer is no plain ``nn.Linear``, is missing, shares its weight or has a parametrization already.
    """
    modules = dict(module.named_modules())
    if names is None:
        # Only a parameter of two or more axes connects units; those of normalisation layers have one.
        names = tuple(
            n
            for n, m in modules.items()
            if parametrize.is_parametrized(m) or any(p.ndim > 1 for p in m.parameters(recurse=False))
        )
    found: dict[str, nn.Linear] = {}
    owners: dict[int, str] = {}
    for name in names:
        layer = modules.get(name)
        if layer is None:
            have = ", ".join(n for n, m in modules.items() if type(m) is nn.Linear) or "none"
            raise SpecificationError(f"{type(module).__name__} has no layer {name!r} (its Linear layers are: {have})")
        label = repr(name) if name else "itself"
        if parametrize.is_parametrized(layer):
            raise SpecificationError(
                f"layer {label} of {type(module).__name__} is parametrized already: remove that first"
            )
        if type(layer) is not nn.Linear:
            raise SpecificationError(
                f"layer {label} of {type(module).__name__} is {type(layer).__name__}: only torch.nn.Linear "
                "can be pruned; name the layers to prune with layers=[...]"
            )
        owner = owners.setdefault(id(layer.weight), name)
        if owner != name:
            raise SpecificationError(f"layers {owner!r} and {name!r} share their weight: it cannot be pruned twice")
        found[name] = layer
    if not found:
        raise SpecificationError(f"{type(module).__name__} has no Linear layer to prune")
    return found


def mask_weight(layer: nn.Linear) -> Mask:
    """Put a mask on a layer's weight, all alive, and return it."""
    mask = Mask(torch.ones_like(layer.weight, dtype=torch.bool))
    parametrize.register_parametrization(layer, "weight", mask)
    return mask


def original(layer: nn.Linear) -> nn.Parameter:
    """Return the parameter behind a masked weight, the one that the optimizer holds."""
    return layer.parametrizations["weight"].original  # type: ignore[union-attr, index, return-value]


def bake(layer: nn.Linear) -> None:
    """Take the mask off and leave zeros where it was dead."""
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
