"""Pruning rules against each other on artificial networks: same data, same budget, same training."""

from neuroprune.experiments.comparison.comparing import Comparison, Row, compare, paired_difference
from neuroprune.experiments.comparison.methods import METHODS, SCHEDULES, Method, Schedule
from neuroprune.experiments.comparison.trial import Setting, Trial, run_trial

__all__ = [
    "METHODS",
    "SCHEDULES",
    "Comparison",
    "Method",
    "Row",
    "Schedule",
    "Setting",
    "Trial",
    "compare",
    "paired_difference",
    "run_trial",
]
