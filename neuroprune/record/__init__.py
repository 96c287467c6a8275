"""The file that a run leaves: every connection's life, the network at declared ages, and what made it.

One netCDF4 file per run, rewritten whole and atomically at every checkpoint. It opens in plain xarray
(``xarray.open_datatree``); :class:`Record` adds the questions one usually asks, and
:mod:`neuroprune.record.innervation` those about the inputs on cells.
"""

from neuroprune.record.file import identity_difference, read_checkpoint, write_record
from neuroprune.record.innervation import (
    FeedbackExponent,
    cells_per_axon,
    cells_with_inputs,
    cells_with_trace,
    decay_constant,
    eliminated_fraction,
    feedback_exponent,
    inputs_per_cell,
    pair_sizes,
    rank_correlation,
    step_mean,
    strongest_inputs,
    winner_kept,
)
from neuroprune.record.layout import to_tree
from neuroprune.record.record import Record, open_record
from neuroprune.record.recorder import ALIVE, Recorder

__all__ = [
    "ALIVE",
    "FeedbackExponent",
    "Record",
    "Recorder",
    "cells_per_axon",
    "cells_with_inputs",
    "cells_with_trace",
    "decay_constant",
    "eliminated_fraction",
    "feedback_exponent",
    "identity_difference",
    "inputs_per_cell",
    "open_record",
    "pair_sizes",
    "rank_correlation",
    "read_checkpoint",
    "step_mean",
    "strongest_inputs",
    "to_tree",
    "winner_kept",
    "write_record",
]
