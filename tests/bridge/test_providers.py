"""Flow and Hessian products against their definitions, and the rules that live on them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from neuroprune.bridge import Budget, prune, shown
from neuroprune.bridge.layers import view_of
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.providers import HessianGradient, SynapticFlow
from neuroprune.core.clock import Clock
from neuroprune.core.errors import SpecificationError
from neuroprune.rules import Grasp, Snip, SynFlow, WeakestFirst, find_rule


def mlp(sizes: Sequence[int] = (6, 5, 4, 3), bias: bool = True, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def normalised_cnn() -> nn.Sequential:
    """Return a convolutional network with statistics of batches behind it, in training mode."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3, stride=2, groups=1),
        nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip
    for k in (1, 4):
        nn.init.normal_(model[k].weight)  # type: ignore[arg-type]
        nn.init.normal_(model[k].bias)  # type: ignore[arg-type]
    for _ in range(30):
        model(0.3 * torch.randn(16, 2, 6, 6) - 0.2)
    return model.train()


def same_state(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(v, theirs[k]) for k, v in mine.items())


def names_of(model: nn.Module) -> list[str]:
    return [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]


# --- the flow


@pytest.mark.parametrize("bias", [True, False])
def test_flow_is_what_comes_in_times_what_it_is_worth_behind(bias: bool) -> None:
    """R = 1' |W3| (|W2| (|W1| 1 + |b1|) + |b2|) + ..., differentiated by hand; the gates are all open."""
    model = mlp(bias=bias)
    weights = [model[k].weight.detach().double().abs() for k in (0, 2, 4)]  # type: ignore[union-attr, operator]
    biases = [model[k].bias.detach().double().abs() if bias else 0 for k in (0, 2, 4)]  # type: ignore[union-attr, operator]
    into = [torch.ones(6, dtype=torch.float64)]
    for w, b in zip(weights, biases, strict=True):
        into.append(w @ into[-1] + b)
    worth = [torch.ones(3, dtype=torch.float64)]
    for w in reversed(weights[1:]):
        worth.insert(0, w.T @ worth[0])
    found = SynapticFlow((torch.randn(7, 6),))(model, ["0", "2", "4"])
    for given, x, v in zip(found, into, worth, strict=False):
        torch.testing.assert_close(given["flow"], torch.outer(v, x))


def magnitudes(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.double().abs() if v.is_floating_point() else v for k, v in model.state_dict().items()}


def test_flow_through_normalisation_is_that_of_evaluation() -> None:
    """Change one magnitude at a time: the sum of the outputs, in evaluation mode, changes by the flow."""
    model = normalised_cnn()
    linear = copy.deepcopy(model).eval().double()
    state = magnitudes(model)
    x = torch.ones(1, 2, 6, 6, dtype=torch.float64)

    def outputs(changed: dict[str, torch.Tensor]) -> float:
        with torch.no_grad():
            return float(functional_call(linear, {**state, **changed}, (x,)).sum())

    names, step = names_of(model), 1e-6
    found = SynapticFlow((torch.randn(4, 2, 6, 6),))(model, names)
    for name, given in zip(names, found, strict=True):
        key = f"{name}.weight"
        flow = given["flow"]
        assert flow.shape == state[key].shape and flow.dtype is torch.float64
        size = float(flow.abs().max())
        assert size > 0
        for k in torch.randperm(flow.numel())[:12].tolist():
            more, less = state[key].clone(), state[key].clone()
            more.view(-1)[k] += step
            less.view(-1)[k] -= step
            slope = (outputs({key: more}) - outputs({key: less})) / (2 * step)
            assert float(flow.flatten()[k]) == pytest.approx(slope, rel=1e-5, abs=1e-6 * size)


def test_flow_in_training_mode_would_be_another() -> None:
    """Normalisation by the one sample that is shown takes the flow away: why the paper asks for evaluation mode."""
    model = normalised_cnn()
    trained = copy.deepcopy(model).double()
    trained.load_state_dict(magnitudes(model))
    trained(torch.ones(1, 2, 6, 6, dtype=torch.float64)).sum().backward()
    flow = SynapticFlow((torch.ones(1, 2, 6, 6),))(model, ["0"])[0]["flow"]
    assert not torch.allclose(trained[0].weight.grad, flow, rtol=0.1)  # type: ignore[union-attr, arg-type]


def test_the_flow_of_the_dead_is_what_they_would_add() -> None:
    model = mlp(bias=False)
    dense = copy.deepcopy(model)
    mask = mask_weight(model[2])
    mask.alive[:, 1:3] = False
    with torch.no_grad():
        dense[2].weight[:, 1:3] = 0  # type: ignore[index, operator]
    provider = SynapticFlow((torch.ones(1, 6),))
    for one, other in zip(provider(model, ["0", "2", "4"]), provider(dense, ["0", "2", "4"]), strict=True):
        torch.testing.assert_close(one["flow"], other["flow"])
    assert provider(model, ["2"])[0]["flow"][:, 1].all() and not provider(model, ["0"])[0]["flow"][1:3].any()


@pytest.mark.parametrize("seed", range(3))
def test_synaptic_saliency_is_conserved_from_layer_to_layer(seed: int) -> None:
    """Each layer without biases carries all of R (Tanaka et al. 2020, theorem 2)."""
    model = mlp((6, 9, 4, 8, 3), bias=False, seed=seed)
    found = SynapticFlow((torch.ones(1, 6),))(model, names_of(model))
    sums = [
        float((given["flow"] * model.get_submodule(name).weight.detach().double().abs()).sum())  # type: ignore[union-attr, operator]
        for name, given in zip(names_of(model), found, strict=True)
    ]
    linear = copy.deepcopy(model).double()
    linear.load_state_dict(magnitudes(model))
    total = float(linear(torch.ones(1, 6, dtype=torch.float64)).sum().detach())
    assert sums == pytest.approx([total] * 4)
    # and so does each hidden unit: what comes in goes out
    for one, other, name, behind in zip(found, found[1:], names_of(model), names_of(model)[1:], strict=False):
        saliency = [
            g["flow"] * model.get_submodule(n).weight.detach().double().abs()  # type: ignore[union-attr, operator]
            for g, n in ((one, name), (other, behind))
        ]
        torch.testing.assert_close(saliency[0].sum(1), saliency[1].sum(0))


@pytest.mark.parametrize("training", [True, False])
def test_providers_leave_the_module_as_it_was(training: bool) -> None:
    model = normalised_cnn()
    mask_weight(model[3]).alive[0] = False
    model.train(training)
    before = copy.deepcopy(model)
    batches = [(torch.randn(8, 2, 6, 6), torch.arange(8) % 5)]
    for provider in (SynapticFlow((batches[0][0],)), HessianGradient(batches)):
        provider(model, ["0", "3", "7"])
        assert same_state(model, before)
        assert all(m.training is training for m in model.modules())
        assert all(p.grad is None and p.requires_grad and p.dtype is torch.float32 for p in model.parameters())
        assert not any(m._forward_hooks for m in model.modules())


def test_inputs_that_are_not_numbers_go_in_as_they_are() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2, bias=False)

        def forward(self, x: torch.Tensor, index: torch.Tensor, factor: float) -> torch.Tensor:
            return factor * self.layer(x)[:, index]

    model = Scaled()
    found = SynapticFlow((torch.randn(5, 4), torch.tensor([1]), 3.0))(model, ["layer"])
    assert found[0]["flow"].tolist() == [[0.0] * 4, [3.0] * 4]


# --- rounds


def flow_left(model: nn.Module) -> float:
    linear = copy.deepcopy(model).double()
    for tensor in linear.parameters():
        tensor.data = tensor.data.abs()
    with torch.no_grad():
        return float(linear(torch.ones(1, 20, dtype=torch.float64)).sum())


def pruned_by_flow(rounds: int, sparsity: float) -> tuple[nn.Module, Any, Any]:
    model = mlp((20, 40, 40, 40, 10), bias=False, seed=1)
    budget = Budget(sparsity=sparsity, course="decreasing", steepness=-math.log(1 - sparsity))
    provider = SynapticFlow((torch.ones(1, 20),))
    substrate, record = prune(
        model, [SynFlow()], budget=budget, clock=Clock(0.0, float(rounds), 1.0), providers=[provider]
    )
    return model, substrate, record


def test_100_rounds_follow_a_geometric_course_and_collapse_no_layer() -> None:
    n, sparsity = 20 * 40 + 40 * 40 * 2 + 40 * 10, 0.99
    model, substrate, record = pruned_by_flow(100, sparsity)
    living = record.development["living"].values
    expected = [n * (1 - sparsity) ** ((k + 1) / 100) for k in range(100)]
    assert living.tolist() == pytest.approx(expected, abs=1)
    assert living[-1] == n - round(sparsity * n) == sum(t.n_alive() for t in substrate.tables())
    assert all(t.n_alive() > 0 for t in substrate.tables())
    assert flow_left(model) > 0
    # every connection that is left lies on a way from inputs to outputs
    tables = substrate.tables()
    for before, behind in pairwise(tables):
        assert torch.equal(before.alive.any(1), behind.alive.any(0))


def test_at_once_the_same_saliency_leaves_connections_that_lead_nowhere() -> None:
    """What the rounds are for."""
    _, substrate, _ = pruned_by_flow(1, 0.99)
    tables = substrate.tables()
    assert any(not torch.equal(a.alive.any(1), b.alive.any(0)) for a, b in pairwise(tables))


# --- the Hessian


def smooth() -> nn.Sequential:
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("layers", [["0", "2"], ["2"]])
def test_hessian_times_gradient_is_that_of_the_whole_matrix(layers: list[str], temperature: float) -> None:
    model = smooth()
    batches = [(torch.randn(5, 3, dtype=torch.float64), torch.arange(5) % 3) for _ in range(3)]
    weights = [model.get_submodule(name).weight.detach() for name in layers]  # type: ignore[union-attr, operator]
    sizes = [w.numel() for w in weights]

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = [p.reshape(w.shape) for p, w in zip(flat.split(sizes), weights, strict=True)]
        given = {f"{name}.weight": p for name, p in zip(layers, parts, strict=True)}
        losses = [functional.cross_entropy(functional_call(model, given, (x,)) / temperature, y) for x, y in batches]
        return torch.stack(losses).mean()

    at = torch.cat([w.flatten() for w in weights])
    hessian: Any = torch.autograd.functional.hessian(loss, at)
    (gradient,) = torch.autograd.grad(loss(at.requires_grad_()), at)
    expected = (hessian @ gradient).split(sizes)
    found = HessianGradient(batches, temperature=temperature)(model, layers)
    for given, product, w in zip(found, expected, weights, strict=True):
        torch.testing.assert_close(given["hessian_gradient"], product.reshape(w.shape) * w.sign())


def test_grasp_in_a_network_is_its_paper() -> None:
    """Remove what raises the norm of the gradient most, by the difference that the paper approximates."""
    model = smooth()
    batch = (torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 3)
    product = HessianGradient([batch], temperature=1.0)(model, ["0", "2"])
    weights = [model[k].weight.detach().abs() for k in (0, 2)]  # type: ignore[union-attr, operator]
    expected = torch.cat([(g["hessian_gradient"] * w).flatten() for g, w in zip(product, weights, strict=True)])

    def norm(scale: float, k: int) -> float:
        changed = copy.deepcopy(model)
        weights = [changed[0].weight, changed[2].weight]
        with torch.no_grad():
            layer, index = (0, k) if k < 12 else (1, k - 12)
            weights[layer].view(-1)[index] *= scale  # type: ignore[union-attr, operator]
        grads = torch.autograd.grad(functional.cross_entropy(changed(batch[0]), batch[1]), weights)  # type: ignore[arg-type]
        return sum(float(g.square().sum()) for g in grads)

    for k in range(0, 24, 5):  # d/ds of |g|^2 at w (1 - s) is -2 w (H g)
        slope = (norm(1 - 1e-5, k) - norm(1 + 1e-5, k)) / 2e-5
        assert slope == pytest.approx(-2 * float(expected[k]), rel=1e-4, abs=1e-9)
    substrate, _ = prune(
        model, [Grasp()], budget=Budget(sparsity=0.5), providers=[HessianGradient([batch], temperature=1.0)]
    )
    left = torch.cat([t.alive.flatten() for t in substrate.tables()])
    assert expected[left].min() > expected[~left].max()


def test_the_hessian_does_not_see_the_dead() -> None:
    model = smooth()
    batch = (torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 3)
    mask_weight(model[0]).alive[1] = False
    found = HessianGradient([batch])(model, ["0", "2"])
    assert not found[0]["hessian_gradient"][1].any() and found[0]["hessian_gradient"][0].all()


def test_without_batches_there_is_no_gradient() -> None:
    with pytest.raises(SpecificationError, match="no batches"):
        HessianGradient([])


# --- symmetry: the same function, and so the same masks


def rescaled(model: nn.Sequential, a: float) -> nn.Sequential:
    """Return the network with a layer scaled by a and the next one by 1/a, which gives the same outputs."""
    other = copy.deepcopy(model)
    first, second = (m for m in list(other)[:3] if hasattr(m, "weight"))
    with torch.no_grad():
        first.weight *= a  # type: ignore[operator]
        second.weight /= a  # type: ignore[operator]
    return other


def conv_net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.ReLU(), nn.Conv2d(6, 4, 2, bias=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(36, 5, bias=False),
    )  # fmt: skip


NETWORKS = {"mlp": (lambda: mlp((12, 16, 10, 5), bias=False), (12,)), "cnn": (conv_net, (1, 6, 6))}


def masks(model: nn.Module, rule: Any, shape: tuple[int, ...], sparsity: float) -> list[torch.Tensor]:
    torch.manual_seed(7)
    batches = [(torch.randn(20, *shape, dtype=torch.float64), torch.arange(20) % 5) for _ in range(2)]
    substrate, _ = prune(
        model,
        [rule],
        shown(model, batches),
        budget=Budget(sparsity=sparsity),
        providers=[SynapticFlow((batches[0][0],))],
    )
    return [t.alive for t in substrate.tables()]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
@pytest.mark.parametrize("rule", ["trophic", "fisher", "synflow", "snip", "lamp", "weakest_first"])
def test_rescaling_layers_changes_the_masks_of_magnitude_alone(rule: str, sparsity: float, network: str) -> None:
    make, shape = NETWORKS[network]
    model = make().double()
    other = rescaled(model, 3.7)
    x = torch.randn(5, *shape, dtype=torch.float64)
    torch.testing.assert_close(other(x), model(x))
    one, two = (masks(m, find_rule(rule)(), shape, sparsity) for m in (model, other))  # type: ignore[call-arg]
    same = all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert same == (rule != "weakest_first")


def test_units_of_a_view_are_those_of_the_flow() -> None:
    """A transposed convolution, whose weight is not in the order of its table."""
    torch.manual_seed(0)
    layer, last = nn.ConvTranspose2d(2, 3, 2, bias=False), nn.Linear(27, 1, bias=False)
    model = nn.Sequential(layer, nn.Flatten(), last)
    nn.init.ones_(last.weight)
    strengths = layer.weight.detach().abs()
    provider = SynapticFlow((torch.ones(1, 2, 2, 2),))
    flow = provider(model, ["0"])[0]["flow"]
    assert flow.shape == strengths.shape and (flow == 4).all()  # each of 4 places is seen once
    substrate, _ = prune(model, [SynFlow()], budget=Budget(sparsity=0.5), layers=["0"], providers=[provider])
    (table,) = substrate.tables()
    dead = view_of(layer).tensor(~table.alive)
    assert table.n_alive() == 12 and strengths[~dead].min() > strengths[dead].max()


def test_magnitude_needs_no_activity() -> None:
    model = mlp()
    prune(model, [WeakestFirst()], lambda now: pytest.fail("it was run"), budget=Budget(sparsity=0.5))
    with pytest.raises(SpecificationError, match="rules need gradient: give an activity"):
        prune(mlp(), [Snip()], budget=Budget(sparsity=0.5))
    with pytest.raises(SpecificationError, match=r"'synflow' \(synflow\) cannot run .* it needs flow"):
        prune(mlp(), [SynFlow()], budget=Budget(sparsity=0.5))
