"""Who innervates whom: what an anatomy is made of, and the statistics of innervation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Table, Tables
from neuroprune.datasets import climbing_fibre_synapses_p3


@dataclass(frozen=True)
class Anatomy:
    """Who innervates whom before anything is pruned.

    Parameters
    ----------
    tables : Tables
        One table, a row for each cell.
    group : array of int, shape (n_axons,)
        Axons that burst together, such as those of a microband.
    latency : array of float, shape (n_axons,)
        Lasting lead or lag of each axon, in units of its SD.
    populations : mapping of str to array of bool, shape (n_axons,)
        Axons that can be silenced and stimulated by name.
    """

    tables: Tables
    group: np.ndarray
    latency: np.ndarray
    populations: Mapping[str, np.ndarray]


def innervation(table: Table, n_axons: int) -> dict[str, float]:
    """Return the statistics of who innervates whom.

    Notes
    -----
    Disparity ratio: mean over the weaker inputs of :math:`A_i / A_{max}`; disparity index: SD (ddof 1) over mean;
    both averaged over multiply innervated cells (Hashimoto & Kano 2003), with synapse counts as amplitudes.
    """
    alive, weight = np.asarray(table.alive), np.asarray(table.weight)
    count = alive.sum(axis=1)
    multi = count > 1
    total = weight.sum(axis=1)
    ratio = index = math.nan
    if multi.any():
        n, largest = count[multi], weight[multi].max(axis=1)
        ratio = float(((total[multi] / largest - 1) / (n - 1)).mean())
        mean = total[multi] / n
        squares = (np.where(alive[multi], weight[multi] - mean[:, None], 0.0) ** 2).sum(axis=1)
        index = float((np.sqrt(squares / (n - 1)) / mean).mean())
    cells = np.bincount(np.asarray(table.source)[alive], minlength=n_axons)
    dendritic = np.where(alive, np.asarray(table["dendritic"]), 0.0)
    return {
        "inputs_per_cell": float(count.mean()),
        "mono_innervated": float((count == 1).mean()),
        "disparity_ratio": ratio,
        "disparity_index": index,
        "synapses_per_input": float(weight[alive].mean()) if alive.any() else math.nan,
        "dendritic_fraction": float(dendritic.sum() / max(weight.sum(), 1.0)),
        "inputs_on_dendrite_per_cell": float((dendritic > 0).sum(axis=1).mean()),
        "cells_per_axon": float(cells.mean()),
        "axons_without_cell": float((cells == 0).mean()),
    }


def draw_synapses(alive: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return permanent ids and synapse counts of the pairs that are connected at the start.

    Notes
    -----
    Counts are drawn from those of electron microscopy at P3 (Wilson et al. 2019).
    """
    observed = climbing_fibre_synapses_p3()
    observed = observed[observed > 0]
    ids = np.where(alive, np.cumsum(alive.ravel()).reshape(alive.shape) - 1, -1).astype(np.int64)
    pick = Draws(seed, "synapses at P3", 0).uniform(ids)
    return ids, np.where(alive, observed[np.floor(pick * len(observed)).astype(int)], 0).astype(float)


def truncated_poisson(mean: float, low: int, high: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw Poisson numbers whose rate is chosen so that the mean between `low` and `high` is `mean`."""
    k = np.arange(low, high + 1)
    log_factorial = np.cumsum(np.log(np.maximum(np.arange(high + 1), 1)))[k]

    def weights(log_rate: float) -> np.ndarray:
        w = k * log_rate - log_factorial
        w = np.exp(w - w.max())
        return w / w.sum()

    if low == high:
        return np.full(n, low)
    if not low < mean < high:
        raise SpecificationError(f"a mean of {mean:g} inputs must lie between {low} and {high}")
    below, above = -20.0, 20.0
    for _ in range(60):
        middle = (below + above) / 2
        below, above = (middle, above) if (weights(middle) * k).sum() < mean else (below, middle)
    return rng.choice(k, size=n, p=weights(below))


def sheet(n: int, rows: int, spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of n cells on a sheet of so many rows, shape (n, 2), and its size, in metres."""
    cell = np.arange(n)
    return np.stack([cell // rows, cell % rows], axis=1) * spacing, np.asarray([-(-n // rows), rows]) * spacing


def draw_sources(place: np.ndarray, axon: np.ndarray, reach: float, slots: int, rng: np.random.Generator) -> np.ndarray:
    """Return `slots` different axons for each cell, drawn among those in reach; where they are too few, the nearest."""
    distance = np.linalg.norm(place[:, None] - axon[None], axis=2)
    key = np.where(distance <= reach, rng.random(distance.shape), 1.0 + distance / reach)
    return np.argsort(key, axis=1)[:, :slots].astype(np.int64)
