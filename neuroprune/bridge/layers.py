"""Layers as afferent tables: a filter or a dense unit is a postsynaptic cell, each of its weights an input."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn
from torch.nn import functional, grad
from torch.nn.utils import parametrize

from neuroprune.bridge.masks import mask_of, original
from neuroprune.core.errors import SpecificationError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
PRUNABLE = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
"""Kinds of layers whose weight can be pruned."""
_CHUNK = 16
"""Samples whose gradients are held at once."""


class WeightView(ABC):
    """The weight of a layer as a matrix with a row for each postsynaptic unit.

    Parameters
    ----------
    layer : nn.Module
        Of one of the kinds in :data:`PRUNABLE`.
    n_post, n_slots : int
        Rows, and weights in each.
    n_sources : int
        Presynaptic units: inputs of a dense layer, channels that come into a convolution.
    """

    def __init__(self, layer: Any, n_post: int, n_sources: int) -> None:
        self.layer, self.n_post, self.n_sources = layer, n_post, n_sources
        self.n_slots = layer.weight.numel() // n_post

    @abstractmethod
    def matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """Return a tensor of the weight's shape as one of shape (n_post, n_slots)."""

    @abstractmethod
    def tensor(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return a matrix in the weight's shape, the reverse of :meth:`matrix`."""

    @abstractmethod
    def source(self) -> torch.Tensor:
        """Return the presynaptic unit of each weight, shape (n_post, n_slots)."""

    @abstractmethod
    def coincidence(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum of pre- times postsynaptic values that each weight sees, shape (n_post, n_slots).

        Parameters
        ----------
        pre, post : tensor
            Shaped like what goes into the layer and what comes out of it. With the gradient of the loss as `post`
            this is the gradient of the weight.
        """

    @abstractmethod
    def squared_coincidence(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum over samples of the square of what :meth:`coincidence` gives for each alone.

        The first axis is that of the samples.
        """

    @property
    @abstractmethod
    def extents(self) -> tuple[int, ...]:
        """Outputs, inputs that each of them sees, and the extents of a kernel."""

    @property
    def erdos_renyi(self) -> float:
        """Density of a random graph of these extents, up to a factor that all layers share."""
        return sum(self.extents) / math.prod(self.extents)

    def usage(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum of presynaptic values that each weight sees, broadcastable to (n_post, n_slots)."""
        return self.coincidence(pre, torch.ones_like(post))

    @abstractmethod
    def by_unit(self, post: torch.Tensor) -> torch.Tensor:
        """Return values of the output's shape with the units last, shape (samples, n_post).

        Each place at which a filter is put is a sample.
        """

    @abstractmethod
    def n_samples(self, post: torch.Tensor) -> int:
        """Return the length of the axis of samples of the output, 1 if it has none."""


class DenseView(WeightView):
    """Of a Linear layer."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__(layer, layer.out_features, layer.in_features)

    def matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """Return it as it is."""
        return weight

    def tensor(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return it as it is."""
        return matrix

    def source(self) -> torch.Tensor:
        """Return the number of the input."""
        return torch.arange(self.n_slots).expand(self.n_post, self.n_slots)

    def coincidence(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum of outer products."""
        return self.by_unit(post).T @ pre.reshape(-1, self.n_slots)

    def squared_coincidence(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum of squared outer products, of sequences after the sum over their places."""
        if pre.ndim <= 2:
            return self.coincidence(pre.square(), post.square())
        pre, post = pre.reshape(len(pre), -1, self.n_slots), post.reshape(len(post), -1, self.n_post)
        total = pre.new_zeros(self.n_post, self.n_slots)
        for x, y in zip(pre.split(_CHUNK), post.split(_CHUNK), strict=True):
            total += (y.transpose(1, 2) @ x).square().sum(0)
        return total

    @property
    def extents(self) -> tuple[int, ...]:
        """Outputs and inputs."""
        return self.n_post, self.n_slots

    def usage(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum over samples, the same for all units, shape (1, n_slots)."""
        return pre.reshape(-1, self.n_slots).sum(0, keepdim=True)

    def by_unit(self, post: torch.Tensor) -> torch.Tensor:
        """Return it with all leading axes as one."""
        return post.reshape(-1, self.n_post)

    def n_samples(self, post: torch.Tensor) -> int:
        """Return the length of the first axis, if it is not the last."""
        return len(post) if post.ndim > 1 else 1


class ConvolutionView(WeightView):
    """Of a convolution in 1, 2 or 3 dimensions: each filter is a cell with its weights, at all places, as inputs."""

    def __init__(self, layer: Any) -> None:
        super().__init__(layer, layer.out_channels, layer.in_channels)
        self.kernel = tuple(layer.kernel_size)
        self.gradient = getattr(grad, f"conv{len(self.kernel)}d_weight")

    def matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """Return it by filter, channel and place in the kernel."""
        return weight.reshape(self.n_post, self.n_slots)

    def tensor(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return it as (filters, channels of a group, *kernel)."""
        return matrix.reshape(self.n_post, -1, *self.kernel)

    def source(self) -> torch.Tensor:
        """Return the number of the channel that comes in."""
        groups, places = self.layer.groups, math.prod(self.kernel)
        channels = torch.arange(self.n_sources).reshape(groups, -1)  # the filters of a group see its channels alone
        return channels.repeat_interleave(places, 1).repeat_interleave(self.n_post // groups, 0)

    def coincidence(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum over places; what is padded counts as it does in the layer."""
        return self.matrix(self._correlate(self._batched(pre), self._batched(post), self.n_post))

    def usage(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum over places, the same for all filters of a group, of which one is enough to find it."""
        groups, post = self.layer.groups, self._batched(post)
        ones = torch.ones_like(post[:, :1]).expand(-1, groups, *post.shape[2:])
        found = self._correlate(self._batched(pre), ones, groups)
        return found.reshape(groups, -1).repeat_interleave(self.n_post // groups, 0)

    def _correlate(self, pre: torch.Tensor, post: torch.Tensor, n_post: int) -> torch.Tensor:
        """Return the sum over places of products, in the shape of the weight of so many filters."""
        size = (n_post, self.n_sources // self.layer.groups, *self.kernel)
        return self.gradient(self._padded(pre), size, post, **self._steps())

    def squared_coincidence(self, pre: torch.Tensor, post: torch.Tensor) -> torch.Tensor:
        """Return the sum over images of the square of the sum over places."""
        each = torch.func.vmap(lambda x, y: self.coincidence(x[None], y[None]))
        total = pre.new_zeros(self.n_post, self.n_slots)
        for x, y in zip(self._batched(pre).split(_CHUNK), self._batched(post).split(_CHUNK), strict=True):
            total += each(x, y).square().sum(0)
        return total

    @property
    def extents(self) -> tuple[int, ...]:
        """Filters, channels that each sees, and the kernel."""
        return self.n_post, self.n_sources // self.layer.groups, *self.kernel

    def by_unit(self, post: torch.Tensor) -> torch.Tensor:
        """Return it with images and places as one axis."""
        return self._batched(post).movedim(1, -1).reshape(-1, self.n_post)

    def n_samples(self, post: torch.Tensor) -> int:
        """Return the number of images."""
        return len(self._batched(post))

    def _batched(self, values: torch.Tensor) -> torch.Tensor:
        return values if values.ndim == len(self.kernel) + 2 else values[None]

    def _padded(self, values: torch.Tensor) -> torch.Tensor:
        mode = self.layer.padding_mode
        return functional.pad(
            values, self.layer._reversed_padding_repeated_twice, "constant" if mode == "zeros" else mode
        )

    def _steps(self) -> dict[str, Any]:
        return {"stride": self.layer.stride, "dilation": self.layer.dilation, "groups": self.layer.groups}


class TransposedView(ConvolutionView):
    """Of a transposed convolution, whose weight has the channels that come in first."""

    def matrix(self, weight: torch.Tensor) -> torch.Tensor:
        """Return it by filter, channel and place in the kernel."""
        grouped = weight.unflatten(0, (self.layer.groups, -1))
        return grouped.transpose(1, 2).reshape(self.n_post, self.n_slots)

    def tensor(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return it as (channels, filters of a group, *kernel)."""
        groups = self.layer.groups
        grouped = matrix.reshape(groups, self.n_post // groups, self.n_sources // groups, *self.kernel)
        return grouped.transpose(1, 2).reshape(self.n_sources, -1, *self.kernel)

    def _correlate(self, pre: torch.Tensor, post: torch.Tensor, n_post: int) -> torch.Tensor:
        """Return the sum over places: the layer is a convolution run backwards, so their roles change."""
        size = (self.n_sources, n_post // self.layer.groups, *self.kernel)
        return self.gradient(post, size, pre, padding=self.layer.padding, **self._steps())


def view_of(layer: nn.Module) -> WeightView:
    """Return the weight of a layer as a matrix."""
    if isinstance(layer, TRANSPOSED):
        return TransposedView(layer)
    return ConvolutionView(layer) if isinstance(layer, CONVOLUTIONS) else DenseView(layer)  # type: ignore[arg-type]


def find_layers(module: nn.Module, names: tuple[str, ...] | None) -> dict[str, nn.Module]:
    """Return the layers to prune, by their names in the module.

    Parameters
    ----------
    module : nn.Module
    names : tuple of str, optional
        Layers to prune; without it all, and then a layer of another kind with connections is refused.

    Raises
    ------
    SpecificationError
        If a layer is of no kind in :data:`PRUNABLE`, is missing, has not run yet (lazy layers), shares its weight, or
        has a parametrization already.
    """
    modules = {n: m for n, m in module.named_modules() if "parametrizations" not in n.split(".")}
    if names is None:
        # Only a parameter of two or more axes connects units; those of normalisation layers have one.
        names = tuple(
            n
            for n, m in modules.items()
            if parametrize.is_parametrized(m) or any(_connects(p) for p in m.parameters(recurse=False))
        )
    found: dict[str, nn.Module] = {}
    owners: dict[int, str] = {}
    for name in names:
        layer = modules.get(name)
        if layer is None:
            have = ", ".join(n for n, m in modules.items() if type(m) in PRUNABLE) or "none"
            raise SpecificationError(
                f"{type(module).__name__} has no layer {name!r} (the layers that can be pruned are: {have})"
            )
        label = repr(name) if name else "itself"
        if parametrize.is_parametrized(layer) and mask_of(layer) is None:
            raise SpecificationError(
                f"layer {label} of {type(module).__name__} is parametrized already: remove that first"
            )
        # A mask makes a subclass of the layer's class; other subclasses may do more with their weight.
        if (type(layer) if mask_of(layer) is None else type(layer).__bases__[0]) not in PRUNABLE:
            kinds = ", ".join(kind.__name__ for kind in PRUNABLE)
            raise SpecificationError(
                f"layer {label} of {type(module).__name__} is {type(layer).__name__}: only {kinds} "
                "can be pruned; name the layers to prune with layers=[...]"
            )
        owner = owners.setdefault(id(original(layer)), name)
        if owner != name:
            raise SpecificationError(f"layers {owner!r} and {name!r} share their weight: it cannot be pruned twice")
        found[name] = layer
    if not found:
        raise SpecificationError(f"{type(module).__name__} has no layer that can be pruned")
    return found


def _connects(parameter: nn.Parameter) -> bool:
    return isinstance(parameter, nn.UninitializedParameter) or parameter.ndim > 1
