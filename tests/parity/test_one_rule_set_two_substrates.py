"""One rule set, two substrates: the same decisions on a table and on a torch layer that holds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock
from neuroprune.core.tables import Table, Tables
from neuroprune.development import develop
from neuroprune.environment import Environment, Inhibition, Microglia
from neuroprune.record import Record
from neuroprune.rules import Competition, Elimination, Engulfment, RandomRegrowth, Rule, Tag, Translocation
from neuroprune.testing import TableSubstrate

torch = pytest.importorskip("torch")
from neuroprune.bridge import TorchSubstrate  # noqa: E402

N_POST, N_SLOTS, CLOCK = 20, 6, Clock(3.0, 21.0, 0.25)
CALCIUM_AND_INHIBITION = ("calcium", "inhibition")


def window(start: float | None = None, stop: float | None = None) -> dict[str, Any]:
    """Return the ages between which a rule acts, by the names that they have in TOML."""
    return {key: age for key, age in (("from", start), ("to", stop)) if age is not None}


def rules() -> list[Rule]:
    return [
        Competition(rate=0.3),
        Tag(),
        Translocation(rate=0.4, **window(9.0)),
        Elimination(rate=0.36, gates=CALCIUM_AND_INHIBITION),
        Engulfment(probability=0.02),
    ]


def environment() -> list[Environment]:
    return [Microglia(density=3e13), Inhibition()]


def climbing_fibres(*, candidates: bool = False) -> Table:
    """Return cells with one to six climbing fibres of one to five synapses each."""
    random = np.random.default_rng(4)
    shape = (N_POST, N_SLOTS)
    alive = np.arange(N_SLOTS) < random.integers(1, N_SLOTS + 1, size=(N_POST, 1))
    return Table(
        name="purkinje",
        ids=np.where(alive | candidates, np.arange(N_POST * N_SLOTS).reshape(shape), -1),
        alive=alive,
        weight=np.where(alive, random.integers(1, 6, shape), 0).astype(np.float64),
        source=random.integers(0, 15, shape),
        traces={
            "x": 20e-6 * np.arange(N_POST, dtype=np.float64)[:, None],
            "y": np.zeros((N_POST, 1)),
            "z": np.zeros((N_POST, 1)),
            "dendritic": np.zeros(shape),
        },
        candidates=~alive if candidates else None,
    )


def activity() -> list[dict[str, np.ndarray]]:
    """Return the traces of every step and of the end."""
    random = np.random.default_rng(8)
    return [
        {"eligibility": random.random((N_POST, N_SLOTS)), "calcium": 0.5 + 0.5 * random.random((N_POST, 1))}
        for _ in range(CLOCK.n_steps + 1)
    ]


def on_table(table: Table, process: list[Rule], **options: Any) -> Record:
    substrate = TableSubstrate(Tables([table]), [[step] for step in activity()])
    return develop(substrate, process, clock=CLOCK, seed=7, environment=environment(), ages=[7.0, 14.0], **options)


def on_torch(table: Table, process: list[Rule], device: str = "cpu", **options: Any) -> Record:
    substrate = TorchSubstrate.from_table(table, activity(), device=device)
    return develop(substrate, process, clock=CLOCK, seed=7, environment=environment(), ages=[7.0, 14.0], **options)


def assert_same(one: Record, other: Record) -> None:
    assert one.causes == other.causes
    for column in ("id", "post", "source", "birth_step", "death_step", "cause", "agent", "weight_at_death"):
        np.testing.assert_array_equal(one.connections[column].values, other.connections[column].values, column)
    np.testing.assert_array_equal(one.snapshots["weight"].values, other.snapshots["weight"].values)
    for count in ("births", "deaths", "living"):
        np.testing.assert_array_equal(one.development[count].values, other.development[count].values, count)
    assert one.decisions() == other.decisions()


def assert_eventful(record: Record, causes: set[str]) -> None:
    """Check that both causes kill, over time, that agents are named and that synapses were added."""
    connections = record.connections
    died = connections["death_step"].values >= 0
    assert set(record.causes) == causes
    assert len(np.unique(connections["death_step"].values[died])) > 5
    assert (connections["agent"].values[connections["cause"].values == record.causes.index("engulfment")] >= 0).all()
    weights = record.snapshots["weight"].values
    assert np.nansum(weights[-1]) > np.nansum(weights[0])


def test_free_running() -> None:
    one, other = on_table(climbing_fibres(), rules()), on_torch(climbing_fibres(), rules())
    assert_eventful(one, {"elimination", "engulfment"})
    assert_same(one, other)


def test_with_a_budget() -> None:
    budget = Budget(sparsity=0.6)
    one = on_table(climbing_fibres(), rules(), budget=budget)
    assert_eventful(one, {"elimination", "engulfment"})
    assert_same(one, on_torch(climbing_fibres(), rules(), budget=budget))


def test_with_formation() -> None:
    process = [*rules(), RandomRegrowth(rate=0.05, **window(stop=14.0))]
    one = on_table(climbing_fibres(candidates=True), process)
    assert one.development["births"].values.sum() > 10
    assert_same(one, on_torch(climbing_fibres(candidates=True), process))


def test_another_seed_differs() -> None:
    """The comparison can fail: decisions of two seeds are not the same."""
    table, steps = climbing_fibres(), [[step] for step in activity()]
    records = [
        develop(TableSubstrate(Tables([table]), steps), rules(), clock=CLOCK, seed=seed, environment=environment())
        for seed in (7, 8)
    ]
    assert records[0].decisions() != records[1].decisions()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu() -> None:
    process = [*rules(), RandomRegrowth(rate=0.05, **window(stop=14.0))]
    table = climbing_fibres(candidates=True)
    assert_same(on_table(table, process), on_torch(table, process, device="cuda"))
