"""What layers do, call by call, against operations and bytes that were counted by hand."""

import math
from collections.abc import Callable

import pytest
import torch
from synthetic_machine import call_of, machine
from torch import nn
from torch.nn import functional

from neuroprune.bridge.costs import layer_costs, network_cost, operation_counter
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.roofline import Call, intensity, predict
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
        # A vector times a matrix reads the matrix once, and a dot product has no axis left.
        (Function(lambda x: x @ x[0]), (2, 5), "linear row", (20, 0, 15, 2)),
        (Function(lambda x: x @ x), (5,), "linear row", (10, 0, 5, 1)),
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
        calls = [call for call in calls if call.kind != "view"] or calls
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
    with pytest.raises(SpecificationError, match=r"Sequential cannot be called with a tensor \(1, 5\)"):
        intensity(model, (torch.zeros(1, 5),))
    assert not model[0]._forward_hooks and torch.backends.mha.get_fastpath_enabled()


def test_bytes_follow_the_type_of_numbers() -> None:
    layer: Callable[[torch.dtype], Call] = lambda t: call_of(nn.Linear(5, 3, dtype=t), torch.zeros(2, 5, dtype=t))  # noqa: E731
    assert layer(torch.float64).bytes == 2 * layer(torch.float32).bytes == 4 * layer(torch.bfloat16).bytes


class Raising(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return {}["no such key"]


def test_whatever_a_network_raises_is_told_with_its_name() -> None:
    for count in (intensity, layer_costs, network_cost):
        with pytest.raises(SpecificationError, match=r"Raising cannot be called with a tensor \(1, 5\): KeyError"):
            count(Raising(), (torch.zeros(1, 5),))


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: torch.cumsum(x, 0), "cumsum"),
        (lambda x: torch.sort(x)[0], "sort"),
        (lambda x: functional.interpolate(x[None], 4), "interpolate"),
        (torch.logcumsumexp, "logcumsumexp"),
        (lambda x: 1 - x, "elementwise"),
        (lambda x: x.mul_(2), "elementwise"),
        (lambda x: torch.cat([x, x]), "elementwise"),
        (lambda x: x**2, "transcendental"),
    ],
)
def test_only_what_is_known_to_be_alike_is_taken_for_it(function: Callable[..., torch.Tensor], kind: str) -> None:
    inputs = (torch.rand(3, 5), 0) if function is torch.logcumsumexp else (torch.rand(3, 5),)
    assert [call.kind for call in intensity(Function(function), inputs)[""].calls if call.kind != "view"] == [kind]


@pytest.mark.parametrize(
    ("layer", "name", "matrices"),
    [
        (nn.LSTM(6, 5), "lstm", 20 * (6 + 5)),
        (nn.LSTM(6, 5, 2, bidirectional=True), "lstm", 2 * 20 * (6 + 5) + 2 * 20 * (10 + 5)),
        (nn.GRU(6, 5, bias=False), "gru", 15 * (6 + 5)),
        (nn.RNN(6, 5), "rnn_tanh", 5 * (6 + 5)),
    ],
)
def test_recurrent_layers_have_their_products_and_are_not_calibrated(
    layer: nn.RNNBase, name: str, matrices: int
) -> None:
    x = torch.randn(4, 3, 6)
    (call,) = (call for call in intensity(layer, (x,))[""].calls if call.function == name)
    assert (call.kind, call.flops) == (name, 2 * 4 * 3 * matrices)
    assert call.weights == F * sum(p.numel() for p in layer.parameters())
    assert network_cost(layer, (x,)).macs == 4 * 3 * matrices
    assert predict(layer, (x,), machine()).uncalibrated == ("elementwise", name)  # it begins with zeros


def test_cudnn_s_recurrent_layers_are_counted_too() -> None:
    x, hidden = torch.empty(4, 3, 6, device="meta"), torch.empty(1, 3, 5, device="meta")
    weights = [torch.empty(shape, device="meta") for shape in ((20, 6), (20, 5), (20,), (20,))]
    with operation_counter() as counter:
        torch.ops.aten._cudnn_rnn(
            x, weights, 4, None, hidden, hidden, 2, 5, 0, 1, False, 0.0, False, False, [], None
        )  # fmt: skip
    assert counter.get_total_flops() == 2 * 4 * 3 * 20 * (6 + 5)


def test_of_a_table_only_rows_are_read() -> None:
    tokens, table = torch.tensor([[3, 1], [4, 1]]), torch.randn(90, 6)
    call = call_of(nn.Embedding(90, 6), tokens)
    assert (call.kind, call.weights, call.inputs, call.outputs) == ("embedding", F * 24, 8 * 4, F * 24)
    for function, index, rows in (
        (lambda t, i: t[i], tokens, 4),
        (lambda t, i: t.index_select(0, i), tokens[0], 2),
        (lambda t, i: torch.gather(input=t, index=i, dim=0), tokens.repeat(1, 3), 2),
    ):
        call = call_of(Function(function), table, index)
        assert (call.inputs, call.outputs) == (F * rows * 6 + 8 * index.numel(), F * rows * 6)
    call = call_of(nn.EmbeddingBag(90, 6), tokens)  # rows of 4 tokens, in 2 sums
    assert (call.weights, call.inputs, call.outputs) == (F * 24, 8 * 4, F * 12)
    small = call_of(nn.Embedding(2, 6), tokens % 2)
    assert small.weights == F * 12  # no more than there is


def test_arguments_may_be_named() -> None:
    q, k = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4)
    attend = Function(lambda q, k: functional.scaled_dot_product_attention(key=k, value=k, query=q))
    call = call_of(attend, q, k)
    assert (call.kind, call.pieces) == ("attention", 2 * 3 * 5 * 7)
    x, w = torch.randn(2, 5), torch.randn(3, 5)
    assert counts(call_of(Function(lambda x, w: functional.linear(weight=w, input=x)), x, w)) == (60, 15, 10, 6)
    x, w = torch.randn(1, 2, 6, 6), torch.randn(6, 2, 3, 3)
    call = call_of(Function(lambda x, w: functional.conv2d(weight=w, input=x)), x, w)
    assert counts(call) == (2 * 16 * 18 * 6, 108, 72, 96) and call.patches == F * 16 * 18


class Holder(nn.Module):
    """It multiplies by a weight of its own, and has a module within."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.relu, self.linear = nn.Parameter(torch.ones(10, 8)), nn.ReLU(), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.relu(x @ self.weight))


def test_weights_that_a_module_holds_beside_others_have_a_density() -> None:
    model = Holder()
    with torch.no_grad():
        model.weight[1:] = 0
    work = intensity(nn.Sequential(model), (torch.randn(2, 10),))
    assert (work["0"].density, work["0.linear"].density, work[""].density) == (pytest.approx(0.1), 1, 1)
