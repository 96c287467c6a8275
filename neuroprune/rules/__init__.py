"""Pruning rules, and the registry that finds them by name."""

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from neuroprune.core.errors import SpecificationError
from neuroprune.rules.base import Proposal, Rule
from neuroprune.rules.baselines import RandomPruning, RandomRegrowth, WeakestFirst
from neuroprune.rules.competition import Competition
from neuroprune.rules.elimination import Elimination
from neuroprune.rules.engulfment import Engulfment
from neuroprune.rules.select import decide, select
from neuroprune.rules.tag import Tag
from neuroprune.rules.translocation import Translocation

__all__ = [
    "Competition",
    "Elimination",
    "Engulfment",
    "Proposal",
    "RandomPruning",
    "RandomRegrowth",
    "Rule",
    "Tag",
    "Translocation",
    "WeakestFirst",
    "available_rules",
    "decide",
    "find_rule",
    "select",
]

_BUILT_IN: tuple[type[Rule], ...] = (
    Competition,
    Tag,
    Translocation,
    Elimination,
    Engulfment,
    RandomPruning,
    WeakestFirst,
    RandomRegrowth,
)


@lru_cache(maxsize=1)
def available_rules() -> Mapping[str, type[Rule]]:
    """Return every registered rule by its key: the built-in ones and those of installed packages.

    Other packages register a rule with an entry point of the group ``neuroprune.rules``.

    Raises
    ------
    SpecificationError
        If two rules claim the same key.
    """
    rules = {rule.key: rule for rule in _BUILT_IN}
    for entry in entry_points(group="neuroprune.rules"):
        rule = entry.load()
        if entry.name in rules:
            raise SpecificationError(f"entry point {entry.value!r} registers rule {entry.name!r}, which exists already")
        rules[entry.name] = rule
    return rules


def find_rule(key: str) -> type[Rule]:
    """Return the rule that `key` names.

    Parameters
    ----------
    key : str
        The key of a registered rule, or ``path/to/file.py:ClassName`` for a rule of your own.

    Raises
    ------
    SpecificationError
        If there is no such rule.
    """
    if ".py:" in key:
        return _from_file(key)
    rules = available_rules()
    if key not in rules:
        raise SpecificationError(f"unknown rule {key!r}: it must be one of {', '.join(rules)}, or file.py:ClassName")
    return rules[key]


def _from_file(key: str) -> type[Rule]:
    path, _, name = key.rpartition(":")
    namespace: dict[str, Any] = {"__name__": f"neuroprune_user_rule_{Path(path).stem}"}
    try:
        source = Path(path).read_text()
    except OSError as error:
        raise SpecificationError(f"rule {key!r}: cannot read {path}: {error.strerror}") from None
    exec(compile(source, path, "exec"), namespace)
    rule = namespace.get(name)
    if not (isinstance(rule, type) and issubclass(rule, Rule)):
        raise SpecificationError(f"rule {key!r}: {path} defines no Rule named {name!r}")
    return rule
