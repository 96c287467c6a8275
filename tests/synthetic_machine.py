"""A machine that exists on paper: what every call takes on it is known, so that fits and predictions can be exact."""

from collections.abc import Callable
from typing import Any

from torch import nn

from neuroprune.bridge.roofline import Bandwidth, Call, Ceilings, LayerWork, Machine, Quality, intensity
from neuroprune.bridge.roofline.calibration import MODULE, Cost, working_set
from neuroprune.bridge.roofline.work import PARAMETRIZATION
from neuroprune.bridge.timing import Timing

CEILINGS = Ceilings(
    peak=5e10,
    triad=Bandwidth((2**16, 2**20, 2**27), (6e10, 5e10, 1e10)),
    read=Bandwidth((2**16, 2**20, 2**27), (4e10, 3e10, 1e10)),
    call=2e-6,
)
MODULE_SECONDS = 1e-6
COSTS = {
    "linear": Cost(5e-6, flops=1.2, weights=1.5, activations=1.1),
    "linear row": Cost(4e-6, flops=0.0, weights=0.9, activations=0.5),
    "conv (Mkldnn)": Cost(2e-5, flops=1.4, weights=2.0, activations=1.5, patches=0.7),
    "sparse": Cost(8e-6, flops=3.0, weights=1.0, activations=1.0),
    "sparse row": Cost(6e-6, flops=8.0, weights=1.0, activations=1.0),
    "view": Cost(1e-6, 0.0, 0.0, 0.0),
    PARAMETRIZATION: Cost(7e-6, 0.0, 0.0, 0.0),
    MODULE: Cost(MODULE_SECONDS, 0.0, 0.0, 0.0),
}
OTHER = Cost(3e-6, flops=1.0, weights=1.0, activations=0.8, elements=0.6)
EXTRA = 2e-6
"""Of every call within a network."""


def seconds_of(layers: list[LayerWork], *, extra: float) -> float:
    """Return what a network takes on this machine."""
    size = working_set(layers)
    total = sum(layer.modules for layer in layers) * MODULE_SECONDS
    for call in (call for layer in layers for call in layer.calls):
        total += COSTS.get(call.kind, OTHER).parts(call, CEILINGS, size).seconds + extra
    return total


def time_call(call: Any) -> Timing:
    """Time a call as this machine would: networks, layers, and the operations that ceilings are measured with."""
    function: Callable[..., Any] = call.func
    if isinstance(function, nn.Module):
        layers = list(intensity(function, call.args).values())
        n = sum(len(layer.calls) for layer in layers)
        return Timing(seconds_of(layers, extra=EXTRA if n > 3 else 0.0))
    if function is getattr:
        return Timing(2 * MODULE_SECONDS + COSTS[PARAMETRIZATION].overhead)
    if function.__name__ == "add":
        moved = 3 * call.args[0].numel() * call.args[0].element_size()
        return Timing(CEILINGS.call + (moved / CEILINGS.triad.at(moved) if moved > 64 else 0.0))
    if function.__name__ == "mv":
        matrix = call.args[0]
        moved = (matrix.numel() + 2 * len(matrix)) * matrix.element_size()
        return Timing(CEILINGS.call + (moved / CEILINGS.read.at(moved) if moved > 64 else 0.0))
    assert function.__name__ == "mm"
    return Timing(2 * len(call.args[0]) ** 3 / CEILINGS.peak)


def machine(**changes: Any) -> Machine:
    """Return the machine, with its costs known."""
    costs = {kind: Cost(**{**vars(cost), "in_network": EXTRA * (kind != MODULE)}) for kind, cost in COSTS.items()}
    content: dict[str, Any] = {
        "name": "a machine on paper", "device": "cpu", "threads": 1, "torch_version": "0",
        "ceilings": {"float32": CEILINGS}, "costs": {"float32": costs}, "quality": Quality(0.0, 1.0, 0.0),
    }  # fmt: skip
    return Machine(**{**content, **changes})


def call_of(model: nn.Module, *inputs: Any) -> Call:
    """Return the only call of a module."""
    (call,) = (call for layer in intensity(model, inputs).values() for call in layer.calls)
    return call
