"""What a run left, and the questions one usually asks of it."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroprune.core.clock import Clock, format_age
from neuroprune.record.file import read_tree, write_tree
from neuroprune.record.recorder import ALIVE

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Record:
    """What a run left.

    Parameters
    ----------
    tree : xarray.DataTree
        Groups ``connections`` (one row per connection that ever lived), ``development`` (by step), ``snapshots``
        (by age), ``cells`` and ``environment`` (their state by age) and ``spikes`` (sampled at those ages).
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
        write_tree(Path(path), self.tree)

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
    return Record(read_tree(Path(path)))
