"""Spiking networks on Brian2, and what Brian2 lacks for them: the removal of synapses."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neuroprune.spiking.removal import remove_synapses

__all__ = ["remove_synapses"]


def __getattr__(name: str) -> Any:
    # On first use: a compiled model is launched without importing Brian2.
    if name == "remove_synapses":
        from neuroprune.spiking.removal import remove_synapses

        return remove_synapses
    raise AttributeError(f"module 'neuroprune.spiking' has no attribute {name!r}")
