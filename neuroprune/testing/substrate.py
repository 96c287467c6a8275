"""The simplest substrate: tables that nothing changes but rules."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neuroprune.core.clock import Now
from neuroprune.core.tables import Tables
from neuroprune.development import Activity


class TableSubstrate:
    """A substrate without dynamics: given tables, and given activity in every step.

    Parameters
    ----------
    tables : Tables
        Numpy tables; traces in them are kept, and ``dendritic`` follows what rules decide. Dead inputs are
        offered for formation in tables that have candidates.
    traces : sequence of mapping of str to array, or a sequence of such sequences
        One mapping for each table, for every step and the end of the run; or one for all of them.
    """

    name = "tables"

    def __init__(
        self,
        tables: Tables,
        traces: Sequence[Mapping[str, np.ndarray]] | Sequence[Sequence[Mapping[str, np.ndarray]]],
    ) -> None:
        self._tables = tables
        self._fixed = isinstance(traces[0], Mapping)
        self._traces: Any = traces
        self._next_id = 1 + max(int(t.ids.max(initial=-1)) for t in tables)

    @property
    def provides(self) -> frozenset[str]:
        given = self._traces if self._fixed else self._traces[0]
        offers = {"candidates"} if any(t.candidates is not None for t in self._tables) else set()
        return frozenset(offers.union(*(t.traces for t in self._tables), *given))

    def tables(self) -> Tables:
        return self._tables

    def sample(self, now: Now) -> Activity:
        offered = []
        for table in self._tables:
            if table.candidates is not None:
                candidates = ~table.alive & (table.ids >= 0)
                ids = table.ids.copy()
                ids[candidates] = self._next_id + np.arange(candidates.sum())
                self._next_id += int(candidates.sum())
                table = replace(table, ids=ids, candidates=candidates)
            offered.append(table)
        self._tables = Tables(offered)
        return Activity(traces=self._traces if self._fixed else self._traces[now.step], measures={})

    def apply(self, tables: Tables) -> None:
        self._tables = Tables(
            [
                replace(new, traces={**old.traces, **{k: new[k] for k in ("dendritic",) if k in old}})
                for old, new in zip(self._tables, tables, strict=True)
            ]
        )

    def measures(self, tables: Tables) -> Mapping[str, float]:
        return {"total_weight": sum(float(np.sum(t.weight)) for t in tables)}

    def state(self) -> dict[str, np.ndarray]:
        state = {"next_id": np.asarray(self._next_id)}
        for k, table in enumerate(self._tables):
            arrays = {"ids": table.ids, "alive": table.alive, "weight": table.weight}
            arrays |= {name: table[name] for name in ("dendritic",) if name in table}
            state |= {f"{k}_{what}": np.array(array) for what, array in arrays.items()}
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._next_id = int(state["next_id"])
        restored = []
        for k, table in enumerate(self._tables):
            fields = {what: np.array(state[f"{k}_{what}"]) for what in ("ids", "alive", "weight")}
            kept = {name: np.array(state[f"{k}_{name}"]) for name in ("dendritic",) if name in table}
            restored.append(replace(table, **fields).with_traces(kept))
        self._tables = Tables(restored)

    def provenance(self) -> dict[str, Any]:
        return {"engine": "none"}
