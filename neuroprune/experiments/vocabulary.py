"""Perturbations by name: a small vocabulary that every system understands, spelled out as overrides."""

from collections.abc import Iterable, Mapping
from typing import Any

from neuroprune.core.errors import SpecificationError
from neuroprune.experiments.reading import NOTES, Section
from neuroprune.experiments.schema import fields_of, near

_WINDOW = ("from", "to")
VERBS: Mapping[str, tuple[str, ...]] = {
    "stimulate": ("population", "rate"),
    "silence": ("population",),
    "remove": ("environment", "fraction"),
    "activity": ("pattern",),
}
"""What each verb needs to be told, the most important first; ``fraction`` is 1 unless given."""


def spell_out(table: Mapping[str, Any], origin: str, sections: Mapping[str, Section]) -> list[tuple[str, Any]]:
    """Return keys and values of a table of overrides in which verbs are replaced by the overrides that they mean.

    Parameters
    ----------
    table : mapping
        Overrides by key, and verbs: ``stimulate = {population, rate}``, ``silence = {population}``,
        ``remove = {environment, fraction}`` and ``activity = {pattern}``, each with optional ``from`` and ``to``,
        or a list of such tables. ``silence = "purkinje_cells"`` is short for a table with nothing else.
    origin : str
        For messages.
    sections : mapping of str to Section
        What the experiment has: a system offers a population by its parameters ``stimulate_<population>`` and
        ``silence_<population>``, an environment can be removed if it has the parameter ``presence``.

    Raises
    ------
    SpecificationError
        Naming verb, key and value, and those that are valid.
    """
    spelled: list[tuple[str, Any]] = []
    for key, written in table.items():
        if key not in VERBS:
            spelled.append((key, written))
        else:
            spelled += [_one(key, one, origin, sections) for one in _several(written)]
    return spelled


def _several(written: Any) -> list[Any]:
    """Return what was said to a verb, once or several times; the command line wraps what is no table."""
    if isinstance(written, list):
        return [one for item in written for one in _several(item)]
    return _several(written["value"]) if isinstance(written, dict) and set(written) == {"value"} else [written]


def _one(verb: str, said: Any, origin: str, sections: Mapping[str, Section]) -> tuple[str, dict[str, Any]]:
    needs = VERBS[verb]
    if isinstance(said, str) and verb != "stimulate":
        said = {needs[0]: said}
    if not isinstance(said, dict):
        raise SpecificationError(f"{origin}: {verb} = {said!r}: it must be a table with {' and '.join(needs)}")
    valid = [*needs, *_WINDOW, *NOTES]
    for key in said:
        if key not in valid:
            raise SpecificationError(f"{origin}: {verb}: unknown key {key}: {near(key, valid)}")
    for key in needs:
        if key not in said and key != "fraction":
            raise SpecificationError(f"{origin}: {verb} needs {key}")
    rest = {key: said[key] for key in said if key not in needs}
    offered = fields_of(sections["system"].model)
    if verb == "activity":
        if "activity_pattern" not in offered:
            kind = sections["system"].kind
            raise SpecificationError(f"{origin}: activity: the system {kind} has no pattern of activity to change")
        return "system.activity_pattern", {"value": said["pattern"], **rest}
    if verb == "remove":
        able = [s.name or "" for s in sections.values() if _is_removable(s)]
        name = _known(said["environment"], verb, "environment", able, origin)
        fraction = said.get("fraction", 1.0)
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 <= fraction <= 1:
            raise SpecificationError(f"{origin}: remove: fraction = {fraction!r}: it must be a number from 0 to 1")
        return f"environment.{name}.presence", {"value": 1.0 - fraction, **rest}
    populations = [key.removeprefix(f"{verb}_") for key in offered if key.startswith(f"{verb}_")]
    name = _known(said["population"], verb, "population", populations, origin)
    return f"system.{verb}_{name}", {"value": said["rate"] if verb == "stimulate" else True, **rest}


def _is_removable(section: Section) -> bool:
    return section.key.startswith("environment.") and "presence" in fields_of(section.model)


def _known(name: Any, verb: str, key: str, valid: Iterable[str], origin: str) -> str:
    names = list(valid)
    if name not in names:
        raise SpecificationError(f"{origin}: {verb}: {key} = {name!r}: {near(str(name), names)}")
    return name
