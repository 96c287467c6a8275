"""Structured pruning that really shrinks: units are removed with everything that depends on them."""

from neuroprune.bridge.slim.attention import PrunedAttention
from neuroprune.bridge.slim.structure import Group, Removal, Slot, Structure
from neuroprune.bridge.slim.surgery import mask_units, slim
from neuroprune.bridge.slim.tracing import groups, trace

__all__ = ["Group", "PrunedAttention", "Removal", "Slot", "Structure", "groups", "mask_units", "slim", "trace"]
