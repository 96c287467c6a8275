"""Measures and eliminations over the steps of a span of ages."""

import math
from typing import TYPE_CHECKING

import numpy as np

from neuroprune.core.errors import SpecificationError
from neuroprune.record.innervation.reading import mean, steps_between, trace_at

if TYPE_CHECKING:
    from neuroprune.record.record import Record


def decay_constant(record: "Record", measure: str, start: float, stop: float) -> float:
    """Return the time constant with which a measure approaches 1.

    Parameters
    ----------
    record : Record
    measure : str
        Measured in every step, for example ``"climbing_fibres_per_cell"``.
    start, stop : float
        Ages in days. The steps that begin at them and in between are used, as far as the measure exceeds 1.

    Returns
    -------
    float
        Days: minus the inverse slope of a line through the logarithm of what the measure exceeds 1 by. Infinite if
        that stays the same, negative if it grows, NaN if it is known in fewer than two steps.

    Raises
    ------
    SpecificationError
        If the record lacks the measure, or steps at these ages.
    """
    values = _measure(record, measure)
    used = steps_between(record, start, stop, closed=True) & (values > 1)
    if np.count_nonzero(used) < 2:
        return math.nan
    days, excess = record.development["start_age"].values[used], np.log(values[used] - 1)
    days = days - days.mean()
    slope = float(days @ (excess - excess[0]) / (days @ days))
    return -1 / slope if slope else math.inf


def step_mean(record: "Record", measure: str, start: float, stop: float) -> float:
    """Return the mean of a measure over the steps of a span of ages.

    Parameters
    ----------
    record : Record
    measure : str
        Measured in every step, for example ``"purkinje_rate"``.
    start, stop : float
        Ages in days. The steps that begin from `start` on and before `stop` are used, as far as the measure is
        defined in them.

    Returns
    -------
    float
        NaN if it is defined in none.

    Raises
    ------
    SpecificationError
        If the record lacks the measure, or steps at these ages.
    """
    values = _measure(record, measure)[steps_between(record, start, stop)]
    return mean(values[~np.isnan(values)])


def eliminated_fraction(
    record: "Record", cause: str, start: float, stop: float, trace: str | None = None, value: float | None = None
) -> float:
    """Return the fraction of the connections alive at an age that a rule has eliminated by another.

    Parameters
    ----------
    record : Record
    cause : str
        Name of the rule.
    start, stop : float
        Ages in days: of the connections alive at `start`, those eliminated in steps that begin before `stop`.
    trace : str, optional
        Take only the connections in which this trace, at the first recorded age,
    value : float, optional
        has this value.

    Returns
    -------
    float
        NaN if there are no such connections.

    Raises
    ------
    SpecificationError
        If the record lacks the rule, the trace or steps at these ages, or if one of `trace` and `value` is missing.
    """
    rules = dict.fromkeys(rule["name"] for rule in record.identity["config"].get("rules", []))
    known = [*rules, *(name for name in record.causes if name not in rules)]
    if cause not in known:
        raise SpecificationError(f"no rule {cause!r} in {record!r}: it must be one of {', '.join(known) or 'none'}")
    if (trace is None) != (value is None):
        raise SpecificationError(f"trace is {trace!r} and value is {value!r}: give both or neither")
    tolerance = 1e-6 * record.clock.step
    chosen = (record.birth_age() <= start + tolerance) & (record.death_age() > start + tolerance)
    if trace is not None:
        chosen &= trace_at(record, trace, float(record.ages[0])) == value
    connections, steps = record.connections, np.flatnonzero(steps_between(record, start, stop))
    ended = np.isin(connections["death_step"].values, steps)
    if cause not in record.causes:  # a rule of the experiment that has eliminated nothing
        return mean(0.0 * ended[chosen])
    return mean((ended & (connections["cause"].values == record.causes.index(cause)))[chosen])


def _measure(record: "Record", measure: str) -> np.ndarray:
    """Return a measure in every step, or raise SpecificationError."""
    measures = [str(name) for name in record.development.data_vars]
    if measure not in measures:
        raise SpecificationError(f"{record!r} has no measure {measure!r} (it has: {', '.join(sorted(measures))})")
    return record.development[measure].values
