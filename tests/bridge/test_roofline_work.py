"""What layers do, call by call, against operations and bytes that were counted by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from synthetic_machine import call_of
from torch import nn
from torch.nn import functional

from neuroprune.bridge.costs import layer_costs, network_cost
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.roofline import Call, intensity
from neuroprune.bridge.roofline.cases import Function, SelfAttention
from neuroprune.bridge.roofline.work import PARAMETRIZATION
from neuroprune.bridge.sparse_linear import SparseLinear
from neuroprune.bridge.zoo import MODELS, make_model
from neuroprune.core.errors import SpecificationError

F = 4
"""Bytes of a number."""


def counts(call: Call) -> tuple[int, int, int, int]:
    return call.flops, call.weights // F, call.inputs // F, call.outputs // F


@pytest.mark.parametrize(
    ("layer", "shape", "kind", "expected"),
    [
        (nn.Linear(5, 3), (2, 5), "linear", (60, 18, 10, 6)),
        (nn.Linear(5, 3, bias=False), (1, 5), "linear row", (30, 15, 5, 3)),
        (nn.Linear(5, 3), (2, 1, 5), "linear", (60, 18, 10, 6)),
        # 16 places of a kernel of 9 x 2 for each of 6 filters.
        (nn.Conv2d(2, 6, 3), (1, 2, 6, 6), "conv", (2 * 16 * 18 * 6, 114, 72, 96)),
        (nn.Conv2d(2, 6, 1), (3, 2, 4, 4), "pointwise conv", (2 * 48 * 2 * 6, 18, 96, 288)),
        (nn.Conv2d(2, 6, 1, 2), (3, 2, 4, 4), "strided pointwise conv", (2 * 12 * 2 * 6, 18, 96, 72)),
        (nn.Conv2d(4, 4, 3, groups=4), (1, 4, 6, 6), "depthwise conv", (2 * 16 * 9 * 4, 40, 144, 64)),
        (nn.Conv1d(2, 3, 4), (1, 2, 10), "conv", (2 * 7 * 8 * 3, 27, 20, 21)),
        (nn.ReLU(), (2, 5), "elementwise", (0, 0, 10, 10)),
        (nn.ReLU(inplace=True), (2, 5), "elementwise", (0, 0, 10, 10)),
        (nn.GELU(), (2, 5), "gelu", (0, 0, 10, 10)),
        (nn.Softmax(1), (2, 5), "transcendental", (0, 0, 10, 10)),
        (nn.Flatten(), (2, 5, 3), "view", (0, 0, 0, 0)),
        (nn.Dropout(), (2, 5), "view", (0, 0, 0, 0)),
        (nn.MaxPool2d(2), (1, 3, 4, 4), "pooling", (0, 0, 48, 12)),
        (nn.AdaptiveAvgPool2d(1), (1, 3, 4, 4), "reduction", (0, 0, 48, 3)),
        (nn.BatchNorm2d(3), (2, 3, 4, 4), "batch norm", (0, 12, 96, 96)),
        (nn.LayerNorm(6), (2, 3, 6), "layer norm", (0, 12, 36, 36)),
        (Function(lambda x: x + x[:1]), (2, 5), None, (0, 0, 15, 10)),
        (Function(torch.zeros_like), (2, 5), "elementwise", (0, 0, 0, 10)),
        # Expanded from one row, it is read once.
        (Function(lambda x: torch.relu(x.expand(7, 5))), (1, 5), None, (0, 0, 5, 35)),
    ],
)
def test_calls_are_counted_by_hand(
    layer: nn.Module, shape: tuple[int, ...], kind: str | None, expected: tuple[int, ...]
) -> None:
    calls = [call for layer in intensity(layer, (torch.randn(shape),)).values() for call in layer.calls]
    assert counts(calls[-1]) == expected
    if kind is not None:
        assert len(calls) == 1 and calls[0].kind.partition(" (")[0] == kind


def test_a_convolution_is_told_apart_by_what_computes_it() -> None:
    conv = nn.Conv2d(2, 6, 3)
    few, many = (call_of(conv, torch.randn(n, 2, 6, 6)) for n in (1, 2))
    assert few.kind.startswith("conv (") and many.kind.startswith("conv (")
    assert few.kind != many.kind  # torch has one implementation for a single small image, and another for batches
    assert (few.patches // F, few.pieces, few.width) == (16 * 18, 1, 6)
    assert (many.patches, many.pieces) == (2 * few.patches, 2)


def test_attention_has_its_scores() -> None:
    q, k = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4)
    call = call_of(Function(functional.scaled_dot_product_attention), q, k, k)
    assert (call.kind, call.flops, call.pieces) == ("attention", 2 * 2 * (2 * 3 * 5 * 7 * 4), 2 * 3 * 5 * 7)
    layer = intensity(SelfAttention(8, 2), (torch.randn(3, 5, 8),))["attention"]
    call = next(c for c in layer.calls if c.kind == "multi-head attention")
    assert call.flops == 2 * (4 * 3 * 5 * 8 * 8 + 2 * 3 * 5 * 5 * 8) and call.pieces == 3 * 2 * 5 * 5
    assert call.weights == F * (4 * 64 + 4 * 8)


@pytest.mark.parametrize("name", MODELS)
def test_operations_are_those_of_costs(name: str) -> None:
    model, x = make_model(name, (1, 8, 8), 10), (torch.randn(2, 1, 8, 8),)
    work, costs = intensity(model, x), layer_costs(model, x)
    assert {n: work[n].flops for n in costs} == {n: 2 * cost.macs for n, cost in costs.items()}
    assert sum(layer.flops for layer in work.values()) == 2 * network_cost(model, x).macs


def test_what_a_block_does_itself_is_its_own() -> None:
    model = make_model("resnet20", (1, 8, 8), 10)
    work = intensity(model, (torch.randn(1, 1, 8, 8),))
    assert [call.function for call in work["3"].calls] == ["relu", "add", "relu"]
    assert (work["3"].type, work["3"].modules, work["3"].flops) == ("ResidualBlock", 1, 0)
    assert work["3"].bytes == F * 16 * 64 * (2 + 3 + 2) and work["3"].intensity == 0
    assert not work[""].calls and math.isnan(work[""].intensity)


def test_a_mask_is_applied_at_each_call() -> None:
    model = nn.Sequential(nn.Linear(6, 4))
    x = (torch.randn(2, 6),)
    dense = intensity(model, x)["0"]
    mask_weight(model[0]).alive[:, 1:] = False  # type: ignore[arg-type]
    masked = intensity(model, x)["0"]
    assert (masked.type, masked.flops, masked.density) == ("Linear", dense.flops, pytest.approx(1 / 6))
    where = next(call for call in masked.calls if call.kind == "selection")
    # A byte for each weight that may live, the weights, zeros, and what comes out.
    assert where.bytes == 24 * (1 + 3 * F)
    # The layer, the list of its parametrizations, and the mask.
    assert (dense.modules, masked.modules) == (1, 3)
    assert [call.kind for call in masked.calls].count(PARAMETRIZATION) == 1


@pytest.mark.parametrize(("rows", "kind"), [(1, "sparse row"), (3, "sparse")])
def test_a_sparse_layer_does_what_is_left(rows: int, kind: str) -> None:
    linear = nn.Linear(6, 4)
    with torch.no_grad():
        linear.weight[:, 1:] = 0
    layer = intensity(nn.Sequential(SparseLinear.from_linear(linear)), (torch.randn(rows, 6),))["0"]
    (call,) = layer.calls
    assert (call.kind, call.flops, layer.density) == (kind, 2 * rows * 4, pytest.approx(1 / 6))
    # Starts of four rows and their end, a column and a value for each connection, and biases.
    assert (call.weights, call.inputs, call.outputs) == (F * (5 + 4 + 4 + 4), F * rows * 6, F * rows * 4)


def test_a_layer_that_runs_twice_has_the_calls_of_both() -> None:
    shared = nn.Linear(3, 3)
    work = intensity(nn.Sequential(shared, nn.ReLU(), shared), (torch.zeros(2, 3),))
    assert (len(work["0"].calls), work["0"].modules, work["0"].flops) == (2, 2, 2 * 2 * 18)


def test_inputs_may_come_from_inference() -> None:
    with torch.inference_mode():
        x = torch.randn(2, 5)
        assert counts(call_of(nn.Linear(5, 3), x)) == (60, 18, 10, 6)
    assert counts(call_of(nn.Linear(5, 3), x)) == (60, 18, 10, 6)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind(training: bool) -> None:
    model = make_model("small-cnn", (1, 8, 8), 10).train(training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    intensity(model, (torch.randn(2, 1, 8, 8),))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    for module in model.modules():
        assert module.training == training and not module._forward_hooks and not module._forward_pre_hooks


def test_inputs_that_do_not_fit_are_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(SpecificationError, match="Sequential cannot be called with these inputs"):
        intensity(model, (torch.zeros(1, 5),))
    assert not model[0]._forward_hooks and torch.backends.mha.get_fastpath_enabled()


def test_bytes_follow_the_type_of_numbers() -> None:
    layer: Callable[[torch.dtype], Call] = lambda t: call_of(nn.Linear(5, 3, dtype=t), torch.zeros(2, 5, dtype=t))  # noqa: E731
    assert layer(torch.float64).bytes == 2 * layer(torch.float32).bytes == 4 * layer(torch.bfloat16).bytes
