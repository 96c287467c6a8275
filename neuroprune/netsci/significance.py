"""Is it more than a null model explains? Means, z-scores, p-values and intervals of any statistic of a graph."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.nulls import seed_of
from neuroprune.netsci.nulls_samplers import DEFAULT_BINS, Bins, null_sampler, whole
from neuroprune.netsci.ratios import ratio

Statistic = str | Callable[[Graph], float | Mapping[str, float]]
CORRECTIONS = ("holm", "bh")
RESAMPLES = 1000
"""Bootstrap resamples of the null values behind an interval of z."""

ROUNDING = 1e-12
"""Relative difference up to which two values of a statistic are the same."""


@dataclass(frozen=True, eq=False, repr=False)
class NullTest:
    """Statistics of a graph against a null model; all arrays have one entry for each statistic.

    Parameters
    ----------
    names : tuple of str
        Statistics.
    observed, mean, sd : array of float64
        Value in the graph; mean and standard deviation (ddof 1) over the samples.
    z : array of float64
        (observed - mean) / sd; NaN where the null has no spread or a value is not defined.
    z_low, z_high : array of float64
        Bootstrap interval of z, which tells whether there are enough samples.
    p : array of float64
        Two-sided: twice the smaller of the fractions of values, the observed one among them, that are at least as large
        and at least as small; never 0. NaN where a value is not defined.
    p_adjusted : array of float64 or None
        After the correction for several statistics.
    low, high : array of float64
        Percentile interval of the null.
    values : array of float64, shape (samples, statistics)
        Value in each sample.
    null, method, moves : str, str or None, int or None
        The null model and how it was sampled.
    acceptance : float
        Fraction of attempted moves that changed a graph; NaN for independent samples.
    samples, seed : int
        ``rng=seed`` repeats the test.
    interval : float
        Coverage of the intervals.
    correction : {"holm", "bh"} or None
    """

    names: tuple[str, ...]
    observed: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    z: np.ndarray
    z_low: np.ndarray
    z_high: np.ndarray
    p: np.ndarray
    p_adjusted: np.ndarray | None
    low: np.ndarray
    high: np.ndarray
    values: np.ndarray
    null: str
    method: str | None
    moves: int | None
    acceptance: float
    samples: int
    seed: int
    interval: float
    correction: str | None

    def __getitem__(self, name: str) -> dict[str, float]:
        """Return what was found for one statistic: observed, mean, sd, z, p and the intervals."""
        if name not in self.names:
            raise GraphError(f"no statistic {name!r} in this test; there are {', '.join(self.names)}")
        k = self.names.index(name)
        columns = ("observed", "mean", "sd", "z", "z_low", "z_high", "p", "p_adjusted", "low", "high")
        found = {column: getattr(self, column) for column in columns}
        return {column: float(values[k]) for column, values in found.items() if values is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return the test as plain data, without the values of the samples; None where something is not defined."""
        about = {
            "null": self.null,
            "method": self.method,
            "moves": self.moves,
            "acceptance": self.acceptance if math.isfinite(self.acceptance) else None,
            "samples": self.samples,
            "seed": self.seed,
            "interval": self.interval,
            "correction": self.correction,
        }
        statistics = {
            name: {key: value if math.isfinite(value) else None for key, value in self[name].items()}
            for name in self.names
        }
        return {**about, "statistics": statistics}

    def __str__(self) -> str:
        width = max(len(name) for name in self.names)
        lines = [
            f"null model {self.null}, {self.samples:,} samples, seed {self.seed}",
            f"{'':{width}} {'observed':>12} {'mean':>12} {'sd':>10} {'z':>8} {'p':>8}",
        ]
        for k, name in enumerate(self.names):
            lines.append(
                f"{name:{width}} {self.observed[k]:12.6g} {self.mean[k]:12.6g} {self.sd[k]:10.4g} "
                f"{self.z[k]:8.2f} {self.p[k]:8.4f}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<NullTest of {len(self.names)} statistics, null {self.null!r}, {self.samples:,} samples>"


def null_test(
    graph: Graph,
    statistics: Statistic | Sequence[Statistic] | Mapping[str, Callable[[Graph], float]] = "triads",
    null: str = "degree",
    samples: int = 1000,
    *,
    method: str | None = None,
    moves: int | None = None,
    bins: Bins = DEFAULT_BINS,
    rng: Any = None,
    workers: int = 1,
    correction: str | None = "bh",
    interval: float = 0.95,
    progress: Callable[[int], None] | None = None,
) -> NullTest:
    """Compare statistics of a graph with those of samples from a null model.

    Parameters
    ----------
    graph : Graph
    statistics : str, callable, sequence of these, or mapping of names to callables
        Names are those of :func:`~neuroprune.netsci.measures.measure`. A callable takes a graph and returns a number,
        or a mapping of names to numbers; an infinite one counts as undefined.
    null, method, moves, bins, rng
        As for :func:`~neuroprune.netsci.nulls.randomize`.
    samples : int, default 1000
        At least 2.
    workers : int, default 1
        Threads. Neither they nor the number of samples change any sample.
    correction : {"bh", "holm"} or None
        How p-values are adjusted for the number of statistics: Benjamini & Hochberg (false discovery rate) or Holm
        (family-wise error). No p is below 2 / (samples + 1): for k statistics, Holm can find nothing at 0.05 with
        fewer than 40 k samples.
    interval : float, default 0.95
        Coverage of the intervals.
    progress : callable, optional
        Called with the number of samples done.

    Returns
    -------
    NullTest

    Raises
    ------
    GraphError
        If a name, a number or the null model makes no sense, or two statistics have one name.

    Notes
    -----
    p = min(1, 2 min(1 + #{x >= observed}, 1 + #{x <= observed}) / (N + 1)) over N samples (Davison & Hinkley 1997);
    values within rounding of the observed one count as equal to it.

    Examples
    --------
    >>> triangles = Graph.from_coo([0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3])
    >>> test = null_test(triangles, "triads", "degree", 200, rng=1)
    >>> test["triads.030C"]["observed"], test["triads.030C"]["z"] > 1
    (2.0, True)
    """
    samples, workers = whole("samples", samples, 2), whole("workers", workers)
    if correction not in (None, *CORRECTIONS):
        raise GraphError(f"correction={correction!r}: it must be one of {', '.join(CORRECTIONS)}, or None")
    if not 0 < interval < 1:
        raise GraphError(f"interval={interval!r}: a coverage is between 0 and 1")
    sampler, seed = null_sampler(graph, null, method=method, moves=moves, bins=bins), seed_of(rng)
    measures = _measures(statistics)
    first = _measured(measures, graph)
    names = tuple(first)

    def measured(index: int) -> tuple[list[float], int]:
        sample, accepted = sampler.sample(seed, index)
        found = _measured(measures, sample)
        if tuple(found) != names:
            raise GraphError(f"statistics are named {', '.join(found)} in a sample, but {', '.join(names)} before")
        return list(found.values()), accepted

    values = np.empty((samples, len(names)))
    total = 0
    with ThreadPoolExecutor(workers) as pool:
        for done, (row, accepted) in enumerate((map if workers == 1 else pool.map)(measured, range(samples))):
            values[done] = row
            total += accepted
            if progress is not None:
                progress(done + 1)
    observed = np.array(list(first.values()), np.float64)
    mean, sd = values.mean(axis=0), values.std(axis=0, ddof=1)
    sd[np.isfinite(sd) & ~_spread(values)] = 0.0
    p = p_values(observed, values)
    edges = (50 * (1 - interval), 50 * (1 + interval))
    low, high = np.percentile(values, edges, axis=0)
    z_low, z_high = _z_intervals(observed, values, edges, seed)
    return NullTest(
        names,
        observed,
        mean,
        sd,
        ratio(observed - mean, sd),
        z_low,
        z_high,
        p,
        None if correction is None else adjusted(p, correction),
        low,
        high,
        values,
        null,
        sampler.method,
        sampler.moves,
        total / (samples * sampler.proposals) if sampler.proposals else math.nan,
        samples,
        seed,
        interval,
        correction,
    )


def _measures(statistics: Any) -> list[tuple[str, Callable[[Graph], Any]]]:
    """Return name and callable of each statistic."""
    from neuroprune.netsci.measures import measure

    if isinstance(statistics, Mapping):
        chosen = list(statistics.items())
    else:
        several = [statistics] if isinstance(statistics, str) or callable(statistics) else statistics
        chosen = [(s, measure(s)) if isinstance(s, str) else (getattr(s, "__name__", "statistic"), s) for s in several]
    if not chosen:
        raise GraphError("no statistics were given: there must be at least one")
    for _, statistic in chosen:
        if not callable(statistic):
            raise GraphError(f"{statistic!r} is no statistic: it must be the name of a measure, or callable")
    return chosen


def _measured(measures: list[tuple[str, Callable[[Graph], Any]]], graph: Graph) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, statistic in measures:
        value = statistic(graph)
        for key, number in (value if isinstance(value, Mapping) else {name: value}).items():
            if key in found:
                raise GraphError(f"two statistics are called {key!r}: give them names in a mapping")
            try:
                found[key] = float(number) if math.isfinite(number) else math.nan
            except TypeError:
                kind = type(number).__name__
                raise GraphError(f"the statistic {key!r} is of type {kind}: it must be a number") from None
    return found


def p_values(observed: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return two-sided add-one p-values, see :func:`null_test`.

    Parameters
    ----------
    observed : array of float64, shape (statistics,)
    values : array of float64, shape (samples, statistics)

    Examples
    --------
    >>> p_values(np.array([3.0]), np.array([[1.0], [2.0], [2.0], [1.0]])).tolist()
    [0.4]
    """
    tolerance = ROUNDING * np.abs(observed)
    above = 1 + (values >= observed - tolerance).sum(axis=0)
    below = 1 + (values <= observed + tolerance).sum(axis=0)
    p = np.minimum(1.0, 2 * np.minimum(above, below) / (len(values) + 1))
    return np.where(np.isfinite(observed) & np.isfinite(values).all(axis=0), p, np.nan)


def _spread(values: np.ndarray) -> np.ndarray:
    """Return which statistics differ between samples by more than rounding; not those that are undefined in one."""
    low, high = values.min(axis=0), values.max(axis=0)
    return np.isfinite(low + high) & (high - low > ROUNDING * np.maximum(np.abs(low), np.abs(high)))


def _z_intervals(
    observed: np.ndarray, values: np.ndarray, edges: tuple[float, float], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bootstrap interval of each z, NaN where z is."""
    low, high = np.full((2, observed.size), np.nan)
    defined = _spread(values) & np.isfinite(observed)
    if not defined.any():
        return low, high
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2**32 - 1,)))
    samples = len(values)
    # From the mean, so that squares of large counts lose nothing.
    centre = values[:, defined].mean(axis=0)
    away = values[:, defined] - centre
    resampled = np.empty((RESAMPLES, away.shape[1]))
    rows = max(1, 2**22 // samples)
    for first in range(0, RESAMPLES, rows):
        # How often each sample is taken says all about a resample: its mean and SD follow from two products.
        count = min(rows, RESAMPLES - first)
        drawn = rng.integers(samples, size=(count, samples)) + samples * np.arange(count)[:, None]
        taken = np.bincount(drawn.ravel(), minlength=count * samples).reshape(count, samples) / samples
        mean = taken @ away
        variance = np.maximum(taken @ away**2 - mean**2, 0) * samples / (samples - 1)
        resampled[first : first + count] = ratio(observed[defined] - centre - mean, np.sqrt(variance))
    # A resample of few samples may hold one of them only and has no z.
    low[defined], high[defined] = np.nanpercentile(resampled, edges, axis=0)
    return low, high


def percentile_interval(values: np.ndarray | list[float], level: float) -> np.ndarray:
    """Return the central interval that holds a fraction of some values, along the first axis; shape (2, ...).

    Raises
    ------
    GraphError
        If the fraction is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise GraphError(f"level={level!r}: an interval has a level between 0 and 1")
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)


def adjusted(p: np.ndarray, correction: str) -> np.ndarray:
    """Return p-values adjusted for their number; undefined ones are not counted.

    Parameters
    ----------
    p : array of float64
    correction : {"holm", "bh"}

    Examples
    --------
    >>> adjusted(np.array([0.01, 0.04, np.nan]), "holm").tolist()
    [0.02, 0.04, nan]
    """
    result = np.full(p.shape, np.nan)
    defined = np.flatnonzero(np.isfinite(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    count = order.size
    if correction == "holm":
        result[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(count, 0, -1)))
    else:
        scaled = p[order] * count / np.arange(1, count + 1)
        result[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return result


def significance_profile(test: NullTest) -> np.ndarray:
    """Return the normalised significance profile of the motifs in a test.

    Parameters
    ----------
    test : NullTest
        With the statistic ``"triads"`` or ``"tetrads"``.

    Returns
    -------
    array of float64, shape (motifs,)
        z over the length of the vector of all z, undefined ones 0: comparable between networks of different size.

    Raises
    ------
    GraphError
        If the test has no motifs.

    References
    ----------
    .. [1] Milo et al. (2004) Science 303:1538.
    """
    rows = [k for k, name in enumerate(test.names) if name.startswith(("triads.", "tetrads."))]
    if not rows:
        raise GraphError("a significance profile needs a test of the statistic 'triads' or 'tetrads'")
    z = np.nan_to_num(test.z[rows])
    length = np.linalg.norm(z)
    return z / length if length else z
