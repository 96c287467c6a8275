"""An experiment written out in full as TOML, which loads back as the same experiment."""

import json
from collections.abc import Mapping
from typing import Any

from neuroprune.experiments.experiment import DEFAULT, Experiment
from neuroprune.experiments.reading import Parameter, Section, write_notes


def write_toml(experiment: Experiment, *, sources: bool = False) -> str:
    """Write every parameter of an experiment, overrides and defaults included, as TOML.

    Parameters
    ----------
    experiment : Experiment
    sources : bool
        Also say where each value comes from and how well it is known.

    Returns
    -------
    str
        An experiment file of its own: with the same seed it gives the same record.
    """
    lines: list[str] = []
    if experiment.document.description:
        lines += [f"description = {_toml(experiment.document.description)}", ""]
    for section in experiment.sections.values():
        lines += _header(section)
        for key, parameter in section.parameters.items():
            if parameter.value is not None:
                lines.append(_line(key, parameter, experiment, sources))
        lines.append("")
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for override in experiment.windows:
        notes = {"note": f"set by {override.origin}", **write_notes(override.provenance)} if sources else {}
        tables.setdefault(override.key, []).append({**override.as_table(), **notes})
    if tables:
        lines.append("[overrides]")
        lines += [f"{_toml(key)} = {_toml(list_)}" for key, list_ in tables.items()]
    return "\n".join(lines).rstrip() + "\n"


def _header(section: Section) -> list[str]:
    group = section.key.partition(".")[0]
    if group == "rules":
        return ["[[rules]]", f"name = {_toml(section.name)}", f"rule = {_toml(section.kind)}"]
    if group == "environment":
        return [f"[environment.{_key(section.name or '')}]", f"kind = {_toml(section.kind)}"]
    return ["[system]", f"name = {_toml(section.kind)}"] if group == "system" else ["[development]"]


def _line(key: str, parameter: Parameter, experiment: Experiment, sources: bool) -> str:
    notes = write_notes(parameter.provenance)
    if parameter.origin == DEFAULT:
        notes["source"] = "default of neuroprune"
    elif parameter.origin not in map(str, experiment.document.files):
        notes["note"] = "; ".join([*filter(None, [parameter.provenance.note]), f"set by {parameter.origin}"])
    value = {"value": parameter.value, **notes} if sources and notes else parameter.value
    return f"{key} = {_toml(value)}"


def _key(text: str) -> str:
    return text if text.replace("_", "").replace("-", "").isalnum() and text.isascii() else _toml(text)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    return "[" + ", ".join(_toml(item) for item in value) + "]"
