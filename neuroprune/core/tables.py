"""Afferent tables: every postsynaptic unit is a row, every input it may have is a slot in that row.

A rule sees nothing else. Tables are immutable: a :class:`Decision` is applied with :meth:`Tables.after`, which
returns new ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

import array_api_compat

from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import Array


def namespace(array: Array):
    """Return the array-API namespace of `array`'s library."""
    return array_api_compat.array_namespace(array)


@dataclass(frozen=True)
class Table:
    """The inputs of a population of postsynaptic units.

    Parameters
    ----------
    name : str
        Name of the population or layer.
    ids : array of int64, shape (n_post, n_slots)
        Permanent id of the connection in each slot, never reused; -1 in slots that hold none (padding).
    alive : array of bool, shape (n_post, n_slots)
        Living connections.
    weight : array of float64, shape (n_post, n_slots)
        Strength, never negative, in the substrate's unit (synapses for climbing fibres, ``abs(w)`` for a layer);
        0 where dead.
    source : array of int64, shape (n_post, n_slots)
        Presynaptic unit.
    traces : mapping of str to array of float64
        Named quantities, each broadcastable to ``(n_post, n_slots)``. A per-cell quantity has shape
        ``(n_post, 1)``.
    candidates : array of bool, shape (n_post, n_slots), optional
        Dead slots whose connection may be formed. Their ids are new.

    Raises
    ------
    SpecificationError
        If shapes or types do not fit, or a slot without an id is alive.
    """

    name: str
    ids: Array
    alive: Array
    weight: Array
    source: Array
    traces: Mapping[str, Array] = field(default_factory=dict)
    candidates: Array | None = None

    def __post_init__(self) -> None:
        xp = namespace(self.ids)
        for what, dtype in (
            ("ids", xp.int64),
            ("alive", xp.bool),
            ("weight", xp.float64),
            ("source", xp.int64),
        ):
            array = getattr(self, what)
            if array.dtype != dtype or tuple(array.shape) != self.shape or len(self.shape) != 2:
                raise SpecificationError(
                    f"table {self.name!r}: {what} has type {array.dtype} and shape {tuple(array.shape)}: "
                    f"it must be {dtype} with the shape (n_post, n_slots) of ids, here {self.shape}"
                )
        for key, trace in self.traces.items():
            if not all(n in (1, m) for n, m in zip(trace.shape, self.shape, strict=False)) or trace.ndim != 2:
                raise SpecificationError(
                    f"table {self.name!r}: trace {key!r} has shape {tuple(trace.shape)}, which does not "
                    f"broadcast to {self.shape}"
                )
        if 0 not in self.shape and bool(xp.any(self.alive & (self.ids < 0))):
            raise SpecificationError(f"table {self.name!r}: a slot without an id (padding) is alive")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of slots."""
        return tuple(self.ids.shape)

    def __getitem__(self, trace: str) -> Array:
        try:
            return self.traces[trace]
        except KeyError:
            have = ", ".join(sorted(self.traces)) or "none"
            raise SpecificationError(f"table {self.name!r} has no trace {trace!r} (it has: {have})") from None

    def __contains__(self, trace: object) -> bool:
        return trace in self.traces

    def full(self, trace: str) -> Array:
        """Return a trace broadcast to the table's shape."""
        return namespace(self.ids).broadcast_to(self[trace], self.shape)

    def n_alive(self) -> int:
        """Number of living connections."""
        xp = namespace(self.ids)
        return int(xp.sum(xp.astype(self.alive, xp.int64))) if 0 not in self.shape else 0

    def with_traces(self, traces: Mapping[str, Array]) -> "Table":
        """Return the table with `traces` added or replaced."""
        return replace(self, traces={**self.traces, **traces})


@dataclass(frozen=True)
class Change:
    """What a rule decided for one table. None means unchanged.

    Parameters
    ----------
    eliminate, form : array of bool, optional
        Living inputs that go; candidates that become connections.
    weight : array of float64, optional
        New strengths.
    traces : mapping of str to array
        New values of traces, per input or per cell.
    agent : array of int64, optional
        Who removes the input in that slot (for example a microglial cell), -1 for nobody.
    """

    eliminate: Array | None = None
    form: Array | None = None
    weight: Array | None = None
    traces: Mapping[str, Array] = field(default_factory=dict)
    agent: Array | None = None


@dataclass(frozen=True)
class Decision:
    """What one rule decided for all tables, and its name as the cause."""

    cause: str
    changes: tuple[Change, ...]


class Tables(Sequence[Table]):
    """The tables of a substrate, in a fixed order. Global criteria rank across all of them."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._tables = tuple(tables)

    @overload
    def __getitem__(self, index: int) -> Table: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Table, ...]: ...
    def __getitem__(self, index: int | slice) -> Table | tuple[Table, ...]:
        return self._tables[index]

    def __len__(self) -> int:
        return len(self._tables)

    def __iter__(self) -> Iterator[Table]:
        return iter(self._tables)

    def n_alive(self) -> int:
        """Number of living connections in all tables."""
        return sum(t.n_alive() for t in self)

    def with_traces(self, traces: Sequence[Mapping[str, Array]]) -> "Tables":
        """Return the tables with one mapping of traces added to each."""
        return Tables([t.with_traces(new) for t, new in zip(self, traces, strict=True)])

    def after(self, decision: Decision) -> "Tables":
        """Return the tables as they are once `decision` is carried out.

        Raises
        ------
        SpecificationError
            If the decision eliminates what is not alive or forms what is not a candidate.
        """
        return Tables([_after(t, c, decision.cause) for t, c in zip(self, decision.changes, strict=True)])


def _after(table: Table, change: Change, cause: str) -> Table:
    xp = namespace(table.ids)
    alive, candidates = table.alive, table.candidates
    if 0 not in table.shape:
        if change.eliminate is not None:
            if bool(xp.any(change.eliminate & ~alive)):
                raise SpecificationError(f"rule {cause!r} eliminates an input of {table.name!r} that is not alive")
            alive = alive & ~change.eliminate
        if change.form is not None:
            if candidates is None or bool(xp.any(change.form & ~(candidates & ~table.alive))):
                raise SpecificationError(f"rule {cause!r} forms an input of {table.name!r} that is no candidate")
            alive = alive | change.form
            candidates = candidates & ~change.form
    weight = table.weight if change.weight is None else change.weight
    return replace(
        table,
        alive=alive,
        candidates=candidates,
        weight=xp.where(alive, weight, xp.zeros_like(weight)),
        traces={**table.traces, **change.traces},
    )


def row_max(values: Array, alive: Array) -> Array:
    """Return the largest value among the living inputs of each row, 0 where none lives.

    Parameters
    ----------
    values : array of float64, shape (n_post, n_slots)
        Not negative.
    alive : array of bool, shape (n_post, n_slots)

    Returns
    -------
    array of float64, shape (n_post, 1)
    """
    xp = namespace(values)
    if values.shape[1] == 0:
        return xp.zeros((values.shape[0], 1), dtype=values.dtype, device=array_api_compat.device(values))
    return xp.max(xp.where(alive, values, xp.zeros_like(values)), axis=1, keepdims=True)


def row_sum(values: Array, alive: Array) -> Array:
    """Return the sum over the living inputs of each row, shape (n_post, 1)."""
    xp = namespace(values)
    return xp.sum(xp.where(alive, values, xp.zeros_like(values)), axis=1, keepdims=True)


def source_sum(values: Array, table: Table) -> Array:
    """Return, for each input, the sum over the living connections of the table that come from the same source.

    Parameters
    ----------
    values : array of float64, shape (n_post, n_slots)
        Not negative.
    table : Table

    Returns
    -------
    array of float64, shape (n_post, n_slots)
        Of padding, too: it is of no meaning there.
    """
    xp = namespace(values)
    if 0 in table.shape:
        return values
    source = xp.reshape(table.source, (-1,))
    order = xp.argsort(source, stable=True)
    ordered = xp.take(source, order)
    living = xp.reshape(xp.where(table.alive, values, xp.zeros_like(values)), (-1,))
    total = xp.cumulative_sum(xp.take(living, order), include_initial=True)
    first = xp.searchsorted(ordered, source, side="left")
    beyond = xp.searchsorted(ordered, source, side="right")
    return xp.reshape(xp.take(total, beyond) - xp.take(total, first), table.shape)


def quantise(values: Array) -> Array:
    """Round float64 to 30 significant bits, so that last-bit differences between libraries vanish.

    Notes
    -----
    Veltkamp's splitting: with :math:`c = (2^{23} + 1) x`, the value :math:`c - (c - x)` is :math:`x` rounded
    to :math:`53 - 23` bits. Only one multiplication and two subtractions, so every array library agrees.
    """
    c = values * (2.0**23 + 1.0)
    return c - (c - values)
