"""A torch module as a substrate: masks, traces, strengths, optimizer and checkpoints."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import RecordError, SpecificationError
from neuroprune.core.tables import Change, Decision, Tables
from neuroprune.development import develop
from neuroprune.environment import Inhibition, Microglia
from neuroprune.rules import (
    Competition,
    Elimination,
    Engulfment,
    RandomRegrowth,
    Tag,
    Translocation,
    WeakestFirst,
)
from neuroprune.testing import example_tables

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from neuroprune.bridge import TorchSubstrate  # noqa: E402
from neuroprune.bridge.masks import original  # noqa: E402

NOW = Now(step=0, age=3.0, dt=0.5, progress=0.5)
CLOCK = Clock(3.0, 6.0, 0.5)


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 3))


def show(module: Any, n: int = 6) -> Any:
    return module(torch.randn(n, 5))


def substrate(module: Any = None, **options: Any) -> Any:
    module = network() if module is None else module

    def activity(now: Now) -> None:
        show(module)

    return TorchSubstrate(module, activity, **options)


class Trained:
    """A network, its optimizer and an epoch of training on random targets, for develop()."""

    def __init__(self) -> None:
        self.module = network()
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.01, weight_decay=0.1)
        self.substrate = TorchSubstrate(self.module, self.epoch, optimizer=self.optimizer)
        self.accident: int | None = None

    def epoch(self, now: Now) -> Mapping[str, float]:
        if now.step == self.accident:
            raise KeyboardInterrupt
        losses = []
        for _ in range(3):
            self.optimizer.zero_grad()
            loss = (show(self.module) ** 2).mean()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return {"loss": losses[-1]}


def killed(tables: Tables, every: int = 2) -> Tables:
    """Return the tables without every second living input."""
    masks = [t.alive & (t.ids % every == 0) for t in tables]
    return tables.after(Decision("test", tuple(Change(eliminate=mask) for mask in masks)))


# --- tables


def test_tables_are_the_layers() -> None:
    module = network()
    weights = [layer.weight.detach().double().abs().clone() for layer in (module[0], module[3])]
    tables = substrate(module).tables()
    assert [t.name for t in tables] == ["0", "3"]
    for table, weight in zip(tables, weights, strict=True):
        assert table.weight.dtype is torch.float64
        assert torch.equal(table.weight, weight)
        assert table.alive.all() and table.candidates is not None and not table.candidates.any()
    assert torch.cat([t.ids.flatten() for t in tables]).tolist() == list(range(20 + 12))
    assert tables[0].source[2].tolist() == [0, 1, 2, 3, 4]
    assert tables[1].source[0].tolist() == [5, 6, 7, 8]
    assert torch.allclose(tables[0]["x"][:, 0], 20e-6 * torch.arange(4.0, dtype=torch.float64))


def test_layers_can_be_chosen() -> None:
    assert [t.name for t in substrate(layers=["3"]).tables()] == ["3"]
    with_convolution = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(6, 2))
    assert [t.name for t in TorchSubstrate(with_convolution, lambda now: None, layers=["2"]).tables()] == ["2"]


def _tied() -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    return module


@pytest.mark.parametrize(
    ("module", "layers", "message"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Bilinear(1, 1, 3)), None, "layer '1' of Sequential is Bilinear: only"),
        (nn.Sequential(nn.Embedding(3, 2)), None, "layer '0' of Sequential is Embedding"),
        (nn.Sequential(nn.LazyLinear(2)), None, "layer '0' of Sequential is LazyLinear"),
        (nn.Sequential(nn.GRU(3, 2)), None, "layer '0' of Sequential is GRU"),
        (nn.MultiheadAttention(4, 2), None, "MultiheadAttention"),
        (
            nn.MultiheadAttention(4, 2),
            ["out_proj"],
            "layer 'out_proj' of MultiheadAttention is NonDynamically",
        ),
        (nn.Sequential(nn.Linear(2, 2)), ["1"], r"has no layer '1' \(the layers that can be pruned are: 0\)"),
        (nn.Sequential(nn.ReLU()), None, "no layer that can be pruned"),
        (_tied(), None, "layers '0' and '1' share their weight"),
        (
            nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
            None,
            "layer itself of .* parametrized already",
        ),
    ],
)
def test_what_cannot_be_pruned_is_named(module: nn.Module, layers: list[str] | None, message: str) -> None:
    before = sorted(module.state_dict())
    with pytest.raises(SpecificationError, match=message):
        TorchSubstrate(module, lambda now: None, layers=layers)
    assert sorted(module.state_dict()) == before


def test_tables_do_not_change_when_the_network_does() -> None:
    s = substrate()
    before = s.tables()
    s.apply(killed(before))
    with torch.no_grad():
        original(s.module[0]).fill_(9.0)
    assert before[0].alive.all() and before[0].weight.max() < 9


# --- masks and strengths


def test_dead_weights_carry_nothing() -> None:
    s = substrate()
    s.apply(killed(s.tables()))
    layer, alive = s.module[0], s.tables()[0].alive
    assert 0 < alive.sum() < alive.numel()
    x = torch.randn(7, 5)
    expected = x @ torch.where(alive, original(layer), 0.0).T + layer.bias
    with torch.no_grad():
        original(layer)[~alive] = float("nan")  # whatever is left in them
    assert torch.allclose(layer(x), expected)
    layer(x).sum().backward()
    gradient = original(layer).grad
    assert gradient is not None
    assert not gradient[~alive].any() and gradient[alive].all()


def test_training_leaves_the_dead_dead() -> None:
    trained = Trained()
    s = trained.substrate
    trained.epoch(NOW)
    s.apply(killed(s.tables()))
    alive = [t.alive for t in s.tables()]
    for _ in range(3):
        trained.epoch(NOW)
    for table, mask in zip(s.tables(), alive, strict=True):
        assert torch.equal(table.alive, mask)
        assert not table.weight[~mask].any() and table.weight[mask].all()


def test_masks_survive_deepcopy_and_state_dict() -> None:
    s = substrate()
    s.apply(killed(s.tables()))
    x = torch.randn(7, 5)
    assert torch.equal(copy.deepcopy(s.module)(x), s.module(x))
    other = substrate(network())
    with torch.no_grad():
        original(other.module[0]).add_(1)
    other.module.load_state_dict(s.module.state_dict())
    assert torch.equal(other.module(x), s.module(x))
    assert torch.equal(other.tables()[0].alive, s.tables()[0].alive)
    assert s.module.double()(x.double()).dtype is torch.float64


def test_strength_is_scaled_and_sign_is_kept() -> None:
    s = substrate()
    before = [original(layer).detach().clone() for layer in (s.module[0], s.module[3])]
    tables = s.tables()
    s.apply(tables.after(Decision("test", tuple(Change(weight=2 * t.weight) for t in tables))))
    for layer, old in zip((s.module[0], s.module[3]), before, strict=True):
        assert torch.equal(original(layer), 2 * old)
    s.apply(s.tables())
    assert torch.equal(original(s.module[0]), 2 * before[0])


def test_new_connections_are_positive_and_have_new_ids() -> None:
    s = substrate()
    with torch.no_grad():
        original(s.module[0]).copy_(-original(s.module[0]).abs())
    s.sample(NOW)
    s.apply(killed(s.tables()))
    died = ~s.tables()[0].alive
    s.sample(NOW)
    offered = s.tables()
    assert torch.equal(offered[0].candidates, died)
    changes = [Change(form=t.candidates, weight=torch.where(t.candidates, 0.25, t.weight)) for t in offered]
    s.apply(offered.after(Decision("test", tuple(changes))))
    (first, second) = s.tables()
    assert (original(s.module[0])[died] == 0.25).all() and (original(s.module[0])[~died] < 0).all()
    assert first.alive.all()
    ids = torch.cat([first.ids[died], second.ids[second.ids >= 32]])
    assert ids.tolist() == list(range(32, 32 + len(ids)))
    assert (first.ids[~died] < 20).all()


def test_each_offer_has_an_id_of_its_own() -> None:
    s = substrate()
    s.apply(killed(s.tables()))
    offers = []
    for _ in range(3):
        s.sample(NOW)
        offers += [t.ids[t.candidates] for t in s.tables()]
    ids = torch.cat(offers).tolist()
    assert len(set(ids)) == len(ids) > 30 and min(ids) >= 32
    closed = substrate(formation=False)
    assert closed.tables()[0].candidates is None and "candidates" not in closed.provides


@pytest.mark.parametrize("make", [torch.optim.Adam, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)])
def test_moments_of_the_dead_and_the_new_are_forgotten(make: Any) -> None:
    module = network()
    optimizer = make(module.parameters())
    s = substrate(module, optimizer=optimizer)
    show(module).square().mean().backward()
    optimizer.step()
    alive = torch.ones(4, 5, dtype=torch.bool)
    for _ in range(2):
        s.sample(NOW)
        tables = s.tables()
        after = (
            killed(tables)
            if alive.all()
            else tables.after(
                Decision("test", tuple(Change(form=t.candidates, weight=t.weight + t.candidates) for t in tables))
            )
        )
        s.apply(after)
        moments = [
            m
            for m in optimizer.state[original(module[0])].values()
            if isinstance(m, torch.Tensor) and m.shape == (4, 5)
        ]
        changed = alive ^ after[0].alive
        assert moments and changed.any()
        for moment in moments:
            assert not moment[changed].any() and moment[~changed].any()
            moment.fill_(1.0)
        alive = after[0].alive


def test_finalize_leaves_a_plain_network() -> None:
    s = substrate()
    s.apply(killed(s.tables()))
    x, alive = torch.randn(7, 5), s.tables()[0].alive
    expected = s.module(x)
    module = s.finalize()
    assert sorted(module.state_dict()) == sorted(network().state_dict())
    assert type(module[0]) is nn.Linear
    assert torch.equal(module(x), expected)
    assert torch.equal(module[0].weight != 0, alive)
    with pytest.raises(SpecificationError, match="finalized already"):
        s.finalize()


def test_finalizing_leaves_copies_and_the_optimizers_parameter_as_they_are() -> None:
    s = substrate(network())
    kept = original(s.module[0])
    s.apply(killed(s.tables()))
    twin = copy.deepcopy(s.module)
    x = torch.randn(3, 5)
    expected = s.module(x)
    module = s.finalize()
    assert module[0].weight is kept
    assert torch.equal(module(x), expected)
    assert torch.equal(twin(x), expected)
    assert (twin[0].weight == 0).any()


# --- activity


def test_traces_are_means_over_all_samples() -> None:
    module, seen = network(), [torch.randn(6, 5), torch.randn(2, 3, 5)]

    def activity(now: Now) -> Mapping[str, float]:
        for x in seen:
            module(x)
        return {"loss": 0.5}

    s = TorchSubstrate(module, activity)
    given = s.sample(NOW)
    assert given.measures == {"loss": 0.5}
    x = torch.cat([part.reshape(-1, 5) for part in seen]).double()
    y = (x @ module[0].weight.double().T + module[0].bias.double()).abs()
    traces = given.traces[0]
    assert torch.allclose(traces["usage"], x.abs().mean(0)[None], rtol=1e-5)
    assert torch.allclose(traces["eligibility"], torch.einsum("bo,bi->oi", y, x.abs()) / 12, rtol=1e-5)
    assert torch.allclose(traces["calcium"], (y.mean(0) / y.mean(0).max())[:, None], rtol=1e-5)
    assert all(t.dtype is torch.float64 and not t.requires_grad for t in traces.values())
    tables = s.tables().with_traces(given.traces)
    assert s.provides == {*tables[0].traces, "candidates"}
    module(seen[0])
    assert torch.equal(s.sample(NOW).traces[0]["usage"], traces["usage"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_activity_neither_overflows_nor_loses_the_mean(dtype: Any) -> None:
    module = nn.Sequential(nn.Linear(4, 3, bias=False, dtype=dtype))
    nn.init.ones_(module[0].weight)  # pyright: ignore[reportArgumentType]
    samples = torch.full((3000, 4), 30.0, dtype=dtype)
    s = TorchSubstrate(module, lambda now: {"sum": module(samples).float().mean().item()})
    traces = s.sample(NOW).traces[0]
    assert torch.allclose(traces["usage"], torch.full_like(traces["usage"], 30.0), rtol=1e-6)
    assert torch.allclose(traces["eligibility"], torch.full_like(traces["eligibility"], 3600.0), rtol=1e-6)


def test_a_layer_that_never_ran_is_named() -> None:
    module = network()

    def activity(now: Now) -> None:
        module[0](torch.randn(2, 5))

    with pytest.raises(SpecificationError, match="layer '3' saw no input"):
        TorchSubstrate(module, activity).sample(NOW)


def test_a_silent_network_has_finite_traces() -> None:
    module = nn.Sequential(nn.Linear(5, 4, bias=False))
    s = TorchSubstrate(module, lambda now: {"sum": module(torch.zeros(3, 5)).sum().item()})
    for trace in s.sample(NOW).traces[0].values():
        assert not trace.any()


def test_hooks_are_gone_after_an_accident() -> None:
    module = network()

    def accident(now: Now) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TorchSubstrate(module, accident).sample(NOW)
    assert not module[0]._forward_hooks


def test_measures() -> None:
    s = substrate()
    assert s.measures(s.tables()) == {"living_connections": 32, "sparsity": 0, "inputs_per_unit": 32 / 7}
    s.apply(killed(s.tables()))
    assert s.measures(s.tables()) == {"living_connections": 16, "sparsity": 0.5, "inputs_per_unit": 16 / 7}


# --- in the loop


def develop_trained(trained: Trained, **options: Any) -> Any:
    rules = [
        Competition(rate=0.1, quantum=0.0),
        Tag(),
        Translocation(rate=0.3),
        Elimination(rate=0.3, gates=("calcium", "inhibition")),
        Engulfment(probability=0.05),
        RandomRegrowth(rate=0.1, weight=0.1),
    ]
    return develop(
        trained.substrate,
        rules,
        clock=CLOCK,
        seed=1,
        environment=[Microglia(density=5e13), Inhibition()],
        **options,
    )


def test_the_rules_of_the_brain_prune_a_network_that_trains() -> None:
    trained = Trained()
    record = develop_trained(trained)
    assert record.development["births"].values.sum() > 0
    assert record.development["deaths"].values.sum() > 5
    assert np.isfinite(record.measures()["loss"]).all()
    assert record.measures()["living_connections"][-1] == sum(t.n_alive() for t in trained.substrate.tables())


def test_a_budget_is_met_in_the_network() -> None:
    s = substrate()
    develop(s, [WeakestFirst(rate=0)], clock=CLOCK, seed=1, budget=Budget(0.75))
    module = s.finalize()
    assert sum(int((module[k].weight != 0).sum()) for k in (0, 3)) == 8


def test_training_resumes_exactly(tmp_path: Path) -> None:
    whole, path = Trained(), tmp_path / "run.nc"
    torch.manual_seed(5)
    record = develop_trained(whole)
    next_numbers = torch.rand(3)
    interrupted = Trained()
    interrupted.accident = 5
    torch.manual_seed(5)
    with pytest.raises(KeyboardInterrupt):
        develop_trained(interrupted, path=path, checkpoint_every=0.0)
    resumed = Trained()
    torch.manual_seed(99)
    again = develop_trained(resumed, path=path, resume=True)
    assert again.decisions() == record.decisions()
    for name, value in whole.module.state_dict().items():
        assert torch.equal(resumed.module.state_dict()[name], value), name
    assert torch.equal(torch.rand(3), next_numbers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_state_keeps_every_bit(dtype: Any) -> None:
    s: Any = TorchSubstrate(network().to(dtype), lambda now: None)
    s.apply(killed(s.tables()))
    state = s.state()
    other: Any = TorchSubstrate(network().to(dtype), lambda now: None)
    with torch.no_grad():
        original(other.module[0]).add_(1)
    other.restore(state)
    for name, value in s.module.state_dict().items():
        assert torch.equal(other.module.state_dict()[name], value), name
    for one, two in zip(s.tables(), other.tables(), strict=True):
        assert torch.equal(one.ids, two.ids) and torch.equal(one.alive, two.alive)


def test_a_state_of_another_network_is_refused() -> None:
    state = substrate().state()
    with pytest.raises(RecordError, match=r"only the checkpoint has"):
        substrate(nn.Sequential(nn.Linear(5, 4))).restore(state)
    with pytest.raises(RecordError, match=r"'dendritic.0' has shape \(4, 5\) there and \(6, 5\) here"):
        substrate(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 3))).restore(state)
    module = network()
    with pytest.raises(RecordError, match="only this run has 'optimizer'"):
        substrate(module, optimizer=torch.optim.SGD(module.parameters())).restore(state)


def test_a_table_is_held_exactly() -> None:
    (table,) = example_tables(["x", "y", "z", "dendritic"], weights="continuous", shapes=[(7, 9)])
    s = TorchSubstrate.from_table(table, {"usage": np.ones((1, 9))})
    (held,) = s.tables()
    for what in ("ids", "alive", "weight", "source"):
        np.testing.assert_array_equal(getattr(held, what).numpy(), getattr(table, what))
    for name, trace in table.traces.items():
        np.testing.assert_array_equal(held[name].numpy(), trace)
    assert s.sample(NOW).traces[0]["usage"].shape == (1, 9)
    assert (s.tables()[0].ids[torch.from_numpy(table.ids < 0)] == -1).all()
    assert {"usage", "dendritic", "x", "candidates"} <= s.provides
