"""Pruning in a loop of one's own: budgets, masks in every use of a network, optimizers, records and refusals."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge import Budget, Pruner, prune, shown
from neuroprune.bridge.masks import original
from neuroprune.core.clock import Clock
from neuroprune.core.errors import BudgetError, SpecificationError
from neuroprune.experiments import load_experiment
from neuroprune.record import ALIVE
from neuroprune.rules import (
    Fisher,
    Grasp,
    Movement,
    Regrowth,
    Rule,
    SynFlow,
    Tag,
    Trophic,
    WeakestFirst,
    WinnerRelative,
)

SHORT = Clock(0.0, 5.0, 1.0)
MASKED = ("0", "3", "6")
N = 4 * 1 * 9 + 6 * 4 * 4 + 54 * 5


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 6, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(54, 5),
    )  # fmt: skip


def batch(n: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(n, 1, 6, 6), torch.arange(n) % 5


class Training:
    """A network, its optimizer and the pruner in its loop."""

    def __init__(
        self,
        rules: list[Rule],
        *,
        steps: int = 20,
        make: Callable[..., Any] = torch.optim.AdamW,
        model: Any = None,
        **options: Any,
    ) -> None:
        self.model = network() if model is None else model
        self.optimizer = make(self.model.parameters(), lr=0.01, weight_decay=0.1)
        options = {"budget": Budget(sparsity=0.8), "clock": SHORT, "seed": 3, **options}
        self.pruner = Pruner(self.model, rules, steps=steps, optimizer=self.optimizer, **options)

    def fit(self, inputs: torch.Tensor | None = None) -> None:
        x, y = batch() if inputs is None else (inputs, torch.arange(len(inputs)) % 5)
        loss = functional.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def step(self, n: int = 1) -> list[bool]:
        acted = []
        for _ in range(n):
            self.fit()
            acted.append(self.pruner.step())
        return acted

    def run(self) -> Training:
        self.step(self.pruner.steps)
        return self

    def alive(self) -> dict[str, torch.Tensor]:
        return {name: self.model.get_submodule(name).parametrizations.weight[0].alive.clone() for name in MASKED}


def living(alive: dict[str, torch.Tensor]) -> int:
    return sum(int(mask.sum()) for mask in alive.values())


@pytest.fixture(scope="module")
def trained() -> Training:
    return Training([Trophic()]).run()


# --- budgets and steps


@pytest.mark.parametrize(
    "rules",
    [[WeakestFirst()], [Trophic()], [Fisher(), WeakestFirst(scope="erdos_renyi")], [Movement(scope="table")]],
    ids=lambda rules: "+".join(rule.key for rule in rules),
)
@pytest.mark.parametrize("budget", [Budget(sparsity=0.9), Budget(connections=37, course="cubic", stop=0.6)])
def test_budgets_are_met_exactly_at_every_step(rules: list[Rule], budget: Budget) -> None:
    training = Training(rules, budget=budget)
    acted = training.step(20)
    assert [k for k, did in enumerate(acted) if did] == [3, 7, 11, 15, 19]
    assert [p.alive for p in training.pruner.history] == [budget.living(N, (k + 1) / 5) for k in range(5)]
    left = budget.left(N)
    assert living(training.alive()) == left == sum(r.living for r in training.pruner.report())
    model = training.pruner.finalize()
    assert sum(int(torch.count_nonzero(model[int(k)].weight)) for k in MASKED) == left  # type: ignore[index, operator]


def test_steps_of_development_are_spread_over_the_training() -> None:
    training = Training([WeakestFirst()], steps=13)
    acted = training.step(13)
    assert [k + 1 for k, did in enumerate(acted) if did] == [2, 5, 7, 10, 13]
    assert [p.age for p in training.pruner.history] == [1, 2, 3, 4, 5]


def test_the_report_is_of_what_is_left(trained: Training) -> None:
    report = {layer.name: layer for layer in trained.pruner.report()}
    assert {name: layer.connections for name, layer in report.items()} == {"0": 36, "3": 96, "6": 270}
    for name, mask in trained.alive().items():
        assert report[name].living == int(mask.sum())
        assert report[name].density == int(mask.sum()) / mask.numel()
        assert report[name].silent == int((~mask.flatten(1).any(1)).sum())


def test_traces_are_sampled_in_some_steps_and_in_the_last_one_before_rules_act() -> None:
    training = Training([Trophic()], steps=10, clock=Clock(0.0, 2.0, 1.0), sample_every=2)
    watched = []
    for _ in range(10):
        watched.append(bool(training.model[0]._forward_hooks))
        training.step()
    assert watched == [True, False, True, False, True] * 2
    assert not any(m._forward_hooks for m in training.model.modules())
    blind = Training([WeakestFirst()])
    assert not blind.model[0]._forward_hooks


def test_what_is_not_sampled_does_not_count() -> None:
    """Two trainings that differ only in the batches of steps in which nobody looks decide the same."""
    masks = []
    for scale in (1.0, 50.0):
        training = Training([Trophic()], steps=4, clock=Clock(0.0, 1.0, 1.0), sample_every=10)
        training.optimizer.param_groups[0]["lr"] = 0.0
        for k in range(4):
            torch.manual_seed(k)
            x, y = batch()
            x = scale * x if k < 3 else x
            training.model[1].eval()
            functional.cross_entropy(training.model(x), y).backward()
            training.pruner.step()
        masks.append(training.alive())
    assert all(torch.equal(masks[0][name], masks[1][name]) for name in MASKED)


def test_seeds_decide_and_repeat() -> None:
    def tied(seed: int) -> bytes:
        model = nn.Sequential(nn.Linear(6, 6))
        nn.init.ones_(model[0].weight)  # type: ignore[arg-type]
        pruner = Pruner(model, [WeakestFirst()], steps=5, clock=SHORT, budget=Budget(sparsity=0.5), seed=seed)
        for _ in range(5):
            pruner.step()
        return pruner.record.decisions()

    assert tied(1) == tied(1) != tied(2)


# --- masks in every use of a network


def test_masks_survive_a_state_dict(trained: Training) -> None:
    x, _ = batch()
    trained.model.eval()
    buffer = io.BytesIO()
    torch.save(trained.model.state_dict(), buffer)
    other, _ = prune(network(), [WeakestFirst()], budget=Budget(sparsity=0.5))
    other.module.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert torch.equal(other.module.eval()(x), trained.model(x))
    assert sum(t.n_alive() for t in other.tables()) == living(trained.alive())


def test_masks_survive_copies(trained: Training) -> None:
    x, y = batch()
    twin = copy.deepcopy(trained.model.eval())
    assert torch.equal(twin(x), trained.model(x))
    before = trained.alive()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        functional.cross_entropy(twin(x), y).backward()
        optimizer.step()
    for name, mask in before.items():
        assert not twin.get_submodule(name).weight[~mask].any()  # type: ignore[index, operator]
        assert torch.equal(trained.alive()[name], mask)


def test_a_copy_made_on_the_way_does_not_feed_the_pruner() -> None:
    decisions = []
    for copies in (False, True):
        training = Training([Trophic()], sample_every=1)
        torch.manual_seed(1)
        for _ in range(20):
            if copies:
                twin, state = copy.deepcopy(training.model), torch.get_rng_state()
                twin(100 * batch()[0]).sum().backward()
                torch.set_rng_state(state)
            training.step()
        decisions.append(training.pruner.record.decisions())
    assert decisions[0] == decisions[1]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_masks_survive_compilation(trained: Training, backend: str) -> None:
    x, y = batch()
    model = copy.deepcopy(trained.model).eval()
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    assert torch.equal(compiled(x), model(x))
    functional.cross_entropy(compiled(x), y).backward()
    for name, mask in trained.alive().items():
        gradient = original(model.get_submodule(name)).grad
        assert gradient is not None and not gradient[~mask].any() and gradient[mask].any()


def test_a_compiled_network_sees_masks_change() -> None:
    model = network().eval()
    substrate, _ = prune(model, [WeakestFirst()], budget=Budget(sparsity=0.5))
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    x, _ = batch()
    first = compiled(x)
    prune(model, [WeakestFirst()], budget=Budget(sparsity=0.5))
    assert sum(t.n_alive() for t in substrate.tables()) == N - N // 2 - round((N - N // 2) / 2)
    assert not torch.equal(compiled(x), first)
    assert torch.equal(compiled(x), model(x))


def test_masks_survive_export(trained: Training) -> None:
    x, _ = batch()
    model = copy.deepcopy(trained.model).eval()
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))


def test_masks_survive_autocast() -> None:
    training = Training([Trophic()])
    for _ in range(20):
        x, y = batch()
        with torch.autocast("cpu", torch.bfloat16):
            out = training.model(x)
            loss = functional.cross_entropy(out, y)
        assert out.dtype is torch.bfloat16
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        training.pruner.step()
    assert living(training.alive()) == N - round(0.8 * N)
    for name, mask in training.alive().items():
        assert torch.equal(training.model.get_submodule(name).weight != 0, mask)


# --- optimizers


MAKERS = [
    torch.optim.AdamW,
    torch.optim.Adam,
    lambda p, **o: torch.optim.SGD(p, momentum=0.9, nesterov=True, **o),
    lambda p, **o: torch.optim.RMSprop(p, momentum=0.9, **o),
]


@pytest.mark.parametrize("make", MAKERS, ids=["adamw", "adam", "sgd", "rmsprop"])
def test_the_dead_stay_dead_through_decay_and_momentum(make: Any) -> None:
    training = Training([WeakestFirst()], make=make, budget=Budget(sparsity=0.8, course="at_once"))
    training.step(4)
    alive = training.alive()
    assert living(alive) == N - round(0.8 * N)
    for name, mask in alive.items():
        parameter = original(training.model.get_submodule(name))
        moments = [m for m in training.optimizer.state[parameter].values() if m.shape == mask.shape]
        assert moments
        for moment in moments:
            assert not moment[~mask].any() and moment[mask].any()
    training.step(16)
    for name, mask in alive.items():
        assert torch.equal(training.alive()[name], mask)
        assert not original(training.model.get_submodule(name))[~mask].any()
        assert original(training.model.get_submodule(name))[mask].all()


def test_without_the_optimizer_moments_would_move_the_dead_behind_their_mask() -> None:
    """Why the pruner wants the optimizer; the mask holds all the same."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    pruner = Pruner(model, [WeakestFirst()], steps=10, clock=SHORT, budget=Budget(sparsity=0.8, course="at_once"))
    for _ in range(10):
        x, y = batch()
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        pruner.step()
    parameter, mask = original(model[6]), model[6].parametrizations.weight[0].alive
    functional.cross_entropy(model(batch()[0]), batch()[1]).backward()
    assert not model[6].weight[~mask].any() and parameter.grad is not None and not parameter.grad[~mask].any()
    assert optimizer.state[parameter]["momentum_buffer"][~mask].any()
    assert torch.equal(pruner.finalize()[6].weight != 0, mask)  # type: ignore[index, operator]


# --- the end


def test_finalize_leaves_a_plain_network() -> None:
    training = Training([Trophic()]).run()
    x, _ = batch()
    alive, parameter = training.alive(), original(training.model[6])
    expected = training.model.eval()(x)
    model = training.pruner.finalize()
    assert model is training.model and torch.equal(model(x), expected)
    assert {type(m).__module__.split(".")[0] for m in model.modules()} == {"torch"}
    assert model[6].weight is parameter  # type: ignore[index]
    plain = network()
    assert list(model.state_dict()) == list(plain.state_dict())  # in the order in which optimizers number them, too
    assert [n for n, _ in model.named_parameters()] == [n for n, _ in plain.named_parameters()]
    plain.load_state_dict(model.state_dict())
    assert torch.equal(plain.eval()(x), expected)
    for name, mask in alive.items():
        assert torch.equal(plain.get_submodule(name).weight != 0, mask)
    with pytest.raises(SpecificationError, match="finalized already"):
        training.pruner.finalize()


def test_finalize_before_the_end_is_refused_and_changes_nothing() -> None:
    training = Training([Trophic()], steps=5)
    for done in range(5):
        with pytest.raises(SpecificationError, match=f"{done} of 5 steps of the development were made"):
            training.pruner.finalize()
        with pytest.raises(SpecificationError, match=f"{done} of 5 steps"):
            _ = training.pruner.record
        training.step()
    assert torch.count_nonzero(training.pruner.finalize()[6].weight) > 0  # type: ignore[index, arg-type]


def test_the_record_is_that_of_a_development(trained: Training) -> None:
    training = Training([Fisher(), WeakestFirst()]).run()
    record = training.pruner.record
    assert record.complete and record.system == "Sequential" and record.clock == SHORT
    assert record.causes == ["fisher", "weakest_first"]
    died = record.connections["death_step"].values
    assert (died != ALIVE).sum() == round(0.8 * N) == record.development["deaths"].values.sum()
    assert set(np.unique(died[died != ALIVE])) <= set(range(5))
    cause = record.connections["cause"].values
    assert set(cause[died != ALIVE]) == {0, 1} and set(cause[died == ALIVE]) == {-1}
    alive = torch.cat([mask.flatten() for mask in training.alive().values()])
    order = np.argsort(record.connections["id"].values)
    assert (died[order] == ALIVE).tolist() == alive.tolist()
    assert record.development["living"].values.tolist() == [p.alive for p in training.pruner.history]
    assert record.measures()["sparsity"][-1] == round(0.8 * N) / N
    assert trained.pruner.record is trained.pruner.record


# --- refusals


def test_too_few_and_too_many_steps() -> None:
    with pytest.raises(SpecificationError, match="4 steps cannot be mapped onto 5 steps of development"):
        Training([WeakestFirst()], steps=4)
    with pytest.raises(SpecificationError, match="49 steps cannot be mapped onto 50 steps"):
        Pruner(network(), [WeakestFirst()], steps=49)
    with pytest.raises(SpecificationError, match="sample_every is 0"):
        Training([WeakestFirst()], sample_every=0)
    training = Training([WeakestFirst()]).run()
    with pytest.raises(SpecificationError, match="made for 20 training steps, and this is one more"):
        training.pruner.step()


@pytest.mark.parametrize(
    ("rule", "trace"), [(SynFlow(), "flow"), (Grasp(), "hessian_gradient"), (Tag(signal="taste"), "taste")]
)
def test_what_nothing_provides_is_named(rule: Rule, trace: str) -> None:
    with pytest.raises(
        SpecificationError, match=rf"'{rule.key}' \({rule.key}\) cannot run on 'Sequential'.* needs {trace}"
    ):
        Training([rule, WeakestFirst()])


def test_a_budget_without_a_rule_that_prunes_is_refused() -> None:
    with pytest.raises(BudgetError, match="no rule prunes"):
        Training([Tag()])


def test_a_training_without_a_backward_pass_is_named() -> None:
    pruner = Pruner(network(), [Trophic()], steps=5, clock=SHORT, budget=Budget(sparsity=0.5))
    with pytest.raises(SpecificationError, match="layer '0' saw no input"):
        pruner.step()
    model = network()
    pruner = Pruner(model, [Trophic()], steps=5, clock=SHORT, budget=Budget(sparsity=0.5))
    model(batch()[0])
    with pytest.raises(SpecificationError, match="no error came back to layer '0': retrograde need a backward pass"):
        pruner.step()


# --- turnover and brains in the loop


@pytest.mark.parametrize("by", ["gradient", "chance"])
def test_turnover_keeps_the_sparsity_after_the_first_step(by: str) -> None:
    rules: list[Rule] = [Regrowth(by=by), WeakestFirst(scope="erdos_renyi")]
    training = Training(rules, steps=40, clock=Clock(0.0, 10.0, 1.0), budget=Budget(sparsity=0.8, course="at_once"))
    left, masks = N - round(0.8 * N), []
    for _ in range(10):
        training.step(4)
        masks.append(training.alive())
        assert living(masks[-1]) == left
        assert [int(m.sum()) for m in masks[-1].values()] == [int(m.sum()) for m in masks[0].values()]
    assert any(not torch.equal(masks[0][k], masks[-1][k]) for k in MASKED)
    births, deaths = (training.pruner.record.development[k].values for k in ("births", "deaths"))
    assert births[0] == 0 and births.sum() > 30 and (births[1:] == deaths[1:]).all()
    born = masks[-1]["6"] & ~masks[0]["6"]
    weight = training.model[6].weight
    assert born.any() and weight[born].all()  # they started at 0 and were trained
    assert training.pruner.finalize() is training.model


def test_what_forms_by_gradient_are_the_dead_with_the_largest_gradients() -> None:
    """RigL in a loop against the gradient of the dense network that has zeros in place of the dead."""
    rules: list[Rule] = [Regrowth(share=0.2), WeakestFirst(scope="table")]
    training = Training(
        rules, steps=10, clock=Clock(0.0, 10.0, 1.0), budget=Budget(sparsity=0.5, course="at_once"), sample_every=1
    )
    training.step(3)
    before = training.alive()
    x, y = batch()
    dense = network()
    dense.load_state_dict(_plain(training.model))
    functional.cross_entropy(dense(x), y).backward()
    training.optimizer.param_groups[0]["lr"] = 0.0
    loss = functional.cross_entropy(training.model(x), y)
    training.optimizer.zero_grad()
    loss.backward()
    training.pruner.step()
    share = 0.2 * 0.5 * (1 + np.cos(np.pi * 0.4))
    for name, mask in before.items():
        born = training.alive()[name] & ~mask
        n = round(share * int(mask.sum()))
        assert int(born.sum()) == n
        size = dense.get_submodule(name).weight.grad.abs()
        if n:
            assert size[born].min() >= size[~mask & ~born].max() * (1 - 1e-4)


def _plain(model: nn.Module) -> dict[str, Any]:
    """Return the state of a masked network as one without masks would have it."""
    state = {k: v for k, v in model.state_dict().items() if "parametrizations" not in k}
    return state | {f"{name}.weight": model.get_submodule(name).weight.detach() for name in MASKED}  # type: ignore[union-attr, operator]


def test_the_rules_of_the_cerebellum_run_untouched_on_a_layer() -> None:
    """From P3 to P21 over the training, with no budget: how many go is the model's affair."""
    experiment = load_experiment("cerebellum")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    rules = experiment.rules_at(3.0)
    pruner = Pruner(
        model,
        rules,
        steps=80,
        clock=experiment.clock,
        environment=experiment.environment_at(3.0),
        optimizer=optimizer,
        layers=["0"],
        seed=1,
    )
    assert experiment.clock == Clock(3.0, 21.0, 0.25)
    for _ in range(80):
        x, y = batch()
        optimizer.zero_grad()
        functional.cross_entropy(model(x.flatten(1)), y).backward()
        optimizer.step()
        pruner.step()
    record = pruner.record
    deaths = record.development["deaths"].values
    assert set(record.causes) <= {"early", "late", "engulfment"} <= {rule.name for rule in rules}
    assert len(set(record.causes)) > 1 and not deaths[:8].any()  # P3 to P5: nothing acts yet
    (report,) = pruner.report()
    assert 0 < report.living < 8 * 36 / 2 and deaths.sum() == 8 * 36 - report.living
    assert torch.count_nonzero(pruner.finalize()[0].weight) == report.living  # type: ignore[index, arg-type]


# --- at once


def test_showing_data_changes_no_parameter() -> None:
    model = network().eval()
    before = copy.deepcopy(model.state_dict())
    run = shown(model, (batch() for _ in range(3)))
    _, record = prune(model, [Fisher()], run, budget=Budget(connections=10))
    assert record.development["living"].values.tolist() == [10]
    assert all(p.grad is None for p in model.parameters())
    for name, value in before.items():
        if "weight" not in name or name.startswith("1"):
            assert torch.equal(model.state_dict()[name], value)
    forwards = shown(model, [batch()], loss=None)
    with pytest.raises(SpecificationError, match="no error came back"):
        prune(model, [Fisher()], forwards, budget=Budget(connections=5))


def test_rules_of_activity_need_no_loss() -> None:
    model = network()
    substrate, _ = prune(model, [WinnerRelative()], shown(model, [batch()], loss=None), budget=Budget(sparsity=0.7))
    assert sum(t.n_alive() for t in substrate.tables()) == N - round(0.7 * N)
