"""Rules that rank decide the same on a table, on tensors, and on the layer of a network that holds the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_one_rule_set_two_substrates import assert_same

from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock, Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Table, Tables
from neuroprune.development import develop
from neuroprune.environment.base import to_numpy
from neuroprune.rules import Ranking, Regrowth, Rule, WeakestFirst, available_rules, decide
from neuroprune.testing import TableSubstrate, example_rule, example_tables, to_library

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from neuroprune.bridge import TorchSubstrate  # noqa: E402
from neuroprune.bridge.pruner import collected  # noqa: E402
from neuroprune.bridge.traces import TRACES  # noqa: E402

CLOCK = Clock(0.0, 6.0, 1.0)
SHAPE = (14, 11)
RANKING = [key for key, rule in available_rules().items() if issubclass(rule, Ranking)]
BUDGET = Budget(sparsity=0.7, course="cubic")


def cells(needs: tuple[str, ...], weights: Any) -> tuple[Table, list[dict[str, np.ndarray]]]:
    """Return a table without padding, and the traces of every step and of the end."""
    (table,) = example_tables(weights=weights, shapes=[SHAPE])
    table = Table(
        name=table.name,
        ids=np.arange(table.ids.size).reshape(SHAPE),
        alive=table.alive,
        weight=table.weight,
        source=table.source,
        candidates=~table.alive,
        traces={"dendritic": np.zeros(SHAPE), "erdos_renyi": np.full((1, 1), sum(SHAPE) / table.ids.size)},
    )
    wanted = tuple(trace for trace in needs if trace != "erdos_renyi")
    return table, [dict(example_tables(wanted, seed, shapes=[SHAPE])[0].traces) for seed in range(CLOCK.n_steps + 1)]


def assert_parity(
    rules: list[Rule], weights: Any = "continuous", budget: Budget | None = BUDGET, **options: Any
) -> int:
    """Compare the development of a table and of a layer, and return how many inputs died."""
    table, steps = cells(tuple(trace for rule in rules for trace in rule.needs()), weights)
    one = develop(TableSubstrate(Tables([table]), [[s] for s in steps]), rules, clock=CLOCK, seed=7, budget=budget)
    other = develop(TorchSubstrate.from_table(table, steps, **options), rules, clock=CLOCK, seed=7, budget=budget)
    assert_same(one, other)
    return int(one.development["deaths"].values.sum())


@pytest.mark.parametrize("weights", ["continuous", "integers"])
@pytest.mark.parametrize("key", RANKING)
def test_to_a_budget(key: str, weights: Any) -> None:
    n = cells((), weights)[0].n_alive()
    assert assert_parity([example_rule(available_rules()[key])], weights) == round(0.7 * n)


@pytest.mark.parametrize("key", RANKING)
def test_freely(key: str) -> None:
    assert assert_parity([example_rule(available_rules()[key])], budget=None) > 20


@pytest.mark.parametrize("scope", ["network", "table", "erdos_renyi", "cell"])
def test_in_every_scope(scope: Any) -> None:
    assert assert_parity([WeakestFirst(scope=scope)], "integers") > 20


@pytest.mark.parametrize("by", ["gradient", "chance"])
def test_with_turnover(by: str) -> None:
    assert assert_parity([Regrowth(by=by, weight=0.5), WeakestFirst(scope="erdos_renyi")]) > 60


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("key", RANKING)
def test_on_a_gpu(key: str) -> None:
    assert assert_parity([example_rule(available_rules()[key])], device="cuda") > 20


GIVEN = {"flow": 0.5, "hessian_gradient": 0.25}


class Given:
    """Traces that no hook collects, made up."""

    produces = tuple(GIVEN)

    def __call__(self, module: nn.Module, layers: Any) -> Any:
        weights = [module.get_submodule(name).weight.detach() for name in layers]  # type: ignore[union-attr]
        return [{name: torch.sin(k * w) for name, k in GIVEN.items()} for w in weights]  # type: ignore[operator]


@pytest.mark.parametrize("key", RANKING)
def test_a_network_that_ran_and_a_numpy_copy_of_its_tables(key: str) -> None:
    """Signed weights in float32, a convolution and a dense layer, with what hooks saw in them."""
    torch.manual_seed(3)
    module = nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(54, 7))
    rule = available_rules()[key]()  # type: ignore[call-arg]

    def activity(now: Now) -> None:
        nn.functional.cross_entropy(module(torch.randn(9, 2, 5, 5)), torch.arange(9) % 7).backward()

    substrate = TorchSubstrate(module, activity, traces=collected([rule]), providers=[Given()])
    now = Now(0, 0.0, 1.0, 1.0)
    given = substrate.sample(now)
    there = substrate.tables().with_traces(given.traces)
    here = to_library(there, "numpy")
    assert set(collected([rule])) == set(rule.needs()) & set(TRACES)
    for budget in (0, 100, 400, here.n_alive()):
        draws = Draws(5, rule.name, 0)
        masks = [decide(rule, tables, now, draws, budget).changes for tables in (here, there)]
        assert sum(int(to_numpy(c.eliminate).sum()) for c in masks[0]) == budget
        for one, other in zip(*masks, strict=True):
            assert other.eliminate is not None and other.eliminate.dtype is torch.bool
            np.testing.assert_array_equal(to_numpy(other.eliminate), to_numpy(one.eliminate))
