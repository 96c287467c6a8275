"""A Linear layer that keeps only its living connections, and the choice of where that is faster."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.overrides import handle_torch_function, has_torch_function

from neuroprune.bridge.costs import Shape, call_network, density
from neuroprune.bridge.masks import bake_all
from neuroprune.bridge.timing import Stopwatch, stopwatch
from neuroprune.core.errors import NeuropruneError, SpecificationError

BATCH = 4
"""Rows from which on they are computed together."""
MARGIN = 0.05
"""By how much a sparse layer must be faster to be chosen: what a measurement is uncertain by."""
_READERS = (nn.TransformerEncoderLayer,)
"""Modules that read the weights of their own Linear layers, instead of calling these."""
_TORCH = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}
_DTYPES = tuple(_TORCH.values())


class CompressedRows(NamedTuple):
    """A sparse matrix in compressed rows, and what is added to its product, as arrays.

    Parameters
    ----------
    starts : array of uint32, shape (n_out + 1,)
        Where each row begins in `columns` and `values`.
    columns : array of uint32, shape (n,)
    values : array of float32 or float64, shape (n,)
    bias : array like `values`, shape (n_out,)
    """

    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    bias: np.ndarray


def sparse_linear(x: torch.Tensor, matrix: CompressedRows) -> torch.Tensor:
    """Return ``x W^T + bias`` for a sparse matrix, on the CPU and by one thread.

    Parameters
    ----------
    x : tensor of shape (..., n_in)
        Of the same type as the values of the matrix.
    matrix : CompressedRows

    Raises
    ------
    SpecificationError
        If `x` has another type or size, is on another device, or a gradient is asked for.
    """
    if has_torch_function((x,)):
        return handle_torch_function(sparse_linear, (x,), x, matrix)
    from neuroprune.bridge.sparse_kernels import times_batch, times_rows  # here, because it loads the compiler

    if x.requires_grad:
        if torch.is_grad_enabled():
            raise SpecificationError(
                "a sparse layer has no gradient: call it within torch.no_grad(), or train the dense layer"
            )
        x = x.detach()
    rows = x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
    made = np.empty((len(rows), len(matrix.bias)), matrix.values.dtype)
    kernel = times_rows if len(rows) < BATCH else times_batch
    kernel(*matrix, rows.contiguous().numpy(), made)
    y = torch.from_numpy(made)
    return y if x.ndim == 2 else y.view(*x.shape[:-1], y.shape[-1])


class SparseLinear(nn.Module):
    """A Linear layer in compressed sparse rows, for inference on the CPU.

    Made by :meth:`from_linear`. Weights and bias are buffers: they travel with ``state_dict``, ``deepcopy`` and
    ``to``, and nothing trains them.

    Parameters
    ----------
    n_in, n_out, n_connections : int
    dtype : torch.dtype
        float32 or float64.

    Notes
    -----
    What is not there is not multiplied: an infinite or undefined input reaches only the units that it is connected
    to, where a dense layer makes ``0 * inf`` of it for all.
    """

    starts: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor
    bias: torch.Tensor

    def __init__(self, n_in: int, n_out: int, n_connections: int = 0, *, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.in_features, self.out_features = n_in, n_out
        self._matrix: CompressedRows | None = (
            None  # the buffers as arrays: making them takes longer than a small product
        )
        starts = torch.zeros(n_out + 1, dtype=torch.int32)
        starts[-1] = n_connections
        self.register_buffer("starts", starts)
        self.register_buffer("columns", torch.zeros(n_connections, dtype=torch.int32))
        self.register_buffer("values", torch.zeros(n_connections, dtype=dtype))
        self.register_buffer("bias", torch.zeros(n_out, dtype=dtype))

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> "SparseLinear":
        """Return the sparse layer that does what a Linear layer does, with the mask that it has.

        Raises
        ------
        SpecificationError
            If its weights are not float32 or float64, or not on the CPU.
        """
        weight = linear.weight.detach()
        if weight.dtype not in _DTYPES or weight.device.type != "cpu":
            raise SpecificationError(
                f"a sparse layer keeps float32 or float64 on the CPU, not {weight.dtype} on {weight.device}"
            )
        units, columns = weight.nonzero(as_tuple=True)
        made = cls(linear.in_features, linear.out_features, len(columns), dtype=weight.dtype)
        counts = torch.bincount(units, minlength=linear.out_features)
        made.starts[1:] = counts.cumsum(0)
        made.columns.copy_(columns)
        made.values.copy_(weight[units, columns])
        if linear.bias is not None:
            made.bias.copy_(linear.bias.detach())
        return made.train(linear.training)

    @property
    def n_connections(self) -> int:
        """Number of weights that are kept."""
        return len(self.values)

    @property
    def density(self) -> float:
        """Share of all possible weights that are kept."""
        return self.n_connections / max(1, self.in_features * self.out_features)

    def to_linear(self) -> nn.Linear:
        """Return the dense layer that does the same."""
        linear = nn.Linear(self.in_features, self.out_features, dtype=self.values.dtype)
        units = torch.repeat_interleave(torch.arange(self.out_features), self.starts.diff().long())
        with torch.no_grad():
            linear.weight.zero_()
            linear.weight[units, self.columns.long()] = self.values
            linear.bias.copy_(self.bias)
        return linear.train(self.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``x W^T + b``, of shape (..., n_out)."""
        matrix = self._matrix or self._as_arrays()
        if x.dtype is not _TORCH[matrix.values.dtype] or not x.is_cpu or x.shape[-1] != self.in_features:
            raise SpecificationError(
                f"this sparse layer takes {self.in_features} features in {self.values.dtype} on the CPU: its input is "
                f"{tuple(x.shape)} in {x.dtype} on {x.device}"
            )
        return sparse_linear(x, matrix)

    def _as_arrays(self) -> CompressedRows:
        if self.values.dtype not in _DTYPES or not self.values.is_cpu:
            raise SpecificationError(
                f"a sparse layer computes in float32 or float64 on the CPU, not in {self.values.dtype} on "
                f"{self.values.device}"
            )
        starts, columns, values, bias = (t.numpy() for t in (self.starts, self.columns, self.values, self.bias))
        self._check(starts, columns, values.shape, bias.shape)
        starts, columns = starts.astype(np.int32, copy=False), columns.astype(np.int32, copy=False)
        self._matrix = CompressedRows(starts.view(np.uint32), columns.view(np.uint32), values, bias)
        return self._matrix

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name != "_matrix":
            object.__setattr__(self, "_matrix", None)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and pickled: arrays would not share their memory with the copied buffers."""
        return {**self.__dict__, "_matrix": None}

    def _apply(self, *args: Any, **kwargs: Any) -> "SparseLinear":
        self._matrix = None
        return super()._apply(*args, **kwargs)

    def extra_repr(self) -> str:
        """Return what is printed of it."""
        return f"{self.in_features}, {self.out_features}, {self.n_connections} connections ({self.density:.1%})"

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        """Take as many connections as there are, if what is there then is a matrix."""
        merged = {name: state_dict.get(prefix + name, buffer) for name, buffer in self._buffers.items()}
        starts, columns = (merged[name].cpu().numpy() for name in ("starts", "columns"))
        self._check(starts, columns, merged["values"].shape, merged["bias"].shape, prefix)
        for name in ("columns", "values"):
            if prefix + name in state_dict:
                setattr(self, name, getattr(self, name).new_empty(len(merged[name])))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _check(self, starts: np.ndarray, columns: np.ndarray, values: Shape, bias: Shape, prefix: str = "") -> None:
        """Make sure that kernels, which check nothing, read and write where there is something."""
        sound = (
            columns.shape == values == (columns.size,)
            and starts.shape == (self.out_features + 1,)
            and bias == (self.out_features,)
            and (starts[0], starts[-1]) == (0, columns.size)
            and (starts[:-1] <= starts[1:]).all()
            and ((columns >= 0) & (columns < self.in_features)).all()
        )
        if not sound:
            raise SpecificationError(
                f"{prefix}starts, {prefix}columns, {prefix}values and {prefix}bias are no sparse matrix of "
                f"{self.out_features} x {self.in_features}"
            )


@dataclass(frozen=True)
class SparseChoice:
    """Whether a layer was made sparse, and why.

    Parameters
    ----------
    name : str
    density : float
        Share of its weights that are not 0.
    rows : int
        Of its input: the batch, times the tokens.
    dense, sparse : float
        Seconds that it takes.
    chosen : bool
        Whether it is sparse now.
    """

    name: str
    density: float
    rows: int
    dense: float
    sparse: float
    chosen: bool

    @property
    def speedup(self) -> float:
        """How many times faster sparse is than dense."""
        return self.dense / self.sparse


def auto_sparse(
    model: nn.Module, example_inputs: tuple[Any, ...], *, time_call: Stopwatch | None = None
) -> tuple[nn.Module, tuple[SparseChoice, ...]]:
    """Return a copy of a network, for inference, in which Linear layers are sparse where that is measured to be faster.

    Parameters
    ----------
    model : nn.Module
        On the CPU. Masks are baked into the copy.
    example_inputs : tuple
        What it is called with. The batch decides: what wins with 64 rows may lose with one.
    time_call : Stopwatch, optional
        Otherwise the one for as many threads as torch uses now. The sparse layer is computed by one.

    Returns
    -------
    model : nn.Module
    choices : tuple of SparseChoice
        One for each Linear layer that is called; others keep their weights for something that reads them directly.

    Notes
    -----
    Each layer is timed on the inputs that it gets from the example, dense (without a mask) and sparse, and is
    replaced if sparse takes less than 95 % of the time, unless the network then fails: something may read the weight
    of a layer, which a sparse one has not. Then the network is timed, and as long as it is not faster than dense, the
    layer that gains least is dense again.
    """
    time_call = time_call or stopwatch(threads=torch.get_num_threads())
    made = copy.deepcopy(model).eval()
    names: dict[nn.Linear, list[str]] = {}
    bake_all(made)
    modules = dict(made.named_modules(remove_duplicate=False))
    for name, module in modules.items():
        if type(module) is nn.Linear and not isinstance(modules[name.rpartition(".")[0]], _READERS):
            names.setdefault(module, []).append(name)
    times: dict[nn.Linear, tuple[SparseLinear, int, float, float]] = {}
    for layer, x in _inputs_of(made, list(names), example_inputs).items():
        sparse = SparseLinear.from_linear(layer)
        dense_time, sparse_time = (time_call(partial(m, x)).seconds for m in (layer, sparse))
        times[layer] = (sparse, x.numel() // max(1, x.shape[-1]), dense_time, sparse_time)
    faster = [layer for layer, (*_, dense, sparse) in times.items() if sparse < (1 - MARGIN) * dense]
    faster.sort(key=lambda layer: times[layer][3] - times[layer][2])
    whole = time_call(partial(made, *example_inputs)).seconds if faster else 0.0
    chosen: list[nn.Linear] = []
    for layer in faster:
        made = _replace(made, names[layer], times[layer][0])
        if _runs(made, example_inputs):
            chosen.append(layer)
        else:
            made = _replace(made, names[layer], layer)
    while chosen and time_call(partial(made, *example_inputs)).seconds >= whole:
        layer = chosen.pop()
        made = _replace(made, names[layer], layer)
    return made, tuple(
        SparseChoice(name, density(layer), rows, dense, sparse, layer in chosen)
        for layer, (_, rows, dense, sparse) in times.items()
        for name in names[layer]
    )


def _inputs_of(
    model: nn.Module, layers: list[nn.Linear], example_inputs: tuple[Any, ...]
) -> dict[nn.Linear, torch.Tensor]:
    """Return what each layer gets at its first call."""
    found: dict[nn.Linear, torch.Tensor] = {}

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(module, nn.Linear)
        found.setdefault(module, inputs[0].detach().clone())

    handles = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        with torch.inference_mode():
            call_network(model, example_inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _runs(model: nn.Module, example_inputs: tuple[Any, ...]) -> bool:
    """Return whether a network can be called."""
    try:
        with torch.inference_mode():
            call_network(model, example_inputs)
    except NeuropruneError:
        return False
    return True


def _replace(model: nn.Module, names: list[str], module: nn.Module) -> nn.Module:
    """Put a module in places of another, and return the model, which may be that place."""
    for name in names:
        if not name:
            return module
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module)
    return model
