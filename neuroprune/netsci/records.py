"""Networks in the records of runs: which nodes there are, and what lives at an age."""

import json
from typing import TYPE_CHECKING

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph

if TYPE_CHECKING:
    from neuroprune.record import Record


def record_nodes(record: "Record") -> tuple[int, np.ndarray, np.ndarray, tuple[str, ...]]:
    """Number the nodes of the connections of a record: cells first, then axons, which are other nodes.

    Parameters
    ----------
    record : Record

    Returns
    -------
    n : int
        Number of nodes.
    source, target : array of int64, shape (connections,)
        Node of the axon and of the cell of each connection.
    names : tuple of str, length n
        ``"cell 5"``, ``"axon 3"``; in a record of several tables the cells of each follow one another, as
        ``"<table> cell 5"``.
    """
    connections = record.connections
    table, post, axon = (connections[k].values.astype(np.int64) for k in ("table", "post", "source"))
    tables = json.loads(record.tree.attrs["tables"])
    sizes = np.array([post[table == k].max(initial=-1) + 1 for k in range(len(tables))], np.int64)
    if len(tables) == 1:  # cells that never had a connection are known by their state
        sizes[0] = max(sizes[0], record.cells.sizes.get("cell", 0))
    offset = np.cumsum(sizes) - sizes
    cells, axons = int(sizes.sum()), int(axon.max(initial=-1)) + 1
    names = [
        f"cell {i}" if len(tables) == 1 else f"{name} cell {i}"
        for name, size in zip(tables, sizes, strict=True)
        for i in range(size)
    ]
    names += [f"axon {i}" for i in range(axons)]
    return cells + axons, cells + axon, offset[table] + post, tuple(names)


def graph_of_record(record: "Record", age: float | None = None) -> Graph:
    """Make the graph of the connections that live at an age in the record of a run.

    Parameters
    ----------
    record : Record
    age : float, optional
        Days; by default the last declared age, or the end of a record without any.

    Returns
    -------
    Graph
        Cells first, then axons, as :func:`record_nodes` numbers them. Weighted at a declared age, at which weights
        were recorded: a living connection of weight 0 is no edge then. Binary at any other, and in a history.

    Raises
    ------
    GraphError
        If the age is before the start or after the end of the record.
    """
    n, source, target, names = record_nodes(record)
    clock, ages = record.clock, record.ages
    done = record.development.sizes["step"]
    end = clock.age(done)
    if age is None:
        age = float(ages[-1]) if len(ages) else end
    tolerance = 1e-6 * clock.step
    if not clock.start - tolerance <= age <= end + tolerance:
        raise GraphError(f"the record has no age {age:g}: it goes from {clock.start:g} to {end:g} days")
    alive = (record.birth_age() <= age + tolerance) & (record.death_age() > age + tolerance)
    weight = None
    declared = np.flatnonzero(np.isclose(ages, age, rtol=0, atol=tolerance))
    if declared.size:
        weight = record.snapshots["weight"].values[declared[0]]
        alive &= np.isfinite(weight)
        weight = weight[alive]
    return Graph.from_coo(source[alive], target[alive], weight, n, names=names)
