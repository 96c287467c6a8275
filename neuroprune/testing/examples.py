"""Random tables and rules to try things on, in any array library."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from neuroprune.core.randomness import Array
from neuroprune.core.tables import Table, Tables
from neuroprune.environment.base import to_numpy
from neuroprune.rules.base import Rule

Library = Literal["numpy", "torch", "array_api_strict"]
Weights = Literal["integers", "continuous", "last_bits"]

_PER_CELL = frozenset({"calcium", "inhibition", "retrograde", "support", "microglia", "x", "y", "z"})


def example_tables(
    needs: Iterable[str] = (),
    seed: int = 0,
    *,
    shapes: Sequence[tuple[int, int]] = ((7, 6), (5, 11)),
    weights: Weights = "integers",
) -> Tables:
    """Return random numpy tables that carry the traces a rule needs.

    Parameters
    ----------
    needs : iterable of str
        Traces to make. Those the package knows get plausible values, others are uniform in [0, 1).
    seed : int
    shapes : sequence of (int, int)
        Numbers of rows and slots of each table.
    weights : {"integers", "continuous", "last_bits"}
        Small whole numbers, with many ties; no ties; or a few values that differ in their last bits only.

    Returns
    -------
    Tables
        With padding, dead inputs, candidates, a row without living inputs and a row with a single one.
    """
    random = np.random.default_rng([seed, *map(ord, weights)])
    tables, first_id, first_source = [], 100, 0
    for k, (n_post, n_slots) in enumerate(shapes):
        shape = (n_post, n_slots)
        ids = first_id + random.permutation(n_post * n_slots).reshape(shape)
        padding = np.arange(n_slots) >= n_slots - random.integers(0, 3, size=(n_post, 1))
        alive = ~padding & (random.random(shape) < 0.7)
        alive[:1] = False
        alive[1:2] = np.arange(n_slots) == 0
        alive &= ~padding
        weight = np.where(alive, _weights(random, shape, weights), 0.0)
        tables.append(
            Table(
                name=f"table{k}",
                ids=np.where(padding, -1, ids),
                alive=alive,
                weight=weight,
                source=first_source + np.broadcast_to(np.arange(n_slots), shape).copy(),
                traces=_traces(random, tuple(needs), alive, weight),
                candidates=~alive & ~padding & (random.random(shape) < 0.7),
            )
        )
        first_id += n_post * n_slots
        first_source += n_slots
    return Tables(tables)


def _weights(random: np.random.Generator, shape: tuple[int, int], kind: Weights) -> np.ndarray:
    whole = random.integers(1, 5, shape).astype(np.float64)
    if kind == "integers":
        return whole
    if kind == "continuous":
        return random.lognormal(size=shape)
    return (whole + 0.1) * (1.0 + random.integers(0, 4, shape) * 2.0**-52)


def _traces(
    random: np.random.Generator, needs: tuple[str, ...], alive: np.ndarray, weight: np.ndarray
) -> dict[str, np.ndarray]:
    n_post = alive.shape[0]
    traces = {}
    for name in needs:
        values = random.random((n_post, 1) if name in _PER_CELL else alive.shape)
        if name == "contacts":
            values = np.floor(6 * values)
        elif name == "microglia":
            values = np.floor(5 * values)
        elif name == "dendritic":
            values = np.floor(values * weight)
        elif name in ("x", "y", "z"):
            values = 200e-6 * values
        elif name == "erdos_renyi":
            values = values[:1, :1]
        traces[name] = values
    return traces


def to_library(tables: Tables, library: Library, device: Any = None) -> Tables:
    """Return the same tables with the arrays of another library.

    Parameters
    ----------
    tables : Tables
        Of any library.
    library : {"numpy", "torch", "array_api_strict"}
    device : optional
        Where the library shall put them, for example ``"cuda"``.
    """
    xp = import_library(library)

    def convert(array: Array) -> Array:
        return xp.asarray(np.array(to_numpy(array)), device=device)

    return map_arrays(tables, lambda _, array: convert(array))


def import_library(library: Library) -> Any:
    """Return the array-API namespace of a library."""
    if library == "torch":
        import array_api_compat.torch as xp
    elif library == "array_api_strict":
        import array_api_strict as xp
    else:
        import array_api_compat.numpy as xp
    return xp


def map_arrays(tables: Tables, convert: Callable[[int, Array], Array]) -> Tables:
    """Return the tables with every array converted; the function gets the number of the table, too."""
    return Tables(
        [
            replace(
                t,
                ids=convert(k, t.ids),
                alive=convert(k, t.alive),
                weight=convert(k, t.weight),
                source=convert(k, t.source),
                traces={name: convert(k, trace) for name, trace in t.traces.items()},
                candidates=None if t.candidates is None else convert(k, t.candidates),
            )
            for k, t in enumerate(tables)
        ]
    )


def example_rule(rule: type[Rule], **parameters: Any) -> Rule:
    """Return an instance of a rule, with 0.3 for its rate and every other parameter that is required and not given.

    Raises
    ------
    AssertionError
        If the rule refuses that: give the parameter, or pass an instance to :func:`check_rule`.
    """
    required = {name: 0.3 for name, field in rule.model_fields.items() if field.is_required() or name == "rate"}
    try:
        return rule(**{**required, **parameters})
    except ValidationError as error:
        raise AssertionError(f"rule {rule.key!r} cannot be made by example, pass an instance: {error}") from error
