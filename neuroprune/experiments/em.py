"""Pair sizes of a run beside those of an electron-microscopic reconstruction."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.clock import format_age, parse_age
from neuroprune.core.errors import SpecificationError
from neuroprune.datasets import climbing_fibre_synapses_p3, climbing_fibre_synapses_p7
from neuroprune.record import pair_sizes

if TYPE_CHECKING:
    from neuroprune.record import Record

SHIPPED = {"p3": climbing_fibre_synapses_p3, "p7": climbing_fibre_synapses_p7}
"""Matrices that travel with the package, by the names that :func:`read_connectivity` takes."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class PairSizes:
    """Sizes of the connected pairs of one sample, and what describes them.

    Parameters
    ----------
    values : array of float, shape (n_pairs,)
        Synapses per connected pair.
    """

    values: np.ndarray

    @property
    def pairs(self) -> int:
        """Number of connected pairs."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean size."""
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        """Standard deviation (ddof 1), NaN of a single pair."""
        return float(self.values.std(ddof=1)) if self.pairs > 1 else math.nan

    @property
    def quantiles(self) -> dict[str, float]:
        """Quantiles by their name, ``"5%"`` to ``"95%"``, linear between sizes."""
        return {f"{q:.0%}": float(np.quantile(self.values, q)) for q in QUANTILES}

    @property
    def max(self) -> float:
        """Largest size."""
        return float(self.values.max())


@dataclass(frozen=True)
class PairSizeComparison:
    """Pair sizes of a model and of data, and how far apart they are.

    Parameters
    ----------
    age : float
        Age of the model in days.
    shape : (int, int)
        Axons and cells of the data.
    model, data : PairSizes
    ks : float
        Two-sample Kolmogorov-Smirnov statistic, the largest difference between the distribution functions.
    ks_p : float
        Its p-value, were all pairs independent and sizes continuous.
    wasserstein : float
        Area between the distribution functions in synapses: by how much pairs would have to change on average.
    """

    age: float
    shape: tuple[int, int]
    model: PairSizes
    data: PairSizes
    ks: float
    ks_p: float
    wasserstein: float

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the samples, for JSON; what is not defined is None."""
        both: Mapping[str, PairSizes] = {"model": self.model, "data": self.data}
        return {
            "age": format_age(self.age),
            "shape": list(self.shape),
            "pairs": {side: sizes.pairs for side, sizes in both.items()},
            "mean": {side: sizes.mean for side, sizes in both.items()},
            "sd": {side: None if math.isnan(sizes.sd) else sizes.sd for side, sizes in both.items()},
            "quantiles": {side: sizes.quantiles for side, sizes in both.items()},
            "max": {side: sizes.max for side, sizes in both.items()},
            "ks": self.ks,
            "ks_p": self.ks_p,
            "wasserstein": self.wasserstein,
        }


def compare_pair_sizes(record: "Record", matrix: ArrayLike, age: str | float) -> PairSizeComparison:
    """Compare the synapses per connected pair of a run with those in a matrix of counts.

    Parameters
    ----------
    record : Record
    matrix : array_like of int, shape (n_axons, n_cells)
        Synapses of each axon on each cell; pairs with none are not connected.
    age : str or float
        A recorded age, ``"P7"`` or days.

    Returns
    -------
    PairSizeComparison

    Raises
    ------
    SpecificationError
        If the age was not recorded, no pair is connected then, or the matrix holds anything but counts, or only zeros.

    Notes
    -----
    Sizes are pooled over pairs. Pairs that share a cell or an axon are not independent, in the model as in the data:
    read p as a description, not as a test. Ties between counts make it larger than it should be.
    """
    from scipy.stats import ks_2samp, wasserstein_distance

    days = parse_age(age)
    model = pair_sizes(record, days)
    if not len(model):
        raise SpecificationError(f"no pair is connected at {format_age(days)} in {record!r}")
    counts = _check_counts(matrix)
    data = counts[counts > 0]
    distance: Any = ks_2samp(model, data)
    return PairSizeComparison(
        age=days,
        shape=(counts.shape[0], counts.shape[1]),
        model=PairSizes(model),
        data=PairSizes(data),
        ks=float(distance.statistic),
        ks_p=float(distance.pvalue),
        wasserstein=float(wasserstein_distance(model, data)),
    )


def _check_counts(matrix: ArrayLike, name: str = "the matrix of synapses") -> np.ndarray:
    """Return a matrix as floats if it is one of counts, some of them positive."""
    try:
        counts = np.asarray(matrix, float)
    except (TypeError, ValueError):
        raise SpecificationError(f"{name} has rows of different length, or text in it") from None
    if counts.ndim != 2 or not counts.size:
        raise SpecificationError(f"{name} has shape {counts.shape}: it must be (axons, cells)")
    wrong = np.argwhere(~(np.isfinite(counts) & (counts >= 0) & (counts == np.rint(counts))))
    if len(wrong):
        row, column = wrong[0]
        raise SpecificationError(
            f"{name} has {counts[row, column]:g} in row {row + 1}, column {column + 1}: it must hold counts, which are "
            "whole and not negative"
        )
    if not counts.any():
        raise SpecificationError(f"{name} has no positive entry: no pair is connected in it")
    return counts


def read_connectivity(name_or_path: str | Path) -> np.ndarray:
    """Read a matrix of synapse counts.

    Parameters
    ----------
    name_or_path : str or Path
        ``"p3"`` or ``"p7"``, in small letters or capitals, for
        :func:`neuroprune.datasets.climbing_fibre_synapses_p3` and its like, or a CSV file with a row for each axon
        and a column for each cell.

    Returns
    -------
    array of float, shape (n_axons, n_cells)

    Raises
    ------
    SpecificationError
        If there is no such matrix or file, a line has another number of cells, something in it is no count, or
        headings cannot be told from counts.

    Notes
    -----
    A first row or a first column of labels is left out. It is one if none of its cells is a number. Both are if the
    cell in their corner is empty: labels that are numbers need that. So a first row that counts from 0 or 1 beside or
    above labels in words is refused: it is more often one of headings than one of counts.
    """
    path, name = Path(name_or_path), str(name_or_path).lower()
    if name in SHIPPED:
        return SHIPPED[name]().astype(float)
    if not path.is_file():
        raise SpecificationError(f"no matrix {str(path)!r}: it must be a CSV file, or one of {', '.join(SHIPPED)}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecificationError(f"{path} cannot be read as a table of text: {error}") from None
    if not lines:
        raise SpecificationError(f"{path} is empty: a matrix has a row for each axon, a column for each cell")
    _refuse_numbered_columns(lines, path)
    first = lines[0][1]
    for line, row in lines:
        if len(row) != len(first):
            raise SpecificationError(f"{path}, line {line}: {len(row)} cells, but the first line has {len(first)}")
    top = first[0] == "" or _are_labels(first)
    left = first[0] == "" or _are_labels([row[0] for _, row in lines])
    values = [[_number(cell, path, line) for cell in row[left:]] for line, row in lines[top:]]
    if not values or not values[0]:
        raise SpecificationError(f"{path} has labels only: numbers of synapses must stand between its commas")
    return _check_counts(values, str(path))


def _refuse_numbered_columns(lines: list[tuple[int, list[str]]], path: Path) -> None:
    """Raise SpecificationError if the first row numbers the columns where labels of rows are text."""
    line, first = lines[0]
    below = [row[0] for _, row in lines[1:]]
    has_corner = _are_labels(first[:1])
    cells = first[1:] if has_corner else first
    numbers = [float(cell) if _is_number(cell) else math.nan for cell in cells]
    counted = list(range(len(cells)))
    numbered = bool(cells) and numbers in (counted, [n + 1 for n in counted])
    if numbered and (has_corner or (below and _are_labels(below))):
        raise SpecificationError(
            f"{path}, line {line}: {' to '.join(dict.fromkeys((cells[0], cells[-1])))} may number the columns or count "
            "synapses: if these are headings, leave the cell above the labels of the rows empty; if they are counts, "
            "put a line of headings in words above them"
        )


def _are_labels(cells: list[str]) -> bool:
    return not any(cell == "" or _is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # 1_000 is a number in Python alone


def _number(cell: str, path: Path, line: int) -> float:
    if not _is_number(cell):
        raise SpecificationError(f"{path}, line {line}: {cell!r} is no number of synapses")
    return float(cell)
