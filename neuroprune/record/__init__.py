"""The file that a run leaves: every connection's life, the network at declared ages, and what made it.

One netCDF4 file per run, rewritten whole and atomically at every checkpoint. It opens in plain xarray
(``xarray.open_datatree``); :class:`Record` adds the questions one usually asks.
"""

from neuroprune.record.file import identity_difference, read_checkpoint, write_record
from neuroprune.record.layout import to_tree
from neuroprune.record.record import Record, open_record
from neuroprune.record.recorder import ALIVE, Recorder

__all__ = [
    "ALIVE",
    "Record",
    "Recorder",
    "identity_difference",
    "open_record",
    "read_checkpoint",
    "to_tree",
    "write_record",
]
