"""Blocks of Linear layers: edges, values by hand, masks, budgets kept, greedy against optimal, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuroprune.core.errors import SpecificationError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from neuroprune.bridge.blocks import divide, local_fisher, prune_blocks  # noqa: E402
from neuroprune.bridge.images import Split  # noqa: E402


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))


def images(n: int = 12) -> Split:
    generator = torch.Generator().manual_seed(1)
    return Split(torch.randn(n, 1, 1, 7, generator=generator), torch.arange(n) % 3)


def test_edge_blocks_are_smaller_and_all_weights_are_in_one():
    model = network()
    blocks = divide(model, block=(2, 4))
    assert blocks.layers == ("1", "3") and blocks.shapes == ((5, 7), (3, 5))
    assert blocks.items.costs.tolist() == [8, 6, 8, 6, 4, 3, 8, 2, 4, 1]
    assert blocks.items.names[:3] == ("1[0:2, 0:4]", "1[0:2, 4:7]", "1[2:4, 0:4]")
    weight = model[1].weight.detach().double().numpy()
    assert blocks.items.values[1] == pytest.approx((weight[0:2, 4:7] ** 2).sum(), rel=1e-12)
    assert blocks.items.values.sum() == pytest.approx(
        sum(float((m.weight.detach().double() ** 2).sum()) for m in model[1::2])
    )
    masks = blocks.masks(np.arange(10) == 3)
    assert masks["1"].sum() == 6 and masks["1"][2:4, 4:7].all() and not masks["3"].any()


def test_a_block_larger_than_a_layer_is_the_layer():
    assert divide(network(), block=(100, 100)).items.costs.tolist() == [35, 15]


@pytest.mark.parametrize("select", ["optimal", "greedy"])
def test_the_network_has_what_was_selected(select):
    model = network()
    before = {k: m.weight.detach().clone() for k, m in (("1", model[1]), ("3", model[3]))}
    found = prune_blocks(model, budget=20, block=(2, 4), select=select)
    masks = found.blocks.masks(found.applied.keep)
    assert found.applied is getattr(found.compared, select)
    for name, layer in (("1", model[1]), ("3", model[3])):
        mask = torch.from_numpy(masks[name])
        assert torch.equal(layer.weight, torch.where(mask, before[name], torch.zeros(())))
    assert sum(int((m.weight != 0).sum()) for m in model[1::2]) == found.applied.cost <= 20
    assert found.compared.greedy.value <= found.compared.optimal.value <= found.compared.greedy.bound


def test_a_share_is_never_exceeded():
    for share in (0.0, 0.3, 0.999, 1.0):
        found = prune_blocks(network(), share=share, block=(2, 2))
        assert found.budget == int(share * 50) >= found.applied.cost
    half: Any = np.float32(0.5)
    seven: Any = np.int64(7)
    for all_of_them in (1, 1.0):
        assert prune_blocks(network(), share=all_of_them).applied.cost == 50
    assert prune_blocks(network(), share=half, block=(1, 1)).applied.cost == 25
    assert prune_blocks(network(), budget=1, block=(1, 1)).applied.cost == 1  # one weight, not all of them
    assert prune_blocks(network(), budget=seven, block=(1, 1)).applied.cost == 7
    assert prune_blocks(network(), budget=0).applied.cost == 0


def test_a_greedy_selection_that_is_not_optimal():
    values = {"1": torch.zeros(5, 7), "3": torch.zeros(3, 5)}
    values["1"][0, 0], values["1"][0, 4], values["1"][2, 4] = 10.0, 6.6, 6.6  # blocks of 8, 6 and 6 weights
    found = prune_blocks(network(), budget=12, block=(2, 4), values=lambda name, _: values[name])
    assert found.compared.greedy.value == 10.0 and found.compared.optimal.value == pytest.approx(13.2)
    assert found.compared.loss == pytest.approx(1 - 10 / 13.2) and found.applied.proven


@pytest.mark.parametrize("inplace", [False, True])
def test_local_fisher_by_hand(inplace):
    model, data = network(), images()
    model[2] = nn.ReLU(inplace)
    layer = model[3]
    with torch.no_grad():
        hidden = torch.relu(model[1](data.x.flatten(1))).double()
    logits = hidden @ layer.weight.detach().double().T + layer.bias.detach().double()
    error = torch.softmax(logits, 1) - nn.functional.one_hot(data.y, 3)
    expected = layer.weight.detach().double() ** 2 * (hidden**2).mean(0) * (error**2).mean(0)[:, None]
    found = local_fisher(model, {"3": layer}, data)["3"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9)
    weight = model[1].weight.detach().double()
    error = (error @ layer.weight.detach().double()) * (hidden > 0)
    expected = weight**2 * (data.x.flatten(1).double() ** 2).mean(0) * (error**2).mean(0)[:, None]
    torch.testing.assert_close(local_fisher(model, {"1": model[1]}, data)["1"], expected, rtol=1e-4, atol=1e-9)
    assert divide(model, data, values="fisher").items.values[1] == pytest.approx(float(found.sum()))
    assert model.training


def test_fisher_does_not_depend_on_batches(monkeypatch):
    model, data = network(), images(13)
    whole = divide(model, data, values="fisher", block=(2, 2)).items.values
    monkeypatch.setattr("neuroprune.bridge.blocks.BATCH", 4)
    np.testing.assert_allclose(divide(model, data, values="fisher", block=(2, 2)).items.values, whole, rtol=1e-5)


def test_layers_can_be_named():
    model = nn.Sequential(nn.Flatten(), nn.Embedding(7, 3), nn.Linear(7, 3))
    assert divide(model, layers=["2"], block=(3, 7)).items.costs.tolist() == [21]
    with pytest.raises(SpecificationError, match="Embedding"):
        divide(model)


def test_filters_are_rows():
    torch.manual_seed(2)
    model: Any = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 16, 3))
    data = Split(torch.randn(5, 2, 4, 4), torch.arange(5) % 3)
    blocks = divide(model, data, values="fisher", layers=["0"], block=(1, 9))
    assert blocks.shapes == ((3, 18),) and blocks.items.costs.tolist() == [9] * 6
    hidden = model[0](data.x).requires_grad_()
    loss = nn.functional.cross_entropy(model[3](model[2](model[1](hidden))), data.y, reduction="sum")
    (error,) = torch.autograd.grad(loss, hidden)
    patches = nn.functional.unfold(data.x, 3, padding=1).square().mean((0, 2))
    expected = model[0].weight.flatten(1).square() * patches * error.square().mean((0, 2, 3))[:, None]
    np.testing.assert_allclose(blocks.items.values, expected.detach().reshape(6, 9).sum(1).numpy(), rtol=1e-4)
    prune_blocks(model, budget=9, layers=["0"], block=(1, 9))
    assert int((model[0].weight.flatten(2) != 0).all(2).sum()) == 1 == int((model[0].weight != 0).sum() // 9)


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "either how many weights to keep .* not both or neither"),
        ({"budget": 5, "share": 0.5}, "not both or neither"),
        ({"budget": 1.5}, "budget is 1.5"),
        ({"budget": 1.0}, "budget is 1.0"),
        ({"budget": True}, "budget is True"),
        ({"budget": -1}, "budget is -1"),
        ({"budget": float("nan")}, "budget is nan"),
        ({"share": 1.5}, "share is 1.5"),
        ({"share": -0.1}, "share is -0.1"),
        ({"share": float("nan")}, "share is nan"),
        ({"budget": 1}, "1 weights may be kept, and the smallest block has 15"),
        ({"share": 0.1}, "5 weights may be kept, and the smallest block has 15"),
        ({"budget": 5, "block": (0, 4)}, r"block is \(0, 4\)"),
        ({"budget": 5, "block": "ab"}, "block is 'ab'"),
        ({"budget": 5, "block": (2, 2.5)}, r"block is \(2, 2.5\)"),
        ({"budget": 5, "block": (2,)}, r"block is \(2,\)"),
        ({"budget": 5, "block": 4}, "block is 4"),
        ({"budget": 5, "values": "beauty"}, "no values 'beauty'"),
        ({"budget": 5, "values": "fisher"}, "give data"),
        ({"budget": 5, "select": "both"}, "select is 'both'"),
        ({"budget": 5, "values": lambda name, layer: -layer.weight.abs()}, "must be 0 or more"),
        ({"budget": 5, "values": lambda name, layer: layer.weight * torch.nan}, "nan, and must be finite"),
        ({"budget": 5, "values": lambda name, layer: torch.ones(2)}, r"have shape \(2,\), its weight \(5, 7\)"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    model = network()
    with pytest.raises(SpecificationError, match=message):
        prune_blocks(model, **options)
    assert type(model[1]) is nn.Linear  # nothing was masked


def test_an_idle_layer_has_no_fisher_information():
    model = network()
    model.extra = nn.Linear(2, 2)
    model.forward = lambda x: model[3](model[2](model[1](model[0](x))))
    with pytest.raises(SpecificationError, match="layer 'extra' has no part"):
        divide(model, images(), values="fisher", layers=["1", "extra"])
