"""What is asked of the inputs on cells: how many, how strong, which of them last, and what that depends on.

An input is a connection. The cells and axons that are counted are those that had one at the start, whether or not they
have any left. Ages are in days. A quantity that nothing in the record defines is NaN.
"""

from neuroprune.record.innervation.feedback import FeedbackExponent, feedback_exponent
from neuroprune.record.innervation.inputs import (
    cells_per_axon,
    cells_with_inputs,
    cells_with_trace,
    inputs_per_cell,
    pair_sizes,
    rank_correlation,
    strongest_inputs,
    winner_kept,
)
from neuroprune.record.innervation.steps import decay_constant, eliminated_fraction, step_mean

__all__ = [
    "FeedbackExponent",
    "cells_per_axon",
    "cells_with_inputs",
    "cells_with_trace",
    "decay_constant",
    "eliminated_fraction",
    "feedback_exponent",
    "inputs_per_cell",
    "pair_sizes",
    "rank_correlation",
    "step_mean",
    "strongest_inputs",
    "winner_kept",
]
