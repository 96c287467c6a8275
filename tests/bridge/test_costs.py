"""Costs of layers, counted by hand."""

import pytest
import torch
from torch import nn

from neuroprune.bridge.costs import density, layer_costs, network_cost
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.zoo import make_model
from neuroprune.core.errors import SpecificationError


@pytest.mark.parametrize(
    ("layer", "shape", "macs", "parameters"),
    [
        (nn.Linear(5, 3), (2, 5), 2 * 3 * 5, 18),
        # 4 x 4 places, 6 filters of 3 x 3 x 2.
        (nn.Conv2d(2, 6, 3), (1, 2, 6, 6), 4 * 4 * 6 * 9 * 2, 6 * 18 + 6),
        # Each of the 6 filters sees the 2 channels of its group.
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), (1, 4, 6, 6), 4 * 4 * 6 * 9 * 2, 6 * 9 * 2),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), (3, 4, 5, 5), 3 * 25 * 4 * 9, 40),
        # Dilated by 2 a kernel of 3 spans 5: 2 x 2 places are left of 6 x 6.
        (nn.Conv2d(2, 3, 3, dilation=2), (1, 2, 6, 6), 2 * 2 * 3 * 9 * 2, 57),
        (nn.Conv2d(2, 3, 2, stride=2), (1, 2, 6, 6), 9 * 3 * 4 * 2, 27),
        (nn.Conv1d(2, 3, 4), (1, 2, 10), 7 * 3 * 4 * 2, 27),
        # Every one of the 3 x 3 input places puts a kernel of 2 x 2 x 5 for each of its 4 channels.
        (nn.ConvTranspose2d(4, 5, 2, stride=2), (1, 4, 3, 3), 9 * 4 * 5 * 4, 85),
    ],
)
def test_operations_are_those_counted_by_hand(
    layer: nn.Module, shape: tuple[int, ...], macs: int, parameters: int
) -> None:
    (cost,) = layer_costs(nn.Sequential(layer), (torch.zeros(shape),)).values()
    assert (cost.macs, cost.parameters) == (macs, parameters)
    assert cost.inputs == (shape,)
    assert cost.kind == type(layer).__name__


@pytest.mark.parametrize("training", [True, False])
def test_attention_is_one_layer_with_its_two_products(training: bool) -> None:
    width, tokens, batch = 8, 5, 2
    attention = nn.MultiheadAttention(width, 2, batch_first=True).train(training)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=False)[0]

    model = Model()
    (cost,) = layer_costs(model, (torch.randn(batch, tokens, width),)).values()
    projections = 4 * batch * tokens * width * width
    products = 2 * batch * tokens * tokens * width
    assert cost.macs == projections + products
    assert cost.name == "attention"
    assert attention.training == training


def test_work_outside_layers_is_in_the_total_alone() -> None:
    model = make_model("vit-tiny", (1, 8, 8), 10)
    x = torch.randn(1, 1, 8, 8)
    layers, total = layer_costs(model, (x,)), network_cost(model, (x,))
    tokens, width, depth = 16, 64, 4
    assert total.macs - sum(c.macs for c in layers.values()) == depth * 2 * tokens * tokens * width
    # The embedding of places belongs to no layer.
    assert total.parameters - sum(c.parameters for c in layers.values()) == tokens * width


def test_a_mask_lowers_the_density_and_not_the_operations() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    x = torch.randn(1, 4)
    before = layer_costs(model, (x,))["0"]
    mask_weight(model[0]).alive[:, 1:] = False  # type: ignore[arg-type]
    after = layer_costs(model, (x,))["0"]
    assert (before.density, after.density) == (1.0, 0.25)
    assert (before.macs, before.parameters, before.kind) == (after.macs, after.parameters, after.kind)
    assert density(model) == 0.25
    assert network_cost(model, (x,)).nonzero == 3 + 3


def test_shared_parameters_count_once_and_repeated_work_twice() -> None:
    shared = nn.Linear(3, 3)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = shared
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = shared.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(self.a(x)))

    costs = layer_costs(Twice(), (torch.zeros(1, 3),))
    assert (costs["a"].macs, costs["b"].macs) == (18, 9)
    assert (costs["a"].parameters, costs["b"].parameters) == (12, 0)
    assert network_cost(Twice(), (torch.zeros(1, 3),)).parameters == 12


def test_inputs_that_do_not_fit_are_refused_and_nothing_is_left_behind() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    with pytest.raises(SpecificationError, match=r"Sequential cannot be called with a tensor \(1, 5\)"):
        layer_costs(model, (torch.zeros(1, 5),))
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks
    assert torch.backends.mha.get_fastpath_enabled()
