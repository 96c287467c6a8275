"""Microglia, inhibition: what surrounds a network and evolves with it."""

from collections.abc import Mapping

from neuroprune.core.errors import SpecificationError
from neuroprune.environment.base import Environment, State
from neuroprune.environment.inhibition import Inhibition
from neuroprune.environment.microglia import Microglia

__all__ = ["ENVIRONMENTS", "Environment", "Inhibition", "Microglia", "State", "find_environment"]

ENVIRONMENTS: Mapping[str, type[Environment]] = {e.key: e for e in (Microglia, Inhibition)}


def find_environment(key: str) -> type[Environment]:
    """Return the environment that `key` names.

    Raises
    ------
    SpecificationError
        If there is no such environment.
    """
    if key not in ENVIRONMENTS:
        raise SpecificationError(f"unknown environment {key!r}: it must be one of {', '.join(ENVIRONMENTS)}")
    return ENVIRONMENTS[key]
