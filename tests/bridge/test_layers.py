"""Layers of every kind as afferent tables: shapes, sources and traces, against loops and against autograd."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuroprune.bridge import TorchSubstrate
from neuroprune.bridge.layers import view_of
from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock, Now
from neuroprune.core.tables import Change, Decision
from neuroprune.development import develop
from neuroprune.rules import WeakestFirst

NOW = Now(step=0, age=3.0, dt=0.5, progress=0.5)

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "dense": (lambda: nn.Linear(4, 3), (5, 4)),
    "tokens": (lambda: nn.Linear(4, 3), (2, 5, 4)),
    "conv1d": (lambda: nn.Conv1d(2, 3, 4, padding=1), (2, 2, 9)),
    "strided": (lambda: nn.Conv2d(2, 3, (3, 2), stride=2, padding=(1, 0)), (2, 2, 7, 6)),
    "dilated": (lambda: nn.Conv2d(2, 3, 3, dilation=2), (1, 2, 7, 7)),
    "same": (lambda: nn.Conv2d(2, 3, (3, 5), padding="same"), (2, 2, 5, 5)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), (2, 4, 5, 5)),
    "depthwise": (lambda: nn.Conv2d(3, 3, 3, groups=3, padding=1), (2, 3, 4, 4)),
    "reflected": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (2, 2, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(1, 2, 2), (2, 1, 3, 3, 3)),
    "one image": (lambda: nn.Conv2d(2, 3, 3), (2, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (2, 4, 3, 3)),
    "transposed in groups": (lambda: nn.ConvTranspose1d(4, 6, 3, groups=2), (2, 4, 5)),
}


@pytest.fixture(params=LAYERS, ids=list(LAYERS))
def case(request: pytest.FixtureRequest) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(1)
    make, shape = LAYERS[request.param]
    return make().double(), torch.randn(shape, dtype=torch.float64)


def test_the_matrix_holds_every_weight_once(case: tuple[Any, torch.Tensor]) -> None:
    layer, _ = case
    view = view_of(layer)
    matrix = view.matrix(layer.weight)
    assert matrix.shape == (view.n_post, view.n_slots)
    assert torch.equal(view.tensor(matrix), layer.weight)
    assert view.source().shape == matrix.shape


def test_rows_are_units_and_slots_come_from_their_sources(case: tuple[Any, torch.Tensor]) -> None:
    """Silence one input at a time: exactly the units change that have a weight from it."""
    layer, x = case
    view = view_of(layer)
    channel_axis = x.ndim - 1 if isinstance(layer, nn.Linear) else x.ndim - len(layer.kernel_size) - 1
    x = x.abs() + 1
    with torch.no_grad():
        layer.weight.abs_()
        before = view.by_unit(layer(x))
        for source in range(view.n_sources):
            silenced = x.clone()
            silenced.select(channel_axis, source).zero_()
            changed = (view.by_unit(layer(silenced)) != before).any(0)
            assert torch.equal(changed, (view.source() == source).any(1))


def test_a_dead_row_silences_its_unit_alone(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    view = view_of(layer)
    layer.bias = None
    with torch.no_grad():
        before = view.by_unit(layer(x))
        matrix = view.matrix(layer.weight).clone()
        matrix[1] = 0
        layer.weight.copy_(view.tensor(matrix))
        after = view.by_unit(layer(x))
    assert not after[:, 1].any()
    others = [k for k in range(view.n_post) if k != 1]
    assert torch.equal(after[:, others], before[:, others])


def test_coincidence_with_an_error_is_the_gradient(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    view = view_of(layer)
    out = layer(x)
    error = torch.randn_like(out)
    (out * error).sum().backward()
    assert torch.allclose(view.coincidence(x, error), view.matrix(layer.weight.grad))


def test_traces_of_a_convolution_are_those_of_a_loop() -> None:
    layer = nn.Conv2d(2, 4, (2, 3), stride=(1, 2), padding=1, groups=2).double()
    x = torch.randn(3, 2, 4, 5, dtype=torch.float64)
    s = TorchSubstrate(layer, lambda now: {"sum": layer(x).sum().item()})
    traces = s.sample(NOW).traces[0]
    y = layer(x).detach().abs()
    padded = nn.functional.pad(x, (1, 1, 1, 1)).abs()
    usage, eligibility = np.zeros((4, 6)), np.zeros((4, 6))
    places = [(b, i, j) for b in range(3) for i in range(y.shape[2]) for j in range(y.shape[3])]
    for b, i, j in places:
        for o in range(4):
            seen = padded[b, o // 2, i : i + 2, 2 * j : 2 * j + 3].flatten().numpy()
            usage[o] += seen
            eligibility[o] += seen * float(y[b, o, i, j])
    assert np.allclose(traces["usage"].expand(4, 6), usage / len(places))
    assert np.allclose(traces["eligibility"], eligibility / len(places))
    mean = y.mean((0, 2, 3))
    assert torch.allclose(traces["calcium"][:, 0], mean / mean.max())


def test_what_a_rule_removes_from_a_convolution_carries_nothing_and_what_it_leaves_is_as_it_was(
    case: tuple[Any, torch.Tensor],
) -> None:
    layer, x = case
    before = layer.weight.detach().clone()
    s = TorchSubstrate(layer, lambda now: None)
    table = s.tables()[0]
    s.apply(s.tables().after(Decision("test", (Change(eliminate=table.ids % 3 == 0),))))
    index = torch.arange(before.numel()).reshape(table.shape)
    gone = view_of(layer).tensor(index % 3 == 0)
    assert torch.equal(layer.weight == 0, gone)
    assert torch.equal(layer.weight[~gone], before[~gone])
    layer(x).square().sum().backward()
    assert not layer.parametrizations.weight.original.grad[gone].any()
    finished = s.finalize()
    assert torch.equal(finished.weight == 0, gone)  # type: ignore[arg-type]


def test_a_convolutional_network_develops_to_an_exact_budget() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 2, 2), nn.Flatten(), nn.Linear(50, 3)
    )
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)

    def activity(now: Now) -> None:
        loss = module(torch.randn(8, 1, 6, 6)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    s = TorchSubstrate(module, activity, optimizer=optimizer)
    develop(s, [WeakestFirst(rate=0)], clock=Clock(3.0, 6.0, 0.5), seed=1, budget=Budget(0.75))
    n = 4 * 9 + 4 * 2 * 4 + 50 * 3
    weights = [module[k].weight for k in (0, 3, 5)]
    assert sum(int(torch.count_nonzero(w)) for w in weights) == n - round(0.75 * n)  # type: ignore[arg-type]
