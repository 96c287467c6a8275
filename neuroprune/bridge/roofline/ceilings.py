"""What a machine can do at most: arithmetic, and bytes moved to and from each level of its memory."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from neuroprune.bridge.timing import Stopwatch, Timing

WORKING_SETS = tuple(2**k for k in range(16, 28))
"""Bytes that bandwidth is measured with: 64 KiB, which is in a cache, to 128 MiB, which is in none."""
SIDES = (256, 512, 1024, 2048, 4096, 8192)
"""Of the square matrices whose product is timed, as long as one takes less than :data:`_LONGEST`."""
_LONGEST = 0.2


@dataclass(frozen=True)
class Bandwidth:
    """Bytes per second, by bytes of the working set.

    Parameters
    ----------
    sizes : tuple of int
        Bytes, increasing.
    rates : tuple of float
        Bytes per second.
    """

    sizes: tuple[int, ...]
    rates: tuple[float, ...]

    def at(self, size: float) -> float:
        """Return the rate for a working set: on straight lines in logarithms, and level beyond the ends."""
        k = bisect_left(self.sizes, size)
        if k in (0, len(self.sizes)):
            return self.rates[min(k, len(self.sizes) - 1)]
        low, high = self.sizes[k - 1], self.sizes[k]
        share = math.log(size / low) / math.log(high / low)
        return self.rates[k - 1] ** (1 - share) * self.rates[k] ** share


@dataclass(frozen=True)
class Ceilings:
    """Bounds of a machine with one type of numbers.

    Parameters
    ----------
    peak : float
        Floating-point operations per second of a product of square matrices.
    triad : Bandwidth
        Of ``a = b + s c``, as STREAM counts: two arrays read and one written (McCalpin 1995).
    read : Bandwidth
        Of a matrix that is read once, by its product with a vector.
    call : float
        Seconds that an addition of two numbers takes: what it costs to call anything.
    """

    peak: float
    triad: Bandwidth
    read: Bandwidth
    call: float

    @property
    def ridge(self) -> float:
        """Operations per byte from which on arithmetic and not memory is the bound."""
        return self.peak / self.triad.rates[-1]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        curves = {n: {"bytes": list(c.sizes), "bytes_per_second": list(c.rates)} for n, c in self._curves()}
        return {"peak_flops_per_second": self.peak, "call_seconds": self.call, **curves}

    def _curves(self) -> Sequence[tuple[str, Bandwidth]]:
        return (("triad", self.triad), ("read", self.read))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Ceilings":
        """Return the ceilings of a dictionary that :meth:`as_dict` made."""
        curves = {
            n: Bandwidth(tuple(content[n]["bytes"]), tuple(content[n]["bytes_per_second"])) for n in ("triad", "read")
        }
        return cls(content["peak_flops_per_second"], curves["triad"], curves["read"], content["call_seconds"])


def measure_ceilings(
    dtype: torch.dtype,
    device: torch.device,
    time_call: Stopwatch,
    *,
    working_sets: Sequence[int] = WORKING_SETS,
    sides: Sequence[int] = SIDES,
    seen: Callable[[Timing], None] = lambda _: None,
) -> Ceilings:
    """Measure the bounds of a machine; nothing is allocated while the clock runs.

    Parameters
    ----------
    dtype, device
        Of the arrays.
    time_call : Stopwatch
    working_sets : sequence of int
        Bytes.
    sides : sequence of int
        Of square matrices.
    seen : function, optional
        Told every timing.

    Raises
    ------
    RuntimeError
        Of torch, if it cannot compute with these numbers.
    """

    def seconds(call: Callable[[], object]) -> float:
        timing = time_call(call)
        seen(timing)
        return timing.seconds

    def array(*shape: int) -> torch.Tensor:
        return torch.ones(shape, dtype=dtype, device=device)

    a, b, c = array(1), array(1), array(1)
    call = seconds(partial(torch.add, b, c, alpha=3, out=a))
    one_row = seconds(partial(torch.mv, array(1, 1), array(1), out=array(1)))
    triad, read = [], []
    for size in working_sets:
        n = max(1, size // (3 * a.element_size()))
        a, b, c = array(n), array(n), array(n)
        triad.append(3 * n * a.element_size() / _beyond(seconds(partial(torch.add, b, c, alpha=3, out=a)), call))
        rows = max(1, math.isqrt(size // a.element_size()))
        matrix = array(rows, rows)
        moved = (rows + 2) * rows * a.element_size()
        read.append(moved / _beyond(seconds(partial(torch.mv, matrix, array(rows), out=array(rows))), one_row))
    peak = 0.0
    for side in sides:
        took = seconds(partial(torch.mm, array(side, side), array(side, side), out=array(side, side)))
        peak = max(peak, 2 * side**3 / took)
        if 8 * took > _LONGEST:
            break
    sizes = tuple(working_sets)
    return Ceilings(peak, Bandwidth(sizes, tuple(triad)), Bandwidth(sizes, tuple(read)), call)


def _beyond(took: float, overhead: float) -> float:
    """Return what a call took beyond its overhead, and at least a tenth of it where that cannot be resolved."""
    return max(took - overhead, 0.1 * took)
