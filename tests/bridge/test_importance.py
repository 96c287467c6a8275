"""Scores of units, against sums written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.images import Split
from neuroprune.bridge.importance import gate_fisher, in_batches, magnitude, random_scores, usage
from neuroprune.bridge.slim import trace
from neuroprune.core.errors import SpecificationError


class Residual(nn.Module):
    """Filters that two layers read, one of them through a flattening."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Conv2d(1, 3, 2), nn.Conv2d(3, 3, 1), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor, gate: torch.Tensor | None = None) -> torch.Tensor:
        a = torch.relu(self.a(x))
        if gate is None:
            return self.out((self.b(a) + a).flatten(1))
        gate = gate[..., None, None]
        return self.out(((self.b(a * gate) + a) * gate).flatten(1))


@pytest.fixture
def model() -> Residual:
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture
def data() -> Split:
    torch.manual_seed(1)
    return Split(torch.randn(7, 1, 3, 3), torch.randint(0, 4, (7,)))


def test_magnitude_is_the_root_mean_square_of_what_makes_a_unit(model: Residual) -> None:
    scores = magnitude(trace(model, (torch.zeros(2, 1, 3, 3),)))
    assert list(scores) == ["a"]
    for unit in range(3):
        weights = torch.cat([model.a.weight[unit].flatten(), model.b.weight[unit].flatten()]).detach()
        assert float(scores["a"][unit]) == pytest.approx(float(weights.square().mean().sqrt()))


def test_gate_fisher_is_the_mean_square_of_gradients_of_gates(model: Residual, data: Split) -> None:
    scores = gate_fisher(trace(model, (data.x[:2],)), in_batches(data, 3))
    gate = torch.ones(7, 3, requires_grad=True)
    loss = functional.cross_entropy(model(data.x, gate), data.y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, gate)
    torch.testing.assert_close(scores["a"], gradient.square().mean(0))
    assert all(p.grad is None for p in model.parameters())


def test_gate_fisher_needs_no_parameter_that_is_trained(model: Residual, data: Split) -> None:
    structure = trace(model.requires_grad_(False), (data.x[:2],))
    frozen = gate_fisher(structure, in_batches(data))
    structure.model.requires_grad_(True)
    trained = gate_fisher(structure, in_batches(data))
    # What is frozen is read as it is: the way of a through b stays, that of a through the sum alone does too.
    torch.testing.assert_close(frozen["a"], trained["a"])


def test_usage_is_activity_times_outgoing_weight(model: Residual, data: Split) -> None:
    scores = usage(trace(model, (data.x[:2],)), in_batches(data, 3))
    with torch.no_grad():
        a = torch.relu(model.a(data.x))
        total = model.b(a) + a
    for unit in range(3):
        expected = float(a[:, unit].abs().mean() * model.b.weight.detach()[:, unit].norm())
        for place in range(4 * unit, 4 * unit + 4):
            expected += float(total.flatten(1)[:, place].abs().mean() * model.out.weight.detach()[:, place].norm())
        assert float(scores["a"][unit]) == pytest.approx(expected, rel=1e-5)


def test_wide_groups_of_a_convolution_share_their_units(data: Split) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 2), nn.ReLU(), nn.Conv2d(6, 4, 1, groups=2), nn.Flatten(), nn.Linear(16, 4))
    structure = trace(model.eval(), (data.x[:2],))
    # Filters k and k + 3 go together: the second convolution has two groups of three channels.
    a = model[:2](data.x)
    with torch.enable_grad():
        gate = torch.ones(7, 3, requires_grad=True)
        loss = functional.cross_entropy(model[2:](a * gate.repeat(1, 2)[..., None, None]), data.y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, gate)
    torch.testing.assert_close(gate_fisher(structure, in_batches(data))["0"], gradient.square().mean(0))
    listening = model[2].weight.detach()[:, 1].norm()  # type: ignore[index, operator]
    both = sum(float(a[:, 3 * g + 1].detach().abs().mean() * listening) for g in (0, 1))
    assert float(usage(structure, in_batches(data))["0"][1]) == pytest.approx(both, rel=1e-5)


def test_random_scores_follow_their_seed(model: Residual) -> None:
    structure = trace(model, (torch.zeros(2, 1, 3, 3),))
    draws = [random_scores(structure, seed=s)["a"] for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_what_cannot_be_scored_is_refused(model: Residual) -> None:
    structure = trace(model, (torch.zeros(2, 1, 3, 3),))
    with pytest.raises(SpecificationError, match="no data"):
        gate_fisher(structure, [])
    with pytest.raises(SpecificationError, match="no data"):
        usage(structure, [])

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.w = nn.Linear(3, 4), nn.Parameter(torch.randn(4, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) @ self.w

    with pytest.raises(SpecificationError, match="magnitude"):
        usage(trace(Product(), (torch.zeros(2, 3),)), [])


def test_units_that_a_functional_call_reads_are_not_scored_0() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x):
            h = self.a(x).relu()
            return self.c(nn.functional.linear(h, self.b.weight, self.b.bias).relu())

    x = torch.randn(8, 4)
    structure = trace(Mixed(), (x,))
    data = [(x, torch.randint(3, (8,)))]
    for score in (gate_fisher, usage):
        with pytest.raises(SpecificationError, match="layer 'b' reads units, but its weight is used without calling"):
            score(structure, data)


def test_samples_that_are_not_along_the_first_axis_are_named() -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.b(self.a(x).relu().transpose(0, 1)).mean(0)

    x = torch.randn(8, 5, 4)
    with pytest.raises(SpecificationError, match="layer 'b' gets 5 rows where there are 8 samples"):
        gate_fisher(trace(Turned(), (x,)), [(x, torch.randint(3, (8,)))])
