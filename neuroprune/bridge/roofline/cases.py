"""Layers and small networks of random shapes, for calibration; other seeds give other shapes, to test with."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.sparse_linear import SparseLinear

_MOST_FLOPS, _MOST_BYTES = 2e8, 1.6e7
"""Of a layer, so that calibration is quick; larger ones are bound by the same ceilings."""


@dataclass(frozen=True)
class Case:
    """A module and what it is called with.

    Parameters
    ----------
    label : str
        What it is, with its sizes: two cases that do the same have the same.
    module : nn.Module
    inputs : tuple of tensor
    """

    label: str
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]

    def to(self, dtype: torch.dtype, device: torch.device) -> "Case":
        """Return it with numbers of another type, on another device."""
        return Case(self.label, self.module.to(device, dtype).eval(), tuple(x.to(device, dtype) for x in self.inputs))


class Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return what the function does."""
        return self.function(*inputs)


class SelfAttention(nn.Module):
    """``nn.MultiheadAttention`` of a sequence with itself."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, n_heads, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attended tokens."""
        return self.attention(x, x, x, need_weights=False)[0]


class Residual(nn.Module):
    """A chain of modules, added to its input."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum."""
        return x + self.parts(x)


class _Draw:
    """Random sizes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def size(self, low: int, high: int) -> int:
        """Return a whole number whose logarithm is uniform."""
        return round(math.exp(self._rng.uniform(math.log(low), math.log(high))))

    def of(self, *values: Any) -> Any:
        return values[self._rng.integers(len(values))]


def _linear(d: _Draw, rows: int) -> Case:
    n_in, n_out = d.size(8, 2048), d.size(8, 2048)
    return Case(f"linear {rows} {n_in} {n_out}", nn.Linear(n_in, n_out), (torch.randn(rows, n_in),))


def _sparse(d: _Draw, rows: int) -> Case:
    n_in, n_out, alive = d.size(32, 2048), d.size(32, 2048), d.of(0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
    linear = nn.Linear(n_in, n_out)
    with torch.no_grad():
        linear.weight.mul_(torch.rand(n_out, n_in) < alive)
    label = f"sparse {rows} {n_in} {n_out} {alive}"
    return Case(label, SparseLinear.from_linear(linear), (torch.randn(rows, n_in),))


def _conv(d: _Draw, batch: int, kernel: int, stride: int) -> Case:
    side, n_in, n_out = d.size(max(4, kernel), 32), d.size(1, 128), d.size(4, 128)
    return Case(
        f"conv {batch} {side} {n_in} {n_out} {kernel} {stride}",
        nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, bias=d.of(True, False)),
        (torch.randn(batch, n_in, side, side),),
    )


def _depthwise(d: _Draw) -> Case:
    batch, side, n, stride = d.of(1, 1, 4, 16), d.size(4, 32), d.size(4, 256), d.of(1, 2)
    module = nn.Conv2d(n, n, 3, stride, 1, groups=n, bias=d.of(True, False))
    return Case(f"depthwise {batch} {side} {n} {stride}", module, (torch.randn(batch, n, side, side),))


def _attention(d: _Draw, whole: bool) -> Case:
    batch, heads, tokens, width = d.of(1, 1, 4, 16), d.of(1, 2, 4, 8), d.size(4, 256), d.of(8, 16, 32, 64)
    label = f"{'multi-head ' * whole}attention {batch} {heads} {tokens} {width}"
    if whole:
        return Case(label, SelfAttention(heads * width, heads), (torch.randn(batch, tokens, heads * width),))
    # As a network makes them: of (batch, tokens, heads, width) with two axes exchanged.
    qkv = tuple(torch.randn(batch, tokens, heads, width).transpose(1, 2) for _ in range(3))
    return Case(label, Function(functional.scaled_dot_product_attention), qkv)


def _image(d: _Draw) -> torch.Tensor:
    side = d.size(4, 32)
    return torch.randn(d.of(1, 1, 8, 64), d.size(4, 128), side, side)


def _norm(d: _Draw, batch_norm: bool) -> Case:
    if batch_norm:
        x = _image(d)
        return Case(f"batch norm {tuple(x.shape)}", nn.BatchNorm2d(x.shape[1]), (x,))
    x = torch.randn(d.size(1, 4096), d.size(16, 512))
    return Case(f"layer norm {tuple(x.shape)}", nn.LayerNorm(x.shape[1]), (x,))


def _elementwise(d: _Draw) -> Case:
    x, add = _image(d), d.of(True, False)
    label = f"{'add' if add else 'relu'} {tuple(x.shape)}"
    return Case(label, Function(torch.add), (x, torch.randn_like(x))) if add else Case(label, nn.ReLU(), (x,))


def _selection(d: _Draw) -> Case:
    weight = torch.randn(d.size(16, 1024), d.size(16, 1024))
    alive = torch.rand_like(weight) < d.of(0.02, 0.05, 0.1, 0.2)
    select = Function(partial(torch.where, alive))
    return Case(f"where {tuple(weight.shape)}", select, (weight, torch.zeros_like(weight)))


def _transcendental(d: _Draw, gelu: bool) -> Case:
    x = torch.randn(d.size(1, 2048), d.size(16, 512))
    module = nn.GELU() if gelu else d.of(nn.Tanh, nn.Sigmoid, nn.SiLU)()
    return Case(f"{type(module).__name__} {tuple(x.shape)}", module, (x,))


def _pooling(d: _Draw) -> Case:
    x = _image(d).relu()  # as in a network: how often the largest value changes decides how fast it is found
    return Case(f"max pool {tuple(x.shape)}", nn.MaxPool2d(2), (x,))


def _reduction(d: _Draw) -> Case:
    x, tokens = _image(d), d.of(True, False)
    if tokens:
        x = x.flatten(2)
        return Case(f"mean {tuple(x.shape)}", Function(lambda x: x.mean(1)), (x,))
    return Case(f"average {tuple(x.shape)}", nn.AdaptiveAvgPool2d(1), (x,))


def _view(d: _Draw) -> Case:
    x, flat = _image(d), d.of(True, False)
    module = nn.Flatten() if flat else Function(lambda x: x.transpose(1, 2))
    return Case(f"{'flatten' if flat else 'transpose'} {tuple(x.shape)}", module, (x,))


_MAKERS: Mapping[str, Callable[[_Draw], Case]] = {
    "linear row": lambda d: _linear(d, 1),
    "linear": lambda d: _linear(d, d.size(2, 1024)),
    "sparse row": lambda d: _sparse(d, 1),
    "sparse": lambda d: _sparse(d, d.size(2, 512)),
    "conv of one image": lambda d: _conv(d, 1, d.of(3, 3, 5), d.of(1, 1, 2)),
    "conv": lambda d: _conv(d, d.of(2, 4, 16, 64), d.of(3, 3, 5), d.of(1, 1, 2)),
    "pointwise conv of one image": lambda d: _conv(d, 1, 1, 1),
    "pointwise conv": lambda d: _conv(d, d.of(2, 4, 16, 64), 1, 1),
    "strided pointwise conv of one image": lambda d: _conv(d, 1, 1, 2),
    "strided pointwise conv": lambda d: _conv(d, d.of(2, 4, 16, 64), 1, 2),
    "depthwise conv": _depthwise,
    "attention": lambda d: _attention(d, whole=False),
    "multi-head attention": lambda d: _attention(d, whole=True),
    "batch norm": lambda d: _norm(d, batch_norm=True),
    "layer norm": lambda d: _norm(d, batch_norm=False),
    "elementwise": _elementwise,
    "selection": _selection,
    "gelu": lambda d: _transcendental(d, gelu=True),
    "transcendental": lambda d: _transcendental(d, gelu=False),
    "pooling": _pooling,
    "reduction": _reduction,
    "view": _view,
}


def layer_cases(seed: int, each: int, *, avoid: frozenset[str] = frozenset()) -> Iterator[Case]:
    """Return layers of random shapes, so many of each sort.

    Parameters
    ----------
    seed : int
    each : int
    avoid : set of str
        Labels that must not come again.
    """
    for number, make in enumerate(_MAKERS.values()):
        rng = np.random.default_rng((seed, number))
        used, found = set(avoid), 0
        while found < each:
            case = make(_Draw(rng))
            if case.label not in used and _is_small(case):
                used.add(case.label)
                found += 1
                yield case


def _is_small(case: Case) -> bool:
    flops = _flops(case)
    size = sum(x.numel() for x in case.inputs) + sum(p.numel() for p in case.module.parameters())
    return flops <= _MOST_FLOPS and 4 * size <= _MOST_BYTES


def _flops(case: Case) -> float:
    """Return roughly how many operations a case takes."""
    module, x = case.module, case.inputs[0]
    if isinstance(module, nn.Linear):
        return 2 * x.shape[0] * module.weight.numel()
    if isinstance(module, nn.Conv2d):
        return 2 * x.shape[0] * x.shape[2] * x.shape[3] * module.weight.numel() / module.stride[0] ** 2
    return 0.0


def network_cases(seed: int, each: int) -> Iterator[Case]:
    """Return small networks of random shapes: perceptrons, sparse ones, convolutional ones and transformers."""
    for number, make in enumerate((_perceptron, _sparse_perceptron, _convolutional, _transformer)):
        d = _Draw(np.random.default_rng((seed, 100 + number)))
        for _ in range(each):
            yield make(d)


def _sparse_perceptron(d: _Draw) -> Case:
    dense, alive = _perceptron(d), d.of(0.02, 0.05, 0.1)
    parts: list[nn.Module] = []
    for part in dense.module.children():
        if isinstance(part, nn.Linear):
            with torch.no_grad():
                part.weight.mul_(torch.rand_like(part.weight) < alive)
            part = SparseLinear.from_linear(part)
        parts.append(part)
    return Case(f"sparse {dense.label} {alive}", nn.Sequential(*parts), dense.inputs)


def _perceptron(d: _Draw) -> Case:
    widths = [d.size(32, 512) for _ in range(d.of(3, 4, 5))]
    parts: list[nn.Module] = [nn.Flatten()]
    for n_in, n_out in pairwise(widths):
        parts += [nn.Linear(n_in, n_out), nn.ReLU()]
    batch = d.of(1, 1, 8, 32)
    return Case(f"perceptron {batch} {widths}", nn.Sequential(*parts), (torch.randn(batch, 1, widths[0]),))


def _convolutional(d: _Draw) -> Case:
    batch, side, width, n = d.of(1, 1, 4, 16), 4 * d.size(2, 6), d.size(8, 48), d.of(1, 3)
    parts: list[nn.Module] = [nn.Conv2d(n, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    for _ in range(d.of(1, 2, 3)):
        conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        parts += [Residual(conv, nn.BatchNorm2d(width), nn.ReLU())]
    n_out = d.size(8, 64)
    parts += [nn.Conv2d(width, n_out, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(n_out, 10)]
    label = f"convolutional {batch} {side} {n} {width} {n_out} {len(parts)}"
    return Case(label, nn.Sequential(*parts), (torch.randn(batch, n, side, side),))


def _transformer(d: _Draw) -> Case:
    batch, tokens, heads, width = d.of(1, 1, 4, 16), d.size(8, 96), d.of(2, 4), d.of(8, 12, 24)
    n = heads * width
    parts: list[nn.Module] = []
    for _ in range(d.of(1, 2, 3)):
        attention = nn.Sequential(nn.LayerNorm(n), nn.Linear(n, n), Function(_attend(heads)), nn.Linear(n, n))
        mlp = nn.Sequential(nn.LayerNorm(n), nn.Linear(n, 3 * n), nn.GELU(), nn.Linear(3 * n, n))
        parts += [Residual(*attention), Residual(*mlp)]
    return Case(
        f"transformer {batch} {tokens} {heads} {width} {len(parts)}",
        nn.Sequential(*parts, Function(lambda x: x.mean(1)), nn.Linear(n, 10)),
        (torch.randn(batch, tokens, n),),
    )


def _attend(heads: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def attend(x: torch.Tensor) -> torch.Tensor:
        q = x.unflatten(-1, (heads, -1)).transpose(1, 2)
        return functional.scaled_dot_product_attention(q, q, q).transpose(1, 2).flatten(2)

    return attend
