"""Heads of attention: what they look at, which are alike, which matter, and what a network is without some."""

from neuroprune.bridge.heads.attention import Observation, attending
from neuroprune.bridge.heads.divergence import entropy, jensen_shannon, pairwise_jensen_shannon
from neuroprune.bridge.heads.importance import Batch, CrossEntropy, Loss, OwnClasses, SelfDistance, gate_gradients
from neuroprune.bridge.heads.removal import Heads, remove_heads, without_heads
from neuroprune.bridge.heads.report import HeadReport, head_report
from neuroprune.bridge.heads.selection import CRITERIA, Criterion, select_heads

__all__ = [
    "CRITERIA",
    "Batch",
    "Criterion",
    "CrossEntropy",
    "HeadReport",
    "Heads",
    "Loss",
    "Observation",
    "OwnClasses",
    "SelfDistance",
    "attending",
    "entropy",
    "gate_gradients",
    "head_report",
    "jensen_shannon",
    "pairwise_jensen_shannon",
    "remove_heads",
    "select_heads",
    "without_heads",
]
