"""Blocks of weights as items of a knapsack: which to keep, greedily and optimally, and what the difference is."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.images import Split
from neuroprune.bridge.layers import find_layers, view_of
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.knapsack import Comparison, Items, Selection

Values = Literal["magnitude", "fisher"] | Callable[[str, nn.Module], torch.Tensor]
"""How much each weight contributes: a name, or a function of a layer's name and the layer, shaped as its weight."""
BATCH = 512


@dataclass(frozen=True)
class Blocks:
    """The weights of layers, as matrices with a row for each unit or filter, divided into blocks.

    Parameters
    ----------
    layers : tuple of str
    shapes : tuple of (rows, columns)
        Of the matrix of each layer.
    block : (rows, columns)
        The blocks at the lower and right edge of a layer are what is left, and cost less.
    items : Items
        One block after the other, by layer and then by rows: named ``layer[row:row, column:column]``, worth the
        summed contributions of its weights, and costing one for each of them.
    """

    layers: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]
    block: tuple[int, int]
    items: Items

    def masks(self, keep: np.ndarray) -> dict[str, np.ndarray]:
        """Return, for each layer, which entries of its matrix lie in blocks that are kept.

        Parameters
        ----------
        keep : bool array, shape (n_blocks,)
        """
        masks, at = {}, 0
        for name, (rows, columns) in zip(self.layers, self.shapes, strict=True):
            down, across = _edges(rows, self.block[0]), _edges(columns, self.block[1])
            n = (len(down) - 1) * (len(across) - 1)
            grid = keep[at : at + n].reshape(len(down) - 1, len(across) - 1)
            masks[name] = grid.repeat(np.diff(down), 0).repeat(np.diff(across), 1)
            at += n
        return masks


@dataclass(frozen=True)
class BlockPruning:
    """What pruning by blocks kept, and what another selection would have kept.

    Parameters
    ----------
    blocks : Blocks
    budget : int
        Weights that may be kept.
    compared : Comparison
        The greedy and the best selection, each with its bound and gap.
    applied : Selection
        The one that the network now has.
    """

    blocks: Blocks
    budget: int
    compared: Comparison
    applied: Selection


def divide(
    model: nn.Module,
    data: Split | None = None,
    *,
    block: tuple[int, int] = (16, 16),
    values: Values = "magnitude",
    layers: Sequence[str] | None = None,
) -> Blocks:
    """Divide the weights of a network into blocks, and measure what each contributes.

    Parameters
    ----------
    model : nn.Module
    data : Split, optional
        Images to measure ``"fisher"`` on.
    block : (rows, columns)
        Of units or filters, and of their inputs; those of a filter are ordered by channel and place.
    values : {"magnitude", "fisher"} or callable
        ``"magnitude"``: the square of each weight. ``"fisher"``: local Fisher information,
        :math:`w_{ij}^2 E[x_j^2] E[\\delta_i^2]`, of activity before and error after the connection. Or a function of a
        layer's name and the layer that returns a tensor of the shape of its weight, 0 or more.
    layers : sequence of str, optional
        Linear layers and convolutions; all without it, and then a layer of another kind with connections is refused.

    Raises
    ------
    SpecificationError
        If a layer cannot be pruned, the block is not of at least one weight, or contributions make no sense.
    """
    height, width = _size(block)
    found = find_layers(model, None if layers is None else tuple(layers))
    contributions = _contributions(model, found, data, values)
    names, worth, costs, shapes = [], [], [], []
    for name, layer in found.items():
        given, weight = contributions[name].detach(), layer.get_parameter("weight")
        if given.shape != weight.shape:
            raise SpecificationError(
                f"contributions of layer {name!r} have shape {tuple(given.shape)}, its weight {tuple(weight.shape)}"
            )
        each = view_of(layer).matrix(given).double().cpu().numpy()
        down, across = _edges(each.shape[0], height), _edges(each.shape[1], width)
        worth.append(np.add.reduceat(np.add.reduceat(each, down[:-1], 0), across[:-1], 1).ravel())
        costs.append(np.outer(np.diff(down), np.diff(across)).ravel())
        shapes.append((each.shape[0], each.shape[1]))
        names += [f"{name}[{r}:{r_end}, {c}:{c_end}]" for r, r_end in pairwise(down) for c, c_end in pairwise(across)]
    items = Items(tuple(names), np.concatenate(worth), np.concatenate(costs))
    return Blocks(tuple(found), tuple(shapes), (height, width), items)


def prune_blocks(
    model: nn.Module,
    data: Split | None = None,
    *,
    budget: int | None = None,
    share: float | None = None,
    block: tuple[int, int] = (16, 16),
    values: Values = "magnitude",
    layers: Sequence[str] | None = None,
    select: Literal["optimal", "greedy"] = "optimal",
    time_limit: float | None = None,
) -> BlockPruning:
    """Keep the blocks of weights that contribute most within a budget, and mask the others.

    Parameters
    ----------
    model : nn.Module
        It is changed in place: its layers get masks, which training respects.
    data, block, values, layers
        As for :func:`divide`.
    budget : int, optional
        Weights to keep, at most.
    share : float, optional
        Or which share of them, from 0 to 1; never exceeded either.
    select : {"optimal", "greedy"}
        Which selection the network gets; both are returned.
    time_limit : float, optional
        Seconds for the optimal one, after which it is the best found, with its bound.

    Returns
    -------
    BlockPruning

    Raises
    ------
    SpecificationError
        If the budget, the blocks or the layers make no sense, or no block fits a budget above 0.

    Notes
    -----
    Where all blocks are of one size, the greedy selection is optimal. It can fall short where edge blocks are smaller.
    Contributions are added up as if blocks did not depend on each other, so the best sum need not be the most accurate
    network.
    """
    if select not in ("optimal", "greedy"):
        raise SpecificationError(f"select is {select!r}, and must be optimal or greedy")
    blocks = divide(model, data, block=block, values=values, layers=layers)
    limit = _limit(blocks.items.costs, budget, share)
    compared = blocks.items.compare(limit, time_limit=time_limit)
    applied = compared.optimal if select == "optimal" else compared.greedy
    apply_masks(model, blocks.masks(applied.keep))
    return BlockPruning(blocks, limit, compared, applied)


def apply_masks(model: nn.Module, masks: dict[str, np.ndarray]) -> None:
    """Put masks on layers.

    Parameters
    ----------
    model : nn.Module
    masks : dict of layer to bool array
        Of the matrix of each.
    """
    for name, layer in find_layers(model, tuple(masks)).items():
        mask_weight(layer).alive.copy_(view_of(layer).tensor(torch.from_numpy(masks[name])))


def _limit(costs: np.ndarray, budget: int | None, share: float | None) -> int:
    """Return how many weights may be kept."""
    if (budget is None) == (share is None):
        raise SpecificationError(
            "say either how many weights to keep (budget) or which share of them, not both or neither"
        )
    if share is not None:
        if not 0 <= share <= 1:
            raise SpecificationError(f"share is {share}: the share of weights to keep is from 0 to 1")
        limit = int(share * int(costs.sum()))
    else:
        if isinstance(budget, bool) or not isinstance(budget, Integral) or budget < 0:
            raise SpecificationError(f"budget is {budget}: the number of weights to keep is a whole one, 0 or more")
        limit = int(budget)
    if limit < costs.min() and (budget or share):
        raise SpecificationError(
            f"{limit} weights may be kept, and the smallest block has {costs.min()}: nothing would be left (if that is "
            "meant, say 0)"
        )
    return limit


def _size(block: Any) -> tuple[int, int]:
    """Return the sides of a block as whole numbers."""
    try:
        height, width = map(operator.index, block)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise SpecificationError(f"block is {block!r}: it must be two whole numbers of 1 or more, as in (16, 16)")
    return height, width


def _edges(size: int, step: int) -> np.ndarray:
    return np.minimum(np.arange(0, size + step, step), size)


def _contributions(
    model: nn.Module, layers: dict[str, nn.Module], data: Split | None, values: Values
) -> dict[str, torch.Tensor]:
    if callable(values):
        return {name: values(name, layer) for name, layer in layers.items()}
    if values == "magnitude":
        return {name: layer.get_parameter("weight").detach().double() ** 2 for name, layer in layers.items()}
    if values == "fisher":
        if data is None:
            raise SpecificationError("fisher is measured on images: give data")
        return local_fisher(model, layers, data)
    raise SpecificationError(f"no values {values!r}: they are magnitude, fisher, or a function of a layer")


def local_fisher(model: nn.Module, layers: dict[str, nn.Module], data: Split) -> dict[str, torch.Tensor]:
    """Return the local Fisher information of each weight, from activity before it and error after it.

    The loss is cross-entropy with the classes of the data, and the network is in evaluation mode. Each place that
    shares a weight (a token, a pixel) counts as a sample.

    Raises
    ------
    SpecificationError
        If a layer has no part in what the network returns.
    """
    views = {name: view_of(layer) for name, layer in layers.items()}
    before: dict[str, torch.Tensor] = {}
    after: dict[str, torch.Tensor] = {}
    samples = dict.fromkeys(layers, 0)

    def watch(name: str) -> Callable[..., None]:
        def forward(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            squared = inputs[0].detach().square()

            def backward(error: torch.Tensor) -> None:
                wrong = error.detach().square()
                by_unit = views[name].by_unit(wrong)
                before[name] = before.get(name, 0) + views[name].usage(squared, wrong).double()
                after[name] = after.get(name, 0) + by_unit.sum(0)[:, None].double()
                samples[name] += len(by_unit)

            # Of the output as it is now: an activation may overwrite it in place.
            if output.requires_grad:
                output.register_hook(backward)

        return forward

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    device = next(model.parameters()).device
    weights = [layer.get_parameter("weight") for layer in layers.values()]
    try:
        with evaluating(model), torch.enable_grad():
            for x, y in zip(data.x.split(BATCH), data.y.split(BATCH), strict=True):
                # A sum over samples, so that errors do not depend on the size of the batch.
                loss = functional.cross_entropy(model(x.to(device)), y.to(device), reduction="sum")
                torch.autograd.grad(loss, weights, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    for name, n in samples.items():
        if not n:
            raise SpecificationError(f"layer {name!r} has no part in what the network returns for these images")
    return {
        name: layer.get_parameter("weight").detach().double() ** 2
        * views[name].tensor((before[name] * after[name]) / samples[name] ** 2)
        for name, layer in layers.items()
    }
