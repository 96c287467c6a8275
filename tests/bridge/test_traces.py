"""What hooks collect in layers, against loops over samples and against autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.layers import view_of
from neuroprune.bridge.masks import mask_weight, original
from neuroprune.bridge.traces import BACKWARD, TRACES, LayerTraces, watch
from neuroprune.core.errors import SpecificationError

LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "dense": (lambda: nn.Linear(4, 3), (6, 4)),
    "tokens": (lambda: nn.Linear(4, 3), (6, 5, 4)),
    "many samples": (lambda: nn.Linear(3, 2), (37, 2, 3)),
    "conv": (lambda: nn.Conv2d(2, 3, 3), (4, 2, 5, 5)),
    "strided": (lambda: nn.Conv2d(2, 4, (3, 2), stride=2, padding=(1, 0), groups=2), (4, 2, 7, 6)),
    "many images": (lambda: nn.Conv1d(2, 3, 2), (35, 2, 4)),
    "reflected": (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect"), (3, 2, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (3, 4, 3, 3)),
}


@pytest.fixture(params=LAYERS, ids=list(LAYERS))
def case(request: pytest.FixtureRequest) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(1)
    make, shape = LAYERS[request.param]
    return make().double(), torch.randn(shape, dtype=torch.float64)


def traces_of(layer: Any, wanted: Any = TRACES) -> LayerTraces:
    return LayerTraces("here", view_of(layer), torch.device("cpu"), wanted)


def loss_of(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Return a mean over samples of something that is neither linear nor the same for all outputs."""
    y = layer(x)
    return (torch.arange(1.0, y[0].numel() + 1, dtype=y.dtype) * torch.tanh(y.flatten(1)) ** 2).sum(1).mean()


def collect(layer: Any, x: torch.Tensor, wanted: Any = TRACES) -> Any:
    traces = traces_of(layer, wanted)
    with watch({layer: traces}):
        loss_of(layer, x).backward()
    original(layer).grad = None
    return traces.take()


def gradient_of(layer: Any, x: torch.Tensor) -> torch.Tensor:
    (gradient,) = torch.autograd.grad(loss_of(layer, x), original(layer))
    return gradient


# --- each trace


def seen_by(layer: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what each weight sees, (places, n_post, n_slots), and what its unit answers, (places, n_post).

    Places by autograd alone: what multiplies a weight is the derivative of that output with respect to it.
    """
    view = view_of(layer)
    y = layer(x)
    answers = view.by_unit(y.detach())
    units = view.by_unit(y)
    pre = torch.zeros(len(units), view.n_post, view.n_slots, dtype=x.dtype)
    for place in range(len(units)):
        for unit in range(view.n_post):
            (g,) = torch.autograd.grad(units[place, unit], layer.weight, retain_graph=True)
            pre[place, unit] = view.matrix(g)[unit]
    return pre, answers


def test_forward_traces_are_means_over_samples_and_places(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    x = x[:3]
    found = collect(layer, x, ("usage", "eligibility", "calcium", "drive"))
    pre, post = seen_by(layer, x)
    shape = pre.shape[1:]
    torch.testing.assert_close(found["usage"].expand(shape), pre.abs().mean(0))
    torch.testing.assert_close(found["drive"].expand(shape), pre.square().mean(0))
    torch.testing.assert_close(found["eligibility"], (pre.abs() * post.abs()[:, :, None]).mean(0))
    mean = post.abs().mean(0)
    torch.testing.assert_close(found["calcium"], (mean / mean.max())[:, None])


def test_gradient_is_that_of_the_strength(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    found = collect(layer, x)["gradient"]
    matrix, gradient = view_of(layer).matrix(layer.weight), view_of(layer).matrix(gradient_of(layer, x))
    assert (matrix < 0).any() and (matrix > 0).any()
    torch.testing.assert_close(found, gradient * matrix.sign())
    # Strengthening a connection by a little changes the loss by as much, whatever its sign.
    with torch.no_grad():
        before = loss_of(layer, x)
        k = int(found.abs().argmax())
        moved = matrix.flatten().clone()
        moved[k] += 1e-6 * moved[k].sign()
        layer.weight.copy_(view_of(layer).tensor(moved.reshape(matrix.shape)))
        assert float(loss_of(layer, x) - before) / 1e-6 == pytest.approx(float(found.flatten()[k]), rel=1e-3)


def test_fisher_is_the_mean_square_of_the_gradients_of_single_samples(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    each = torch.stack([gradient_of(layer, sample[None]) for sample in x])
    found = collect(layer, x)["fisher"]
    torch.testing.assert_close(found, view_of(layer).matrix(each.square().mean(0)))
    assert not torch.allclose(found, view_of(layer).matrix(gradient_of(layer, x).square()))


def test_retrograde_is_the_mean_square_of_the_errors_of_single_samples(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    expected = torch.zeros(view_of(layer).n_post, dtype=torch.float64)
    for sample in x:
        errors: list[torch.Tensor] = []
        handle = layer.register_forward_hook(lambda m, i, y, e=errors: y.register_hook(e.append) and None)
        loss_of(layer, sample[None]).backward()
        handle.remove()
        expected += view_of(layer).by_unit(errors[0].square()).sum(0)
    torch.testing.assert_close(collect(layer, x)["retrograde"][:, 0], expected / len(x))


def test_movement_adds_up_over_steps_of_training(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    traces = traces_of(layer, ("movement",))
    expected = torch.zeros_like(layer.weight)
    taken = []
    for step in range(4):
        batch = x + 0.1 * step
        gradient = gradient_of(layer, batch)
        expected -= (layer.weight * gradient).detach()
        with watch({layer: traces}):
            loss_of(layer, batch).backward()
        layer.weight.grad = None
        with torch.no_grad():
            layer.weight -= 0.1 * gradient
        if step % 2:
            taken.append(traces.take()["movement"])
            torch.testing.assert_close(taken[-1], view_of(layer).matrix(expected))
    assert not torch.equal(*taken)


def test_one_sample_without_a_batch_is_a_batch_of_one() -> None:
    for make, shape in ((lambda: nn.Linear(4, 3), (4,)), (lambda: nn.Conv2d(2, 3, 3, padding=1), (2, 4, 4))):
        torch.manual_seed(2)
        layer: Any = make().double()
        x = torch.randn(shape, dtype=torch.float64)
        batched, alone = traces_of(layer), traces_of(layer)
        with watch({layer: batched}):
            layer(x[None]).square().sum().backward()
        with watch({layer: alone}):
            layer(x).square().sum().backward()
        for name, value in batched.take().items():
            torch.testing.assert_close(alone.take()[name], value, msg=lambda m, name=name: f"{name}: {m}")


# --- under a mask


def test_the_dead_have_the_gradient_of_a_network_where_they_are_0(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    dense = copy.deepcopy(layer)
    mask = mask_weight(layer)
    torch.manual_seed(5)
    mask.alive.copy_(torch.rand(mask.alive.shape) < 0.5)
    with torch.no_grad():
        dense.weight *= mask.alive
    view = view_of(layer)
    expected = view.matrix(gradient_of(dense, x))
    dead = ~view.matrix(mask.alive)
    assert not view.matrix(gradient_of(layer, x))[dead].any()  # autograd cannot see them
    found = collect(layer, x)
    assert found["gradient"][dead].any()
    torch.testing.assert_close(found["gradient"].abs(), expected.abs())
    with torch.no_grad():
        original(layer).mul_(mask.alive)  # as the substrate leaves the dead: their strength counts upwards from 0
    torch.testing.assert_close(collect(layer, x)["gradient"][dead], expected[dead])
    torch.testing.assert_close(found["fisher"], collect(dense, x)["fisher"])


# --- how passes come


def test_batches_count_by_their_samples(case: tuple[Any, torch.Tensor]) -> None:
    layer, x = case
    traces = traces_of(layer, ("usage", "drive", "eligibility", "retrograde", "gradient", "fisher"))
    with watch({layer: traces}):
        for batch in (x[:1], x[1:]):
            loss_of(layer, batch).backward()
    apart = traces.take()
    for name, value in collect(layer, x, traces.wanted).items():
        torch.testing.assert_close(apart[name], value, msg=lambda m, name=name: f"{name}: {m}")


def test_without_new_passes_the_last_means_stay() -> None:
    layer: Any = nn.Linear(4, 3)
    traces = traces_of(layer)
    with watch({layer: traces}):
        loss_of(layer, torch.randn(5, 4)).backward()
    first = traces.take()
    layer(torch.randn(5, 4))
    assert traces.take() is first
    with watch({layer: traces}):
        loss_of(layer, torch.randn(5, 4)).backward()
    assert not torch.equal(traces.take()["usage"], first["usage"])


def test_a_backward_pass_may_come_after_the_watch_ended() -> None:
    layer: Any = nn.Linear(4, 3)
    traces = traces_of(layer)
    x = torch.randn(5, 4)
    with watch({layer: traces}):
        loss = loss_of(layer, x)
    loss.backward()
    gradient = layer.weight.grad * layer.weight.sign()
    torch.testing.assert_close(traces.take()["gradient"], gradient.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wanted", BACKWARD)
def test_a_missing_backward_pass_is_named(wanted: str) -> None:
    layer: Any = nn.Linear(4, 3)
    for gradients in (True, False):
        traces = traces_of(layer, (wanted, "usage"))
        with watch({layer: traces}), torch.set_grad_enabled(gradients):
            layer(torch.randn(5, 4))
        with pytest.raises(SpecificationError, match=f"no error came back to layer 'here': {wanted} need a backward"):
            traces.take()


def test_a_layer_that_saw_nothing_is_named() -> None:
    with pytest.raises(SpecificationError, match="layer 'here' saw no input"):
        traces_of(nn.Linear(4, 3)).take()


def test_forward_traces_need_no_gradients() -> None:
    layer: Any = nn.Linear(4, 3)
    traces = traces_of(layer, ("usage", "drive"))
    with watch({layer: traces}), torch.no_grad():
        layer(torch.ones(5, 4))
    assert set(traces.take()) == {"usage", "drive"}


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
def test_an_activation_may_overwrite_what_the_layer_gave(activation: Any) -> None:
    torch.manual_seed(0)
    layers: Any = [nn.Linear(4, 6), nn.Conv1d(2, 3, 2)]
    for layer, x in zip(layers, (torch.randn(5, 4), torch.randn(5, 2, 6)), strict=True):
        found = []
        for inplace in (False, True):
            traces = traces_of(layer)
            model = nn.Sequential(layer, activation(inplace=inplace))
            with watch({layer: traces}):
                (model(x) * torch.arange(1.0, 7)[: model(x).shape[-1]]).square().flatten(1).sum(1).mean().backward()
            found.append(traces.take())
        for name in TRACES:
            torch.testing.assert_close(found[1][name], found[0][name], msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_loses_no_more_than_its_own_digits(dtype: Any) -> None:
    torch.manual_seed(0)
    layer: Any = nn.Linear(8, 4)
    half = copy.deepcopy(layer).to(dtype)
    exact = copy.deepcopy(half).double()
    x = torch.randn(256, 8).to(dtype)
    found = []
    for module, inputs in ((half, x), (exact, x.double())):
        traces = traces_of(module)
        with watch({module: traces}):
            (1000 * module(inputs)).float().square().sum(1).mean().backward()
        found.append(traces.take())
    for name, value in found[1].items():
        assert found[0][name].dtype is torch.float64
        size = float(value.abs().max())
        torch.testing.assert_close(found[0][name], value, rtol=0, atol=0.05 * size)
    assert found[0]["fisher"].max() > 65504  # what float16 could not hold


def test_autocast_is_seen_in_single_precision() -> None:
    torch.manual_seed(0)
    layer: Any = nn.Linear(8, 4)
    x = torch.randn(64, 8)
    traces = traces_of(layer)
    with watch({layer: traces}), torch.autocast("cpu", torch.bfloat16):
        loss_of(layer, x).backward()
    found = traces.take()
    torch.testing.assert_close(found["usage"], x.abs().double().mean(0, keepdim=True))
    torch.testing.assert_close(
        found["gradient"], (layer.weight.grad * layer.weight.sign()).double(), rtol=0.1, atol=0.05
    )


def test_hooks_change_nothing_and_are_gone() -> None:
    torch.manual_seed(0)
    layer: Any = nn.Linear(4, 3)
    x = torch.randn(5, 4)
    expected = gradient_of(layer, x)
    with watch({layer: traces_of(layer)}):
        assert torch.equal(gradient_of(layer, x), expected)
    assert not layer._forward_hooks
    with pytest.raises(KeyboardInterrupt), watch({layer: traces_of(layer)}):
        raise KeyboardInterrupt
    assert not layer._forward_hooks


def test_a_loss_of_a_classifier_by_hand() -> None:
    """Two samples of one input, w = 0: the errors are p - 1/2 = half of what each class is off."""
    layer: Any = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(layer.weight)
    traces = traces_of(layer)
    with watch({layer: traces}):
        functional.cross_entropy(layer(torch.tensor([[2.0], [4.0]])), torch.tensor([0, 1])).backward()
    found = traces.take()
    assert found["drive"].tolist() == [[10.0]] and found["usage"].tolist() == [[3.0]]
    assert found["retrograde"].tolist() == [[0.25], [0.25]]
    assert found["gradient"].tolist() == [[0.5], [-0.5]]  # (-1/2 x 2 + 1/2 x 4) / 2
    assert found["fisher"].tolist() == [[2.5], [2.5]]  # (1 + 4) / 2
