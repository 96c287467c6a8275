"""Observables: numbers that can be asked of a record by name, with options that are checked before it exists."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from neuroprune.core.clock import format_age
from neuroprune.core.errors import SpecificationError
from neuroprune.core.units import Age
from neuroprune.experiments.experiment import Experiment
from neuroprune.experiments.schema import near
from neuroprune.record import Record, innervation

MEASURED = {
    "total_weight",
    "climbing_fibres_per_cell",
    "inputs_per_cell",
    "mono_innervated",
    "disparity_ratio",
    "disparity_index",
    "synapses_per_input",
    "dendritic_fraction",
    "fibres_on_dendrite_per_cell",
    "inputs_on_dendrite_per_cell",
    "cells_per_axon",
    "axons_without_cell",
    "purkinje_rate",
    "climbing_fibre_rate",
    "relay_rate",
    "ganglion_rate",
    "left_eye_fraction",
    "synchrony",
}
"""Scalars that systems measure in every step and at every recorded age; each is an observable of that name.

A system of one's own adds its names, so that a wrong name is found before anything runs.
"""

SHARES = frozenset(
    {
        "mono_innervated",
        "multi_innervated",
        "dendritic_fraction",
        "axons_without_cell",
        "left_eye_fraction",
        "winner_kept",
        "cells_with_inputs",
        "cells_with_trace",
        "eliminated_fraction",
    }
)
"""Measures and observables that are shares of a whole, printed in percent."""


class Role(Enum):
    """What the value of an option must be in the experiment whose record is asked."""

    RECORDED_AGE = "an age that is recorded"
    MOMENT = "an age that is lived through"
    TRACE = "a trace that is recorded"
    CAUSE = "the name of a rule"
    MEASURE = "a scalar that is measured"


RecordedAge = Annotated[Age, Role.RECORDED_AGE]
Moment = Annotated[Age, Role.MOMENT]
TraceName = Annotated[str, Role.TRACE]
CauseName = Annotated[str, Role.CAUSE]
MeasureName = Annotated[str, Role.MEASURE]
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Observable:
    """A number that can be computed from a record.

    Parameters
    ----------
    name : str
    function : callable
        Takes a record and the options; returns a float, NaN where the number is not defined.
    options : type
        Pydantic model of the options, with the keys of TOML.
    """

    name: str
    function: Callable[..., float]
    options: type[BaseModel]

    def roles(self) -> dict[str, Role]:
        """Return what the values of its options must be in an experiment, by name of the option."""
        found = {}
        for name, field in self.options.model_fields.items():
            inner = (m for a in get_args(field.annotation) for m in getattr(a, "__metadata__", ()))
            role = next((m for m in (*field.metadata, *inner) if isinstance(m, Role)), None)
            if role is not None:
                found[name] = role
        return found

    def key(self, option: str) -> str:
        """Return what TOML calls an option."""
        return self.options.model_fields[option].alias or option

    def ages(self, options: Mapping[str, Any]) -> tuple[float, ...]:
        """Return the ages in days among the values of some options."""
        roles = self.roles()
        return tuple(v for n, v in options.items() if roles.get(n) in (Role.RECORDED_AGE, Role.MOMENT))

    def is_share(self, options: Mapping[str, Any]) -> bool:
        """Return whether its value, with these options, is a share of a whole."""
        return self.name in SHARES or (self.name in ("step_mean", "day_mean") and options["of"] in SHARES)

    def check(self, options: Mapping[str, Any], experiment: Experiment) -> None:
        """Make sure that the records of an experiment can answer.

        Raises
        ------
        SpecificationError
            Naming the option, its value and what would be valid.
        """
        names = {
            Role.TRACE: list(dict.fromkeys(["weight", *experiment.traces])),
            Role.CAUSE: [s.name or "" for s in experiment.sections.values() if s.key.startswith("rules.")],
            Role.MEASURE: sorted(MEASURED),
        }
        for option, role in self.roles().items():
            value, key = options[option], self.key(option)
            if isinstance(value, str) and value not in names[role]:
                raise SpecificationError(f"{key} = {value!r} is not {role.value}: {near(value, names[role])}")
            if isinstance(value, float):
                _check_age(key, role, value, experiment)
        self._check_pairs(options, experiment)

    def _check_pairs(self, options: Mapping[str, Any], experiment: Experiment) -> None:
        """Refuse options that make sense one by one but not together."""
        for first, last in (("start", "stop"), ("early", "late"), ("trace_age", "late")):
            if not {first, last} <= options.keys():
                continue
            begin, end = options[first], options[last]
            if begin > end or (first == "start" and begin == end):
                rule = "it must be later" if first == "start" else "it must not be earlier"
                written = f"{self.key(first)} = {format_age(begin)} and {self.key(last)} = {format_age(end)}"
                raise SpecificationError(f"{written}: {rule}")
        if "start" in options:
            _check_steps(options["start"], options["stop"], experiment)
        if {"trace", "value"} <= options.keys():
            missing = [key for key in ("trace", "value") if options[key] is None]
            if len(missing) == 1:
                raise SpecificationError(f"trace and value come together, but {missing[0]} is missing")


def _check_age(key: str, role: Role, age: float, experiment: Experiment) -> None:
    clock = experiment.clock
    if role is Role.RECORDED_AGE:
        ages = sorted({clock.start, *experiment.ages, clock.stop})
        valid, fits = ", ".join(map(format_age, ages)), any(abs(a - age) < 1e-6 for a in ages)
    else:
        valid = f"between {format_age(clock.start)} and {format_age(clock.stop)}"
        fits = clock.start - 1e-6 <= age <= clock.stop + 1e-6
    if not fits:
        raise SpecificationError(f"{key} = {format_age(age)} is not {role.value}: valid is {valid}")


def _check_steps(start: float, stop: float, experiment: Experiment) -> None:
    clock = experiment.clock
    first = max(0, math.ceil((start - clock.start) / clock.step - 1e-6))
    if first >= clock.n_steps or clock.age(first) > stop - 1e-6 * clock.step:
        raise SpecificationError(
            f"no step begins from {format_age(start)} on and before {format_age(stop)}: there is one every "
            f"{clock.step:g} days, the first at {format_age(clock.start)}"
        )


OBSERVABLES: dict[str, Observable] = {}
"""Observables that are more than a scalar that a system measures, by name."""

_KEYS = {"start": "from", "stop": "to"}

Function = TypeVar("Function", bound=Callable[..., float])


def observable(function: Function) -> Function:
    """Register a function of a record and typed options as the observable of its name."""
    OBSERVABLES[function.__name__] = _make(function.__name__, function)
    return function


def _make(name: str, function: Callable[..., float]) -> Observable:
    fields: dict[str, Any] = {}
    for option, parameter in list(inspect.signature(function).parameters.items())[1:]:
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[option] = (parameter.annotation, Field(default, alias=_KEYS.get(option)))
    strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return Observable(name, function, create_model(name, __config__=strict, **fields))


def find_observable(name: str) -> Observable:
    """Return an observable.

    Raises
    ------
    SpecificationError
        If there is none of that name.
    """
    if name in OBSERVABLES:
        return OBSERVABLES[name]
    if name not in MEASURED:
        raise SpecificationError(f"unknown measure {name!r}: {near(name, sorted({*OBSERVABLES, *MEASURED}))}")

    def scalar(record: Record, age: RecordedAge) -> float:
        return _scalar(record, name, age)

    return _make(name, scalar)


def observe(record: Record, name: str, options: Mapping[str, Any]) -> float:
    """Return the value of an observable, its options given in days and by their Python names.

    Raises
    ------
    SpecificationError
        If the record cannot answer.
    """
    if name in OBSERVABLES:
        return float(OBSERVABLES[name].function(record, **options))
    return _scalar(record, name, **options)


def _scalar(record: Record, name: str, age: float) -> float:
    measures = record.measures()
    if name not in measures:
        raise SpecificationError(f"{record!r} has no measure {name!r}: {near(name, sorted(measures))}")
    at = np.flatnonzero(np.isclose(record.ages, age, rtol=0, atol=1e-6))
    if not len(at):
        recorded = ", ".join(map(format_age, record.ages))
        raise SpecificationError(f"age {format_age(age)} was not recorded: it must be one of {recorded}")
    return float(measures[name][at[0]])


@observable
def multi_innervated(record: Record, age: RecordedAge) -> float:
    """Return the fraction of the cells on which two inputs or more live, of those that had one at the start."""
    return innervation.cells_with_inputs(record, age, 2)


@observable
def winner_kept(record: Record, early: RecordedAge, late: RecordedAge) -> float:
    """See :func:`neuroprune.record.innervation.winner_kept`."""
    return innervation.winner_kept(record, early, late)


@observable
def cells_with_inputs(record: Record, age: RecordedAge, at_least: Count) -> float:
    """See :func:`neuroprune.record.innervation.cells_with_inputs`."""
    return innervation.cells_with_inputs(record, age, at_least)


@observable
def cells_with_trace(record: Record, trace: TraceName, age: RecordedAge, at_least: Count) -> float:
    """See :func:`neuroprune.record.innervation.cells_with_trace`."""
    return innervation.cells_with_trace(record, trace, age, at_least)


@observable
def rank_correlation(record: Record, trace: TraceName, trace_age: RecordedAge, late: RecordedAge) -> float:
    """See :func:`neuroprune.record.innervation.rank_correlation`."""
    return innervation.rank_correlation(record, trace, trace_age, late)


@observable
def feedback_exponent(record: Record, start: RecordedAge, stop: RecordedAge) -> float:
    """See :func:`neuroprune.record.innervation.feedback_exponent`."""
    return innervation.feedback_exponent(record, start, stop).exponent


@observable
def decay_constant(record: Record, of: MeasureName, start: Moment, stop: Moment) -> float:
    """See :func:`neuroprune.record.innervation.decay_constant`."""
    return innervation.decay_constant(record, of, start, stop)


@observable
def step_mean(record: Record, of: MeasureName, start: Moment, stop: Moment) -> float:
    """See :func:`neuroprune.record.innervation.step_mean`."""
    return innervation.step_mean(record, of, start, stop)


@observable
def day_mean(record: Record, of: MeasureName, age: Moment) -> float:
    """Return the mean of a measure over the steps of the day that begins at an age, at the latest the last day."""
    start = max(record.clock.start, min(age, record.clock.stop - 1.0))
    return innervation.step_mean(record, of, start, min(start + 1.0, record.clock.stop))


@observable
def eliminated_fraction(
    record: Record,
    cause: CauseName,
    start: Moment,
    stop: Moment,
    trace: TraceName | None = None,
    value: float | None = None,
) -> float:
    """See :func:`neuroprune.record.innervation.eliminated_fraction`."""
    return innervation.eliminated_fraction(record, cause, start, stop, trace, value)


@observable
def preference(
    record: Record, cause: CauseName, start: Moment, stop: Moment, trace: TraceName, value: float, over: float
) -> float:
    """Return how many times more often inputs with one value of a trace were eliminated than those with another."""
    taken, spared = (innervation.eliminated_fraction(record, cause, start, stop, trace, v) for v in (value, over))
    return taken / spared if spared > 0 else float("nan")


@observable
def pair_size_mean(record: Record, age: RecordedAge) -> float:
    """Return the mean of :func:`neuroprune.record.innervation.pair_sizes`."""
    sizes = innervation.pair_sizes(record, age)
    return float(sizes.mean()) if len(sizes) else float("nan")


@observable
def pair_size_sd(record: Record, age: RecordedAge) -> float:
    """Return the standard deviation (n - 1) of :func:`neuroprune.record.innervation.pair_sizes`."""
    sizes = innervation.pair_sizes(record, age)
    return float(sizes.std(ddof=1)) if len(sizes) > 1 else float("nan")
