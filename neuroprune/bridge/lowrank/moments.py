"""Mean and covariance of what comes into dense layers, seen through their weights so that they stay small."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import SpecificationError

FOLDS = 4
"""Parts of the calibration data, of which each is predicted from the others."""


@dataclass
class Moments:
    """Sums over the inputs x of a layer, through a matrix T with as many rows as the weight has rank at most.

    Parameters
    ----------
    through : float64 tensor, shape (k, d)
        T. With ``weight = Q T``, Q orthonormal, errors of outputs are errors of ``T x``: nothing of size d x d.
    count : int
        Inputs seen (tokens count one by one).
    total : float64 tensor, shape (d,)
        Sum of x.
    squares : float
        Sum of ``|x|**2``.
    products : float64 tensor, shape (k, k)
        Sum of ``T x (T x)^T``.
    """

    through: torch.Tensor
    count: int = 0
    total: torch.Tensor = field(init=False)
    squares: float = 0.0
    products: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        k, d = self.through.shape
        self.total, self.products = self.through.new_zeros(d), self.through.new_zeros(k, k)

    def add(self, x: torch.Tensor) -> None:
        """Take in inputs of shape (..., d)."""
        rows = x.detach().reshape(-1, x.shape[-1]).cpu().to(self.through)
        seen = rows @ self.through.T
        self.count += len(rows)
        self.total += rows.sum(0)
        self.squares += float(rows.square().sum())
        self.products += seen.T @ seen

    def combine(self, other: "Moments", sign: int = 1) -> "Moments":
        """Return the sums over both, or with ``sign=-1`` over what is not in the other."""
        found = Moments(self.through, self.count + sign * other.count)
        found.total = self.total + sign * other.total
        found.squares = self.squares + sign * other.squares
        found.products = self.products + sign * other.products
        return found

    @property
    def mean(self) -> torch.Tensor:
        """Mean of T x, shape (k,)."""
        return self.through @ self.total / self.count

    def second(self, about: torch.Tensor | None = None) -> torch.Tensor:
        """Return the second moment of T x about a point of its space (0 without one), shape (k, k)."""
        found = self.products / self.count
        if about is not None:
            mean = self.mean
            found = found - torch.outer(mean, mean) + torch.outer(mean - about, mean - about)
        return found

    def spread(self, centred: bool) -> float:
        """Return the mean square of the entries of x, about their mean or about 0."""
        off = float((self.total / self.count).square().sum()) if centred else 0.0
        return max(self.squares / self.count - off, 0.0) / len(self.total)


def collect_moments(
    model: nn.Module,
    layers: Mapping[str, nn.Linear],
    through: Mapping[str, torch.Tensor],
    calibration: tuple[torch.Tensor, ...],
    batch_size: int,
) -> dict[str, list[Moments]]:
    """Run a network on calibration data and return moments of each layer's inputs, one for each fold.

    Raises
    ------
    SpecificationError
        If there are too few data, the network cannot be called with them, a layer is not reached, or what reaches it
        is not finite.
    """
    n = len(calibration[0]) if calibration else 0
    if n < 2 * FOLDS or any(len(x) != n for x in calibration):
        sizes = ", ".join(str(len(x)) for x in calibration) or "none"
        raise SpecificationError(
            f"calibration data of {sizes} samples: give at least {2 * FOLDS}, and as many in each tensor"
        )
    device = next(model.parameters()).device
    found: dict[str, list[Moments]] = {name: [] for name in layers}
    with evaluating(model), torch.no_grad(), ExitStack() as stack:
        for name, layer in layers.items():
            stack.enter_context(_watching(name, layer, found))
        for fold in torch.arange(n).tensor_split(FOLDS):
            for name in layers:
                found[name].append(Moments(through[name]))
            for index in fold.split(batch_size):
                try:
                    model(*(x[index].to(device) for x in calibration))
                except (RuntimeError, TypeError, ValueError) as error:
                    if isinstance(error, SpecificationError):
                        raise
                    shapes = ", ".join(str(tuple(x.shape)) for x in calibration)
                    raise SpecificationError(
                        f"{type(model).__name__} cannot be called with calibration data of shape {shapes}: {error}"
                    ) from error
    for name, parts in found.items():
        if not all(part.count for part in parts):
            raise SpecificationError(f"layer {name!r} does not run on the calibration data: it cannot be calibrated")
    return found


class _watching:  # noqa: N801
    """Keep a hook on a layer that adds its inputs to the moments of the fold at hand."""

    def __init__(self, name: str, layer: nn.Linear, found: Mapping[str, list[Moments]]) -> None:
        self.name, self.found = name, found
        self.layer = layer

    def __enter__(self) -> None:
        self.handle = self.layer.register_forward_pre_hook(self._add)

    def __exit__(self, *exception: Any) -> None:
        self.handle.remove()

    def _add(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if not torch.isfinite(inputs[0]).all():
            raise SpecificationError(f"what reaches layer {self.name!r} on the calibration data is not finite")
        self.found[self.name][-1].add(inputs[0])
