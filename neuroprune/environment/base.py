"""What is neither rule nor substrate: cells and signals around the network that have a life of their own."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import array_api_compat
import numpy as np
from pydantic import BaseModel, ConfigDict

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Table, Tables, namespace

State = Mapping[str, np.ndarray]
"""State of an environment: named numpy arrays, written into the record with each checkpoint."""


class Environment(BaseModel, ABC):
    """A surrounding that evolves and gives the tables traces. Parameters never change; the state is passed in.

    Parameters
    ----------
    name : str
        Name in the experiment and the record. Default: its key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    key: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    produces: ClassVar[tuple[str, ...]] = ()
    at_start: ClassVar[frozenset[str]] = frozenset()
    """Parameters that are read when development starts, and cannot change later."""

    name: str = ""

    def model_post_init(self, context: object, /) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.key)

    @abstractmethod
    def begin(self, tables: Tables, draws: Draws) -> State:
        """Return the state before the first step."""

    @abstractmethod
    def advance(
        self, state: State, tables: Tables, now: Now, draws: Draws
    ) -> tuple[State, Sequence[Mapping[str, Array]]]:
        """Return the state after the step, and the traces it gives to each table."""


def to_numpy(array: Array) -> np.ndarray:
    """Return `array` of any library as numpy, on the CPU."""
    if array_api_compat.is_torch_array(array):
        return array.detach().cpu().numpy()
    return np.asarray(array)


def like(values: np.ndarray, table: Table) -> Array:
    """Return numpy `values` as float64 in the library and on the device of `table`."""
    xp = namespace(table.ids)
    values = np.ascontiguousarray(values, dtype=np.float64)
    return xp.asarray(values, device=array_api_compat.device(table.ids))
