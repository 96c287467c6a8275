"""The systems that experiments can name, each in a module that is imported when one asks for it."""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast

from pydantic import BaseModel

from neuroprune.core.clock import Clock
from neuroprune.core.errors import SpecificationError
from neuroprune.development import Substrate
from neuroprune.spiking.engine import EngineName

SYSTEMS: dict[str, str] = {"cerebellum": "neuroprune.spiking.cerebellum", "dlgn": "neuroprune.spiking.dlgn"}
"""Name in ``[system]`` and module."""


class System(Substrate, Protocol):
    """A substrate that an experiment can build."""

    @property
    def compile_seconds(self) -> float:
        """Wall time spent on compiling, 0 if nothing had to be."""
        ...


class Builder(Protocol):
    """Function that builds a system."""

    def __call__(
        self,
        parameters_at: Callable[[float], BaseModel],
        *,
        clock: Clock,
        activity: float,
        seed: int,
        activity_seed: int | None = None,
        engine: EngineName = "auto",
        say: Callable[[str], None],
    ) -> System:
        """Return the system in its initial state; each step samples `activity` seconds."""
        ...


class SystemModule(Protocol):
    """What the module of a system offers."""

    Parameters: type[BaseModel]
    build: Builder


def find_system(name: str) -> SystemModule:
    """Return the module of a system.

    Raises
    ------
    SpecificationError
        If there is no such system.
    """
    if name not in SYSTEMS:
        raise SpecificationError(f"unknown system {name!r}: it must be one of {', '.join(SYSTEMS)}")
    return cast(SystemModule, import_module(SYSTEMS[name]))
