"""Measured prices, and the way to a budget."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import nn

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.importance import magnitude, random_scores
from neuroprune.bridge.sensitivity import prune_to_budget, sensitivity
from neuroprune.bridge.slim import mask_units, trace
from neuroprune.bridge.slim.budget import Budget, measure_latency, select
from neuroprune.bridge.zoo import make_model
from neuroprune.core.errors import BudgetError, SpecificationError

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(5))
INPUTS = (X[:1],)


def perceptron() -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))


def distance(model: nn.Module) -> Callable[[nn.Module], float]:
    """Return the loss of a network: the mean square distance of its outputs from those of the whole."""
    whole = model(X).detach()

    def evaluate(other: nn.Module) -> float:
        with torch.no_grad():
            return float((other(X) - whole).square().mean())

    return evaluate


def test_prices_are_loss_over_cost_by_hand() -> None:
    model = perceptron()
    evaluate = distance(model)
    prices = sensitivity(model, evaluate, INPUTS, ratios=(0.5,))
    assert [(p.group, p.removed) for p in prices] == [("0", 4), ("2", 2)]
    scores = magnitude(trace(model, INPUTS))
    # 48 + 32 + 8 = 88 operations; half of the first group is 4 * (6 + 4) = 40, of the second 2 * (8 + 2) = 20.
    for price, saved in zip(prices, (40 / 88, 20 / 88), strict=True):
        lowest = scores[price.group].argsort()[: price.removed].tolist()
        loss = evaluate(mask_units(model, {price.group: lowest}, INPUTS))
        assert price.increase == pytest.approx(loss) and price.saved == pytest.approx(saved)
        assert price.price == pytest.approx(loss / saved)
    by_parameters = sensitivity(model, evaluate, INPUTS, ratios=(0.5,), cost="parameters")
    assert by_parameters[0].saved == pytest.approx(4 * (6 + 1 + 4) / (56 + 36 + 10))


def test_what_does_nothing_goes_first() -> None:
    model: Any = perceptron()
    with torch.no_grad():
        model[4].weight[:, :2] = 0.0  # units 0 and 1 of the second layer are not read
    pruned = prune_to_budget(model, distance(model), INPUTS, macs=0.8, step=1, scores={
        "0": torch.arange(8.0), "2": torch.arange(4.0),
    })  # fmt: skip
    assert pruned.removed == {"2": (0, 1)}
    assert [(s.group, s.units, s.left) for s in pruned.trajectory] == [("2", (0,), 3), ("2", (1,), 2)]
    assert [s.loss for s in pruned.trajectory] == [0.0, 0.0]
    assert [s.cost for s in pruned.trajectory] == [pytest.approx(78 / 88), pytest.approx(68 / 88)]


@pytest.mark.parametrize(("kind", "share"), [("macs", 0.31), ("parameters", 0.7)])
def test_a_budget_is_met_with_no_unit_to_spare(kind: str, share: float) -> None:
    keep: dict[str, Any] = {kind: share}
    torch.manual_seed(0)
    model = make_model("small-cnn", (1, 8, 8), 4).eval()
    x = torch.randn(2, 1, 8, 8)
    weight = model(x).detach()
    pruned = prune_to_budget(
        model, lambda other: float((other(x) - weight).square().mean()), (x,), **keep, step=0.3
    )  # fmt: skip
    cost = getattr(network_cost(pruned.model, (x,)), kind)
    whole = getattr(network_cost(model, (x,)), kind)
    assert cost <= share * whole
    assert cost / whole == pytest.approx(pruned.trajectory[-1].cost)
    last = pruned.trajectory[-1]
    one_more = {n: [u for u in units if (n, u) != (last.group, last.units[-1])] for n, units in pruned.removed.items()}
    structure = trace(model, (x,))
    assert getattr(structure, kind)(one_more) > share * whole
    costs = [s.cost for s in pruned.trajectory]
    assert costs == sorted(costs, reverse=True)
    scopes: tuple[Literal["global", "local"], ...] = ("global", "local")
    for scope in scopes:
        budget = Budget(structure, **keep)
        chosen = select(random_scores(structure, seed=0), budget, scope=scope)
        cost = budget.cost(chosen)
        dearest = max(
            budget.cost({**chosen, name: [u for u in units if u != unit]}) - cost
            for name, units in chosen.items()
            for unit in units
        )
        assert share * whole - dearest < cost <= share * whole


@pytest.mark.parametrize(("share", "removed"), [(0.5, (2, 3, 5, 7)), (0.499, (1, 2, 3, 5, 7)), (0.99, (2,))])
def test_the_lowest_scores_go_until_the_budget_is_just_met(share: float, removed: tuple[int, ...]) -> None:
    structure = trace(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)), INPUTS)  # 8 operations for each unit
    scores = {"0": torch.tensor([6.0, 5.0, 1.0, 2.0, 7.0, 3.0, 8.0, 4.0])}
    assert select(scores, Budget(structure, macs=share)) == {"0": removed}


def test_a_local_choice_takes_the_same_share_of_each_group() -> None:
    structure = trace(perceptron(), INPUTS)
    chosen = select(magnitude(structure), Budget(structure, parameters=0.5), scope="local")
    assert chosen.keys() == {"0", "2"}
    assert abs(len(chosen["0"]) / 8 - len(chosen["2"]) / 4) <= 1 / 4  # one unit of the narrow one


def test_cost_and_minimum_width_keep_a_layer_from_starving() -> None:
    # Units of the second layer score lowest, and are too cheap for the budget: without division by cost nearly all go.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(60, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 2))
    structure = trace(model, (torch.randn(1, 60),))
    scores = {"0": torch.linspace(0.5, 1.5, 20), "2": torch.linspace(0.2, 0.4, 20)}
    budget = Budget(structure, macs=0.5)

    def widths(**options: Any) -> tuple[int, int]:
        chosen = select(scores, budget, **options)
        return 20 - len(chosen.get("0", ())), 20 - len(chosen.get("2", ()))

    starved = widths(per_cost=False, minimum_width=1)
    assert starved[1] == 1
    assert widths(per_cost=False, minimum_width=0.3)[1] == 6
    fair = widths(per_cost=True, minimum_width=1)
    assert fair[1] > 10 and fair[0] < starved[0]


def test_a_clock_sets_the_budget_of_latency() -> None:
    model = perceptron()

    def seconds(other: nn.Module, inputs: tuple[torch.Tensor, ...]) -> float:
        return 1e-6 * network_cost(other, inputs).macs

    pruned = prune_to_budget(model, distance(model), INPUTS, latency=0.6, clock=seconds)
    assert network_cost(pruned.model, INPUTS).macs <= 0.6 * 88
    assert measure_latency(model, INPUTS, repeats=3) > 0

    with pytest.raises(SpecificationError, match="no group saves any more latency"):
        calls = iter([1.0, 0.1])  # the whole network, and the narrowest
        prune_to_budget(model, distance(model), INPUTS, latency=0.6, clock=lambda *_: next(calls, 1.0))


def test_budgets_that_cannot_be() -> None:
    model = perceptron()
    evaluate = distance(model)
    with pytest.raises(BudgetError, match=r"5\.0% of the macs cannot be reached: .* 10\.2% are left"):
        prune_to_budget(model, evaluate, INPUTS, macs=0.05)
    with pytest.raises(BudgetError, match="minimum width"):
        structure = trace(model, INPUTS)
        select(magnitude(structure), Budget(structure, macs=0.4), minimum_width=0.9)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "not 0"),
        ({"macs": 0.5, "parameters": 0.5}, "not macs and parameters"),
        ({"macs": 1.5}, "between 0 and 1, not 1.5"),
        ({"macs": 0.5, "step": 1.5}, "not 1.5"),
        ({"macs": 0.5, "minimum_width": -1}, "not -1"),
        ({"macs": 0.5, "scores": {"0": torch.ones(8)}}, "group '2' needs a finite score for each of 4 units, not none"),
        ({"macs": 0.5, "scores": {"0": torch.ones(7)}}, r"not \(7,\)"),
    ]
    for arguments, message in cases:
        with pytest.raises(SpecificationError, match=message):
            prune_to_budget(model, evaluate, INPUTS, **arguments)
    with pytest.raises(SpecificationError, match="must be finite"):
        prune_to_budget(model, lambda _: float("nan"), INPUTS, macs=0.5)
    with pytest.raises(SpecificationError, match="not 1"):
        sensitivity(model, evaluate, INPUTS, ratios=(1,))
    with pytest.raises(SpecificationError, match="not 'watts'"):
        sensitivity(model, evaluate, INPUTS, cost="watts")
