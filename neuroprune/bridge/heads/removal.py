"""A network without some of its heads: masked while it runs, or really smaller."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.heads.attention import attending
from neuroprune.bridge.slim import slim
from neuroprune.core.errors import SpecificationError

Heads = Mapping[str, Iterable[int]]
"""Numbers of heads, by the name of their layer."""


@contextmanager
def without_heads(model: nn.Module, heads: Heads) -> Iterator[None]:
    """Let a network run, or train, as if some heads passed on zeros.

    Parameters
    ----------
    model : nn.Module
        It is not changed.
    heads : mapping of str to iterable of int
        Those that are silent, by layer as in :class:`~neuroprune.bridge.heads.HeadReport`.

    Raises
    ------
    SpecificationError
        If there is no such layer; while the network runs, if a layer has no such head.
    """
    silent = {layer: sorted({int(k) for k in numbers}) for layer, numbers in heads.items()}
    modules = dict(model.named_modules())
    for layer in silent:
        if layer not in modules:
            raise SpecificationError(f"{type(model).__name__} has no layer {layer!r}")

    def silence(layer: str, passed_on: torch.Tensor) -> torch.Tensor:
        numbers = silent.get(layer)
        if not numbers:
            return passed_on
        n = passed_on.shape[1]
        if not 0 <= numbers[0] <= numbers[-1] < n:
            raise SpecificationError(f"layer {layer!r} has heads 0 to {n - 1}, not {numbers}")
        gone = torch.zeros(n, dtype=torch.bool, device=passed_on.device)
        gone[numbers] = True
        return passed_on.masked_fill(gone[:, None, None], 0.0)

    with attending(model, change=silence):
        yield


def remove_heads(model: nn.Module, heads: Heads, example_inputs: tuple[Any, ...]) -> nn.Module:
    """Return a smaller copy of a network, in which heads are gone from all projections.

    Parameters
    ----------
    model : nn.Module
    heads : mapping of str to iterable of int
        By layer as in :class:`~neuroprune.bridge.heads.HeadReport`. One head of a layer must stay.
    example_inputs : tuple
        What the network is called with; two samples or more.

    Returns
    -------
    nn.Module
        Its outputs are those under :func:`without_heads`. See :func:`neuroprune.bridge.slim.slim`.
    """
    return slim(model, {layer: tuple(numbers) for layer, numbers in heads.items()}, example_inputs)
