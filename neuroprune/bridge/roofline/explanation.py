"""Why a pruned network is, or is not, as much faster as it has fewer operations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from neuroprune.bridge.roofline.layer_times import time_layers
from neuroprune.bridge.roofline.machine import Machine
from neuroprune.bridge.roofline.prediction import LayerPrediction, Prediction, predict
from neuroprune.bridge.timing import Stopwatch, Timing, stopwatch
from neuroprune.bridge.training import evaluating

_NOTHING = 0.01
"""Shares below this count as nothing."""
_PARTS = {"compute": "arithmetic", "memory": "memory traffic", "overhead": "calls"}


@dataclass(frozen=True)
class LayerExplanation:
    """A layer before and after pruning.

    Parameters
    ----------
    name : str
    dense, pruned : LayerPrediction or None
        None where the network has no such layer.
    measured_dense, measured_pruned : float or None
        Seconds within the network; None where not measured.
    """

    name: str
    dense: LayerPrediction | None
    pruned: LayerPrediction | None
    measured_dense: float | None = None
    measured_pruned: float | None = None

    @property
    def removed(self) -> float:
        """Share of the operations that pruning made needless, whether they are still done or not."""
        if self.dense is None or not needed(self.dense):
            return 0.0
        return 1 - (0.0 if self.pruned is None else needed(self.pruned)) / needed(self.dense)

    @property
    def speedup(self) -> float | None:
        """Predicted; None where there is no such layer before or after."""
        if self.dense is None or self.pruned is None or not self.pruned.seconds:
            return None
        return self.dense.seconds / self.pruned.seconds

    @property
    def sentence(self) -> str:
        """Why it is as fast as it is."""
        return _explain_layer(self)


@dataclass(frozen=True)
class Explanation:
    """A network before and after pruning.

    Parameters
    ----------
    dense, pruned : Prediction
    layers : tuple of LayerExplanation
        In the order in which they run, those of both networks.
    measured_dense, measured_pruned : float or None
        Seconds; None where not measured.
    """

    dense: Prediction
    pruned: Prediction
    layers: tuple[LayerExplanation, ...]
    measured_dense: float | None = None
    measured_pruned: float | None = None

    @property
    def removed(self) -> float:
        """Share of the operations that pruning made needless, whether they are still done or not."""
        before = sum(map(needed, self.dense.layers))
        return 1 - sum(map(needed, self.pruned.layers)) / before if before else 0.0

    @property
    def speedup(self) -> float:
        """Predicted."""
        return self.dense.seconds / self.pruned.seconds

    @property
    def measured_speedup(self) -> float | None:
        """Measured, where it was."""
        if self.measured_dense is None or self.measured_pruned is None:
            return None
        return self.measured_dense / self.measured_pruned

    @property
    def sentence(self) -> str:
        """Why the network is as fast as it is."""
        return _explain_network(self)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "removed": self.removed,
            "predicted_seconds": {"dense": self.dense.seconds, "pruned": self.pruned.seconds},
            "measured_seconds": {"dense": self.measured_dense, "pruned": self.measured_pruned},
            "sentence": self.sentence,
            "layers": [
                {
                    "name": layer.name,
                    "removed": layer.removed,
                    "dense": describe(layer.dense, layer.measured_dense),
                    "pruned": describe(layer.pruned, layer.measured_pruned),
                    "sentence": layer.sentence,
                }
                for layer in self.layers
            ],
        }


def explain(
    dense: nn.Module,
    pruned: nn.Module,
    example_inputs: tuple[Any, ...],
    machine: Machine,
    *,
    measure: bool = True,
    time_call: Stopwatch | None = None,
) -> Explanation:
    """Explain how much faster a pruned network is, and why not more.

    Parameters
    ----------
    dense, pruned : nn.Module
        The network before, and any variant of it: masked, sparse, or slimmed.
    example_inputs : tuple
        What both are called with.
    machine : Machine
    measure : bool
        Whether both also run, to be timed.
    time_call : Stopwatch, optional
        What times a network.

    Raises
    ------
    SpecificationError
        As :func:`predict` does.
    """
    before, after = (predict(model, example_inputs, machine) for model in (dense, pruned))
    layer_times: list[Mapping[str, float]] = [{}, {}]
    times: list[float | None] = [None, None]
    if measure:
        time_call = time_call or stopwatch(machine.device, threads=machine.threads, seconds=0.3)
        for k, model in enumerate((dense, pruned)):
            times[k] = measure_network(model, example_inputs, time_call).seconds
            layer_times[k] = time_layers(model, example_inputs, threads=machine.threads)
    names = dict.fromkeys([layer.name for layer in (*before.layers, *after.layers)])
    by_name = [{layer.name: layer for layer in found.layers} for found in (before, after)]
    layers = tuple(
        LayerExplanation(n, by_name[0].get(n), by_name[1].get(n), layer_times[0].get(n), layer_times[1].get(n))
        for n in names
    )
    return Explanation(before, after, layers, *times)


def measure_network(model: nn.Module, example_inputs: tuple[Any, ...], time_call: Stopwatch) -> Timing:
    """Time a network in evaluation mode; its spread says whether something disturbed that."""
    with evaluating(model):
        return time_call(partial(model, *example_inputs))


def needed(layer: LayerPrediction) -> float:
    """Return the operations of a layer that are not a multiplication by a pruned weight."""
    dense = all(not call.kind.startswith("sparse") for call in layer.work.calls)
    return layer.work.flops * (layer.work.density if dense else 1.0)


def describe(layer: LayerPrediction | None, measured: float | None) -> dict[str, Any] | None:
    """Return what JSON can hold of a layer."""
    if layer is None:
        return None
    work = layer.work
    return {
        "type": work.type,
        "flops": work.flops,
        "bytes": work.bytes,
        "intensity": work.flops / work.bytes if work.bytes else None,
        "density": work.density,
        "predicted_seconds": layer.seconds,
        "parts": {part: getattr(layer.parts, part) for part in _PARTS},
        "bound": layer.parts.bound,
        "measured_seconds": measured,
        "uncalibrated": list(layer.uncalibrated),
    }


def _explain_layer(layer: LayerExplanation) -> str:
    dense, pruned, removed = layer.dense, layer.pruned, layer.removed
    if dense is None or pruned is None:
        return "is gone" if pruned is None else "is new"
    assert layer.speedup is not None
    if removed < _NOTHING:
        if not dense.work.flops:
            return f"no products to prune; bound by {_PARTS[pruned.parts.bound]}, {_ratio(layer.speedup)}"
        return f"nothing was removed, {_ratio(layer.speedup)}"
    start = f"{removed:.0%} of its operations are needless, {_ratio(layer.speedup)}"
    if pruned.work.flops == dense.work.flops:
        masking = pruned.work.bytes - dense.work.bytes
        text = f"{start}: they are done all the same, since zeros in a dense matrix are numbers as others"
        return text + (f", and its mask moves {masking / 1024:.0f} KiB more at each call" if masking > 0 else "")
    return f"{start} instead of {1 / (1 - removed) if removed < 1 else 0:.3g}: {_limit(dense, pruned)}"


def _limit(dense: LayerPrediction, pruned: LayerPrediction) -> str:
    """Return what keeps a layer from being as much faster as it has fewer operations."""
    parts, share = pruned.parts, getattr(pruned.parts, pruned.parts.bound) / pruned.seconds
    if parts.bound == "overhead":
        return f"{share:.0%} of its {_time(pruned.seconds)} is the call itself, which costs the same for any size"
    fewer = dense.work.flops / max(1, pruned.work.flops)
    if parts.bound == "memory":
        lighter = dense.work.bytes / max(1, pruned.work.bytes)
        return (
            f"{share:.0%} of its {_time(pruned.seconds)} is memory traffic, and {fewer:.2g} times fewer operations "
            f"are only {lighter:.2g} times fewer bytes"
        )
    slower = parts.compute * dense.work.flops / max(1e-12, dense.parts.compute * pruned.work.flops)
    if any(call.kind.startswith("sparse") for call in pruned.work.calls):
        return f"each operation takes {slower:.2g} times as long, because every connection has to be looked up"
    if slower > 1 + 10 * _NOTHING:
        return f"each operation takes {slower:.2g} times as long in a product this narrow"
    return f"arithmetic fell as it should, and is {share:.0%} of what is left"


def _explain_network(found: Explanation) -> str:
    parts = found.pruned.parts
    shares = {words: getattr(parts, part) / parts.seconds for part, words in _PARTS.items()}
    measured = "" if found.measured_speedup is None else f" ({_ratio(found.measured_speedup)} measured)"
    ideal = f"{1 / (1 - found.removed):.3g} times" if found.removed < 1 else "any number of times"
    spent = ", ".join(f"{share:.0%} {words}" for words, share in sorted(shares.items(), key=lambda s: -s[1]))
    rest = found.pruned.seconds - sum(x.parts.compute for x in found.pruned.layers if x.work.flops)
    most = f"with no arithmetic in products at all it would be {found.dense.seconds / rest:.2g} times as fast as dense"
    return (
        f"{found.removed:.0%} of the operations are needless, which by itself promises {ideal}; it is predicted to "
        f"be {_ratio(found.speedup)}{measured}. Its {_time(found.pruned.seconds)} are {spent}; {most}."
    )


def _ratio(speedup: float) -> str:
    return f"{speedup:.2g} times as fast" if abs(speedup - 1) >= 0.05 else "as fast as before"


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"
