"""Rules of operations with weights, and of products of activations."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.fx import Node

from neuroprune.bridge.slim.labels import Value, combine
from neuroprune.bridge.slim.reading import Read, Reading, Weight, module_of, numel, shape_of

Tensor = Value | Weight


class NotFollowedError(Exception):
    """An operation used in a way that its rule does not follow; what it touches is fixed."""


def linear(r: Reading, node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Value:
    """Dense layer whose weight is (out, in)."""
    return dense(r, node, r.value(x), weight, bias, (0, 1))


def dense(
    r: Reading, node: Node, x: Value, weight: Tensor, bias: Tensor | None, order: tuple[int, int], scale: Any = 1
) -> Value:
    """Dense layer; `order` is that of the axes for outputs and for inputs of the weight."""
    if not isinstance(weight, Weight):
        raise NotFollowedError
    last = x.labels.ndim - 1
    macs = numel(shape_of(node)) * x.labels.shape[-1]
    written, read = (r.axis(weight, a) for a in order)
    if any(a != last for a in r.partition.varies(x.labels)):
        # One layer applied to every head (or group): it has no units of its own.
        r.partition.couple(x.labels, last)
        for labels in (written, read, *([r.value(bias).labels] if bias is not None else [])):
            r.partition.fix(labels)
        kept = x.labels.narrow(last, 0, 1)
        r.count(node, macs, kept)
        return Value(kept.expand(shape_of(node)), torch.zeros((), dtype=torch.bool).expand(shape_of(node)))
    labels, silent = r.channels(x, last)
    _reads(r, weight, order[1], labels, silent)
    matrix = weight.tensor.permute(weight.axes)
    matrix = matrix if order == (0, 1) else matrix.T
    zero = ((matrix == 0) | silent).all(1)
    r.count(node, macs, read, written)
    return _writes(r, node, weight, order[0], written, zero, bias, -1)


def matmul(r: Reading, node: Node, a: Tensor, b: Tensor) -> Value:
    """Product of matrices, of which the second may be a weight."""
    if isinstance(b, Weight) and b.tensor.ndim == 2 and isinstance(a, Value):
        return dense(r, node, a, b, None, (1, 0))
    a, b = r.value(a), r.value(b)
    if a.labels.ndim < 2 or b.labels.ndim < 2:
        raise NotFollowedError
    return _contract(r, [_unsqueeze(a, -1), _unsqueeze(b, -3)], -2)


def addmm(r: Reading, node: Node, bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Value:
    """Product of matrices with something added."""
    if isinstance(b, Weight):
        return dense(r, node, r.value(a), b, bias, (1, 0))
    return combine(r.partition, [matmul(r, node, a, b), r.value(bias)], shape_of(node), product=False)


def einsum(r: Reading, node: Node, equation: str, operands: Sequence[Tensor], path: Any = None) -> Value:
    """Product of two tensors with named axes."""
    left, _, out = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != 2 or not out or "." in equation or any(len(set(i)) < len(i) for i in inputs):
        raise NotFollowedError
    summed = sorted({*inputs[0], *inputs[1]} - set(out))
    if len(summed) != 1:
        raise NotFollowedError
    aligned = []
    for letters, operand in zip(inputs, operands, strict=True):
        x = r.value(operand)
        order = [letters.index(c) for c in out + summed[0] if c in letters]
        x = Value(x.labels.permute(order), x.zero.permute(order), x.free)
        for position, letter in enumerate(out + summed[0]):
            x = x if letter in letters else _unsqueeze(x, position)
        aligned.append(x)
    return _contract(r, aligned, -1)


def scaled_dot_product_attention(
    r: Reading, node: Node, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
    dropout_p: float = 0.0, is_causal: bool = False, *, scale: float | None = None, enable_gqa: bool = False,
) -> Value:  # fmt: skip
    """Attention of queries to keys, head by head; several heads of queries may share one of keys and values."""
    q, k, v = (r.value(x) for x in (query, key, value))
    if enable_gqa:
        shared = q.labels.shape[-3] // k.labels.shape[-3]
        k, v = (Value(x.labels.repeat_interleave(shared, -3), x.zero.repeat_interleave(shared, -3)) for x in (k, v))
    scores = _contract(r, [_unsqueeze(q, -2), _unsqueeze(k, -3)], -1)
    if attn_mask is not None:
        scores = combine(r.partition, [scores, r.value(attn_mask)], scores.labels.shape, product=False)
    scores.zero = torch.zeros((), dtype=torch.bool).expand(scores.labels.shape)
    return _contract(r, [_unsqueeze(scores, -1), _unsqueeze(v, -3)], -2)


def convolution(
    r: Reading, node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Value:  # fmt: skip
    """Convolution; the weight is (out, in of a group, *kernel)."""
    return _convolution(r, node, r.value(x), weight, bias, groups, transposed=False)


def transposed_convolution(
    r: Reading, node: Node, x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Value:  # fmt: skip
    """Transposed convolution; the weight is (in, out of a group, *kernel)."""
    return _convolution(r, node, r.value(x), weight, bias, groups, transposed=True)


def _convolution(
    r: Reading, node: Node, x: Value, weight: Tensor, bias: Tensor | None, groups: int, *, transposed: bool
) -> Value:
    if not isinstance(weight, Weight):
        raise NotFollowedError
    out_shape = shape_of(node)
    axis = len(out_shape) - weight.tensor.ndim + 1
    labels, silent = r.channels(x, axis)
    n_in, n_out = len(labels), out_shape[axis]
    n_kernel = numel(weight.tensor.shape[2:])
    places = numel(x.labels.shape if transposed else out_shape) // (n_in if transposed else n_out)
    macs = places * n_kernel * n_in * n_out // groups
    # (groups, out of a group, in of a group), whichever axis of the weight comes first.
    empty = (weight.tensor.flatten(2) == 0).all(2)
    empty = empty.reshape(groups, n_in // groups, -1).mT if transposed else empty.reshape(groups, n_out // groups, -1)
    zero = (empty | silent.reshape(groups, 1, -1)).all(2).flatten()
    first, second = r.axis(weight, 0), r.axis(weight, 1)
    if groups == 1:
        read, written = (first, second) if transposed else (second, first)
        _reads(r, weight, int(not transposed), labels, silent)
        r.count(node, macs, read, written)
        return _writes(r, node, weight, int(transposed), written, zero, bias, axis)
    if n_in // groups <= groups:
        # Many narrow groups: each goes as a whole, with what it reads and what it writes.
        r.partition.fix(second)
        for part in (labels, first):
            r.partition.couple(part.reshape(groups, -1), 1)
        unit = labels.reshape(groups, -1)[:, 0]
        r.partition.join(unit, first.reshape(groups, -1)[:, 0])
        r.grouped[module_of(node)[0]] = unit
        r.count(node, macs, unit)
        return _writes(r, node, weight, 0, unit.repeat_interleave(n_out // groups), zero, bias, axis)
    # Few wide groups: all stay, and each loses the same of its channels.
    r.partition.couple(labels.reshape(groups, -1), 0)
    r.count(node, macs, first, second)
    if transposed:
        r.partition.couple(first.reshape(groups, -1), 0)
        _reads(r, weight, 0, labels, silent)
        return _writes(r, node, weight, 1, second.repeat(groups), zero, bias, axis)
    r.partition.couple(first.reshape(groups, -1), 0)
    _reads(r, weight, 1, labels[: n_in // groups], silent.reshape(groups, -1).all(0))
    return _writes(r, node, weight, 0, first, zero, bias, axis)


def embedding(r: Reading, node: Node, weight: Tensor, indices: Tensor, *_: Any) -> Value:
    """Rows of a table."""
    if not isinstance(weight, Weight):
        raise NotFollowedError
    r.partition.fix(r.axis(weight, 0))
    zero = (weight.tensor.permute(weight.axes) == 0).all(0)
    return _writes(r, node, weight, 1, r.axis(weight, 1), zero, None, -1)


def batch_norm(
    r: Reading, node: Node, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None,
    variance: Tensor | None, training: bool, momentum: float, eps: float, *_: Any,
) -> Value:  # fmt: skip
    """Normalisation of each channel by itself."""
    x = r.value(x)
    n = x.labels.shape[1]
    at_zero = torch.zeros(n)
    if isinstance(mean, Weight) and isinstance(variance, Weight):
        at_zero = -mean.tensor / torch.sqrt(variance.tensor + eps)
    gain = weight.tensor if isinstance(weight, Weight) else torch.ones(n)
    shift = bias.tensor if isinstance(bias, Weight) else torch.zeros(n)
    view = [-1, *[1] * (x.labels.ndim - 2)]
    constant = ((gain == 0) & (shift == 0)).reshape(view)
    zero = (x.zero & (gain * at_zero + shift == 0).reshape(view)) | constant
    for parameter in (weight, bias, mean, variance):
        if parameter is not None:
            r.partition.join(x.labels, r.value(parameter).labels.reshape(view))
    return Value(x.labels, zero)


def group_norm(
    r: Reading, node: Node, x: Tensor, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, *_: Any
) -> Value:
    """Normalisation of channels in groups, each of which goes as a whole."""
    x = r.value(x)
    labels = x.labels.reshape(x.labels.shape[0], groups, -1)
    r.partition.couple(labels, 2)
    r.partition.couple(labels, 0)
    view = [-1, *[1] * (x.labels.ndim - 2)]
    for parameter in (weight, bias):
        if parameter is not None:
            r.partition.join(x.labels, r.value(parameter).labels.reshape(view))
    r.grouped[module_of(node)[0]] = labels[0, :, 0]
    return Value(x.labels, torch.zeros_like(x.zero))


def layer_norm(
    r: Reading, node: Node, x: Tensor, shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    *_: Any,
) -> Value:  # fmt: skip
    """Normalisation over the last axes, whose units can only go together."""
    x = r.value(x)
    for axis in range(x.labels.ndim - len(shape), x.labels.ndim):
        r.partition.couple(x.labels, axis)
    operands = [x, *(r.value(p) for p in (weight, bias) if p is not None)]
    value = combine(r.partition, operands, shape_of(node), product=False)
    return Value(value.labels, torch.zeros_like(x.zero))


def rms_norm(r: Reading, node: Node, x: Tensor, shape: Sequence[int], weight: Tensor | None = None, *_: Any) -> Value:
    """Division by the root mean square over the last axes."""
    return layer_norm(r, node, x, shape, weight)


def prelu(r: Reading, node: Node, x: Tensor, weight: Tensor) -> Value:
    """Rectifier with a slope for each channel, or one for all."""
    x, slope = r.value(x), r.value(weight)
    view = [-1, *[1] * (x.labels.ndim - 2)] if x.labels.ndim > 1 else [-1]
    slope = Value(slope.labels.reshape(view), slope.zero.reshape(view), slope.free)
    return Value(combine(r.partition, [x, slope], shape_of(node), product=True).labels, x.zero)


def _contract(r: Reading, operands: Sequence[Value], summed: int) -> Value:
    """Multiply two broadcast tensors and sum along one axis; what is summed over can only go together."""
    shape = torch.broadcast_shapes(*(x.labels.shape for x in operands))
    for x in operands:
        r.partition.couple(x.labels, summed)
        if len(shape) > 4:
            # A batch of matrices for each sample: its heads are the units, for their code has one width for all.
            r.partition.couple(x.labels, -1)
    product = combine(r.partition, operands, shape, product=True)
    out = Value(product.labels.select(summed, 0), product.zero.select(summed, 0), product.free)
    if r.partition.varies(out.labels):
        r.heads.append(out.labels)
    r.count(None, numel(shape), out.labels)
    return out


def _reads(r: Reading, weight: Weight, axis: int, labels: torch.Tensor, silent: torch.Tensor) -> None:
    r.partition.join(r.axis(weight, axis), labels)
    r.reads.append(Read(weight.name, weight.axes[axis], r.axis(weight, axis), silent))


def _writes(
    r: Reading, node: Node, weight: Weight, axis: int, labels: torch.Tensor, zero: torch.Tensor,
    bias: Tensor | None, out_axis: int,
) -> Value:  # fmt: skip
    r.writes[weight.name, weight.axes[axis]] = None
    if bias is not None:
        b = r.value(bias)
        r.partition.join(labels, b.labels)
        zero = zero & b.zero
    return r.along(node, out_axis, labels, zero)


def _unsqueeze(x: Value, axis: int) -> Value:
    return Value(x.labels.unsqueeze(axis), x.zero.unsqueeze(axis), x.free)
