"""Critical neurons: hand-made networks with known cuts, chains and what is none, silence, ablation, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuroprune.core.errors import GraphError, SpecificationError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from neuroprune.bridge.chain import Chain, silenced  # noqa: E402
from neuroprune.bridge.critical import ablate, critical_neurons, try_critical, weakest_cut  # noqa: E402
from neuroprune.bridge.images import Split  # noqa: E402
from neuroprune.bridge.zoo import make_model  # noqa: E402


def lanes() -> tuple[Any, Split]:
    """Return a network of two classes, each with its own pixels and hidden units, and its images.

    Class 0 lights pixels 0 and 1, which reach output 0 by way of units 0 and 1 and then unit 0; class 1 lights pixel
    2, which reaches output 1 by way of unit 2 and then units 1 and 2.
    """
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    weights = ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, 1, 0], [0, 0, 1], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]])
    with torch.no_grad():
        for layer, weight in zip(model[1::2], weights, strict=True):
            layer.weight.copy_(torch.tensor(weight, dtype=torch.float32))
            layer.bias.zero_()
    x = torch.tensor([[1.0, 1, 0], [2, 1, 0], [0, 0, 1], [0, 0, 3]]).reshape(4, 1, 1, 3)
    return model, Split(x, torch.tensor([0, 0, 1, 1]))


def units(found: Any) -> dict[str, list[int]]:
    return {name: which.tolist() for name, which in found.items()}


def test_the_cut_is_where_the_lane_is_narrow():
    model, data = lanes()
    first, second = critical_neurons(model, data, 0, 1.0), critical_neurons(model, data, 1, 1.0)
    assert units(first.units) == {"3": [0]} and units(second.units) == {"1": [2]}
    for found in (first, second):
        assert found.cut.cost == found.cut.flow == found.n_units == 1 and found.cut.proven
        assert (found.n_hidden, found.relevance) == (6, 1.0)
    # Two pixels, two units, one unit, the margin.
    assert first.n_connections == 2 + 2 + 1 and second.n_connections == 1 + 2 + 2
    assert model.training


def test_costs_move_the_cut():
    model, data = lanes()
    assert units(critical_neurons(model, data, 0, 1.0, costs={"3": [5, 1, 1]}).units) == {"1": [0, 1]}
    kept = critical_neurons(model, data, 1, 1.0, costs={"1": [1, 1, np.inf]})
    assert units(kept.units) == {"3": [1, 2]} and kept.cut.cost == 2
    with pytest.raises(GraphError, match="must stay"):
        critical_neurons(model, data, 1, 1.0, costs={"1": [1, 1, np.inf], "3": [np.inf] * 3})


def test_less_relevance_keeps_fewer_connections():
    model, data = lanes()
    with torch.no_grad():
        model[5].weight[1, 2] = 0.5  # unit 2 of the second layer now carries a third of class 1
    found = critical_neurons(model, data, 1, 0.6, costs={"1": [1, 1, np.inf]})
    assert units(found.units) == {"3": [1]} and found.n_connections == 3
    found = critical_neurons(model, data, 1, 0.7, costs={"1": [1, 1, np.inf]})
    assert units(found.units) == {"3": [1, 2]}


def test_silence_takes_the_class_and_spares_the_other():
    model, data = lanes()
    with torch.no_grad():
        model[5].bias.copy_(torch.tensor([0.1, 0.0]))  # who is silent loses, whichever class it is
    found = critical_neurons(model, data, 1, 1.0)
    before, after = ablate(model, data, {}, 1), ablate(model, data, found.units, 1)
    assert (before.target, before.others, after.target, after.others) == (1, 1, 0, 1)
    trial = try_critical(model, data, data, 1, 1.0, draws=4, seed=1)
    assert trial.cut == after and trial.lost(trial.cut) == (1, 0) and len(trial.random) == 4
    assert trial.random == try_critical(model, data, data, 1, 1.0, draws=4, seed=1).random
    assert trial.lost_at_random[0] == np.mean([1 - a.target for a in trial.random])


def test_support_is_the_gradient_of_the_margin():
    torch.manual_seed(3)
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    data = Split(torch.randn(40, 1, 2, 2), torch.randint(3, (40,)))
    found = critical_neurons(model, data, 2, 0.4)
    x = data.x[data.y == 2]
    hidden = model[2](model[1](model[0](x))).detach()
    out = model[3](hidden)
    rival = out[:, :2].argmax(1)
    weight = model[3].weight.detach()
    support = (hidden * (weight[2] - weight[rival])).mean(0)
    order = support.argsort(descending=True).tolist()
    total = sum(s for s in support.tolist() if s > 0)
    n = next(k for k in range(1, 7) if sum(support[order[:k]].tolist()) >= 0.4 * total)
    assert units(found.units) == {"1": sorted(order[:n])} == units(found.ranked)


def test_a_dense_network_is_cut_at_its_narrowest_layer():
    model: Any = make_model("lenet300", (1, 4, 4), 10)
    layers, cut = weakest_cut(model, torch.zeros(2, 1, 4, 4))
    assert units(layers) == {"3": list(range(100))} and cut.cost == cut.flow == 100
    with torch.no_grad():  # pruned by magnitude: still all units of a layer that are alive
        for layer in (model[1], model[3], model[5]):
            layer.weight[layer.weight.abs() < layer.weight.abs().flatten().quantile(0.9)] = 0
    layers, cut = weakest_cut(model, torch.zeros(2, 1, 4, 4))
    alive = (model[5].weight != 0).any(0) & (model[3].weight != 0).any(1)
    assert cut.cost == sum(map(len, layers.values())) <= int(alive.sum())


def test_costs_choose_the_layer_of_the_weakest_cut():
    for costs, expected in (([3, 3, 3], {"3": [0, 1, 2]}), ([0.5, 0.5, 0.5], {"1": [0, 1, 2]})):
        layers, cut = weakest_cut(lanes()[0], torch.zeros(2, 1, 1, 3), {"1": costs})
        assert units(layers) == expected and cut.cost == cut.flow == min(3, sum(costs))


def test_filters_are_units():
    torch.manual_seed(0)
    model: Any = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(4 * 4, 5), nn.ReLU(), nn.Linear(5, 2),
    ).eval()  # fmt: skip
    x = torch.randn(6, 1, 8, 8)
    chain = Chain(model, x)
    assert (chain.names, chain.sizes, chain.n_hidden) == (["0", "4", "7", "9"], [1, 3, 4, 5, 2], 12)
    found = critical_neurons(model, Split(x, torch.tensor([0, 1] * 3)), 0, 1.0)
    assert found.cut.proven and set(found.units) <= {"0", "4", "7"}
    with silenced(model, x, {"4": np.array([1, 3])}), torch.no_grad():
        silent = model(x)
    with torch.no_grad():
        features = model[:7](x).reshape(6, 4, 4)
        features[:, [1, 3]] = 0
        expected = model[7:](features.flatten(1))
    torch.testing.assert_close(silent, expected)
    with silenced(model, x, {"0": np.arange(3)}), torch.no_grad():
        assert torch.equal(model(x), model(torch.zeros_like(x) + 7))  # whatever comes in
    assert not torch.equal(model(x), silent)  # and heard again


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.relu, self.b = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        x = x.flatten(1)
        return self.b(x + self.relu(self.a(x)))


@pytest.mark.parametrize(
    "model, message",
    [
        (Shortcut(), "Shortcut is no chain of layers"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "has no hidden layer"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2)), "LayerNorm.* stands between"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Softmax(1), nn.Linear(4, 2)), "Softmax.* stands between"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Softmin(1), nn.Linear(4, 2)), "Softmin.* stands between"),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.GLU(), nn.Linear(4, 2)), "GLU.* stands between"),
        (nn.Sequential(nn.Conv2d(1, 8, 1), nn.GLU(1), nn.Flatten(), nn.Linear(16, 2)), "GLU.* stands between"),
        (nn.Sequential(nn.Conv2d(1, 4, 1, groups=1), nn.Conv2d(4, 4, 1, groups=2)), "groups=2.* stands between"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.MaxPool1d(3, 1, 1), nn.Linear(4, 2)),
            r"MaxPool1d.* gets \(2, 4\), and must get 3 axes",
        ),
        (
            nn.Sequential(nn.Flatten(0, 1), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2)),
            r"Flatten.* makes \(2, 2, 2\) of \(2, 1, 2, 2\)",
        ),
        (nn.Sequential(nn.Flatten(1, 2), nn.Linear(2, 4), nn.Linear(4, 2)), r"Flatten.* makes \(2, 2, 2\)"),
        (
            nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)),
            r"Linear.* gets \(2, 1, 2, 2\), and must get 2 axes",
        ),
        (make_model("resnet20", (1, 4, 4), 2), "is no chain of layers"),
    ],
)
def test_what_is_no_chain_is_refused(model, message):
    data = Split(
        torch.randn(4, 1, 4, 4) if "ResidualBlock" in str(model) else torch.randn(4, 1, 2, 2), torch.arange(4) % 2
    )
    with pytest.raises(SpecificationError, match=message):
        critical_neurons(model, data, 0)


def test_what_makes_no_sense_is_refused():
    model, data = lanes()
    for target in (5, -1):
        with pytest.raises(SpecificationError, match=f"no images of class {target}: classes are 0, 1"):
            critical_neurons(model, data, target)
    for relevance in (0.0, 1.5, float("nan")):
        with pytest.raises(SpecificationError, match=f"relevance is {relevance}"):
            critical_neurons(model, data, 0, relevance)
    with pytest.raises(SpecificationError, match="no hidden layer '5': they are 1, 3"):
        critical_neurons(model, data, 0, costs={"5": [1, 1]})
    with pytest.raises(SpecificationError, match="costs of '1' have shape"):
        critical_neurons(model, data, 0, costs={"1": [1, 1]})
    for cost in (0, -1, np.nan):
        with pytest.raises(SpecificationError, match=f"costs of '3' must be above 0, and unit 1 costs {float(cost)}"):
            critical_neurons(model, data, 0, costs={"3": [1, cost, 1]})
    with pytest.raises(SpecificationError, match="no hidden layer 'x'"), silenced(model, data.x, {"x": np.arange(1)}):
        pass
    with pytest.raises(SpecificationError, match="draws is 0"):
        try_critical(model, data, data, 0, draws=0)
    with pytest.raises(SpecificationError, match="images of class 0 and of others are needed"):
        ablate(model, data.take(torch.tensor([0, 1])), {}, 0)
    with torch.no_grad():
        model[3].weight.zero_()
    with pytest.raises(GraphError, match="disconnected: no connection supports class 0"):
        critical_neurons(model, data, 0)
    with pytest.raises(GraphError, match="disconnected: no path leads"):
        weakest_cut(model, data.x)


def test_weights_that_are_not_finite_are_named_as_such():
    model, data = lanes()
    with torch.no_grad():
        model[3].weight[0, 0] = torch.nan
    with pytest.raises(SpecificationError, match="no tensor of finite numbers: its weights or inputs may be NaN"):
        critical_neurons(model, data, 0)


@pytest.mark.parametrize("n_outputs, target", [(1, 0), (2, 2), (3, 9)])
def test_a_network_with_too_few_outputs_is_refused(n_outputs, target):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, n_outputs))
    data = Split(torch.randn(10, 1, 1, 3), torch.arange(10))
    for use in (lambda: critical_neurons(model, data, target), lambda: ablate(model, data, {}, target)):
        with pytest.raises(
            SpecificationError, match=rf"Sequential returns \(\d+, {n_outputs}\) .* class {target} and its"
        ):
            use()


def test_outputs_at_places_are_no_classes():
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 1))
    with pytest.raises(SpecificationError, match=r"returns \(1, 3, 2, 2\) for 1 images"):
        critical_neurons(model, Split(torch.randn(3, 1, 2, 2), torch.arange(3)), 0)
    assert weakest_cut(model, torch.randn(1, 1, 2, 2))[1].cost == 4  # without classes, it has filters all the same


def test_what_a_network_raises_is_told_with_its_name():
    class Raising(nn.Module):
        def forward(self, x: Any) -> Any:
            return {}["x"]

    with pytest.raises(SpecificationError, match=r"Raising cannot be called with a tensor .*: KeyError"):
        weakest_cut(Raising(), torch.zeros(1, 3))


def test_modules_that_return_more_than_a_tensor_make_no_chain():
    class Pooling(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.pool, self.b = nn.Conv2d(1, 2, 1), nn.MaxPool2d(2, return_indices=True), nn.Conv2d(2, 2, 1)

        def forward(self, x: Any) -> Any:
            return self.b(self.pool(self.a(x))[0])

    with pytest.raises(SpecificationError, match=r"Pooling is no chain of layers: MaxPool2d.* returns tuple"):
        weakest_cut(Pooling(), torch.randn(2, 1, 4, 4))
