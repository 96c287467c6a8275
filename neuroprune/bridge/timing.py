"""Timing of calls on a machine that may be disturbed: low quantiles of many samples, and how far they spread."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat

import torch

from neuroprune.core.errors import SpecificationError

QUANTILE = 0.1
"""Of the samples, that is taken as the time: others on the machine make a call slower, never faster."""
_SAMPLE = 5e-5
"""Seconds that a sample lasts at least, so that reading the clock is below 1 % of it."""
_FEWEST, _MOST = 10, 1000
"""Samples. Fewer only where one takes longer than all the time that is to be spent."""


@dataclass(frozen=True)
class Timing:
    """How long a call takes.

    Parameters
    ----------
    seconds : float
        The lowest tenth of the samples is below it.
    spread : float
        How far the median is above, relative to it.
    busy : float
        Share of the time for which the thread had a core; 1 where it cannot be known.
    """

    seconds: float
    spread: float = 0.0
    busy: float = 1.0


Stopwatch = Callable[[Callable[[], object]], Timing]
"""What times a call."""


def stopwatch(
    device: str | torch.device = "cpu",
    *,
    threads: int = 1,
    seconds: float = 0.05,
    clock: Callable[[], float] | None = None,
) -> Stopwatch:
    """Return what times a call on a device.

    Parameters
    ----------
    device : str or torch.device
        A CPU or a CUDA device.
    threads : int
        Of torch, while the call is timed.
    seconds : float
        Spent on samples of a call, at least; ten samples are taken even if that is longer, up to 20 times of it.
    clock : function, optional
        Returns seconds. Otherwise: on a CPU with one thread, what that thread computed, which on an idle machine is
        the latency, and on a shared one nearly so; with more threads the wall clock; on CUDA the device's events,
        from when the queue is empty to when it is empty again.

    Raises
    ------
    SpecificationError
        If there is no such device.
    """
    place = torch.device(device)
    if place.type not in ("cpu", "cuda"):
        raise SpecificationError(f"calls can be timed on cpu and cuda, not on {str(device)!r}")
    if place.type == "cuda" and not torch.cuda.is_available():
        raise SpecificationError("calls cannot be timed on cuda: this machine or this build of torch has none")

    def time_call(call: Callable[[], object]) -> Timing:
        with using_threads(threads), torch.inference_mode(), _without_collector():
            take: Callable[[int], float]
            if clock is not None or place.type == "cpu":
                take = _on_clock(call, clock or (time.thread_time if threads == 1 else time.perf_counter))
            else:
                take = _on_events(call, place)
            return _collect(take, seconds, watched=clock is None and place.type == "cpu" and threads == 1)

    return time_call


def _collect(take: Callable[[int], float], seconds: float, *, watched: bool) -> Timing:
    """Take samples until enough time is spent; `take` returns the seconds that so many calls took."""
    take(1)  # compiles, allocates and fills caches
    once = max(take(1), 1e-9)
    calls = max(1, round(_SAMPLE / once))
    wanted = min(_MOST, max(_FEWEST, round(seconds / (once * calls))))
    wanted = min(wanted, max(3, round(20 * seconds / (once * calls))))
    began, computed = time.perf_counter(), time.thread_time()
    samples = sorted(take(calls) / calls for _ in range(wanted))
    busy = (time.thread_time() - computed) / max(time.perf_counter() - began, 1e-9)
    low = samples[int(QUANTILE * (wanted - 1))]
    return Timing(low, samples[wanted // 2] / low - 1 if low > 0 else 0.0, min(1.0, busy) if watched else 1.0)


def _on_clock(call: Callable[[], object], clock: Callable[[], float]) -> Callable[[int], float]:
    def take(calls: int) -> float:
        start = clock()
        for _ in repeat(None, calls):
            call()
        return clock() - start

    return take


def _on_events(call: Callable[[], object], device: torch.device) -> Callable[[int], float]:
    def take(calls: int) -> float:
        with torch.cuda.device(device):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            for _ in repeat(None, calls):
                call()
            end.record()
            torch.cuda.synchronize()
            return start.elapsed_time(end) * 1e-3

    return take


@contextmanager
def using_threads(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads.

    Raises
    ------
    SpecificationError
        If it is not a positive number.
    """
    if threads < 1:
        raise SpecificationError(f"threads is {threads}, and must be 1 or more")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from collecting garbage within a sample."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
