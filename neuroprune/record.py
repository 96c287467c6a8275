"""The file that a run leaves: every connection's life, the network at declared ages, and what made it.

One netCDF4 file per run, rewritten whole and atomically at every checkpoint. It opens in plain xarray
(``xarray.open_datatree``); :class:`Record` adds the questions one usually asks.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroprune._version import __version__
from neuroprune.core.clock import Clock, Now, format_age
from neuroprune.core.errors import NeuropruneError, RecordError
from neuroprune.core.tables import Decision, Tables
from neuroprune.environment.base import State, to_numpy

if TYPE_CHECKING:
    import xarray as xr

FORMAT = 1
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
        self, now: Now, decisions: Sequence[tuple[Tables, Decision]], after: Tables, measures: Mapping[str, float]
    ) -> None:
        """Write down the births and deaths of a step: each decision with the tables that it was made on.

        Raises
        ------
        RecordError
            If a connection dies twice, or births and deaths do not add up to the living.
        """
        births = deaths = 0
        for tables, decision in decisions:
            formed = [
                to_numpy(c.form) if c.form is not None else np.zeros(t.shape, bool)
                for t, c in zip(tables, decision.changes, strict=True)
            ]
            if any(mask.any() for mask in formed):
                births += self._born(tables, formed, now.step)
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

    def _died(self, now: Now, table, change, cause: str) -> int:
        gone = to_numpy(change.eliminate)
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
            {f"{name}_{key}": np.array(v) for name, s in surroundings.items() for key, v in s.items()}
        )

    def record(self) -> "Record":
        """Return what was collected so far."""
        return Record(self._tree())

    def _tree(self, checkpoint: "Checkpoint | None" = None) -> "xr.DataTree":
        import xarray as xr

        ages = np.asarray(self.snapshot_ages)
        n_steps = len(self.steps["living"])
        steps = np.arange(n_steps)
        root = xr.Dataset(
            attrs={
                "neuroprune_format": FORMAT,
                "neuroprune_version": __version__,
                "system": self.system,
                "complete": int(checkpoint is None),
                "clock": json.dumps([self.clock.start, self.clock.stop, self.clock.step]),
                "tables": json.dumps(self.tables),
                "causes": json.dumps(self.causes),
                "traces": json.dumps(self.traces),
                "at_start": self.at_start,
                "identity": json.dumps(self.identity, sort_keys=True, default=str),
            }
        )
        connections = xr.Dataset({k: ("connection", v) for k, v in self.connections.items()})
        connections["death_step"].attrs["comment"] = f"{ALIVE} while alive"
        connections["birth_step"].attrs["comment"] = "-1 for connections that the run started with"
        development = xr.Dataset(
            {k: ("step", np.asarray(v, np.int64)) for k, v in self.steps.items()}
            | _stack(self.step_measures, "step"),
            coords={"step": steps, "start_age": ("step", [self.clock.age(int(k)) for k in steps], {"units": "days"})},
        )
        n = len(self.connections["id"])
        snapshots = xr.Dataset(
            {
                t: (("age", "connection"), np.stack([_pad(s[t], n) for s in self.snapshot_traces]))
                for t in self.traces
                if self.snapshot_traces
            }
            | _stack(self.snapshot_measures, "age"),
            coords={"age": ("age", ages, {"units": "days"})},
        )
        groups = {"/": root, "connections": connections, "development": development, "snapshots": snapshots}
        cells = _common(self.cells)
        groups["cells"] = xr.Dataset({k: (("age", "cell"), np.stack([c[k] for c in self.cells])) for k in cells})
        for k, (unit, time) in enumerate(self.spikes):
            groups[f"spikes/{k}"] = xr.Dataset(
                {"unit": ("spike", np.asarray(unit, np.int64)), "time": ("spike", time, {"units": "s"})}
            )
        for k, state in enumerate(self.surroundings):
            groups[f"environment/{k}"] = _flat(state)
        if checkpoint is not None:
            next_step, substrate, surroundings = checkpoint
            groups["checkpoint/substrate"] = _flat(substrate)
            groups["checkpoint"] = xr.Dataset(attrs={"next_step": next_step})
            for name, state in surroundings.items():
                groups[f"checkpoint/environment/{name}"] = _flat(state)
        return xr.DataTree.from_dict(groups)


Checkpoint = tuple[int, Mapping[str, np.ndarray], Mapping[str, State]]


def _values(table, trace: str) -> np.ndarray:
    return to_numpy(table.weight if trace == "weight" else table.full(trace))


def _pad(values: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([values, np.full(n - len(values), np.nan)])


def _common(dicts: Sequence[Mapping[str, Any]]) -> list[str]:
    return [k for k in dicts[0] if all(k in d for d in dicts)] if dicts else []


def _stack(measures: Sequence[Mapping[str, float]], dim: str) -> dict[str, tuple[str, np.ndarray]]:
    names = dict.fromkeys(name for m in measures for name in m)
    return {n: (dim, np.asarray([m.get(n, np.nan) for m in measures], float)) for n in names}


def _flat(state: Mapping[str, np.ndarray]) -> "xr.Dataset":
    """Put arrays of any shape side by side: each has dimensions of its own."""
    import xarray as xr

    return xr.Dataset(
        {k: (tuple(f"{k}_{axis}" for axis in range(np.ndim(v))), np.asarray(v)) for k, v in state.items()}
    )


def _unflat(node: "xr.DataTree") -> dict[str, np.ndarray]:
    return {str(k): v.values for k, v in node.to_dataset().data_vars.items()}


def write_record(path: Path, recorder: Recorder, checkpoint: Checkpoint | None = None) -> None:
    """Write the record of a run, whole and atomically; with a checkpoint it can be resumed.

    Raises
    ------
    RecordError
        If the file cannot be written. What was at `path` before is untouched.
    """
    _write_tree(Path(path), recorder._tree(checkpoint))


def _write_tree(path: Path, tree: "xr.DataTree") -> None:
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        tree.to_netcdf(temporary, engine="h5netcdf")
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except (OSError, RuntimeError) as error:
        # h5py reports a full disk as RuntimeError as well as OSError, depending on when it flushes.
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise RecordError(f"cannot write the record {path}: {reason}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _open(path: Path) -> "xr.DataTree":
    import xarray as xr

    path = Path(path)
    if not path.is_file():
        raise RecordError(f"no record at {path}")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except NeuropruneError:
        raise
    except Exception as error:
        raise RecordError(f"cannot read {path}: not a record, or truncated ({type(error).__name__})") from error
    if tree.attrs.get("neuroprune_format") != FORMAT:
        raise RecordError(
            f"{path} has record format {tree.attrs.get('neuroprune_format')!r}: this version reads format {FORMAT}"
        )
    return tree


def read_checkpoint(
    path: Path, identity: Mapping[str, Any]
) -> tuple[int, Recorder, dict[str, np.ndarray], dict[str, State]]:
    """Return where an interrupted run stands: next step, recorder, substrate state, state of the environments.

    Raises
    ------
    RecordError
        If there is no record, the run is complete, or it has another seed, configuration or engine.
    """
    tree = _open(path)
    if tree.attrs["complete"]:
        raise RecordError(f"{path} is complete: there is nothing to resume")
    theirs = json.loads(tree.attrs["identity"])
    ours = json.loads(json.dumps(dict(identity), sort_keys=True, default=str))
    for key in ours:
        if theirs.get(key) != ours[key]:
            raise RecordError(f"{path} cannot be resumed: its {_difference(key, theirs.get(key), ours[key])}")
    recorder = object.__new__(Recorder)
    recorder.system, recorder.identity = tree.attrs["system"], dict(identity)
    recorder.clock = Clock(*json.loads(tree.attrs["clock"]))
    recorder.tables = tuple(json.loads(tree.attrs["tables"]))
    recorder.causes = json.loads(tree.attrs["causes"])
    recorder.traces = tuple(json.loads(tree.attrs["traces"]))
    recorder.at_start = int(tree.attrs["at_start"])
    recorder.connections = {str(k): v.values for k, v in tree["connections"].to_dataset().data_vars.items()}
    development = tree["development"].to_dataset()
    counts = ("births", "deaths", "living")
    recorder.steps = {k: development[k].values.tolist() for k in counts}
    recorder.step_measures = _unstack(development, counts)
    snapshots = tree["snapshots"].to_dataset()
    recorder.snapshot_ages = snapshots["age"].values.tolist()
    recorder.snapshot_measures = _unstack(snapshots, recorder.traces)
    n = len(recorder.snapshot_ages)
    recorder.snapshot_traces = [{t: snapshots[t].values[k] for t in recorder.traces} for k in range(n)]
    cells = tree["cells"].to_dataset()
    recorder.cells = [{str(c): v.values[k] for c, v in cells.data_vars.items()} for k in range(n)]
    recorder.spikes = [(tree[f"spikes/{k}/unit"].values, tree[f"spikes/{k}/time"].values) for k in range(n)]
    recorder.surroundings = [_unflat(tree[f"environment/{k}"]) for k in range(n)]
    node = tree["checkpoint"]
    surroundings = {}
    if "environment" in node.children:
        surroundings = {name: _unflat(child) for name, child in node["environment"].children.items()}
    return int(node.attrs["next_step"]), recorder, _unflat(tree["checkpoint/substrate"]), surroundings


def _unstack(dataset: "xr.Dataset", but: Sequence[str]) -> list[dict[str, float]]:
    names = [str(k) for k in dataset.data_vars if k not in but]
    length = len(dataset[names[0]]) if names else len(next(iter(dataset.coords.values()), ()))
    return [{name: float(dataset[name].values[k]) for name in names} for k in range(length)]


def _difference(key: str, theirs: Any, ours: Any) -> str:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for inner in sorted({*theirs, *ours}):
            if theirs.get(inner) != ours.get(inner):
                return _difference(f"{key}.{inner}", theirs.get(inner), ours.get(inner))
    return f"{key} is {theirs!r}, but this run's is {ours!r}"


@dataclass(frozen=True)
class Record:
    """What a run left.

    Parameters
    ----------
    tree : xarray.DataTree
        Groups ``connections`` (one row per connection that ever lived), ``development`` (by step), ``snapshots``
        (by age), ``cells``, ``spikes/<k>`` and ``environment/<k>`` (k counts snapshots).
    """

    tree: "xr.DataTree"

    @property
    def system(self) -> str:
        """Name of the system that developed."""
        return self.tree.attrs["system"]

    @property
    def complete(self) -> bool:
        """Whether the run reached its end."""
        return bool(self.tree.attrs["complete"])

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Seed, configuration and provenance."""
        return json.loads(self.tree.attrs["identity"])

    @property
    def seed(self) -> int:
        """Seed of the decisions."""
        return self.identity["seed"]

    @property
    def clock(self) -> Clock:
        """Ages and steps."""
        return Clock(*json.loads(self.tree.attrs["clock"]))

    @property
    def causes(self) -> list[str]:
        """Names of the rules that eliminated, in the order of the codes in ``connections.cause``."""
        return json.loads(self.tree.attrs["causes"])

    @property
    def connections(self) -> "xr.Dataset":
        """Every connection that ever lived: birth, death, cause, agent."""
        return self.tree["connections"].to_dataset()

    @property
    def development(self) -> "xr.Dataset":
        """Births, deaths, living connections and measures by step."""
        return self.tree["development"].to_dataset()

    @property
    def snapshots(self) -> "xr.Dataset":
        """Weights, traces and measures at the declared ages; NaN where a connection does not live."""
        return self.tree["snapshots"].to_dataset()

    @property
    def cells(self) -> "xr.Dataset":
        """State of the postsynaptic cells at the declared ages."""
        return self.tree["cells"].to_dataset()

    @property
    def ages(self) -> np.ndarray:
        """The declared ages in days."""
        return self.snapshots["age"].values

    def measures(self) -> dict[str, np.ndarray]:
        """Return the scalars measured at the declared ages, by name."""
        traces = json.loads(self.tree.attrs["traces"])
        return {str(k): v.values for k, v in self.snapshots.data_vars.items() if k not in traces}

    def birth_age(self) -> np.ndarray:
        """Return the age in days at which each connection was born, the start for those there from the start."""
        return self.clock.start + (self.connections["birth_step"].values + 1) * self.clock.step

    def death_age(self) -> np.ndarray:
        """Return the age in days at which each connection had gone, infinite while it lives."""
        step = self.connections["death_step"].values
        return np.where(step == ALIVE, np.inf, self.clock.start + (step + 1) * self.clock.step)

    def write(self, path: Path | str) -> None:
        """Write the record to a file, whole and atomically."""
        _write_tree(Path(path), self.tree)

    def decisions(self) -> bytes:
        """Return all births, deaths, causes and agents as bytes: equal in two records if all decisions were."""
        c = self.connections
        parts = [c[k].values.tobytes() for k in ("id", "post", "source", "birth_step", "death_step", "cause", "agent")]
        return b"".join([json.dumps(self.causes).encode(), *parts, self.snapshots["weight"].values.tobytes()])

    def __repr__(self) -> str:
        alive = int((self.connections["death_step"].values == ALIVE).sum())
        state = "" if self.complete else ", interrupted"
        ages = f"{format_age(self.clock.start)} to {format_age(self.ages[-1])}" if len(self.ages) else "no ages"
        return (
            f"<Record of {self.system}, seed {self.seed}, {ages}: {alive} of "
            f"{self.connections.sizes['connection']} connections alive{state}>"
        )


def open_record(path: Path | str) -> Record:
    """Open the record of a run.

    Parameters
    ----------
    path : path
        A file that a run wrote; it may be interrupted.

    Raises
    ------
    RecordError
        If there is no such file, it is no record, or it is truncated.
    """
    return Record(_open(Path(path)))
