"""What pruning can make of a network: the same with masks, with sparse layers, or with smaller ones."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.importance import magnitude
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.slim import slim, trace
from neuroprune.bridge.slim.budget import Budget, select
from neuroprune.bridge.sparse_linear import SparseChoice, auto_sparse
from neuroprune.bridge.timing import Stopwatch
from neuroprune.core.errors import NeuropruneError, SpecificationError

_PRUNED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Variants:
    """A pruned network in several forms.

    Parameters
    ----------
    masked : nn.Module
        The smallest weights of each layer are masked.
    sparse : nn.Module or None
        The same, with sparse layers where they are faster. None where there are no such layers.
    slimmed : nn.Module or None
        The network with as few operations, because it has fewer units: the same share of them in each group.
    choices : tuple of SparseChoice
        Which layers are sparse, and why.
    missing : dict of str to str
        Why a form is not there.
    """

    masked: nn.Module
    sparse: nn.Module | None
    slimmed: nn.Module | None
    choices: tuple[SparseChoice, ...]
    missing: dict[str, str]


def make_variants(
    model: nn.Module, example_inputs: tuple[Any, ...], sparsity: float, *, time_call: Stopwatch | None = None
) -> Variants:
    """Prune copies of a network by magnitude, to compare how fast the forms are.

    Parameters
    ----------
    model : nn.Module
    example_inputs : tuple
        What it is called with. Which layers are sparse is measured with them.
    sparsity : float
        Share of the weights of each Linear and convolution that are pruned, and share of the operations that the
        slimmed network does without; between 0 and 1.
    time_call : Stopwatch, optional
        What layers are timed with.

    Raises
    ------
    SpecificationError
        If the sparsity makes no sense.
    """
    if not 0 < sparsity < 1:
        raise SpecificationError(f"sparsity is {sparsity}, and must be between 0 and 1")
    masked = mask_by_magnitude(model, sparsity)
    sparse, slimmed, choices, missing = None, None, (), {}
    try:
        sparse, choices = auto_sparse(masked, example_inputs, time_call=time_call)
    except SpecificationError as error:
        missing["sparse"] = str(error)
    try:
        structure = trace(model, example_inputs)
        budget = Budget(structure, macs=1 - sparsity)
        removed = select(magnitude(structure), budget, scope="local", minimum_width=1)
        slimmed = slim(model, removed, example_inputs, structure=structure)
    except NeuropruneError as error:
        missing["slimmed"] = str(error)
    return Variants(masked, sparse, slimmed, choices, missing)


def mask_by_magnitude(model: nn.Module, sparsity: float) -> nn.Module:
    """Return a copy of a network whose smallest weights are masked, the same share in each layer."""
    masked = copy.deepcopy(model)
    for module in masked.modules():
        if type(module) in _PRUNED:
            weight = module.weight.detach()  # type: ignore[union-attr, operator]
            assert isinstance(weight, torch.Tensor)
            dead = round(sparsity * weight.numel())
            alive = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
            alive[weight.abs().flatten().argsort(stable=True)[:dead]] = False
            mask_weight(module).alive.copy_(alive.view_as(weight))  # type: ignore[arg-type]
    return masked
