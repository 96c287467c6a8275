"""Data that travel with the package; the ``README.md`` beside each says where it comes from."""

import csv
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from neuroprune.datasets.connectomes import Connectome, available, describe, load
from neuroprune.datasets.published import PublishedValue, published_values

__all__ = [
    "Connectome",
    "Interval",
    "PublishedValue",
    "available",
    "climbing_fibre_course",
    "climbing_fibre_synapses_p3",
    "climbing_fibre_synapses_p7",
    "describe",
    "load",
    "published_values",
]


@dataclass(frozen=True)
class Interval:
    """An interval in which a measure of a model is accepted at an age.

    Parameters
    ----------
    age : float
        Days.
    measure : str
        Name of the measure in a record.
    low, high : float
        Bounds of the interval, both in it, in the unit of the measure.
    kind : {"fitted", "predicted", "assumed"}
        Whether the model's constants were chosen with this interval in view.
    confidence : {"read", "high", "medium", "low"}
        Whether the interval rests on a number read in a paper or, with such confidence, on one recalled.
    source : str
        What the interval was set around.
    """

    age: float
    measure: str
    low: float
    high: float
    kind: str
    confidence: str
    source: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def _lines(name: str) -> list[str]:
    return files(__name__).joinpath(name).read_text(encoding="utf-8").splitlines()


def climbing_fibre_synapses_p3() -> np.ndarray:
    """Return the synapses between climbing fibres and Purkinje cells of a mouse at P3.

    Returns
    -------
    array of int64, shape (84, 30)
        Number of synapses of each axon branch (row) on each Purkinje cell (column).

    Notes
    -----
    Counted by serial electron microscopy. A row is an axon branch inside the imaged volume, and several may
    belong to one olivary axon: the distribution of the positive entries is meaningful, their number per
    column is not. All branches touch the cell of the first column. MIT licence, (c) 2017 amwilson149.

    References
    ----------
    .. [1] Wilson et al. (2019) Cell Reports 29:2849; matrix from the repository amwilson149/Cerebellum_Code.

    Examples
    --------
    >>> counts = climbing_fibre_synapses_p3()
    >>> counts.shape, int((counts > 0).sum()), int(counts.sum())
    ((84, 30), 284, 485)
    """
    return _counts("climbing_fibre_synapses_p3.csv")


def climbing_fibre_synapses_p7() -> np.ndarray:
    """Return the synapses between climbing fibres and Purkinje cells of a mouse at P7.

    Returns
    -------
    array of int64, shape (64, 18)
        Number of synapses of each axon branch (row) on each Purkinje cell (column).

    Notes
    -----
    Counted as at P3, in another mouse; see :func:`climbing_fibre_synapses_p3` for what rows are, for the licence
    and for the reference.

    Examples
    --------
    >>> counts = climbing_fibre_synapses_p7()
    >>> counts.shape, int((counts > 0).sum()), int(counts.sum())
    ((64, 18), 253, 1482)
    """
    return _counts("climbing_fibre_synapses_p7.csv")


def _counts(name: str) -> np.ndarray:
    return np.loadtxt(_lines(name), delimiter=",", dtype=np.int64)


def climbing_fibre_course() -> list[Interval]:
    """Return the intervals accepted for the elimination of climbing fibres in the mouse, by measure and age.

    Notes
    -----
    They are set around values recalled from the literature, with medium or low confidence, and the cerebellum
    model was fitted with them in view: print them as "accepted interval", never as published values.

    Examples
    --------
    >>> [i.high for i in climbing_fibre_course() if i.measure == "climbing_fibres_per_cell" and i.age == 21]
    [1.25]
    """
    rows = csv.DictReader(_lines("climbing_fibre_course.csv"))
    return [Interval(**{**row, **{key: float(row[key]) for key in ("age", "low", "high")}}) for row in rows]
