"""How a record lies in a netCDF4 file: groups, dimensions, and the way back to a recorder."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroprune._version import __version__
from neuroprune.core.clock import Clock
from neuroprune.environment.base import State
from neuroprune.record.recorder import ALIVE, Recorder

if TYPE_CHECKING:
    import xarray as xr

FORMAT = 1
"""Version of the layout."""

Checkpoint = tuple[int, Mapping[str, np.ndarray], Mapping[str, State]]
"""Next step, state of the substrate, and state of each environment."""


def to_tree(recorder: Recorder, checkpoint: Checkpoint | None = None) -> "xr.DataTree":
    """Lay out what a recorder collected, and a checkpoint if the run goes on."""
    import xarray as xr

    ages = np.asarray(recorder.snapshot_ages)
    n_steps = len(recorder.steps["living"])
    steps = np.arange(n_steps)
    root = xr.Dataset(
        attrs={
            "neuroprune_format": FORMAT,
            "neuroprune_version": __version__,
            "system": recorder.system,
            "complete": int(checkpoint is None),
            "clock": json.dumps([recorder.clock.start, recorder.clock.stop, recorder.clock.step]),
            "tables": json.dumps(recorder.tables),
            "causes": json.dumps(recorder.causes),
            "traces": json.dumps(recorder.traces),
            "at_start": recorder.at_start,
            "identity": json.dumps(recorder.identity, sort_keys=True, default=str),
        }
    )
    connections = xr.Dataset({k: ("connection", v) for k, v in recorder.connections.items()})
    connections["death_step"].attrs["comment"] = f"{ALIVE} while alive"
    connections["birth_step"].attrs["comment"] = "-1 for connections that the run started with"
    development = xr.Dataset(
        {k: ("step", np.asarray(v, np.int64)) for k, v in recorder.steps.items()}
        | _stack(recorder.step_measures, "step"),
        coords={
            "step": steps,
            "start_age": ("step", [recorder.clock.age(int(k)) for k in steps], {"units": "days"}),
        },
    )
    n = len(recorder.connections["id"])
    snapshots = xr.Dataset(
        {
            t: (("age", "connection"), np.stack([_pad(s[t], n) for s in recorder.snapshot_traces]))
            for t in recorder.traces
            if recorder.snapshot_traces
        }
        | _stack(recorder.snapshot_measures, "age"),
        coords={"age": ("age", ages, {"units": "days"})},
    )
    groups = {"/": root, "connections": connections, "development": development, "snapshots": snapshots}
    groups["cells"] = xr.Dataset(_by_age(recorder.cells, "cell"))
    groups["environment"] = xr.Dataset(_by_age(recorder.surroundings))
    groups["spikes"] = xr.Dataset(
        {
            "unit": (
                "spike",
                np.concatenate([unit for unit, _ in recorder.spikes] or [np.zeros(0, np.int64)]),
            ),
            "time": (
                "spike",
                np.concatenate([t for _, t in recorder.spikes] or [np.zeros(0)]),
                {"units": "s"},
            ),
            "number": ("age", np.asarray([len(unit) for unit, _ in recorder.spikes], np.int64)),
        }
    )
    groups["spikes"]["number"].attrs["comment"] = "spikes sampled at each age; those of one age lie together"
    if checkpoint is not None:
        next_step, substrate, surroundings = checkpoint
        state = {"substrate": substrate, **surroundings}
        groups["checkpoint"] = _flat({f"{part}.{k}": v for part, values in state.items() for k, v in values.items()})
        groups["checkpoint"].attrs["next_step"] = next_step
    return xr.DataTree.from_dict(groups)


def from_tree(tree: "xr.DataTree", identity: Mapping[str, Any]) -> tuple[Recorder, Checkpoint]:
    """Rebuild the recorder and the checkpoint of an interrupted run."""
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
    recorder.cells = [_at_age(tree, "cells", k) for k in range(n)]
    recorder.surroundings = [_at_age(tree, "environment", k) for k in range(n)]
    spikes = tree["spikes"].to_dataset()
    ends = np.cumsum(spikes["number"].values)[:-1] if n else []
    units, times = np.split(spikes["unit"].values, ends), np.split(spikes["time"].values, ends)
    recorder.spikes = list(zip(units, times, strict=True)) if n else []
    state: dict[str, Any] = {"substrate": {}}
    for name, values in tree["checkpoint"].to_dataset().data_vars.items():
        part, _, key = str(name).partition(".")
        state.setdefault(part, {})[key] = values.values
    return recorder, (int(tree["checkpoint"].attrs["next_step"]), state.pop("substrate"), state)


def _pad(values: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([values, np.full(n - len(values), np.nan)])


def _by_age(states: Sequence[Mapping[str, np.ndarray]], dim: str | None = None) -> dict[str, tuple]:
    """Stack what every age has, in one shape, along the ages."""
    stacked = {}
    for k in states[0] if states else ():
        values = [np.asarray(s[k]) for s in states if k in s]
        if len(values) == len(states) and len({v.shape for v in values}) == 1:
            axes = [dim] if dim else [f"{k}_{axis}" for axis in range(values[0].ndim)]
            stacked[k] = (("age", *axes), np.stack(values))
    return stacked


def _stack(measures: Sequence[Mapping[str, float]], dim: str) -> dict[str, tuple[str, np.ndarray]]:
    names = dict.fromkeys(name for m in measures for name in m)
    return {n: (dim, np.asarray([m.get(n, np.nan) for m in measures], float)) for n in names}


def _flat(state: Mapping[str, np.ndarray]) -> "xr.Dataset":
    """Put arrays of any shape side by side: each has dimensions of its own."""
    import xarray as xr

    return xr.Dataset(
        {k: (tuple(f"{k}_{axis}" for axis in range(np.ndim(v))), np.asarray(v)) for k, v in state.items()}
    )


def _at_age(tree: "xr.DataTree", group: str, k: int) -> dict[str, np.ndarray]:
    return {str(name): v.values[k] for name, v in tree[group].to_dataset().data_vars.items()}


def _unstack(dataset: "xr.Dataset", but: Sequence[str]) -> list[dict[str, float]]:
    names = [str(k) for k in dataset.data_vars if k not in but]
    length = len(dataset[names[0]]) if names else len(next(iter(dataset.coords.values()), ()))
    return [{name: float(dataset[name].values[k]) for name in names} for k in range(length)]
