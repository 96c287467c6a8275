"""Reading ``validation.toml``: the published observations beside a model, with one clear message for what is wrong."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from neuroprune.core.clock import format_age
from neuroprune.core.errors import SpecificationError
from neuroprune.experiments.experiment import list_conditions
from neuroprune.experiments.observables import Observable, find_observable
from neuroprune.experiments.observations import CONTROL, Observation, Observations, name_of, parse_conditions
from neuroprune.experiments.reading import read_document, read_toml
from neuroprune.experiments.schema import fields_of, near, validate

FILE = "validation.toml"
_KEYS = tuple(key for key in fields_of(Observation) if not key.startswith("asked"))


def read_observations(name_or_path: str | Path) -> Observations:
    """Read what a model is held against: the ``validation.toml`` beside its file, or beside one that it extends.

    Parameters
    ----------
    name_or_path : str or Path
        A model that comes with neuroprune, or a TOML file.

    Raises
    ------
    SpecificationError
        Naming file, observation, key, value and what would be valid.
    """
    document = read_document(name_or_path)
    path = next((p for f in document.files if (p := f.with_name(FILE)).is_file()), None)
    if path is None:
        raise SpecificationError(f"{document.name} has no observations: there is no {document.path.with_name(FILE)}")
    content = read_toml(path)
    for key in content:
        if key not in ("modes", "observations"):
            raise SpecificationError(f"{path}: unknown key {key}: {near(key, ['modes', 'observations'])}")
    known: dict[str | None, list[str]] = {None: list(list_conditions(name_or_path))}
    modes = _read_modes(content.get("modes", {"default": []}), str(path), known[None])
    entries = content.get("observations", [])
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise SpecificationError(f"{path}: observations must be a list of tables, each headed [[observations]]")
    observations: dict[tuple[int, str], Observation] = {}
    for number, entry in enumerate(entries, start=1):
        observation = _read_one(entry, number, str(path))
        key = (observation.row, observation.part)
        if key in observations:
            raise SpecificationError(f"{path}: two observations are {observation.name}: row and part must be unique")
        _check_conditions(observation, str(path), known)
        observations[key] = observation
    return Observations(path, modes, tuple(observations.values()))


def _read_modes(table: Any, origin: str, known: Sequence[str]) -> dict[str, tuple[str, ...]]:
    if not isinstance(table, dict) or not table:
        raise SpecificationError(f"{origin}: modes must be a table [modes] of lists of conditions")
    modes, folders = {}, {}
    for name, written in table.items():
        where = f"{origin}: modes.{name}"
        if not re.fullmatch("[A-Za-z0-9_-]+", name):
            raise SpecificationError(
                f"{origin}: modes has {name!r}: records of a mode are in a folder of its name, which must be letters, "
                "digits, _ and -"
            )
        same = folders.setdefault(name.lower(), name)
        if same != name:
            raise SpecificationError(
                f"{where} and modes.{same} differ by case only: some disks take them for one folder"
            )
        try:
            if not isinstance(written, list):
                raise ValueError("it must be a list of conditions")
            conditions = parse_conditions(written)
        except ValueError as error:
            raise SpecificationError(f"{where} = {written!r}: {error}") from None
        for condition in conditions:
            if condition not in known:
                raise SpecificationError(f"{where}: {_unknown(condition, known)}")
        modes[name] = conditions
    return modes


def _unknown(condition: str, known: Sequence[str]) -> str:
    return f"unknown condition {condition!r}: {near(condition, [CONTROL, *known])}"


def _check_conditions(observation: Observation, origin: str, known: dict[str | None, list[str]]) -> None:
    where = f"{origin}: row {observation.name}"
    if observation.model not in known:
        try:
            known[observation.model] = list(list_conditions(observation.model or ""))
        except SpecificationError as error:
            raise SpecificationError(f"{where}.model: {error}") from None
    for key in ("condition", "reference"):
        for condition in getattr(observation, key) or ():
            if condition not in known[observation.model]:
                raise SpecificationError(f"{where}.{key}: {_unknown(condition, known[observation.model])}")


def _read_one(entry: Mapping[str, Any], number: int, origin: str) -> Observation:
    section = f"row {name_of(entry['row'], entry.get('part', ''))}" if "row" in entry else f"observation {number}"
    own = {key: value for key, value in entry.items() if key in _KEYS}
    options = {key: value for key, value in entry.items() if key not in _KEYS}
    observation = validate(Observation, own, section, lambda _: origin)
    try:
        observable = find_observable(observation.measure)
    except SpecificationError as error:
        raise SpecificationError(f"{origin}: {section}.measure: {error}") from None

    def read(options: Mapping[str, Any], where: str) -> dict[str, Any]:
        valid = list(fields_of(observable.options))
        for key in options:
            if key not in valid:
                keys = [*(() if where != section else _KEYS), *valid]
                raise SpecificationError(f"{origin}: unknown key {where}.{key}: {near(key, keys)}")
        return validate(observable.options, options, where, lambda _: origin).model_dump()

    if observation.is_course:
        where = f"{origin}: {section}"
        asked = tuple(read(o, section) for o in _by_age(options, observable, where))
        ages = [o["age"] for o in asked]
        if not all(early < late for early, late in pairwise(ages)):
            raise SpecificationError(f"{where}: ages = {', '.join(map(format_age, ages))}: they must ascend")
        return observation.model_copy(update={"asked": asked})
    compared = ()
    asked = (read(options, section),)
    if observation.has_reference:
        others = {**options, **observation.reference_options}
        compared = (read(others, f"{section}.reference_options" if observation.reference_options else section),)
    return observation.model_copy(update={"asked": asked, "asked_of_reference": compared})


def _by_age(options: Mapping[str, Any], observable: Observable, where: str) -> list[dict[str, Any]]:
    """Return the options at each of the ages of a course."""
    if "age" not in fields_of(observable.options):
        raise SpecificationError(f"{where}: {observable.name} has no age, so it cannot fall or rise with it")
    rest, ages = {k: v for k, v in options.items() if k != "ages"}, options.get("ages")
    if not isinstance(ages, list) or len(ages) < 2 or "age" in options:
        raise SpecificationError(f'{where}: write ages = ["P3", "P7", ...], ascending, to be compared in that order')
    return [{**rest, "age": age} for age in ages]
