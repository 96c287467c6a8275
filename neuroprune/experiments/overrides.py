"""Overrides: a parameter replaced or scaled, at all ages or some. Conditions are named sets of them."""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from neuroprune.core.clock import format_age, parse_age
from neuroprune.core.errors import SpecificationError
from neuroprune.experiments.reading import NOTES, Parameter, Provenance, Section, read_provenance, read_toml
from neuroprune.experiments.schema import fields_of, near
from neuroprune.experiments.vocabulary import VERBS, spell_out

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Override:
    """A change of one parameter.

    Parameters
    ----------
    section, parameter : str
        For example ``"rules.tag"`` and ``"threshold"``.
    operation : {"value", "scale"}
    operand : object
        The new value, or the factor.
    origin : str
        File, condition or option that asks for it.
    start, stop : float or None
        Ages in days between which it holds; `start` is included, `stop` is not.
    provenance : Provenance
    """

    section: str
    parameter: str
    operation: Literal["value", "scale"]
    operand: Any
    origin: str
    start: float | None = None
    stop: float | None = None
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def key(self) -> str:
        """The key that addresses the parameter."""
        return f"{self.section}.{self.parameter}"

    @property
    def has_window(self) -> bool:
        """Whether it holds at some ages only."""
        return self.start is not None or self.stop is not None

    def holds(self, age: float) -> bool:
        """Return whether it holds at an age in days."""
        after = self.start is None or age >= self.start - 1e-9
        return after and (self.stop is None or age < self.stop - 1e-9)

    def as_table(self) -> dict[str, Any]:
        """Return it as TOML would say it."""
        table: dict[str, Any] = {self.operation: self.operand}
        if self.start is not None:
            table["from"] = format_age(self.start)
        if self.stop is not None:
            table["to"] = format_age(self.stop)
        return table

    def apply(self, sections: Mapping[str, Section]) -> dict[str, Section]:
        """Return the sections with the parameter changed.

        Raises
        ------
        SpecificationError
            If the value cannot be scaled.
        """
        section = sections[self.section]
        old = section.parameters.get(self.parameter, Parameter(None, section.origin))
        if self.operation == "value":
            changed = Parameter(self.operand, self.origin, self.provenance)
        else:
            try:
                value = scale(old.value, self.operand)
            except ValueError as error:
                raise SpecificationError(f"{self.origin}: {self.key} cannot be scaled: {error}") from None
            changed = Parameter(value, f"{old.origin}, scaled by {self.origin}", old.provenance)
        parameters = {**section.parameters, self.parameter: changed}
        return {**sections, self.section: replace(section, parameters=parameters)}


def scale(value: Any, factor: float) -> Any:
    """Multiply a value as written: a number, text with a unit, or a list of ``[age, quantity]`` pairs.

    Raises
    ------
    ValueError
        If the value is none of these.

    Examples
    --------
    >>> scale("0.5 / day", 0.5), scale([["P3", "2 nS"], ["P9", "4 nS"]], 2)
    ('0.25 / day', [['P3', '4.0 nS'], ['P9', '8.0 nS']])
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        product = value * factor
        return int(product) if isinstance(value, int) and float(product).is_integer() else product
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        # A sum such as "1 s + 2 ms" is no single number before a unit.
        if match is None or re.search(r"\s[+-]|[+-]\s", match[2]):
            raise ValueError(f"{json.dumps(value, ensure_ascii=False)} is not one number and a unit")
        return f"{float(match[1]) * factor!r}{match[2]}"
    if isinstance(value, list) and value and all(isinstance(p, list) and len(p) == 2 for p in value):
        return [[age, scale(quantity, factor)] for age, quantity in value]
    if value is None:
        raise ValueError("it is not set")
    raise ValueError(f"{json.dumps(value, default=str)} is not a number, a quantity, or a list of [age, quantity]")


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return key and value of ``key=value``; the value is TOML, and text that is no TOML stands for itself.

    Raises
    ------
    SpecificationError
        If there is no ``=``.

    Examples
    --------
    >>> parse_assignment("rules.growth.rate=0.3 / day")
    ('rules.growth.rate', '0.3 / day')
    >>> parse_assignment("rules.growth.rate={scale=0.5, from='P7'}")
    ('rules.growth.rate', {'scale': 0.5, 'from': 'P7'})
    """
    key, sign, value = (part.strip() for part in text.partition("="))
    if not sign or not key or not value:
        raise SpecificationError(f'--set {text}: write it like --set rules.tag.threshold=0.3 or --set "key=5 ms"')
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        if value[0] in "{[":
            raise SpecificationError(f"--set {text}: {value} is not valid TOML") from None
        return key, value
    # A date, or "1\nother = 2", is valid TOML and means its text here.
    simple = set(parsed) == {"value"} and isinstance(parsed["value"], (bool, int, float, str, list, dict))
    return key, parsed["value"] if simple else value


def parse_assignments(texts: Sequence[str]) -> dict[str, Any]:
    """Return a table of overrides from several ``key=value``; a key that comes twice gets both, in order.

    Raises
    ------
    SpecificationError
        If one has no ``=``.
    """
    tables: dict[str, list[Any]] = {}
    for key, value in map(parse_assignment, texts):
        tables.setdefault(key, []).append(value if isinstance(value, dict) else {"value": value})
    return dict(tables)


def read_overrides(table: Mapping[str, Any], origin: str, sections: Mapping[str, Section]) -> list[Override]:
    """Return the overrides in a table, checked against the parameters that exist.

    Parameters
    ----------
    table : mapping
        Keys such as ``"rules.tag.threshold"`` (quoted, or as nested tables) and, as values, a new value, a
        table ``{value = ...}`` or ``{scale = ...}`` with optional ``from`` and ``to``, or a list of such; and the
        verbs of :func:`neuroprune.experiments.vocabulary.spell_out`.
    origin : str
        For messages.
    sections : mapping of str to Section

    Raises
    ------
    SpecificationError
        Naming the key and those that are valid.
    """
    found = []
    for key, written in _flat(spell_out(table, origin, sections)):
        section, parameter = _target(key, origin, sections)
        several = isinstance(written, list) and written and all(isinstance(w, dict) for w in written)
        for one in written if several else [written]:
            override = _read_one(one, section, parameter, origin)
            if override.has_window and parameter in getattr(sections[section].model, "at_start", ()):
                raise SpecificationError(f"{origin}: {key} is read at the start only: leave out from and to")
            found.append(override)
    return found


def _flat(pending: list[tuple[str, Any]]) -> Iterable[tuple[str, Any]]:
    """Yield keys with dots; nested tables are what unquoted keys with dots become."""
    depth = {"system": 2, "development": 2, "environment": 3, "rules": 3}
    while pending:
        key, value = pending.pop(0)
        if isinstance(value, dict) and len(key.split(".")) < depth.get(key.split(".")[0], 1):
            pending[:0] = [(f"{key}.{inner}", v) for inner, v in value.items()]
        else:
            yield key, value


def _target(key: str, origin: str, sections: Mapping[str, Section]) -> tuple[str, str]:
    section, _, parameter = key.rpartition(".")
    if section in sections:
        valid = list(fields_of(sections[section].model))
        if parameter not in valid:
            raise SpecificationError(f"{origin}: unknown parameter {key}: {near(parameter, valid)}")
        return section, parameter
    head, _, name = section.partition(".")
    siblings = [s.partition(".")[2] for s in sections if s.startswith(f"{head}.")]
    if name and siblings:
        what = "rule" if head == "rules" else head
        raise SpecificationError(f"{origin}: {key}: there is no {what} {name!r} here: {near(name, siblings)}")
    raise SpecificationError(
        f"{origin}: unknown key {key!r}: it must be system.<parameter>, development.<parameter>, "
        f"rules.<name>.<parameter>, environment.<name>.<parameter>, or one of {', '.join(VERBS)} alone"
    )


def _read_one(written: Any, section: str, parameter: str, origin: str) -> Override:
    key = f"{section}.{parameter}"
    if not isinstance(written, dict):
        return Override(section, parameter, "value", written, origin)
    operations = [name for name in ("value", "scale") if name in written]
    if len(operations) != 1:
        raise SpecificationError(f"{origin}: {key} must have either value = ... or scale = ...")
    notes = {k: v for k, v in written.items() if k not in ("value", "scale", "from", "to")}
    for name in notes:
        if name not in NOTES:
            valid = ["value", "scale", "from", "to", *NOTES]
            raise SpecificationError(f"{origin}: {key}: unknown key {name}: {near(name, valid)}")
    operand = written[operations[0]]
    if operations == ["scale"]:
        is_number = isinstance(operand, (int, float)) and not isinstance(operand, bool)
        if not is_number or not math.isfinite(operand):
            raise SpecificationError(f"{origin}: {key}: scale = {operand!r}: it must be a number without a unit")
    edges: dict[str, float | None] = {"from": None, "to": None}
    for edge in edges:
        if edge in written:
            if not isinstance(written[edge], str):
                raise SpecificationError(f'{origin}: {key}: {edge} = {written[edge]!r}: write an age like "P7"')
            try:
                edges[edge] = parse_age(written[edge])
            except SpecificationError as error:
                raise SpecificationError(f"{origin}: {key}: {edge}: {error}") from None
    start, stop = edges["from"], edges["to"]
    if start is not None and stop is not None and stop <= start:
        raise SpecificationError(f"{origin}: {key}: its window ends at {format_age(stop)} before it starts")
    if section == "development" and (start is not None or stop is not None):
        raise SpecificationError(f"{origin}: {key} cannot change with age: leave out from and to")
    operation: Literal["value", "scale"] = "value" if operations == ["value"] else "scale"
    return Override(section, parameter, operation, operand, origin, start, stop, read_provenance(notes, key, origin))


def breakpoints(overrides: Iterable[Override]) -> list[float]:
    """Return the first age of every interval in which the same overrides hold, from minus infinity on."""
    edges = {edge for o in overrides for edge in (o.start, o.stop) if edge is not None}
    return [-math.inf, *sorted(edges)]


@dataclass(frozen=True)
class Condition:
    """A named set of overrides, such as a knock-out.

    Parameters
    ----------
    name, description : str
    origin : Path
    table : mapping
        Overrides as written.
    """

    name: str
    description: str
    origin: Path
    table: Mapping[str, Any]


def read_conditions(files: Sequence[Path]) -> dict[str, Condition]:
    """Return the conditions in the ``conditions.toml`` beside some experiment files; the first file's win.

    Raises
    ------
    SpecificationError
        If a file is malformed.
    """
    found: dict[str, Condition] = {}
    for path in (file.with_name("conditions.toml") for file in files):
        if not path.is_file():
            continue
        for name, table in read_toml(path).items():
            if not isinstance(table, dict):
                raise SpecificationError(f"{path}: {name} must be a table [{name}] of overrides")
            content = dict(table)
            description = content.pop("description", "")
            found.setdefault(name, Condition(name, str(description), path, content))
    return found
