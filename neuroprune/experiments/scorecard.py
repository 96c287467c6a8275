"""The scorecard of a model: published observations, what its runs give instead, and whether the two agree."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuroprune.experiments.observations import KINDS, Observation

LEAST_INSIDE = 0.8
"""Share of the seeds whose value must be accepted, besides the mean: 4 of 5."""


@dataclass(frozen=True)
class Judgement:
    """One observation in one mode.

    Parameters
    ----------
    observation : Observation
    mode : str
    values : tuple of float
        One for each seed, NaN where the observable is not defined.
    """

    observation: Observation
    mode: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds, NaN if the value of any is."""
        return math.nan if any(map(math.isnan, self.values)) else statistics.fmean(self.values)

    @property
    def sd(self) -> float:
        """Standard deviation over seeds (n - 1), NaN for a single one."""
        finite = all(map(math.isfinite, self.values))
        return statistics.stdev(self.values) if finite and len(self.values) > 1 else math.nan

    @property
    def inside(self) -> int:
        """Number of seeds whose value is accepted."""
        return sum(map(self.observation.accepts, self.values))

    @property
    def undefined(self) -> int:
        """Number of seeds that have no value."""
        return sum(map(math.isnan, self.values))

    @property
    def holds(self) -> bool:
        """Whether the mean is accepted, and the value of at least 4 of 5 seeds."""
        enough = self.inside >= LEAST_INSIDE * len(self.values) - 1e-9
        return self.observation.accepts(self.mean) and enough

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it, with null for what is not defined."""
        o = self.observation
        low, high = map(_finite, o.interval)
        return {
            "row": o.row,
            "part": o.part,
            "mode": self.mode,
            "says": o.says,
            "model": o.model,
            "condition": list(o.condition),
            "measure": o.measure,
            "compare": o.compare,
            "reference": list(o.reference or ()) if o.has_reference else None,
            "ages": o.when,
            "accepted": [low, high],
            "values": [_finite(v) for v in self.values],
            "mean": _finite(self.mean),
            "sd": _finite(self.sd),
            "inside": self.inside,
            "holds": self.holds,
            "kind": o.kind,
            "source": o.source,
            "confidence": o.confidence,
            "why": o.why,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Row:
    """The parts of a published observation in one mode; it holds when all of them do."""

    number: int
    judgements: tuple[Judgement, ...]

    @property
    def holds(self) -> bool:
        """Whether all parts hold."""
        return all(j.holds for j in self.judgements)


@dataclass(frozen=True)
class Tally:
    """How many observations, and rows, hold of how many."""

    holding: int
    total: int
    rows_holding: int
    rows: int


@dataclass(frozen=True)
class Scorecard:
    """A model held against published observations.

    Parameters
    ----------
    model, version : str
        Name of the model, and the version of neuroprune.
    seeds : tuple of int
    modes : tuple of str
        The first is the default mode.
    judgements : tuple of Judgement
        By mode, then in the order of the file.
    runs_made, runs_reused : int
        Runs that were simulated (at least in part), and those whose records were complete already.
    seconds : float
        Wall time.
    engines : tuple of dict
        How runs were simulated, each way once.
    """

    model: str
    version: str
    seeds: tuple[int, ...]
    modes: tuple[str, ...]
    judgements: tuple[Judgement, ...]
    runs_made: int
    runs_reused: int
    seconds: float
    engines: tuple[Mapping[str, Any], ...]

    def judged(self, mode: str | None = None) -> tuple[Judgement, ...]:
        """Return the judgements of a mode, of the default mode if none is named."""
        return tuple(j for j in self.judgements if j.mode == (mode or self.modes[0]))

    def rows(self, mode: str | None = None) -> tuple[Row, ...]:
        """Return the rows of a mode, of the default mode if none is named."""
        return _rows(self.judged(mode))

    def counts(self, mode: str | None = None) -> dict[str, Tally]:
        """Return how many observations and rows hold, for each kind and for ``"all"``.

        Notes
        -----
        A row whose parts are of several kinds counts for each of them with the parts of that kind, so that rows
        of all kinds may be more than there are rows.
        """
        judged = self.judged(mode)
        kinds: dict[str, Sequence[Judgement]] = {
            kind: [j for j in judged if j.observation.kind == kind] for kind in KINDS
        }
        return {kind: _tally(parts) for kind, parts in {**kinds, "all": judged}.items()}

    @property
    def acceptable(self) -> bool:
        """Whether all that is fitted or assumed holds in the default mode. Predictions do not matter here."""
        return all(j.holds for j in self.judged() if j.observation.kind != "predicted")

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        return {
            "model": self.model,
            "version": self.version,
            "seeds": list(self.seeds),
            "modes": list(self.modes),
            "observations": [j.as_dict() for j in self.judgements],
            "rows": [{"row": r.number, "mode": m, "holds": r.holds} for m in self.modes for r in self.rows(m)],
            "counts": {m: {kind: vars(tally) for kind, tally in self.counts(m).items()} for m in self.modes},
            "acceptable": self.acceptable,
            "runs": {"made": self.runs_made, "reused": self.runs_reused},
            "seconds": self.seconds,
            "engines": [dict(engine) for engine in self.engines],
        }


def _rows(judged: Iterable[Judgement]) -> tuple[Row, ...]:
    parts: dict[int, list[Judgement]] = {}
    for judgement in judged:
        parts.setdefault(judgement.observation.row, []).append(judgement)
    return tuple(Row(number, tuple(parts[number])) for number in sorted(parts))


def _tally(judged: Sequence[Judgement]) -> Tally:
    rows = _rows(judged)
    return Tally(sum(j.holds for j in judged), len(judged), sum(r.holds for r in rows), len(rows))
