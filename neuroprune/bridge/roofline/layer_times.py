"""How long the layers of a network take while it runs."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.roofline.work import names_by_module
from neuroprune.bridge.timing import QUANTILE, stopwatch, using_threads
from neuroprune.bridge.training import evaluating

_CHAIN = 64
"""Modules that do nothing, to see what reading the clock costs."""
_FEWEST, _LONG_ENOUGH = 5, 2.0
"""Passes that are made in any case, and seconds after which there are no more."""
_UNCOUNTED = 3
"""Passes at first, that compile, allocate and fill caches."""


def time_layers(
    model: nn.Module, example_inputs: tuple[Any, ...], *, threads: int = 1, passes: int = 50
) -> Mapping[str, float]:
    """Measure how long each layer takes within the network.

    Parameters
    ----------
    model : nn.Module
    example_inputs : tuple
        On the device of the network, a CPU or CUDA.
    threads : int
        Of torch.
    passes : int
        Of which the lowest tenth is taken, for each layer. There are fewer where they take more than two seconds.

    Returns
    -------
    mapping of str to float
        Seconds, by the names of :func:`intensity`; what a module does besides its layers is its own.

    Notes
    -----
    The clock is read whenever a module is entered or left. What that costs is measured on modules that do nothing,
    and taken off. On CUDA the clocks are the device's events, so calls that wait in its queue count for nothing.
    """
    device = next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    with using_threads(threads), torch.inference_mode(), evaluating(model):
        found, entries, children = _exclusive(model, example_inputs, device, threads, passes)
        chain = nn.Sequential(*(nn.Identity() for _ in range(_CHAIN)))
        x = torch.zeros(1, device=device)
        idle, _, _ = _exclusive(chain, (x,), device, threads, passes)
    module = stopwatch(device, threads=threads)(partial(chain, x)).seconds / (_CHAIN + 1)
    per_entry = statistics.median(seconds for name, seconds in idle.items() if name) - module
    per_child = idle[""] / _CHAIN
    return {
        name: max(0.0, seconds - entries[name] * per_entry - children[name] * per_child)
        for name, seconds in found.items()
    }


def _exclusive(
    model: nn.Module, inputs: tuple[Any, ...], device: torch.device, threads: int, passes: int
) -> tuple[dict[str, float], Counter[str], Counter[str]]:
    """Return the seconds that each name is on top, and how often it is entered, and enters something, in a pass."""
    names, log = names_by_module(model), list[tuple[str | None, Any]]()
    stamp = _stamp(device, threads)
    handles = []
    for module, name in names.items():
        handles.append(module.register_forward_pre_hook(lambda *_, name=name: log.append((name, stamp()))))
        handles.append(module.register_forward_hook(lambda *_: log.append((None, stamp()))))
    samples: dict[str, list[float]] = {}
    entries, children = Counter[str](), Counter[str]()
    try:
        began = time.perf_counter()
        for done in range(_UNCOUNTED + passes):
            if done >= _UNCOUNTED + _FEWEST and time.perf_counter() - began > _LONG_ENOUGH:
                break
            log.clear()
            model(*inputs)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            took, entries, children = _charge(log)
            if done >= _UNCOUNTED:
                for name, seconds in took.items():
                    samples.setdefault(name, []).append(seconds)
    finally:
        for handle in handles:
            handle.remove()
    low = {name: sorted(found)[int(QUANTILE * (len(found) - 1))] for name, found in samples.items()}
    return low, entries, children


def _charge(log: Sequence[tuple[str | None, Any]]) -> tuple[dict[str, float], Counter[str], Counter[str]]:
    """Charge the time between two readings of the clock to what was on top between them."""
    took: dict[str, float] = {}
    entries, children = Counter[str](), Counter[str]()
    within: list[str] = []
    before: Any = None
    for name, now in log:
        if within:
            took[within[-1]] = took.get(within[-1], 0.0) + _between(before, now)
        before = now
        if name is None:
            within.pop()
        else:
            if within:
                children[within[-1]] += 1
            within.append(name)
            entries[name] += 1
            took.setdefault(name, 0.0)
    return took, entries, children


def _stamp(device: torch.device, threads: int) -> Callable[[], Any]:
    if device.type == "cpu":
        return time.thread_time if threads == 1 else time.perf_counter

    def record() -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    return record


def _between(start: Any, end: Any) -> float:
    return end - start if isinstance(start, float) else start.elapsed_time(end) * 1e-3
