"""What a launch needs to know of a binary, kept as JSON beside it so that launching needs no Brian2."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from neuroprune.core.errors import EngineError


class FlatArray(NamedTuple):
    """A 1-D array that the binary reads or writes: its file or argument name, numpy type and exact length."""

    name: str
    dtype: str
    size: int


class MonitorFiles(NamedTuple):
    """The files of a spike monitor; `index` and `time` hold as many values as the number in `count` says."""

    count: str
    index: str
    time: str


class GeneratorArrays(NamedTuple):
    """The static arrays of a spike generator, as long as its capacity, and the range of their values."""

    index: FlatArray
    bins: FlatArray
    neurons: int
    dt: float
    steps: int


@dataclass(frozen=True)
class Manifest:
    """Everything that can be given to a binary or read from it, and what it was made of.

    Attributes
    ----------
    inputs, outputs : dict of str to FlatArray
        Command line arguments and result files by the name that the model gave them.
    monitors : dict of str to MonitorFiles
        Spike monitors by the name that the model gave them.
    generator : GeneratorArrays or None
        The spike generator whose spikes every run brings.
    files : dict of str to int
        Size (bytes) of the program and its static arrays, by path below the cache entry.
    seed_env : str
        The environment variable that carries the seed.
    identity : dict
        What named the cache entry: the caller's constants, versions, compiler, processor.
    """

    inputs: dict[str, FlatArray]
    outputs: dict[str, FlatArray]
    monitors: dict[str, MonitorFiles]
    generator: GeneratorArrays | None
    files: dict[str, int]
    seed_env: str
    identity: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write the manifest and its checksum into `folder`."""
        stored = {"sha256": digest(asdict(self)), "manifest": asdict(self)}
        (folder / "manifest.json").write_text(json.dumps(stored, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read the manifest in `folder`; raise EngineError unless it is whole."""
        path = folder / "manifest.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            body = stored["manifest"]
            if stored["sha256"] != digest(body):
                raise ValueError("its checksum is wrong")
            body["inputs"] = {name: FlatArray(*array) for name, array in body["inputs"].items()}
            body["outputs"] = {name: FlatArray(*array) for name, array in body["outputs"].items()}
            body["monitors"] = {name: MonitorFiles(*files) for name, files in body["monitors"].items()}
            if body["generator"] is not None:
                index, bins, *values = body["generator"]
                body["generator"] = GeneratorArrays(FlatArray(*index), FlatArray(*bins), *values)
            return cls(**body)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"{path} cannot be used ({error}): delete the folder {folder}, so that it is built again"
            ) from error


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
