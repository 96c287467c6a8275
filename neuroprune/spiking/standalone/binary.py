"""Launch a compiled simulation, and believe it only when everything it should have written is there."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuroprune.core.errors import EngineError, SpecificationError
from neuroprune.spiking.standalone.manifest import FlatArray, GeneratorArrays, Manifest
from neuroprune.spiking.standalone.process import launch

SEED_LIMIT = 2**32  # Brian2's Mersenne Twister drops the higher bits of a seed without a word
_NEVER = np.iinfo(np.int32).max  # a time bin that no run reaches


class SpikeTrain(NamedTuple):
    """Spikes in the order of their time: neuron `index`, (n_spikes,) int32, and `time`, (n_spikes,) in s."""

    index: NDArray[np.int32]
    time: NDArray[np.float64]


class Outputs(NamedTuple):
    """What one run left: `arrays` by output name (1-D, SI units) and `spikes` by monitor name."""

    arrays: dict[str, NDArray[Any]]
    spikes: dict[str, SpikeTrain]


@dataclass(frozen=True)
class Binary:
    """A compiled simulation; it may be pickled, and run from many threads and processes at once.

    Attributes
    ----------
    directory : Path
        The cache entry: ``main``, ``static_arrays/`` and ``manifest.json``, never changed once it is there.
    manifest : Manifest
        The names, types and lengths of inputs and outputs, and the binary's identity for the record of a run.
    compile_seconds : float
        Wall time that generating and compiling took (s); 0 if the cache had the entry.
    """

    directory: Path
    manifest: Manifest
    compile_seconds: float = 0.0

    def run(
        self,
        inputs: Mapping[str, ArrayLike],
        *,
        seed: int,
        spikes: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> Outputs:
        """Simulate once and return all outputs, or raise.

        Parameters
        ----------
        inputs : mapping of str to array_like
            Every input of the model, 1-D, of exactly the length it was built with, finite, in SI units.
        seed : int
            Seed of Brian2's random generator, 0 <= seed < 2**32. Equal seeds and inputs give equal bytes.
        spikes : tuple of array_like, optional
            Neuron indices and times (s) for the model's spike generator, sorted by time; a spike falls into
            the nearest time step. Required if the model has a generator, refused if not.

        Returns
        -------
        Outputs

        Raises
        ------
        SpecificationError
            If an input, the seed or the spikes are not what the binary was built for.
        EngineError
            If anything went wrong between writing the first input and reading the last output.
        """
        arrays = self._checked(inputs)
        if not 0 <= seed < SEED_LIMIT or seed != int(seed):
            raise SpecificationError(f"seed {seed} must be an integer with 0 <= seed < {SEED_LIMIT}")
        replaced = self._replaced(spikes)
        try:
            with tempfile.TemporaryDirectory(prefix="neuroprune-") as folder:
                work = Path(folder)
                arguments = self._lay_out(work, arrays, replaced)
                self._execute(work, arguments, int(seed))
                return self._collect(work / "results")
        except OSError as error:
            raise EngineError(f"the simulation {self.directory} could not be run: {error}") from error

    def _checked(self, inputs: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
        """Return the inputs by their argument names."""
        expected = self.manifest.inputs
        if inputs.keys() != expected.keys():
            missing, unknown = expected.keys() - inputs.keys(), inputs.keys() - expected.keys()
            raise SpecificationError(
                f"missing inputs: {sorted(missing)}; unknown: {sorted(unknown)}; valid: {sorted(expected)}"
            )
        return {array.name: _exact(inputs[name], array, name) for name, array in expected.items()}

    def _replaced(self, spikes: tuple[ArrayLike, ArrayLike] | None) -> dict[str, NDArray[Any]]:
        """Return the static arrays that the spikes replace by their file names."""
        generator = self.manifest.generator
        if generator is None:
            if spikes is not None:
                raise SpecificationError("spikes were given to a model that has no spike generator")
            return {}
        if spikes is None:
            raise SpecificationError("the spikes of the model's generator are missing: give two empty arrays for none")
        return _padded(generator, *spikes)

    def _lay_out(self, work: Path, inputs: dict[str, NDArray[Any]], replaced: dict[str, NDArray[Any]]) -> list[str]:
        """Fill the private folder `work` and return the arguments of the binary."""
        for folder in ("inputs", "static_arrays", "results"):
            (work / folder).mkdir()
        for name, size in self.manifest.files.items():
            original = self.directory / name
            _require(original, size, f"delete the folder {self.directory}, so that it is built again")
            if original.name in replaced:
                _write(work / name, replaced[original.name])
            elif original.parent.name == "static_arrays":
                (work / name).symlink_to(original)
        arguments = ["--results_dir", "results/"]
        for number, (name, values) in enumerate(inputs.items()):
            # The path must not begin with a digit or a minus: the binary would take it for the value itself.
            _write(work / f"inputs/{number}", values)
            arguments.append(f"{name}=inputs/{number}")
        return arguments

    def _execute(self, work: Path, arguments: list[str], seed: int) -> None:
        environment = os.environ | {self.manifest.seed_env: str(seed)}
        status, text = launch([str(self.directory / "main"), *arguments], work, environment)
        if status < 0:
            raise EngineError(f"the simulation {self.directory} was killed by {signal.Signals(-status).name}")
        # The binary is silent when all is well, and mostly exits with 0 when it is not.
        if status != 0 or text:
            raise EngineError(f"the simulation {self.directory} failed with status {status}: {text[-2000:]}")
        info = work / "results" / "last_run_info.txt"
        _, _, fraction = info.read_text().strip().partition(" ")
        if fraction != "1":
            done = fraction or "an unknown part"
            raise EngineError(f"the simulation {self.directory} stopped early, after {done} of its time")

    def _collect(self, results: Path) -> Outputs:
        arrays = {name: _read(results, array) for name, array in self.manifest.outputs.items()}
        spikes = {}
        for name, files in self.manifest.monitors.items():
            n = int(_read(results, FlatArray(files.count, "int32", 1))[0])
            index = _read(results, FlatArray(files.index, "int32", n))
            spikes[name] = SpikeTrain(index, _read(results, FlatArray(files.time, "float64", n)))
        return Outputs(arrays, spikes)


def _exact(value: ArrayLike, expected: FlatArray, name: str) -> NDArray[Any]:
    """Return `value` as the type that the binary reads, if no number changes by it."""
    given = np.asarray(value)
    if given.shape != (expected.size,):
        raise SpecificationError(f"input {name!r} has shape {given.shape}: it must be ({expected.size},)")
    if given.dtype.kind not in "biuf" or not np.isfinite(given).all():
        raise SpecificationError(f"input {name!r} must hold finite real numbers")
    with np.errstate(invalid="ignore"):
        array = given.astype(expected.dtype)
    if np.any(array != given):
        raise SpecificationError(f"input {name!r} holds values that cannot be stored as {expected.dtype}")
    return array


def _padded(generator: GeneratorArrays, index: ArrayLike, time: ArrayLike) -> dict[str, NDArray[Any]]:
    """Return the static arrays of `generator` for these spikes, filled up with time bins that never come."""
    neuron, seconds = np.asarray(index), np.asarray(time, dtype=float)
    if neuron.ndim != 1 or neuron.shape != seconds.shape:
        raise SpecificationError(
            f"spikes have indices of shape {neuron.shape} and times of shape {seconds.shape}: "
            "both must be 1-D and equally long"
        )
    capacity = generator.index.size
    if neuron.size > capacity:
        raise SpecificationError(f"{neuron.size} spikes exceed the capacity of {capacity} that was built in")
    if neuron.size and neuron.dtype.kind not in "iu":
        raise SpecificationError(f"spike indices must be integers, not {neuron.dtype}")
    if np.any((neuron < 0) | (neuron >= generator.neurons)):
        raise SpecificationError(
            f"spike indices from {neuron.min()} to {neuron.max()} must lie in 0..{generator.neurons - 1}"
        )
    if not np.isfinite(seconds).all() or np.any(np.diff(seconds) < 0):
        raise SpecificationError("spike times must be finite and sorted")
    bins = np.rint(seconds / generator.dt)
    if np.any((bins < 0) | (bins >= generator.steps)):
        raise SpecificationError(
            f"spike times from {seconds[0]:g} to {seconds[-1]:g} s must lie in the {generator.steps} steps "
            f"of {generator.dt:g} s that a run has"
        )
    order = np.lexsort((neuron, bins))  # within a step by index, as a threshold emits them
    neuron, bins = neuron[order], bins[order]
    twice = np.flatnonzero((np.diff(neuron.astype(np.int64)) == 0) & (np.diff(bins) == 0))
    if twice.size:
        first = twice[0]
        raise SpecificationError(f"neuron {neuron[first]} spikes twice in the step at {bins[first] * generator.dt:g} s")
    arrays = {}
    for array, values, padding in ((generator.index, neuron, 0), (generator.bins, bins, _NEVER)):
        arrays[array.name] = np.full(array.size, padding, dtype=array.dtype)
        arrays[array.name][: values.size] = values
    return arrays


def _require(path: Path, size: int, advice: str) -> None:
    """Raise EngineError unless the file `path` has exactly `size` bytes."""
    found = path.stat().st_size if path.is_file() else None
    if found != size:
        state = "is missing" if found is None else f"has {found} bytes instead of {size}"
        raise EngineError(f"{path} {state}: {advice}")


def _write(path: Path, array: NDArray[Any]) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(array.tobytes())
    _require(part, array.nbytes, "is the disk full?")
    part.replace(path)


def _read(results: Path, array: FlatArray) -> NDArray[Any]:
    path, dtype = results / array.name, np.dtype(array.dtype)
    _require(path, array.size * dtype.itemsize, "the results are not all there; is the disk full?")
    return np.fromfile(path, dtype)
