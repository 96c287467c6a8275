"""Inputs at recorded ages, and what became of them from one age to another."""

from typing import TYPE_CHECKING

import numpy as np

from neuroprune.core.errors import SpecificationError
from neuroprune.record.innervation.reading import (
    cell_numbers,
    check_order,
    mean,
    split_by_cell,
    trace_at,
    weights_at,
)

if TYPE_CHECKING:
    from neuroprune.record.record import Record

AT_START = -1
"""Value of ``birth_step`` of a connection that the run started with."""


def strongest_inputs(record: "Record", age: float | None = None) -> np.ndarray:
    """Return the strongest input of every cell that has one at a recorded age.

    Parameters
    ----------
    record : Record
    age : float, optional
        Days; the last recorded age by default.

    Returns
    -------
    array of int, shape (n_cells,)
        Indices into ``record.connections``, ordered by table and cell. Of equally strong inputs the oldest.

    Raises
    ------
    SpecificationError
        If nothing was recorded at that age.
    """
    if age is None:
        if not len(record.ages):
            raise SpecificationError(f"nothing was recorded in {record!r}: it has no inputs at any age")
        age = float(record.ages[-1])
    weight = weights_at(record, age)
    living = split_by_cell(cell_numbers(record), ~np.isnan(weight))
    return np.array([inputs[np.argmax(weight[inputs])] for inputs in living], np.int64)


def pair_sizes(record: "Record", age: float) -> np.ndarray:
    """Return the strength with which each connected pair of an axon and a cell is connected at a recorded age.

    Parameters
    ----------
    record : Record
    age : float
        Days.

    Returns
    -------
    array of float, shape (n_pairs,)
        Synapses per connected pair where strength counts synapses, as for climbing fibres. Connections of one pair
        are added; a pair without strength is not connected.

    Raises
    ------
    SpecificationError
        If nothing was recorded at that age.
    """
    weight = weights_at(record, age)
    living = ~np.isnan(weight)
    _, pair = np.unique(_pairs(record)[living], axis=0, return_inverse=True)
    sizes = np.bincount(pair.ravel(), weights=weight[living])
    return sizes[sizes > 0]


def inputs_per_cell(record: "Record", age: float) -> np.ndarray:
    """Return how many inputs live on each cell at a recorded age.

    Parameters
    ----------
    record : Record
    age : float
        Days.

    Returns
    -------
    array of int, shape (n_cells,)
        Of the cells that had an input at the start, ordered by table and cell.

    Raises
    ------
    SpecificationError
        If nothing was recorded at that age.
    """
    cell = cell_numbers(record)
    return _tally(record, cell, cell[~np.isnan(weights_at(record, age))])


def cells_per_axon(record: "Record", age: float) -> np.ndarray:
    """Return on how many cells each axon has an input at a recorded age.

    Parameters
    ----------
    record : Record
    age : float
        Days.

    Returns
    -------
    array of int, shape (n_axons,)
        Of the axons that had a connection at the start, in the order of their numbers.

    Raises
    ------
    SpecificationError
        If nothing was recorded at that age.
    """
    living = ~np.isnan(weights_at(record, age))
    pairs = np.unique(_pairs(record)[living], axis=0)
    return _tally(record, record.connections["source"].values, pairs[:, 0])


def cells_with_inputs(record: "Record", age: float, at_least: int) -> float:
    """Return the fraction of the cells on which at least so many inputs live at a recorded age.

    Parameters
    ----------
    record : Record
    age : float
        Days.
    at_least : int

    Returns
    -------
    float
        Of the cells that had an input at the start.

    Raises
    ------
    SpecificationError
        If nothing was recorded at that age.
    """
    return mean(inputs_per_cell(record, age) >= at_least)


def cells_with_trace(record: "Record", trace: str, age: float, at_least: int) -> float:
    """Return the fraction of the cells with at least so many living inputs of which a trace is above 0.

    Parameters
    ----------
    record : Record
    trace : str
        For example ``"dendritic"``, the synapses of a climbing fibre on the dendrite.
    age : float
        Days.
    at_least : int

    Returns
    -------
    float
        Of the cells that had an input at the start.

    Raises
    ------
    SpecificationError
        If nothing was recorded at that age, or not that trace.
    """
    cell = cell_numbers(record)
    return mean(_tally(record, cell, cell[trace_at(record, trace, age) > 0]) >= at_least)


def winner_kept(record: "Record", early: float, late: float) -> float:
    """Return the fraction of the cells whose strongest input at one age is their strongest at a later one.

    Parameters
    ----------
    record : Record
    early, late : float
        Recorded ages in days.

    Returns
    -------
    float
        Of the cells with an input at `early`. Where several are the strongest then, a cell counts with the fraction
        of these that are, alone or with others, the strongest at `late`: what one picked at random would give.

    Raises
    ------
    SpecificationError
        If nothing was recorded at one of the ages, or `late` precedes `early`.
    """
    check_order(early, late)
    cell, before, after = cell_numbers(record), weights_at(record, early), weights_at(record, late)
    living = ~np.isnan(after)
    largest = np.full(cell.max(initial=-1) + 1, -np.inf)
    np.maximum.at(largest, cell[living], after[living])
    wins = after == largest[cell]
    kept = []
    for inputs in split_by_cell(cell, ~np.isnan(before)):
        ahead = inputs[before[inputs] == before[inputs].max()]
        kept.append(float(wins[ahead].mean()))
    return mean(kept)


def rank_correlation(record: "Record", trace: str, trace_age: float, late: float) -> float:
    """Return how a trace of the inputs of a cell goes with their later strength: by rank, averaged over cells.

    Parameters
    ----------
    record : Record
    trace : str
        Name of a recorded trace, or ``"weight"``.
    trace_age, late : float
        Recorded ages in days, of the trace and of the strength. An input that is dead at `late` has strength 0.

    Returns
    -------
    float
        Mean of Spearman's coefficient over the cells with at least three inputs at `trace_age` among which both the
        trace and the later strength vary.

    Raises
    ------
    SpecificationError
        If nothing was recorded at one of the ages, or not that trace, or `late` precedes `trace_age`.

    Notes
    -----
    Inputs compete with those on the same cell, so they are ranked among them. Pooled over cells, the coefficient
    would follow differences between cells too (one fires more, another has fewer inputs), which decide between no
    two inputs.
    """
    check_order(trace_age, late)
    value, strength = trace_at(record, trace, trace_age), np.nan_to_num(weights_at(record, late))
    coefficients = []
    for inputs in split_by_cell(cell_numbers(record), ~np.isnan(value)):
        ranks = np.stack([_ranks(value[inputs]), _ranks(strength[inputs])])
        if len(inputs) >= 3 and np.ptp(ranks, axis=1).all():
            coefficients.append(float(np.corrcoef(ranks)[0, 1]))
    return mean(coefficients)


def _pairs(record: "Record") -> np.ndarray:
    """Return axon and cell of each connection."""
    return np.stack([record.connections["source"].values, cell_numbers(record)], axis=1)


def _tally(record: "Record", unit: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return how often each unit is counted, of those that had a connection at the start; `unit` by connection."""
    units = np.unique(unit[record.connections["birth_step"].values == AT_START])
    return np.bincount(counted, minlength=unit.max(initial=-1) + 1)[units]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, inverse, number = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(number) - (number - 1) / 2)[inverse]
