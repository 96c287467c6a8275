"""Rules of operations without weights, and which rule is whose."""

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node

from neuroprune.bridge.slim import layers
from neuroprune.bridge.slim.labels import FIXED, Value, combine
from neuroprune.bridge.slim.layers import NotFollowedError
from neuroprune.bridge.slim.reading import Reading, Weight, operation_of, shape_of

Rule = Callable[..., Any]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEEPS_ZERO = _names(
    "abs alias atan asin celu clone contiguous detach dropout elu erf expm1 floor gelu hardshrink hardswish "
    "leaky_relu lift_fresh_copy log1p mish nan_to_num neg relu relu6 round rrelu selu sgn sign silu sin sinh "
    "softshrink sqrt square tan tanh tanhshrink to _to_copy trunc type_as feature_dropout alpha_dropout "
    "feature_alpha_dropout"
)
MOVES_ZERO = _names(
    "acos cos cosh exp exp2 hardsigmoid log log10 log2 log_sigmoid logit reciprocal rsqrt rsub sigmoid softplus "
    "bitwise_not logical_not isnan isinf threshold"
)
BOUNDED = _names("clamp clip clamp_min clamp_max hardtanh")
SUMS = _names(
    "add sub maximum minimum fmax fmin lerp where eq ne lt le gt ge logical_or atan2 addcmul addcdiv masked_fill pow"
)
PRODUCTS = _names("mul div logical_and")
MOVES = _names(
    "flip roll repeat repeat_interleave transpose permute t mT numpy_T movedim swapaxes unsqueeze squeeze expand "
    "expand_as tile pixel_shuffle pixel_unshuffle"
)
RESHAPES = _names("view reshape _unsafe_view flatten unflatten view_as reshape_as")
TRANSPOSITIONS = _names("transpose permute t mT numpy_T movedim swapaxes")
POOLS = frozenset(
    f"{kind}{n}d{suffix}"
    for n in "123"
    for kind in ("max_pool", "avg_pool", "adaptive_max_pool", "adaptive_avg_pool", "lp_pool")
    for suffix in ("", "_with_indices")
)
RESAMPLES = _names(
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_bilinear2d upsample_bicubic2d upsample_linear1d "
    "upsample_trilinear3d _upsample_nearest_exact2d"
)
REDUCES = _names(
    "mean sum amax amin max min var std norm linalg_vector_norm logsumexp argmax argmin prod var_mean any all"
)
MIXES = _names("softmax log_softmax _softmax cumsum cumprod")


def rule_of(node: Node) -> Rule:
    """Return the rule of a node's operation.

    Raises
    ------
    NotFollowedError
        If there is none.
    """
    if node.target is operator.getitem:
        return lambda r, node, values, index: values[index]
    name = operation_of(node)
    rule = RULES.get(name) or RULES.get(name.rstrip("_"))
    if rule is None:
        raise NotFollowedError
    return rule


def keep_zero(r: Reading, node: Node, x: Any, *_: Any, **__: Any) -> Value:
    """Function of each entry by itself that is 0 at 0."""
    return r.value(x)


def move_zero(r: Reading, node: Node, x: Any, *_: Any, **__: Any) -> Value:
    """Function of each entry by itself that is not 0 at 0."""
    x = r.value(x)
    return Value(x.labels, torch.zeros_like(x.zero), x.free)


def bounded(r: Reading, node: Node, x: Any, *bounds: Any, **named: Any) -> Value:
    """Function of each entry by itself that keeps it between numbers: 0 at 0 if that lies between them."""
    if any(isinstance(b, Value | Weight) for b in (*bounds, *named.values())):
        raise NotFollowedError
    low, high = (*bounds, None, None)[:2] if operation_of(node).rstrip("_") != "clamp_max" else (None, bounds[0])
    low = next((named[key] for key in ("min", "min_val") if key in named), low)
    high = next((named[key] for key in ("max", "max_val") if key in named), high)
    keeps = (low is None or low <= 0) and (high is None or high >= 0)
    return keep_zero(r, node, x) if keeps else move_zero(r, node, x)


def elementwise(r: Reading, node: Node, *operands: Any, **_: Any) -> Value:
    """Function of corresponding entries of several tensors, or of one and a number."""
    name = operation_of(node).rstrip("_")
    values = [r.value(x) for x in operands if isinstance(x, Value | Weight)]
    numbers = [x for x in operands if isinstance(x, int | float)]
    product = name in PRODUCTS
    value = combine(r.partition, values, shape_of(node), product=product and len(values) > 1)
    if name == "pow" and numbers:
        keeps = isinstance(operands[0], Value | Weight) and numbers[0] > 0
    elif name == "div" and len(values) > 1:
        # Of a quotient the numerator decides.
        value.zero = values[0].zero.expand(shape_of(node))
        keeps = True
    elif name in PRODUCTS:
        keeps = isinstance(operands[0], Value | Weight)
    else:
        keeps = name in ("add", "sub", "maximum", "minimum", "fmax", "fmin", "lerp") and not any(numbers[:1])
    return value if keeps else Value(value.labels, torch.zeros_like(value.zero), value.free)


def move(r: Reading, node: Node, x: Any, *arguments: Any, **keywords: Any) -> Any:
    """Operation that moves or repeats entries: the labels move with them."""
    if isinstance(x, Weight):
        if operation_of(node) in TRANSPOSITIONS:
            axes = _order(node, x.tensor.ndim, *arguments)
            return Weight(x.name, x.tensor, tuple(x.axes[a] for a in axes))
        x = r.value(x)
    arguments = tuple(a.labels if isinstance(a, Value) else a for a in arguments)
    apply: Any = node.target
    labels, zero = (apply(t, *arguments, **keywords) for t in (x.labels, x.zero))
    return r.resize(node, Value(labels, zero, x.free))


def _order(node: Node, ndim: int, *arguments: Any) -> list[int]:
    """Return where the axes of a transposed tensor come from."""
    probe = torch.empty(*range(2, 2 + ndim), device="meta")
    apply: Any = node.target
    return [n - 2 for n in apply(probe, *arguments).shape]


def reshape(r: Reading, node: Node, x: Any, *_: Any) -> Value:
    """Change of shape that keeps the order of entries."""
    x = r.value(x)
    shape = shape_of(node)
    return r.resize(node, Value(x.labels.reshape(shape), x.zero.reshape(shape), x.free))


def select(r: Reading, node: Node, x: Any, axis: int = 0, index: int = 0) -> Value:
    """One entry along an axis, which must stay."""
    x = r.value(x)
    r.partition.couple(x.labels, axis)
    return r.resize(node, Value(x.labels.select(axis, index), x.zero.select(axis, index), x.free))


def unbind(r: Reading, node: Node, x: Any, axis: int = 0) -> list[Value]:
    """Every entry along an axis, which must stay."""
    x = r.value(x)
    return [select(r, node, x, axis, i) for i in range(x.labels.shape[axis])]


def parts(r: Reading, node: Node, x: Any, sizes: Any, axis: int = 0) -> list[Value]:
    """Consecutive parts along an axis; those of one size lose the same of their units, or no unit may go."""
    x = r.value(x)
    lengths = [value.shape[axis] for value in node.meta["val"]]
    cut = [Value(*t, x.free) for t in zip(x.labels.split(lengths, axis), x.zero.split(lengths, axis), strict=True)]
    if axis % x.labels.ndim in r.partition.varies(x.labels):
        for part in cut[1:]:
            if len(set(lengths)) == 1:
                r.partition.join(cut[0].labels, part.labels, reason=True)
        if len(set(lengths)) > 1:
            r.partition.fix(x.labels)
    return [r.resize(node, part) for part in cut]


def glu(r: Reading, node: Node, x: Any, axis: int = -1) -> Value:
    """First half along an axis, gated by the second."""
    x = r.value(x)
    halves = (2, x.labels.shape[axis] // 2)
    r.partition.couple(x.labels.unflatten(axis, halves), axis % x.labels.ndim)
    return Value(x.labels.narrow(axis, 0, halves[1]), x.zero.unflatten(axis, halves).select(axis % x.labels.ndim, 0))


def slice_(
    r: Reading, node: Node, x: Any, axis: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    """Range along an axis; where it is one of several equal parts, all lose the same of their units."""
    x = r.value(x)
    size, length = x.labels.shape[axis], shape_of(node)[axis]
    if length < size and axis % x.labels.ndim in r.partition.varies(x.labels):
        first = (start or 0) + (size if (start or 0) < 0 else 0)
        if step != 1 or size % length or first % length:
            r.partition.fix(x.labels)
        else:
            r.partition.couple(x.labels.unflatten(axis, (size // length, length)), axis % x.labels.ndim)
    apply: Any = node.target
    labels, zero = (apply(t, axis, start, end, step) for t in (x.labels, x.zero))
    return r.resize(node, Value(labels, zero, x.free))


def cat(r: Reading, node: Node, tensors: Sequence[Any], axis: int = 0) -> Value:
    """Tensors one after the other along an axis."""
    return _join_parts(r, node, [r.value(t) for t in tensors], axis)


def stack(r: Reading, node: Node, tensors: Sequence[Any], axis: int = 0) -> Value:
    """Tensors side by side along a new axis."""
    ndim = len(shape_of(node))
    values = [r.value(t) for t in tensors]
    return _join_parts(
        r, node, [Value(v.labels.unsqueeze(axis % ndim), v.zero.unsqueeze(axis % ndim), v.free) for v in values], axis
    )


def _join_parts(r: Reading, node: Node, values: list[Value], axis: int) -> Value:
    labels, zeros = [v.labels for v in values], [v.zero for v in values]
    axis %= labels[0].ndim
    varied = [r.partition.varies(x) for x in labels]
    if not any(axis in v for v in varied) and any(varied):
        # Tokens, not channels: the channels of all of them are the same units.
        for x in labels[1:]:
            r.partition.join(labels[0].narrow(axis, 0, 1), x)
    return r.resize(node, Value(torch.cat(labels, axis), torch.cat(zeros, axis), all(v.free for v in values)))


def pad(
    r: Reading, node: Node, x: Any, pads: Sequence[int], mode: str = "constant", value: float | None = None
) -> Value:
    """Entries added around; those beside units belong to none."""
    x = r.value(x)
    labels, zero = x.labels, x.zero
    varied = r.partition.varies(labels)
    for k in range(len(pads) // 2):
        axis = labels.ndim - 1 - k
        n = labels.shape[axis]
        index = torch.arange(-pads[2 * k], n + pads[2 * k + 1])
        labels, zero = (t.index_select(axis, index.clamp(0, n - 1)) for t in (labels, zero))
        outside = ((index < 0) | (index >= n)).reshape(-1, *[1] * k)
        if axis in varied:
            if mode != "constant":
                raise NotFollowedError
            labels, zero = labels.masked_fill(outside, FIXED), zero.masked_fill(outside, not value)
        elif value:
            zero = zero.masked_fill(outside, False)
    return r.resize(node, Value(labels, zero, x.free))


def constant_pad(r: Reading, node: Node, x: Any, pads: Sequence[int], value: float = 0) -> Value:
    """Constant added around."""
    return pad(r, node, x, pads, "constant", value)


def pool(r: Reading, node: Node, x: Any, *_: Any, **__: Any) -> Any:
    """Maximum, mean or interpolation over places, channel by channel."""
    x = r.value(x)
    out = node.meta["val"]
    shape = tuple((out[0] if isinstance(out, tuple | list) else out).shape)
    n_places = int(next(c for c in operation_of(node) if c.isdigit()))
    labels, zero = x.labels, x.zero
    for axis in range(labels.ndim - n_places, labels.ndim):
        r.partition.couple(labels, axis)
        labels, zero = labels.narrow(axis, 0, 1), zero.all(axis, keepdim=True)
    value = Value(labels.expand(shape), zero.expand(shape), x.free)
    return [value] * len(out) if isinstance(out, tuple | list) else value


def reduce(r: Reading, node: Node, x: Any, *arguments: Any, **keywords: Any) -> Any:
    """Mean, sum, maximum, ... along axes, whose units can only go together."""
    if any(isinstance(a, Value | Weight) for a in arguments):
        return elementwise(r, node, x, *arguments)
    x = r.value(x)
    names = [a.name for a in node.target._schema.arguments]  # type: ignore[union-attr]
    given = dict(zip(names[1:], arguments, strict=False)) | keywords
    axes = given.get("dim")
    axes = list(range(x.labels.ndim)) if axes in (None, []) else [axes] if isinstance(axes, int) else list(axes)
    axes = [a % x.labels.ndim for a in axes]
    labels, zero = x.labels, x.zero
    for axis in axes:
        r.partition.couple(labels, axis)
        labels, zero = labels.narrow(axis, 0, 1), zero.all(axis, keepdim=True)
    if not given.get("keepdim", False):
        kept = [n for a, n in enumerate(labels.shape) if a not in axes]
        labels, zero = labels.reshape(kept), zero.reshape(kept)
    if operation_of(node) not in ("mean", "sum", "amax", "amin", "max", "min", "norm", "linalg_vector_norm"):
        zero = torch.zeros_like(zero)
    value = Value(labels, zero, x.free)
    out = node.meta["val"]
    return [value] * len(out) if isinstance(out, tuple | list) else value


def mix(r: Reading, node: Node, x: Any, axis: int, *_: Any, **__: Any) -> Value:
    """Softmax, cumulative sum, ... along an axis, whose units can only go together."""
    x = r.value(x)
    r.partition.couple(x.labels, axis)
    return Value(x.labels, torch.zeros_like(x.zero), x.free)


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(KEEPS_ZERO, keep_zero),
    **dict.fromkeys(MOVES_ZERO, move_zero),
    **dict.fromkeys(BOUNDED, bounded),
    **dict.fromkeys(SUMS | PRODUCTS, elementwise),
    **dict.fromkeys(MOVES, move),
    **dict.fromkeys(RESHAPES, reshape),
    **dict.fromkeys(POOLS | RESAMPLES, pool),
    **dict.fromkeys(REDUCES, reduce),
    **dict.fromkeys(MIXES, mix),
    **dict.fromkeys((f"conv{n}d" for n in "123"), layers.convolution),
    **dict.fromkeys((f"conv_transpose{n}d" for n in "123"), layers.transposed_convolution),
    "linear": layers.linear,
    "matmul": layers.matmul,
    "mm": layers.matmul,
    "bmm": layers.matmul,
    "addmm": layers.addmm,
    "einsum": layers.einsum,
    "scaled_dot_product_attention": layers.scaled_dot_product_attention,
    "embedding": layers.embedding,
    "batch_norm": layers.batch_norm,
    "instance_norm": layers.batch_norm,
    "group_norm": layers.group_norm,
    "layer_norm": layers.layer_norm,
    "rms_norm": layers.rms_norm,
    "prelu": layers.prelu,
    "select": select,
    "unbind": unbind,
    "chunk": parts,
    "split": parts,
    "split_with_sizes": parts,
    "glu": glu,
    "slice": slice_,
    "cat": cat,
    "concat": cat,
    "stack": stack,
    "pad": pad,
    "constant_pad_nd": constant_pad,
}
