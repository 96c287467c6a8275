"""Collecting what happens during a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import RecordError
from neuroprune.core.tables import Change, Decision, Table, Tables
from neuroprune.environment.base import State, to_numpy

ALIVE = -1
"""Value of ``death_step`` of a connection that still lives."""


class Recorder:
    """Collects what happens during a run. Its arrays are the record's, so a checkpoint can rebuild it.

    Parameters
    ----------
    system : str
        Name of the substrate.
    tables : Tables
        At the start; every connection alive in them is born at step -1.
    clock : Clock
    traces : sequence of str
        Traces to keep at declared ages and at death.
    identity : mapping
        Seed, configuration and provenance: what a resumed run must share.
    """

    def __init__(
        self, system: str, tables: Tables, clock: Clock, traces: Sequence[str], identity: Mapping[str, Any]
    ) -> None:
        self.system, self.clock, self.identity = system, clock, dict(identity)
        self.traces = ("weight", *(t for t in traces if t != "weight"))
        self.tables = tuple(t.name for t in tables)
        self.causes: list[str] = []
        self.at_start = tables.n_alive()
        self.connections: dict[str, np.ndarray] = {
            "id": np.zeros(0, np.int64),
            "table": np.zeros(0, np.int16),
            "post": np.zeros(0, np.int64),
            "source": np.zeros(0, np.int64),
            "birth_step": np.zeros(0, np.int32),
            "death_step": np.zeros(0, np.int32),
            "cause": np.zeros(0, np.int16),
            "agent": np.zeros(0, np.int64),
            **{f"{t}_at_death": np.zeros(0) for t in self.traces},
        }
        self.steps: dict[str, list[float]] = {"births": [], "deaths": [], "living": []}
        self.step_measures: list[dict[str, float]] = []
        self.snapshot_ages: list[float] = []
        self.snapshot_measures: list[dict[str, float]] = []
        self.snapshot_traces: list[dict[str, np.ndarray]] = []
        self.cells: list[dict[str, np.ndarray]] = []
        self.spikes: list[tuple[np.ndarray, np.ndarray]] = []
        self.surroundings: list[dict[str, np.ndarray]] = []
        self._born(tables, [to_numpy(t.alive) for t in tables], step=-1)

    def _born(self, tables: Tables, masks: Sequence[np.ndarray], step: int) -> int:
        new: dict[str, list[np.ndarray]] = {"id": [], "table": [], "post": [], "source": []}
        for k, (table, mask) in enumerate(zip(tables, masks, strict=True)):
            rows = np.nonzero(mask)[0]
            new["id"].append(to_numpy(table.ids)[mask])
            new["table"].append(np.full(len(rows), k, np.int16))
            new["post"].append(rows)
            new["source"].append(to_numpy(table.source)[mask])
        columns = {name: np.concatenate(parts) for name, parts in new.items()}
        order = np.argsort(columns["id"])
        n = len(order)
        rest = {
            "birth_step": np.full(n, step, np.int32),
            "death_step": np.full(n, ALIVE, np.int32),
            "cause": np.full(n, -1, np.int16),
            "agent": np.full(n, -1, np.int64),
            **{f"{t}_at_death": np.full(n, np.nan) for t in self.traces},
        }
        if n and len(self.connections["id"]) and columns["id"][order[0]] <= self.connections["id"][-1]:
            raise RecordError("a new connection has an id that was used before: ids must be new and ascending")
        for name, old in self.connections.items():
            added = columns[name][order] if name in columns else rest[name]
            self.connections[name] = np.concatenate([old, added.astype(old.dtype)])
        return n

    def _rows(self, ids: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.connections["id"], ids)

    def step(
        self,
        now: Now,
        decisions: Sequence[tuple[Tables, Decision]],
        after: Tables,
        measures: Mapping[str, float],
    ) -> None:
        """Write down the births and deaths of a step: each decision with the tables that it was made on.

        Raises
        ------
        RecordError
            If a connection dies twice, or births and deaths do not add up to the living.
        """
        formed = [np.zeros(table.shape, bool) for table in after]
        for _, decision in decisions:
            for mask, change in zip(formed, decision.changes, strict=True):
                if change.form is not None:
                    mask |= to_numpy(change.form)
        births = self._born(after, formed, now.step) if any(mask.any() for mask in formed) else 0
        deaths = 0
        for tables, decision in decisions:
            for table, change in zip(tables, decision.changes, strict=True):
                if change.eliminate is not None:
                    deaths += self._died(now, table, change, decision.cause)
        living = after.n_alive()
        self.steps["births"].append(births)
        self.steps["deaths"].append(deaths)
        self.steps["living"].append(living)
        self.step_measures.append(dict(measures))
        total = self.at_start + sum(self.steps["births"]) - sum(self.steps["deaths"])
        if total != living:
            raise RecordError(f"step {now.step}: births minus deaths leave {total:g} connections, but {living} live")

    def _died(self, now: Now, table: Table, change: Change, cause: str) -> int:
        gone = to_numpy(change.eliminate)
        if not gone.any():
            return 0
        rows = self._rows(to_numpy(table.ids)[gone])
        if (self.connections["death_step"][rows] != ALIVE).any():
            raise RecordError(f"step {now.step}: rule {cause!r} eliminates a connection that is dead already")
        if cause not in self.causes:
            self.causes.append(cause)
        self.connections["death_step"][rows] = now.step
        self.connections["cause"][rows] = self.causes.index(cause)
        if change.agent is not None:
            self.connections["agent"][rows] = np.broadcast_to(to_numpy(change.agent), table.shape)[gone]
        for trace in self.traces:
            if trace == "weight" or trace in table:
                self.connections[f"{trace}_at_death"][rows] = _values(table, trace)[gone]
        return len(rows)

    def snapshot(
        self,
        age: float,
        tables: Tables,
        measures: Mapping[str, float],
        spikes: tuple[np.ndarray, np.ndarray] | None,
        surroundings: Mapping[str, State],
    ) -> None:
        """Keep the network as it is at `age`: weights, traces, state of cells, measures, sampled spikes."""
        self.snapshot_ages.append(age)
        self.snapshot_measures.append(dict(measures))
        kept = {t: np.full(len(self.connections["id"]), np.nan) for t in self.traces}
        cells: dict[str, list[np.ndarray]] = {}
        for table in tables:
            alive = to_numpy(table.alive)
            rows = self._rows(to_numpy(table.ids)[alive])
            for trace in self.traces:
                if trace == "weight" or trace in table:
                    kept[trace][rows] = _values(table, trace)[alive]
            for name, value in table.traces.items():
                if tuple(value.shape) == (table.shape[0], 1):
                    cells.setdefault(name, []).append(to_numpy(value)[:, 0])
        self.snapshot_traces.append(kept)
        self.cells.append({n: np.concatenate(v) for n, v in cells.items() if len(v) == len(tables)})
        self.spikes.append(spikes if spikes is not None else (np.zeros(0, np.int64), np.zeros(0)))
        self.surroundings.append(
            {f"{name}.{key}": np.array(v) for name, s in surroundings.items() for key, v in s.items()}
        )


def _values(table: Table, trace: str) -> np.ndarray:
    return to_numpy(table.weight if trace == "weight" else table.full(trace))
