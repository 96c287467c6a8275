"""Records on disk: written whole and atomically, read only if they are whole."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroprune.core.errors import RecordError
from neuroprune.core.files import write_whole
from neuroprune.environment.base import State
from neuroprune.record.layout import FORMAT, Checkpoint, from_tree, to_tree
from neuroprune.record.recorder import Recorder

if TYPE_CHECKING:
    import xarray as xr


def write_record(path: Path, recorder: Recorder, checkpoint: Checkpoint | None = None) -> None:
    """Write the record of a run, whole and atomically; with a checkpoint it can be resumed.

    Raises
    ------
    RecordError
        If the file cannot be written. What was at `path` before is untouched.
    """
    write_tree(Path(path), to_tree(recorder, checkpoint))


def write_tree(path: Path, tree: "xr.DataTree") -> None:
    """Write a tree to a temporary file beside `path`, force it to disk, and rename it."""
    # HDF5 can crash the process when the disk is full, so it writes to memory, and a plain file goes to disk.
    content = tree.to_netcdf(engine="h5netcdf")
    try:
        write_whole(path, content)
    except OSError as error:
        raise RecordError(f"cannot write the record {path}: {error.strerror}") from error


def read_tree(path: Path) -> "xr.DataTree":
    """Read a whole record into memory, or raise RecordError."""
    import xarray as xr

    if not path.is_file():
        raise RecordError(f"no record at {path}")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except Exception as error:
        raise RecordError(f"cannot read {path}: not a record, or truncated ({type(error).__name__})") from error
    if tree.attrs.get("neuroprune_format") != FORMAT:
        raise RecordError(
            f"{path} has record format {tree.attrs.get('neuroprune_format')!r}: this version reads format {FORMAT}"
        )
    return tree


def read_checkpoint(
    path: Path, identity: Mapping[str, Any]
) -> tuple[int, Recorder, dict[str, np.ndarray], dict[str, State]]:
    """Return where an interrupted run stands: next step, recorder, substrate state, state of the environments.

    Raises
    ------
    RecordError
        If there is no record, the run is complete, or it has another seed, configuration or engine.
    """
    tree = read_tree(path)
    if tree.attrs["complete"]:
        raise RecordError(f"{path} is complete: there is nothing to resume")
    theirs = json.loads(tree.attrs["identity"])
    ours = json.loads(json.dumps(dict(identity), sort_keys=True, default=str))
    for key in ours:
        if theirs.get(key) != ours[key]:
            raise RecordError(f"{path} cannot be resumed: {identity_difference(key, theirs.get(key), ours[key])}")
    recorder, (next_step, substrate, surroundings) = from_tree(tree, identity)
    return next_step, recorder, dict(substrate), dict(surroundings)


def identity_difference(key: str, theirs: Any, ours: Any) -> str:
    """Say where two values first differ, going into mappings and into lists of rules."""
    pair = []
    for value in (theirs, ours):
        named = isinstance(value, list) and all(isinstance(v, dict) and "name" in v for v in value)
        pair.append({v["name"]: v for v in value} if named else value)
    left, right = pair
    if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        inner = next((k for k in left if left[k] != right[k]), None)
        if inner is not None:
            return identity_difference(f"{key}.{inner}", left[inner], right[inner])
    return f"its {key} is {_short(left)}, but this run's is {_short(right)}"


def _short(value: Any) -> str:
    return ", ".join(value) if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)
