"""How the questions read a record: by recorded age, by cell, and by step."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuroprune.core.clock import format_age
from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    from neuroprune.record.record import Record


def place_of(record: "Record", age: float) -> int:
    """Return the place of an age among the recorded ones, or raise SpecificationError."""
    at = np.flatnonzero(np.isclose(record.ages, age, rtol=0, atol=1e-6 * record.clock.step))
    if not len(at):
        recorded = f"it must be one of {', '.join(map(format_age, record.ages))}" if len(record.ages) else "none was"
        raise SpecificationError(f"age {format_age(age)} was not recorded: {recorded}")
    return int(at[0])


def weights_at(record: "Record", age: float) -> np.ndarray:
    """Return the strength of every connection at a recorded age, NaN where it does not live."""
    at = place_of(record, age)
    return record.snapshots["weight"].values[at]


def trace_at(record: "Record", trace: str, age: float) -> np.ndarray:
    """Return a trace of every connection at a recorded age, NaN where it does not live or its table has none."""
    at, recorded = place_of(record, age), json.loads(record.tree.attrs["traces"])
    if trace not in recorded:
        raise SpecificationError(f"trace {trace!r} was not recorded: it must be one of {', '.join(recorded)}")
    values = record.snapshots[trace].values[at]
    if np.isnan(values).all() and not np.isnan(weights_at(record, age)).all():
        raise SpecificationError(f"trace {trace!r} is not known of any connection at {format_age(age)}")
    return values


def check_order(early: float, late: float) -> None:
    """Raise SpecificationError if the later of two ages comes first."""
    if late < early:
        raise SpecificationError(f"{format_age(early)} comes after {format_age(late)}: it must not")


def cell_numbers(record: "Record") -> np.ndarray:
    """Return the number of the cell of each connection: ascending by table and cell, and different in each table."""
    table, post = (record.connections[key].values.astype(np.int64) for key in ("table", "post"))
    return table * (post.max(initial=0) + 1) + post


def split_by_cell(cell: np.ndarray, chosen: np.ndarray) -> list[np.ndarray]:
    """Return the indices of the chosen connections of each cell that has any, the oldest connection first."""
    order = np.argsort(cell, kind="stable")
    order = order[chosen[order]]
    return np.split(order, np.flatnonzero(np.diff(cell[order])) + 1) if len(order) else []


def steps_between(record: "Record", start: float, stop: float, *, closed: bool = False) -> np.ndarray:
    """Return which steps begin from one age on and before another, or also at it, or raise SpecificationError."""
    age, tolerance = record.development["start_age"].values, 1e-6 * record.clock.step
    begin, end = record.clock.start, record.clock.age(len(age))
    between = (age >= start - tolerance) & (age < stop + (tolerance if closed else -tolerance))
    if not between.any() or start < begin - tolerance or stop > end + tolerance:
        raise SpecificationError(
            f"no steps from {format_age(start)} to {format_age(stop)} in the record: "
            f"it has those from {format_age(begin)} to {format_age(end)}"
        )
    return between


def mean(values: np.ndarray | Sequence[float]) -> float:
    """Return the mean, NaN of nothing."""
    return float(np.mean(values)) if len(values) else math.nan
