"""Published observations: what a model is held against, and what agreement means."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from neuroprune.core.clock import format_age
from neuroprune.core.errors import SpecificationError
from neuroprune.experiments.observables import find_observable
from neuroprune.experiments.schema import near

CONTROL = "control"
"""What a file calls a run without conditions."""

Kind = Literal["fitted", "assumed", "predicted"]
KINDS: tuple[Kind, ...] = ("fitted", "assumed", "predicted")
Compare = Literal["value", "difference", "ratio", "falling", "rising"]
Confidence = Literal["read", "recalled", "derived", "assumed", "fitted"]
"""How well a number is known: the words that parameters use as well."""


def parse_conditions(value: Any) -> tuple[str, ...]:
    """Return the conditions that a file names, none for the control.

    Raises
    ------
    ValueError
        If it is no name and no list of names, one is there twice, or the control is not alone.
    """
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(f'it must be the name of a condition, a list of them, or "{CONTROL}"')
    if CONTROL in names:
        if len(names) > 1:
            raise ValueError(f'"{CONTROL}" is a run without conditions: it stands alone')
        return ()
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice: it can be put on once")
    return tuple(names)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("it must be a finite number")
    return float(value)


def _interval(value: Any) -> tuple[float, float]:
    try:
        low, high = map(_number, value)
    except (TypeError, ValueError):
        low, high = math.inf, -math.inf
    if low > high:
        raise ValueError("it must be two finite numbers [lowest, highest]; what has one bound is written min or max")
    return low, high


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("it must not be empty")
    return value


def _span(ages: Sequence[float]) -> str:
    return f"{format_age(ages[0])}–{format_age(ages[-1])}"


def _say(conditions: Sequence[str]) -> str:
    return " + ".join(name.replace("_", " ") for name in conditions) or CONTROL


Conditions = Annotated[tuple[str, ...], BeforeValidator(parse_conditions)]
Bound = Annotated[float, BeforeValidator(_number)]
Text = Annotated[str, AfterValidator(_text)]


def name_of(row: Any, part: Any) -> str:
    """Return what row and part of an observation are called together: a part that is no letter stands apart."""
    part = str(part)
    return f"{row} {part}" if len(part) > 1 or part.isdecimal() else f"{row}{part}"


@dataclass(frozen=True)
class Reading:
    """A number wanted of a run.

    Parameters
    ----------
    model : str or None
        Another model than the one that is judged.
    conditions : tuple of str
    measure : str
        Name of an observable.
    options : tuple of (str, object)
        Its options, by their Python names.
    of : str
        Name of the observation that wants it, for messages.
    """

    model: str | None
    conditions: tuple[str, ...]
    measure: str
    options: tuple[tuple[str, Any], ...]
    of: str = field(default="", compare=False)


class Observation(BaseModel):
    """A published observation and what a model has to do to agree with it.

    Parameters
    ----------
    row : int
        Number of the observation; several parts may share it.
    part : str
        Tells the parts of a row apart.
    says : str
        What the paper reports.
    condition : tuple of str
        Conditions put on the experiment; none for the control.
    model : str, optional
        Another model, whose runs take the conditions of no mode.
    measure : str
        Name of an observable.
    compare : {"value", "difference", "ratio", "falling", "rising"}
        The value itself, minus or over that of a reference run of the same seed; or the largest step against the
        direction between ages, which is accepted below 0: when every step goes the right way.
    reference : tuple of str, optional
        Conditions of the reference run; by default none.
    reference_options : mapping
        Options in which the reference differs.
    accept : (float, float), optional
        Accepted interval, bounds included; or one of them as `min` or `max`.
    kind : {"fitted", "assumed", "predicted"}
        Whether constants were chosen with it in view, or it is put in by assumption, or neither.
    source : str
        Publication or reasoning.
    confidence : {"read", "recalled", "derived", "assumed", "fitted"}
        How well the number is known.
    why : str
        Why it may fail.
    asked, asked_of_reference : tuple of dict
        Options of the observable, by their Python names: one, or one for each age.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    row: int = Field(ge=1)
    part: str = ""
    says: Text
    condition: Conditions = ()
    model: str | None = None
    measure: str
    compare: Compare = "value"
    reference: Conditions | None = None
    reference_options: dict[str, Any] = {}
    accept: Annotated[tuple[float, float], BeforeValidator(_interval)] | None = None
    min: Bound | None = None
    max: Bound | None = None
    kind: Kind
    source: Text
    confidence: Confidence
    why: str = ""
    asked: tuple[dict[str, Any], ...] = ()
    asked_of_reference: tuple[dict[str, Any], ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> "Observation":
        given = [key for key in ("accept", "min", "max") if getattr(self, key) is not None]
        if self.is_course and given:
            raise ValueError(f"compare = {self.compare!r} accepts what goes the right way: leave out {given[0]}")
        if not self.is_course and len(given) != 1:
            raise ValueError("it needs one of accept = [lowest, highest], min = ... and max = ...")
        if not self.has_reference and (self.reference is not None or self.reference_options):
            raise ValueError(f"compare = {self.compare!r} takes no reference and no reference_options")
        return self

    @property
    def name(self) -> str:
        """Row and part, such as ``9c`` or ``1 P7``."""
        return name_of(self.row, self.part)

    @property
    def is_course(self) -> bool:
        """Whether it is about the order of values at several ages."""
        return self.compare in ("falling", "rising")

    @property
    def has_reference(self) -> bool:
        """Whether it compares with another run."""
        return self.compare in ("difference", "ratio")

    @property
    def interval(self) -> tuple[float, float]:
        """Lowest and highest accepted value, perhaps infinite; of a course the bound 0 is not accepted."""
        if self.is_course:
            return -math.inf, 0.0
        low, high = self.accept or (self.min, self.max)
        return -math.inf if low is None else low, math.inf if high is None else high

    def accepts(self, value: float) -> bool:
        """Return whether a value agrees; NaN never does."""
        low, high = self.interval
        return value < high if self.is_course else low <= value <= high

    @property
    def is_share(self) -> bool:
        """Whether its value is a share, or a difference of shares."""
        return self.compare != "ratio" and find_observable(self.measure).is_share(self.asked[0])

    @property
    def setting(self) -> str:
        """What is run, and what it is compared with, such as ``"mglur1 knockout − control"``."""
        text = _say(self.condition)
        if self.has_reference:
            other = "itself" if (self.reference or ()) == self.condition else _say(self.reference or ())
            text += f" {'−' if self.compare == 'difference' else '/'} {other}"
        return f"{self.model}: {text}" if self.model else text

    @property
    def when(self) -> str:
        """The ages that it is about, the reference's last if they are others."""
        observable = find_observable(self.measure)
        ages = [age for options in self.asked for age in observable.ages(options)]
        own = _span(ages) if self.is_course or "start" in self.asked[0] else ", ".join(map(format_age, ages))
        others = [age for options in self.asked_of_reference for age in observable.ages(options)]
        return own if not others or others == ages else f"{own}; {', '.join(map(format_age, others))}"

    def readings(self, mode: tuple[str, ...]) -> tuple[Reading, ...]:
        """Return what must be read of which runs, in a mode: its own, then those of the reference."""
        runs = [(self.condition, self.asked), (self.reference or (), self.asked_of_reference)]
        before = mode if self.model is None else ()
        return tuple(
            Reading(self.model, (*before, *conditions), self.measure, tuple(options.items()), self.name)
            for conditions, asked in runs
            for options in asked
        )

    def combine(self, values: Sequence[float]) -> float:
        """Return the value that is judged from those of :meth:`readings`; NaN if one is, or a ratio has none."""
        if any(map(math.isnan, values)):
            return math.nan
        if self.is_course:
            return max((b - a if self.compare == "falling" else a - b) for a, b in pairwise(values))
        if self.compare == "difference":
            return values[0] - values[1]
        if self.compare == "ratio":
            return values[0] / values[1] if values[1] else math.nan
        return values[0]


@dataclass(frozen=True)
class Observations:
    """What a model is held against.

    Parameters
    ----------
    path : Path
        The ``validation.toml``.
    modes : mapping of str to tuple of str
        Conditions put on every run of the model, by mode; the first is the default.
    observations : tuple of Observation
    """

    path: Path
    modes: Mapping[str, tuple[str, ...]]
    observations: tuple[Observation, ...]

    def select(self, rows: Iterable[int] | None = None, modes: Iterable[str] | None = None) -> "Observations":
        """Return some rows and modes, in the order of the file.

        Raises
        ------
        SpecificationError
            Naming a row or mode that there is not.
        """
        numbers, chosen = dict.fromkeys(o.row for o in self.observations), set()
        for row in numbers if rows is None else rows:  # one by one: it may be a range that no memory holds
            if row not in numbers:
                raise SpecificationError(f"{self.path} has no row {row}: it has {', '.join(map(str, numbers))}")
            chosen.add(row)
        for mode in (modes := self.modes if modes is None else list(modes)):
            if mode not in self.modes:
                raise SpecificationError(f"{self.path} has no mode {mode!r}: {near(mode, list(self.modes))}")
        if not chosen or not modes:
            raise SpecificationError(f"{self.path}: nothing to judge: choose at least one row and one mode")
        return replace(
            self,
            modes={name: conditions for name, conditions in self.modes.items() if name in modes},
            observations=tuple(o for o in self.observations if o.row in chosen),
        )
