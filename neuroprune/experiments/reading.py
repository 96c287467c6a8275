"""Experiment files: TOML whose every parameter may say where its value comes from."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from neuroprune.core.errors import SpecificationError
from neuroprune.environment import find_environment
from neuroprune.experiments.finder import experiment_name, find_model
from neuroprune.experiments.schema import Development, check_keys, near
from neuroprune.experiments.systems import find_system
from neuroprune.rules import find_rule

_TOP = ("extends", "description", "system", "development", "environment", "rules", "overrides")


@dataclass(frozen=True)
class Provenance:
    """Where a value comes from.

    Parameters
    ----------
    source : str
        Publication, data set or reasoning.
    confidence : str
        How well it is known: ``read``, ``recalled``, ``assumed``, ``fitted`` ...
    at : str
        Age, cell type or condition for which the source gives it.
    note : str
        Anything else.
    """

    source: str = ""
    confidence: str = ""
    at: str = ""
    note: str = ""


NOTES = tuple(Provenance.__dataclass_fields__)


@dataclass(frozen=True)
class Parameter:
    """A value as written, where it comes from, and the file or option that set it."""

    value: Any
    origin: str
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True)
class Section:
    """The parameters of the system, of development, of one rule or of one environment.

    Parameters
    ----------
    key : str
        What overrides call it: ``system``, ``development``, ``rules.<name>`` or ``environment.<name>``.
    kind : str
        Name of the system, or key of the rule or environment.
    model : type
        Pydantic model of its parameters.
    origin : str
        File that declares it.
    parameters : dict of str to Parameter
    """

    key: str
    kind: str
    model: Any
    origin: str
    parameters: dict[str, Parameter] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """Name of a rule or environment."""
        return self.key.partition(".")[2] or None

    def values(self) -> dict[str, Any]:
        """Return the values alone."""
        return {key: p.value for key, p in self.parameters.items()}

    def origin_of(self, key: str) -> str:
        """Return what set a parameter, or declares the section."""
        return self.parameters[key].origin if key in self.parameters else self.origin


@dataclass(frozen=True)
class Document:
    """An experiment file, merged with the one that it extends.

    Parameters
    ----------
    path : Path
    name, description : str
    sections : dict of str to Section
        By key; rules in the order in which they act.
    overrides : tuple of (mapping, str)
        Tables of overrides and the files they are from, the extended file's first.
    files : tuple of Path
        The file and those that it extends, nearest first; conditions are looked up beside them.
    """

    path: Path
    name: str
    description: str
    sections: dict[str, Section]
    overrides: tuple[tuple[Mapping[str, Any], str], ...]
    files: tuple[Path, ...]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    SpecificationError
        If it cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecificationError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path} is not valid TOML: {error}") from None


def read_document(name_or_path: str | Path, extended_by: tuple[Path, ...] = ()) -> Document:
    """Read an experiment and what it extends.

    A file that extends another keeps its sections and parameters and replaces those that it writes itself.
    Its ``[[rules]]``, if it has any, replace the whole list, because order matters.

    Raises
    ------
    SpecificationError
        Naming file and key.
    """
    path = find_model(name_or_path)
    if path.resolve() in extended_by:
        raise SpecificationError(f"{path} extends itself")
    content, origin = read_toml(path), str(path)
    for key in content:
        if key not in _TOP:
            raise SpecificationError(f"{origin}: unknown key {key}: {near(key, list(_TOP))}")
    base = None
    if "extends" in content:
        base = _read_base(content["extends"], path, (*extended_by, path.resolve()))
    sections = {
        **_read_system(content, origin, base),
        **_read_development(content, origin, base),
        **_read_environments(content, origin, base),
        **_read_rules(content, path, base),
    }
    for section in sections.values():
        check_keys(section.model, section.parameters, section.key, section.origin_of)
    overrides = ((_table(content, "overrides", origin), origin),) if "overrides" in content else ()
    return Document(
        path=path,
        name=experiment_name(path),
        description=content.get("description", base.description if base else ""),
        sections=sections,
        overrides=(*(base.overrides if base else ()), *overrides),
        files=(path, *(base.files if base else ())),
    )


def _read_base(name: Any, path: Path, chain: tuple[Path, ...]) -> Document:
    if not isinstance(name, str):
        raise SpecificationError(f"{path}: extends = {name!r}: it must be the name of a model or a path")
    beside = path.parent / name
    return read_document(beside if name.endswith(".toml") and beside.is_file() else name, chain)


def _table(content: Mapping[str, Any], key: str, origin: str) -> dict[str, Any]:
    table = content.get(key, {})
    if not isinstance(table, dict):
        raise SpecificationError(f"{origin}: {key} must be a table")
    return table


def _read_system(content: dict[str, Any], origin: str, base: Document | None) -> dict[str, Section]:
    table = dict(_table(content, "system", origin))
    inherited = base.sections["system"] if base else None
    name = table.pop("name", inherited.kind if inherited else None)
    if name is None:
        raise SpecificationError(f'{origin}: [system] needs name = "...", or the file must extend a model')
    if inherited is not None and name != inherited.kind:
        raise SpecificationError(f"{origin}: system.name = {name!r}, but what it extends is {inherited.kind!r}")
    try:
        model = find_system(name).Parameters
    except SpecificationError as error:
        raise SpecificationError(f"{origin}: {error}") from None
    return {"system": _section("system", name, model, table, origin, inherited)}


def _read_development(content: dict[str, Any], origin: str, base: Document | None) -> dict[str, Section]:
    inherited = base.sections["development"] if base else None
    table = _table(content, "development", origin)
    return {"development": _section("development", "development", Development, table, origin, inherited)}


def _read_environments(content: dict[str, Any], origin: str, base: Document | None) -> dict[str, Section]:
    sections = {k: s for k, s in base.sections.items() if k.startswith("environment.")} if base else {}
    for name, own in _table(content, "environment", origin).items():
        key = f"environment.{name}"
        if not isinstance(own, dict):
            raise SpecificationError(f"{origin}: {key} must be a table [{key}]")
        table, inherited = dict(own), sections.get(key)
        kind = table.pop("kind", inherited.kind if inherited else name)
        if inherited is not None and kind != inherited.kind:
            raise SpecificationError(f"{origin}: {key}.kind = {kind!r}, but it extends {inherited.kind!r}")
        try:
            model = find_environment(kind)
        except SpecificationError as error:
            raise SpecificationError(f"{origin}: [{key}]: {error}") from None
        sections[key] = _section(key, kind, model, table, origin, inherited)
    return sections


def _read_rules(content: dict[str, Any], path: Path, base: Document | None) -> dict[str, Section]:
    if "rules" not in content:
        return {k: s for k, s in base.sections.items() if k.startswith("rules.")} if base else {}
    origin, entries = str(path), content["rules"]
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise SpecificationError(f"{origin}: rules must be a list of tables, each headed [[rules]]")
    sections: dict[str, Section] = {}
    for number, entry in enumerate(entries, start=1):
        table = dict(entry)
        rule = table.pop("rule", None)
        name = table.pop("name", None)
        what = f"rule {name!r}" if name else f"the [[rules]] entry number {number}"
        if not isinstance(rule, str):
            raise SpecificationError(f'{origin}: {what} needs rule = "...", the key of a rule')
        try:
            model = find_rule(_beside(rule, path))
        except SpecificationError as error:
            raise SpecificationError(f"{origin}: {what}: {error}") from None
        key = f"rules.{name or model.key}"
        if key in sections:
            raise SpecificationError(f"{origin}: two rules are named {name or model.key!r}: names must be unique")
        sections[key] = _section(key, rule, model, table, origin, None)
    return sections


def _beside(rule: str, path: Path) -> str:
    """Return a rule of one's own, ``file.py:Name``, with the path taken from the experiment's folder."""
    if ".py:" not in rule:
        return rule
    file, _, name = rule.rpartition(":")
    return f"{path.parent / file}:{name}"


def _section(
    key: str, kind: str, model: Any, table: Mapping[str, Any], origin: str, inherited: Section | None
) -> Section:
    own = {name: _parameter(value, f"{key}.{name}", origin) for name, value in table.items()}
    if inherited is not None:
        return replace(inherited, parameters={**inherited.parameters, **own})
    return Section(key, kind, model, origin, own)


def _parameter(written: Any, key: str, origin: str) -> Parameter:
    if not (isinstance(written, dict) and "value" in written):
        return Parameter(written, origin)
    notes = {k: v for k, v in written.items() if k != "value"}
    return Parameter(written["value"], origin, read_provenance(notes, key, origin))


def read_provenance(notes: Mapping[str, Any], key: str, origin: str) -> Provenance:
    """Return where a value comes from, refusing what is not a note.

    Raises
    ------
    SpecificationError
    """
    for name, text in notes.items():
        if name not in NOTES:
            raise SpecificationError(f"{origin}: {key}: unknown key {name}: {near(name, ['value', *NOTES])}")
        if not isinstance(text, str):
            raise SpecificationError(f"{origin}: {key}.{name} = {text!r}: it must be text")
    return Provenance(**notes)


def write_notes(provenance: Provenance) -> dict[str, str]:
    """Return the notes that are not empty."""
    return {k: v for k, v in asdict(provenance).items() if v}
