"""Masks on weights: a dead weight carries nothing, forwards or backwards, until it is formed again."""

import torch
from torch import nn
from torch.nn.utils import parametrize


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


def mask_weight(layer: nn.Module) -> Mask:
    """Put a mask on a layer's weight, all alive, and return it."""
    mask = Mask(torch.ones_like(layer.weight, dtype=torch.bool))  # type: ignore[arg-type]
    parametrize.register_parametrization(layer, "weight", mask)
    return mask


def original(layer: nn.Module) -> nn.Parameter:
    """Return the parameter behind a masked weight, the one that the optimizer holds."""
    return layer.parametrizations["weight"].original  # type: ignore[union-attr, index, return-value]


def bake(layer: nn.Module) -> None:
    """Take the mask off and leave zeros where it was dead."""
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
