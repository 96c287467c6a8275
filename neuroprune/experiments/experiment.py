"""An experiment: a file, and conditions and overrides put on it, validated for every age before it runs."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from neuroprune.core.clock import Clock, format_age, parse_age
from neuroprune.core.errors import SpecificationError
from neuroprune.environment import Environment
from neuroprune.experiments.overrides import (
    Condition,
    Override,
    breakpoints,
    read_conditions,
    read_overrides,
)
from neuroprune.experiments.reading import Document, Parameter, Section, read_document
from neuroprune.experiments.schema import Development, default_of, fields_of, near, validate
from neuroprune.rules import Rule

DEFAULT = "default"
"""Origin of a parameter that no file sets."""


@dataclass(frozen=True)
class Stage:
    """What an experiment is made of between two ages."""

    system: BaseModel
    environment: tuple[Environment, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Source:
    """Where the value of one parameter comes from, for display.

    Parameters
    ----------
    key : str
        As an override addresses it.
    value : object
        As written, with its unit.
    origin : str
        File, condition or option that set it; ``"default"`` if nothing did.
    source, confidence, at, note : str
        See :class:`neuroprune.experiments.reading.Provenance`.
    """

    key: str
    value: Any
    origin: str
    source: str = ""
    confidence: str = ""
    at: str = ""
    note: str = ""


@dataclass(frozen=True)
class Experiment:
    """A validated experiment.

    Parameters
    ----------
    document : Document
        The file it is from.
    sections : dict of str to Section
        All parameters, defaults included, with every override that holds at all ages.
    windows : tuple of Override
        Those that hold at some ages; they act on top of the others, in order.
    conditions : tuple of str
    clock : Clock
    activity : float
        Seconds of activity sampled in each step.
    ages : tuple of float
        Ages in days at which the network is kept.
    traces : tuple of str
        Traces to keep.
    stages : tuple of (float, Stage)
        Ages in days and what holds from each on.
    """

    document: Document
    sections: dict[str, Section]
    windows: tuple[Override, ...]
    conditions: tuple[str, ...]
    clock: Clock
    activity: float
    ages: tuple[float, ...]
    traces: tuple[str, ...]
    stages: tuple[tuple[float, Stage], ...]

    @property
    def name(self) -> str:
        """Name of the file, or of the model."""
        return self.document.name

    @property
    def system_name(self) -> str:
        """Name of the system."""
        return self.sections["system"].kind

    def _stage(self, age: float) -> Stage:
        return self.stages[bisect_right([start - 1e-9 for start, _ in self.stages], age) - 1][1]

    def rules_at(self, age: float) -> tuple[Rule, ...]:
        """Return the rules at an age in days, in the order in which they act."""
        return self._stage(age).rules

    def environment_at(self, age: float) -> tuple[Environment, ...]:
        """Return the environments at an age in days."""
        return self._stage(age).environment

    def system_at(self, age: float) -> BaseModel:
        """Return the parameters of the system at an age in days: the same object while nothing changes."""
        return self._stage(age).system

    @cached_property
    def config(self) -> dict[str, Any]:
        """All that defines the experiment, as JSON can hold it: every parameter as one would write it."""
        groups: dict[str, Any] = {"environment": {}, "rules": []}
        for section in self.sections.values():
            values = section.values()
            if section.key == "system":
                groups["system"] = {"name": section.kind, **values}
            elif section.key == "development":
                groups["development"] = values
            elif section.key.startswith("environment."):
                groups["environment"][section.name] = {"kind": section.kind, **values}
            else:
                groups["rules"].append({"name": section.name, "rule": section.kind, **values})
        windows = [{"key": o.key, **o.as_table()} for o in self.windows]
        return {"experiment": self.name, "conditions": list(self.conditions), **groups, "windows": windows}

    def sources(self) -> list[Source]:
        """Return where every parameter that has a value comes from."""
        rows = []
        for section in self.sections.values():
            for name, p in section.parameters.items():
                if p.value is not None:
                    rows.append(Source(f"{section.key}.{name}", p.value, p.origin, **vars(p.provenance)))
        for o in self.windows:
            rows.append(Source(o.key, o.as_table(), o.origin, **vars(o.provenance)))
        return rows


def load_experiment(
    name_or_path: str | Path,
    *,
    conditions: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    start: str | float | None = None,
    stop: str | float | None = None,
    origin: str = "overrides",
) -> Experiment:
    """Load an experiment and validate it for all ages.

    Parameters
    ----------
    name_or_path : str or Path
        A model that comes with neuroprune, or a TOML file.
    conditions : sequence of str
        Names of conditions, put on in this order.
    overrides : mapping of str to object, optional
        Put on last. Keys such as ``"rules.tag.threshold"``; values as in TOML, so quantities are text with a
        unit. A table ``{"scale": 0.5, "from": "P7", "to": "P12"}`` scales, and holds in a window of ages.
    start, stop : age, optional
        First and last age instead of the experiment's; declared ages outside are left out.
    origin : str
        What messages call `overrides`.

    Returns
    -------
    Experiment

    Raises
    ------
    SpecificationError
        Naming file, key, value and what would be valid.

    Notes
    -----
    Overrides that hold at all ages come first: those of the file, of the conditions, then `overrides`; later
    ones win, and a scale acts on what is there. Those with a window act on top, in the same order.

    Examples
    --------
    >>> load_experiment("cerebellum", overrides={"system.purkinje_cells": 20}).system_name
    'cerebellum'
    """
    document = read_document(name_or_path)
    sections = {key: _with_defaults(section) for key, section in document.sections.items()}
    asked = [o for table, file in document.overrides for o in read_overrides(table, file, sections)]
    for condition in _find_conditions(document, conditions):
        asked += read_overrides(condition.table, f"{condition.origin} [{condition.name}]", sections)
    asked += read_overrides(overrides or {}, origin, sections)
    for override in asked:
        if not override.has_window:
            sections = override.apply(sections)
    windows = tuple(o for o in asked if o.has_window)

    sections, development, clock = _development(sections, start, stop)
    _check_names(sections)
    _check_windows(windows, clock, shortened=start is not None or stop is not None)
    return Experiment(
        document=document,
        sections=sections,
        windows=windows,
        conditions=tuple(conditions),
        clock=clock,
        activity=development.activity,
        ages=tuple(a for a in development.record if clock.start <= a <= clock.stop),
        traces=tuple(development.traces),
        stages=_stages(sections, windows),
    )


def list_conditions(name_or_path: str | Path) -> dict[str, Condition]:
    """Return the conditions that one can put on an experiment, by name."""
    return read_conditions(read_document(name_or_path).files)


def _find_conditions(document: Document, names: Sequence[str]) -> list[Condition]:
    if not names:
        return []
    known = read_conditions(document.files)
    for name in names:
        if name not in known:
            raise SpecificationError(f"unknown condition {name!r} of {document.name}: {near(name, list(known))}")
    return [known[name] for name in names]


def _with_defaults(section: Section) -> Section:
    parameters = {}
    for key, field in fields_of(section.model).items():
        if key in section.parameters:
            parameters[key] = section.parameters[key]
        elif not field.is_required():
            parameters[key] = Parameter(default_of(field), DEFAULT)
    return replace(section, parameters=parameters)


def _development(
    sections: dict[str, Section], start: str | float | None, stop: str | float | None
) -> tuple[dict[str, Section], Development, Clock]:
    section = sections["development"]
    parameters = dict(section.parameters)
    for key, age in (("from", start), ("to", stop)):
        if age is not None:
            parameters[key] = Parameter(_age_text(age, f"--{key}"), f"--{key}")
    section = replace(section, parameters=parameters)
    development = validate(Development, section.values(), section.key, section.origin_of)
    clock = _clock(development, section)
    declared = section.origin_of("record")
    for age in development.record:
        inside = clock.start <= age <= clock.stop
        # Ages that a file declares fall away when something else shortens the development, and only then.
        shortened = section.origin_of("from" if age < clock.start else "to") != declared
        if not (_on_step(clock, age) if inside else shortened):
            raise SpecificationError(
                f"{declared}: development.record has {format_age(age)}, which is no step of "
                f"{clock.step:g} days between {format_age(clock.start)} and {format_age(clock.stop)}"
            )
    return {**sections, "development": section}, development, clock


def _age_text(age: str | float, origin: str) -> str:
    try:
        return f"P{parse_age(age):.10g}"
    except SpecificationError as error:
        raise SpecificationError(f"{origin}: {error}") from None


def _clock(development: Development, section: Section) -> Clock:
    try:
        return Clock(development.start, development.stop, development.step)
    except SpecificationError as error:
        origins = dict.fromkeys(section.origin_of(key) for key in ("from", "to", "step"))
        raise SpecificationError(f"{', '.join(origins)}: {error}") from None


def _on_step(clock: Clock, age: float) -> bool:
    steps = (age - clock.start) / clock.step
    return abs(steps - round(steps)) < 1e-6


def _check_names(sections: Mapping[str, Section]) -> None:
    names: dict[str | None, Section] = {}
    for section in sections.values():
        if section.name is not None and section.name in names:
            raise SpecificationError(
                f"{section.origin}: {names[section.name].key} and {section.key} share a name: names must be unique"
            )
        names[section.name] = section


def _check_windows(windows: Sequence[Override], clock: Clock, *, shortened: bool) -> None:
    """Refuse windows in which no step begins: what is asked for there would do nothing."""
    for o in windows:
        if any(o.holds(clock.age(k)) for k in range(clock.n_steps + 1)):
            continue
        before = o.stop is not None and o.stop <= clock.start
        after = o.start is not None and o.start > clock.stop
        if not (shortened and (before or after)):  # one that --from or --to cuts off is no mistake
            raise SpecificationError(
                f"{o.origin}: {o.key}: no step of {clock.step:g} days begins in its window, "
                f"{' to '.join(o.as_table().get(edge, '...') for edge in ('from', 'to'))}"
            )


def _stages(sections: dict[str, Section], windows: Sequence[Override]) -> tuple[tuple[float, Stage], ...]:
    known: dict[tuple[bool, ...], Stage] = {}
    stages = []
    for age in breakpoints(windows):
        holding = tuple(o.holds(age) for o in windows)
        if holding not in known:
            changed = sections
            for override, holds in zip(windows, holding, strict=True):
                if holds:
                    changed = override.apply(changed)
            known[holding] = _stage(changed)
        stages.append((age, known[holding]))
    return tuple(stages)


def _stage(sections: Mapping[str, Section]) -> Stage:
    def built(prefix: str) -> tuple[Any, ...]:
        return tuple(
            validate(s.model, s.values(), s.key, s.origin_of, s.name)
            for s in sections.values()
            if s.key.partition(".")[0] == prefix
        )

    return Stage(system=built("system")[0], environment=built("environment"), rules=built("rules"))
