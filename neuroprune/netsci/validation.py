"""What graphs and histories are made from, checked: one error that names the thing, its value and what is valid."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.record.recorder import ALIVE

if TYPE_CHECKING:
    from neuroprune.netsci.graph import Graph

MAX_NODES = 100_000_000
"""Most nodes of a graph; a row pointer alone takes 8 bytes for each."""

MAX_STEPS = 1_000_000
"""Most steps of a history; counting triads takes 512 bytes for each."""


def node_numbers(what: str, values: ArrayLike) -> np.ndarray:
    """Return node numbers, or what holds no integers as an error."""
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1:
        raise GraphError(f"{what} has shape {array.shape}: it must have one axis, an entry for each edge")
    if not np.issubdtype(array.dtype, np.integer):
        raise GraphError(f"{what} holds {array.dtype}: node numbers must be integers; Graph.from_edges takes labels")
    return array


def edge_weights(values: ArrayLike, edges: int) -> np.ndarray:
    """Return finite weights as float64, one for each edge."""
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise GraphError(f"weights must be numbers: {error}") from None
    if array.shape != (edges,):
        raise GraphError(f"weight has shape {array.shape}: it must have one entry for each of {edges} edges")
    if not np.isfinite(array).all():
        e = int(np.flatnonzero(~np.isfinite(array))[0])
        raise GraphError(f"the weight of edge {e} is {array[e]}: weights must be finite")
    return array


def number_of_nodes(source: np.ndarray, target: np.ndarray, n: int | None) -> int:
    """Return `n`, or as many nodes as the numbers need."""
    low = int(min(source.min(), target.min())) if source.size else 0
    high = int(max(source.max(), target.max())) if source.size else -1
    if low < 0:
        raise GraphError(f"node {low} is negative: nodes are numbered from 0")
    if n is not None and not isinstance(n, int | np.integer):
        raise GraphError(f"n is {n!r}: the number of nodes must be an integer")
    size = high + 1 if n is None else int(n)
    if size < 0:
        raise GraphError(f"n is {size}: a graph has no negative number of nodes")
    if high >= size:
        raise GraphError(f"node {high} does not exist in a graph of {size} nodes, numbered from 0")
    if size > MAX_NODES:
        raise GraphError(
            f"a graph of {size:,} nodes is too large, the limit is {MAX_NODES:,}; "
            "where large numbers are labels of few nodes, use Graph.from_edges"
        )
    return size


def node_names(names: Sequence[str] | None, n: int) -> tuple[str, ...] | None:
    """Return unique names, one for each node."""
    if names is None:
        return None
    names = tuple(str(name) for name in names)
    if len(names) != n:
        raise GraphError(f"{len(names)} names for {n} nodes: each node needs one")
    if len(set(names)) < n:
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))
        raise GraphError(f"the name {twice!r} occurs twice: names must be unique")
    return names


def node_positions(positions: ArrayLike | None, n: int) -> np.ndarray | None:
    """Return finite positions, a row for each node."""
    if positions is None:
        return None
    array = np.array(positions, np.float64)
    if array.ndim != 2 or array.shape[0] != n or not np.isfinite(array).all():
        raise GraphError(f"positions have shape {array.shape}: they must be finite, shape ({n}, dimensions)")
    return array


def check_positive_weights(graph: "Graph", what: str) -> None:
    """Refuse a graph with a negative weight, for which `what` is not defined."""
    if graph.weight is not None and graph.arcs and graph.weight.min() < 0:
        e = int(graph.weight.argmin())
        u, v = (x if graph.names is None else graph.names[x] for x in (graph.source[e], graph.target[e]))
        raise GraphError(f"the weight of {u} -> {v} is {graph.weight[e]:g}: {what} is defined for positive weights")


def births_and_deaths(birth: ArrayLike | None, death: ArrayLike | None, lives: int) -> tuple[np.ndarray, np.ndarray]:
    """Return first step and first step after each life; -1 for one that outlives the history."""
    born = np.zeros(lives, np.int64) if birth is None else _steps_of("birth", birth, lives)
    died = np.full(lives, ALIVE) if death is None else _steps_of("death", death, lives)
    if (born < 0).any():
        e = int(np.flatnonzero(born < 0)[0])
        raise GraphError(f"the birth of life {e} is {born[e]}: steps are numbered from 0")
    wrong = (died < born) & (died != ALIVE)
    if wrong.any():
        e = int(np.flatnonzero(wrong)[0])
        raise GraphError(
            f"life {e} is born at step {born[e]} and dies at step {died[e]}: a death must not be before the birth, "
            f"and is {ALIVE} where there is none"
        )
    return born, died


def _steps_of(what: str, values: ArrayLike, lives: int) -> np.ndarray:
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise GraphError(f"{what} holds {array.dtype}: steps must be integers")
    if array.shape != (lives,):
        raise GraphError(f"{what} has shape {array.shape}: it must have one entry for each of {lives} lives")
    return array.astype(np.int64)


def number_of_steps(birth: np.ndarray, death: np.ndarray, steps: int | None) -> int:
    """Return `steps`, or as many as it takes to see the last birth and the last death."""
    if steps is None:
        steps = int(max(birth.max(initial=0), death.max(initial=0))) + 1
    elif not isinstance(steps, int | np.integer) or steps < 1:
        raise GraphError(f"steps is {steps!r}: a history has an integer number of steps, at least one")
    if steps > MAX_STEPS:
        raise GraphError(f"a history of {steps:,} steps is too long, the limit is {MAX_STEPS:,}")
    return int(steps)


def step_times(times: ArrayLike | None, steps: int) -> np.ndarray:
    """Return finite times, one for each step; by default its number."""
    if times is None:
        return np.arange(steps, dtype=np.float64)
    try:
        array = np.array(times, np.float64)
    except (TypeError, ValueError) as error:
        raise GraphError(f"times must be numbers: {error}") from None
    if array.shape != (steps,) or not np.isfinite(array).all():
        raise GraphError(f"times have shape {array.shape}: they must be finite, one for each of {steps} steps")
    return array
