"""What a network costs: multiply-accumulate operations, parameters and what layers pass on, counted while it runs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import NeuropruneError, SpecificationError

Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerCost:
    """Cost of one layer in one forward pass.

    Parameters
    ----------
    name : str
        Of the module.
    kind : str
        Name of its class.
    macs : int
        Multiply-accumulate operations of matrix products, convolutions and attention, whatever is masked.
    parameters : int
        Its own, with biases; where two layers share one, the first has it.
    density : float
        Share of its weights (parameters of two or more axes) that are not 0; 1 for a layer without.
    inputs, outputs : tuple of shapes
        Of the tensors that go in and come out.
    """

    name: str
    kind: str
    macs: int
    parameters: int
    density: float
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


@dataclass(frozen=True)
class NetworkCost:
    """Cost of a network in one forward pass.

    Parameters
    ----------
    macs : int
        Of everything, also what happens outside layers.
    parameters : int
        Each counted once.
    nonzero : int
        Those that are not 0.
    """

    macs: int
    parameters: int
    nonzero: int


def layer_costs(model: nn.Module, example_inputs: tuple[Any, ...]) -> Mapping[str, LayerCost]:
    """Return the cost of each layer that has no layers within, in the order in which they first run.

    Parameters
    ----------
    model : nn.Module
        It runs once, in evaluation mode and without gradients.
    example_inputs : tuple
        What it is called with. The batch counts: with 64 images there are 64 times the operations of one.

    Returns
    -------
    mapping of str to LayerCost
        ``nn.MultiheadAttention`` is one layer. Operations outside such layers (an attention product within a
        block's own ``forward``) are in :func:`network_cost` alone. A layer that runs twice is charged twice and
        shows the tensors of its first run; one that does not run is left out.

    Raises
    ------
    SpecificationError
        If the network cannot be called with these inputs.
    """
    return _count(model, example_inputs)[0]


def network_cost(model: nn.Module, example_inputs: tuple[Any, ...]) -> NetworkCost:
    """Return the cost of a whole network; parameters and errors as in :func:`layer_costs`."""
    macs = _count(model, example_inputs)[1]
    unique = {id(p): p for p in _effective(model)}
    return NetworkCost(
        macs,
        sum(p.numel() for p in model.parameters()),
        sum(int(torch.count_nonzero(p)) for p in unique.values()),
    )


def layers_of(model: nn.Module) -> dict[str, nn.Module]:
    """Return the layers of a network by name: modules without modules within, and attention as a whole.

    Parametrizations (masks) are no layers.
    """
    found: dict[str, nn.Module] = {}

    def visit(name: str, module: nn.Module) -> None:
        within = [(n, m) for n, m in module.named_children() if n != "parametrizations"]
        if isinstance(module, nn.MultiheadAttention) or not within:
            found[name] = module
        else:
            for child_name, child in within:
                visit(f"{name}.{child_name}" if name else child_name, child)

    visit("", model)
    return found


def kind_of(module: nn.Module) -> str:
    """Return the name of a module's class, also when a parametrization changed it."""
    kind = type(module)
    return (kind.__bases__[0] if parametrize.is_parametrized(module) else kind).__name__


def call_network(model: nn.Module, inputs: tuple[Any, ...]) -> Any:
    """Return what a network makes of its inputs.

    Raises
    ------
    SpecificationError
        If anything goes wrong within it: it may be anybody's code.
    """
    try:
        return model(*inputs)
    except NeuropruneError:
        raise
    except Exception as error:
        raise SpecificationError(
            f"{type(model).__name__} cannot be called with {_describe(inputs)}: {type(error).__name__}: {error}"
        ) from error


def operation_counter() -> FlopCounterMode:
    """Return torch's counter of floating-point operations, which also counts products that it leaves out itself."""
    return FlopCounterMode(display=False, custom_mapping=_UNCOUNTED)


def _recurrent_flops(x: Shape, weights: Sequence[Shape]) -> int:
    """Return the operations of a recurrent layer, which multiplies each of its matrices once for each step."""
    return 2 * math.prod(x[:-1]) * sum(math.prod(shape) for shape in weights if len(shape) == 2)


_UNCOUNTED: dict[Any, Callable[..., int]] = {
    torch.ops.aten.mv: lambda matrix, *_, **__: 2 * math.prod(matrix),
    torch.ops.aten.addmv: lambda _, matrix, *__, **___: 2 * math.prod(matrix),
    torch.ops.aten.dot: lambda vector, *_, **__: 2 * math.prod(vector),
    torch.ops.aten.mkldnn_rnn_layer: lambda x, *others, **_: _recurrent_flops(x, others[:4]),
    torch.ops.aten._cudnn_rnn: lambda x, weights, *_, **__: _recurrent_flops(x, weights),
}
"""Operations, by the shapes of arguments; other recurrent layers are matrix products to the counter."""


def _count(model: nn.Module, example_inputs: tuple[Any, ...]) -> tuple[dict[str, LayerCost], int]:
    layers = {module: name for name, module in layers_of(model).items()}
    seen: dict[nn.Module, tuple[tuple[Shape, ...], tuple[Shape, ...]]] = {}
    flops: dict[nn.Module, int] = {}
    started: dict[nn.Module, int] = {}
    counter = operation_counter()

    def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        started[module] = counter.get_total_flops()

    def after(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        flops[module] = flops.get(module, 0) + counter.get_total_flops() - started[module]
        seen.setdefault(module, (_shapes(inputs), _shapes(output)))

    handles = [h for m in layers for h in (m.register_forward_pre_hook(before), m.register_forward_hook(after))]
    # The counter does not know all fused kernels of attention; written out they are matrix products.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(model), torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            call_network(model, example_inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for handle in handles:
            handle.remove()
    owned: set[int] = set()
    costs = {}
    for module, (inputs, outputs) in seen.items():
        parameters = [p for p in module.parameters() if id(p) not in owned]
        owned |= {id(p) for p in parameters}
        costs[layers[module]] = LayerCost(
            layers[module],
            kind_of(module),
            flops[module] // 2,
            sum(p.numel() for p in parameters),
            density(module),
            inputs,
            outputs,
        )
    return costs, counter.get_total_flops() // 2


def density(module: nn.Module, *, recurse: bool = True) -> float:
    """Return the share of a layer's weights that are not 0, after its masks.

    Parameters
    ----------
    module : nn.Module
    recurse : bool
        Whether those of modules within count.
    """
    weights = [w for w in _effective(module, recurse=recurse) if w.ndim > 1]
    total = sum(w.numel() for w in weights)
    return sum(int(torch.count_nonzero(w)) for w in weights) / total if total else 1.0


def _effective(module: nn.Module, *, recurse: bool = True) -> list[torch.Tensor]:
    """Return the parameters of a module, and of those within, as a forward pass sees them."""
    found: list[torch.Tensor] = []
    for name, part in module.named_modules() if recurse else [("", module)]:
        if "parametrizations" not in name.split("."):
            found += part.parameters(recurse=False)
            if parametrize.is_parametrized(part):
                found += [getattr(part, masked).detach() for masked in part.parametrizations]  # type: ignore[union-attr]
    return found


def _shapes(values: Any) -> tuple[Shape, ...]:
    if isinstance(values, torch.Tensor):
        return (tuple(values.shape),)
    if isinstance(values, Mapping):
        values = tuple(values.values())
    return tuple(s for v in values for s in _shapes(v)) if isinstance(values, tuple | list) else ()


def _describe(inputs: tuple[Any, ...]) -> str:
    return ", ".join(f"a tensor {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__ for x in inputs)
