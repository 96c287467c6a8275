"""What a network does, call by call: operations, and bytes that must move, of every function of torch that it calls."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from neuroprune.bridge.costs import call_network, density, kind_of, layers_of, operation_counter
from neuroprune.bridge.roofline.kinds import PRODUCTS, kind_of_function
from neuroprune.bridge.sparse_linear import CompressedRows, SparseLinear
from neuroprune.bridge.training import evaluating

PARAMETRIZATION = "parametrization"
"""Kind of what it takes to compute a parameter anew at each use, besides what it is computed by."""
_TABLES: Mapping[str, tuple[int, str]] = {
    "embedding": (1, "weight"), "embedding_bag": (1, "weight"), "index_select": (0, "input"), "gather": (0, "input"),
    "take": (0, "input"), "take_along_dim": (0, "input"), "getitem": (0, "self"),
}  # fmt: skip
"""Functions that read some numbers of a table, and which argument that is."""


@dataclass(frozen=True)
class Call:
    """One call of a function of torch.

    Parameters
    ----------
    function : str
        Its name.
    kind : str
        What it is calibrated with. Convolutions are told apart by the implementation that torch chooses, and the
        product of a single row from that of many, because their costs are.
    flops : int
        Floating-point operations of products, two for each multiply-accumulate.
    weights, inputs, outputs : int
        Bytes that it must move at least once: of weights and biases, of what comes in, and of what it makes.
    patches : int
        Bytes of a convolution's input as its kernels see it, each value as often as it is under one.
    pieces : int
        Vectors, planes or images that a kernel works through one after the other; scores of attention.
    width : int
        Channels or units that a product makes.
    """

    function: str
    kind: str
    flops: int = 0
    weights: int = 0
    inputs: int = 0
    outputs: int = 0
    patches: int = 0
    pieces: int = 0
    width: int = 1

    @property
    def bytes(self) -> int:
        """All that must move."""
        return self.weights + self.inputs + self.outputs


@dataclass(frozen=True)
class LayerWork:
    """What a layer does in one forward pass.

    Parameters
    ----------
    name : str
        Of the module. A module with layers within has a name here if its own ``forward`` computes something.
    type : str
        Name of its class.
    calls : tuple of Call
    modules : int
        Modules that are called: itself, and those within that are no layers.
    density : float
        Share of its weights that are not 0; of a module with layers within, of those that it holds itself.
    """

    name: str
    type: str
    calls: tuple[Call, ...]
    modules: int
    density: float

    @property
    def flops(self) -> int:
        """Floating-point operations of its products."""
        return sum(c.flops for c in self.calls)

    @property
    def bytes(self) -> int:
        """Bytes that its calls must move."""
        return sum(c.bytes for c in self.calls)

    @property
    def weights(self) -> int:
        """Bytes of weights that its calls read."""
        return sum(c.weights for c in self.calls)

    @property
    def intensity(self) -> float:
        """Floating-point operations per byte; NaN where nothing moves."""
        return self.flops / self.bytes if self.bytes else math.nan


def intensity(model: nn.Module, example_inputs: tuple[Any, ...]) -> Mapping[str, LayerWork]:
    """Return what each layer of a network does, in the order in which they first run.

    Parameters
    ----------
    model : nn.Module
        It runs once, in evaluation mode and without gradients.
    example_inputs : tuple
        What it is called with. The batch counts.

    Returns
    -------
    mapping of str to LayerWork
        Layers, and the modules around them that compute something themselves. A layer that runs twice has the
        calls of both.

    Raises
    ------
    SpecificationError
        If the network cannot be called with these inputs.

    Notes
    -----
    Operations are those of matrix products, convolutions and attention, dense, whatever is masked: a mask is a call
    more, that reads and writes the weight. Bytes are those of the tensors that go into a call and come out of it; a
    call that only looks at a tensor in another way moves none.
    """
    layers = layers_of(model)
    names = names_by_module(model)
    counter = operation_counter()
    convolutions = _Convolutions()
    recorder = _Recorder(model, counter, convolutions)
    handles = []
    for module in model.modules():
        # A mask is no layer, yet it is called within the one that it belongs to.
        handles.append(module.register_forward_pre_hook(lambda m, _: recorder.enter(names[m], m)))
        handles.append(module.register_forward_hook(lambda *_: recorder.leave()))
    # The counter does not know all fused kernels of attention; written out they are matrix products.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter, convolutions, recorder:
            call_network(model, example_inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for handle in handles:
            handle.remove()
    modules = dict(model.named_modules())
    return {
        name: LayerWork(
            name,
            kind_of(modules[name]),
            tuple(recorder.calls.get(name, ())),
            recorder.entered.get(name, 0),
            _density(modules[name], is_layer=name in layers),
        )
        for name in recorder.entered
    }


def names_by_module(model: nn.Module) -> dict[nn.Module, str]:
    """Return under which name each module's work is kept: that of the layer it is part of, or else its own."""
    inside = {part: name for name, layer in layers_of(model).items() for part in layer.modules()}
    return {module: inside.get(module, name) for name, module in model.named_modules()}


def _density(module: nn.Module, *, is_layer: bool) -> float:
    return module.density if isinstance(module, SparseLinear) else density(module, recurse=is_layer)


class _Convolutions(TorchDispatchMode):
    """Remembers what kind the last convolution was: its geometry, and the implementation that torch chooses for it."""

    last = "conv"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution.default:
            weight, groups = args[1], args[8]
            depthwise = groups > 1 and groups == (weight.shape[0] if args[6] else args[0].shape[1])
            geometry = "depthwise " if depthwise else "pointwise " if weight[0, 0].numel() == 1 else ""
            if geometry == "pointwise " and max(args[3]) > 1:
                geometry = "strided pointwise "
            chosen = torch._C._select_conv_backend(*args)  # private, and the only one that knows
            self.last = f"{geometry}conv ({chosen.name})"
        return func(*args, **(kwargs or {}))


class _Recorder(TorchFunctionMode):
    """Writes down each outermost call of a function of torch under the module that made it."""

    def __init__(self, model: nn.Module, counter: FlopCounterMode, convolutions: "_Convolutions") -> None:
        super().__init__()
        self.calls: dict[str, list[Call]] = {}
        self.entered: dict[str, int] = {}
        self._counter, self._convolutions = counter, convolutions
        self._within: list[str] = []
        self._weights = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}

    def enter(self, name: str, module: nn.Module) -> None:
        self._within.append(name)
        self.entered[name] = self.entered.get(name, 0) + 1
        if isinstance(module, parametrize.ParametrizationList):
            self.calls.setdefault(name, []).append(Call("parametrize", PARAMETRIZATION))

    def leave(self) -> None:
        self._within.pop()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = list(_tensors((args, kwargs or {})))
        versions = list(map(_version, given))
        before = self._counter.get_total_flops()
        result = func(*args, **(kwargs or {}))
        made = list(_tensors(result))
        if made and self._within and getattr(func, "__name__", "") != "__get__":
            written = versions != list(map(_version, given))
            flops = self._counter.get_total_flops() - before
            argument = partial(_argument, args, kwargs or {})
            call = self._describe(func, argument, given, made, flops, written=written)
            self.calls.setdefault(self._within[-1], []).append(call)
        return result

    def _describe(
        self,
        func: Callable[..., Any],
        argument: Callable[[int, str], Any],
        given: list[torch.Tensor],
        made: list[torch.Tensor],
        flops: int,
        *,
        written: bool,
    ) -> Call:
        name = getattr(func, "__name__", type(func).__name__).strip("_")
        places = {t.untyped_storage().data_ptr() for t in given}
        if not written and all(t.untyped_storage().data_ptr() in places for t in made):
            return Call(name, "view")
        if name.endswith("_like"):  # only the shape is read
            given = []
        inputs, weights = [], []
        layer = name == "linear" or name.startswith("conv")
        for tensor in given:
            is_weight = (
                tensor is not argument(0, "input") if layer else tensor.untyped_storage().data_ptr() in self._weights
            )
            (weights if is_weight else inputs).append(tensor)
        out = made[0]
        read = out.numel() * out.element_size()
        if name == "embedding_bag":  # which adds up rows before it writes them
            read = argument(0, "input").numel() * out.shape[-1] * out.element_size()
        table = argument(*_TABLES[name]) if name in _TABLES else None
        moved = (_bytes(weights, table, read), _bytes(inputs, table, read), _bytes(made))
        if name == "sparse_linear":
            matrix: CompressedRows = argument(1, "matrix")
            rows = out.numel() // max(1, out.shape[-1])
            flops, stored = 2 * rows * matrix.values.size, sum(a.nbytes for a in matrix)
            return Call(
                name, "sparse row" if rows == 1 else "sparse", flops, stored, *moved[1:], pieces=len(matrix.bias)
            )
        if name.startswith("conv") and flops:
            weight = argument(1, "weight")
            width = out.shape[1 if out.ndim == weight.ndim else 0]
            patches = flops // (2 * width) * weight.element_size()
            return Call(name, self._convolutions.last, flops, *moved, patches, out.shape[0], width)
        if name in PRODUCTS and flops:
            rows = out.numel() // max(1, out.shape[-1]) if out.ndim else 1
            return Call(
                name, "linear row" if rows == 1 else "linear", flops, *moved, width=out.shape[-1] if out.ndim else 1
            )
        kind = kind_of_function(name)
        return Call(name, kind, flops, *moved, pieces=_pieces(kind, argument, out))


def _version(tensor: torch.Tensor) -> int:
    """Return how often a tensor was written into; inference tensors do not count it."""
    return 0 if tensor.is_inference() else tensor._version


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, name: str) -> Any:
    """Return an argument of a call, wherever it was given."""
    return args[position] if position < len(args) else kwargs.get(name)


def _pieces(kind: str, argument: Callable[[int, str], Any], out: torch.Tensor) -> int:
    """Return how many vectors, planes or scores a kernel works through."""
    if kind in ("attention", "multi-head attention"):
        query, key = argument(0, "query"), argument(1, "key")
        if kind == "attention":
            return math.prod(query.shape[:-1]) * key.shape[-2]
        return math.prod(query.shape[:-1]) * key.shape[0] * argument(4, "num_heads")  # the first axis is of tokens
    if kind == "batch norm":
        return math.prod(out.shape[:2])
    if kind == "reduction":
        return out.numel()
    if kind == "layer norm":
        return out.numel() // max(1, out.shape[-1])
    return 0


def _bytes(tensors: Sequence[torch.Tensor], table: torch.Tensor | None = None, most: int = 0) -> int:
    """Return the bytes of tensors, each counted once, and an expanded one as large as what it is expanded from.

    Of a table no more than `most` are read.
    """
    unique = {(t.data_ptr(), t.shape): t for t in tensors}
    sizes = {k: min(t.numel() * t.element_size(), t.untyped_storage().nbytes()) for k, t in unique.items()}
    return sum(min(sizes[k], most) if t is table else sizes[k] for k, t in unique.items())


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
