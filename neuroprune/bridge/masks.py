"""Masks on weights: a dead weight carries nothing, forwards or backwards, until it is formed again."""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod

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


def mask_weight(layer: nn.Module) -> Mask:
    """Return the mask on a layer's weight; where there is none, one is put on, all alive."""
    mask = mask_of(layer)
    if mask is None:
        mask = Mask(torch.ones_like(layer.weight, dtype=torch.bool))  # type: ignore[arg-type]
        parametrize.register_parametrization(layer, "weight", mask)
    return mask


def mask_of(layer: nn.Module) -> Mask | None:
    """Return the mask on a layer's weight, None if there is none or there is something else, too."""
    parts: Any = layer._modules.get("parametrizations")
    if parts is None or set(parts) != {"weight"} or len(parts["weight"]) != 1:
        return None
    return parts["weight"][0] if isinstance(parts["weight"][0], Mask) else None


def original(layer: nn.Module) -> nn.Parameter:
    """Return the parameter behind a weight that is or is not masked, the one that an optimizer holds."""
    masked: Any = layer._modules.get("parametrizations")
    return layer.weight if masked is None or "weight" not in masked else masked["weight"].original  # type: ignore[return-value]


def bake(module: nn.Module) -> None:
    """Leave the values that a module's parametrizations give in place of them: zeros where it was dead.

    A parametrized layer shares its class with its copies, and ``parametrize.remove_parametrizations`` changes that
    class, so that copies lose their weights; here it is left alone. A mask's parameter stays the one that an optimizer
    holds.
    """
    if not parametrize.is_parametrized(module):
        return
    parts: Any = module._modules["parametrizations"]
    values = {name: getattr(module, name).detach().clone() for name in parts}
    module.__class__ = type(module).__bases__[0]
    del module._modules["parametrizations"]
    # The weight of a plain layer comes first, and optimizers number parameters in their order.
    behind = dict(module._parameters) if "weight" in values else {}
    module._parameters = {k: v for k, v in module._parameters.items() if k not in behind}
    for name, value in values.items():
        originals = list(parts[name].parameters(recurse=False))
        if not originals:
            module.register_buffer(name, value)
        elif len(originals) == 1 and originals[0].shape == value.shape:
            originals[0].data = value
            module.register_parameter(name, originals[0])
        else:
            module.register_parameter(name, nn.Parameter(value, any(p.requires_grad for p in originals)))
    module._parameters.update(behind)


def bake_all(model: nn.Module) -> None:
    """Bake the parametrizations of a model and of all modules within."""
    for module in list(model.modules()):
        bake(module)


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model.

    Raises
    ------
    SpecificationError
        If it cannot be copied, as with the masks of ``torch.nn.utils.prune``.
    """
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        for name, module in model.named_modules():
            if any(isinstance(hook, BasePruningMethod) for hook in module._forward_pre_hooks.values()):
                raise SpecificationError(
                    f"module {name!r} is masked by torch.nn.utils.prune, which cannot be copied: make its zeros "
                    "lasting first, with torch.nn.utils.prune.remove(module, 'weight')"
                ) from None
        raise SpecificationError(
            f"{type(model).__name__} cannot be copied: {str(error).splitlines()[0]} (hooks that make weights anew, "
            "such as the old torch.nn.utils.weight_norm, must be removed first)"
        ) from None
