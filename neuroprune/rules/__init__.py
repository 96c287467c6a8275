"""Pruning rules, and the registry that finds them by name."""

import sys
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from neuroprune.core.errors import SpecificationError
from neuroprune.rules.base import Proposal, Rule
from neuroprune.rules.baselines import Lamp, RandomPruning, RandomRegrowth, WeakestFirst
from neuroprune.rules.competition import Competition
from neuroprune.rules.elimination import Elimination
from neuroprune.rules.engulfment import Engulfment
from neuroprune.rules.local import DualConstraint, Trophic, UseItOrLoseIt, Wanda, WinnerRelative
from neuroprune.rules.ranking import Ranking
from neuroprune.rules.regrowth import Regrowth
from neuroprune.rules.saliency import Fisher, Grasp, Movement, Snip, SynFlow
from neuroprune.rules.select import decide, select
from neuroprune.rules.tag import Tag
from neuroprune.rules.translocation import Translocation

__all__ = [
    "Competition",
    "DualConstraint",
    "Elimination",
    "Engulfment",
    "Fisher",
    "Grasp",
    "Lamp",
    "Movement",
    "Proposal",
    "RandomPruning",
    "RandomRegrowth",
    "Ranking",
    "Regrowth",
    "Rule",
    "Snip",
    "SynFlow",
    "Tag",
    "Translocation",
    "Trophic",
    "UseItOrLoseIt",
    "Wanda",
    "WeakestFirst",
    "WinnerRelative",
    "available_rules",
    "decide",
    "find_rule",
    "fingerprint",
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
    Lamp,
    Trophic,
    WinnerRelative,
    UseItOrLoseIt,
    DualConstraint,
    Wanda,
    Fisher,
    Snip,
    Grasp,
    SynFlow,
    Movement,
    RandomRegrowth,
    Regrowth,
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


_USER = "neuroprune_user_rule_"


def _from_file(key: str) -> type[Rule]:
    path, _, name = key.rpartition(":")
    module_name = _USER + blake2b(str(Path(path).resolve()).encode(), digest_size=8).hexdigest()
    if not Path(path).is_file():
        raise SpecificationError(f"rule {key!r}: there is no file {path}")
    spec = spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up while it runs
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise SpecificationError(f"rule {key!r}: {path} fails with {type(error).__name__}: {error}") from error
    rule = getattr(module, name, None)
    if not (isinstance(rule, type) and issubclass(rule, Rule)):
        raise SpecificationError(f"rule {key!r}: {path} defines no Rule named {name!r}")
    return rule


def fingerprint(rule: Rule) -> str | None:
    """Return a hash of the source of a rule that comes from a user's file, None for rules of installed packages."""
    module = sys.modules.get(type(rule).__module__)
    if module is None or not module.__name__.startswith(_USER) or module.__file__ is None:
        return None
    return blake2b(Path(module.__file__).read_bytes(), digest_size=16).hexdigest()
