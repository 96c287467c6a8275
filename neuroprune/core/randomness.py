"""Random numbers that depend on what they decide, not on when or where they were drawn.

A draw is a hash of (seed, stream, step, id). Because a connection's id never changes, neither compaction of
a table, nor the order of its slots, nor batching, nor the number of processes changes any decision. The hash
uses wrapping int64 arithmetic only, so numpy, torch and array-api-strict give the same bits on any device.
"""

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

Array = Any
"""An array of any library that follows the array API standard (numpy, torch, array_api_strict, ...)."""

_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_C1 = _signed(0xBF58476D1CE4E5B9)
_C2 = _signed(0x94D049BB133111EB)


def _shift_right(x: Array, n: int) -> Array:
    """Shift int64 bits right and fill with zeros (``>>`` would repeat the sign)."""
    return (x >> n) & ((1 << (64 - n)) - 1)


def _mix(x: Array) -> Array:
    """Scramble 64 bits with the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    x = (x ^ _shift_right(x, 30)) * _C1
    x = (x ^ _shift_right(x, 27)) * _C2
    return x ^ _shift_right(x, 31)


def derive_seed(seed: int, *labels: object) -> int:
    """Return the unsigned 64-bit seed that belongs to `labels` under the master `seed`.

    Parameters
    ----------
    seed : int
        Master seed of the run.
    *labels : object
        What the seed is for, for example ``("sample", 12)``; their ``repr`` is hashed.
    """
    text = repr((seed, *labels)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Draws:
    """Uniform random numbers of one stream at one step.

    Parameters
    ----------
    seed : int
        Master seed of the run.
    stream : str
        Who draws, usually the name of a rule.
    step : int
        Developmental step.

    Examples
    --------
    >>> import numpy as np
    >>> draws = Draws(seed=1, stream="engulfment", step=0)
    >>> ids = np.asarray([[7, 8, 9]])
    >>> bool((draws.uniform(ids)[:, ::-1] == draws.uniform(ids[:, ::-1])).all())
    True
    """

    seed: int
    stream: str
    step: int

    def uniform(self, ids: Array, purpose: str = "") -> Array:
        """Return one number in [0, 1) for each permanent id.

        Parameters
        ----------
        ids : array of int64, any shape with at least one axis
            Permanent ids of connections or cells.
        purpose : str, optional
            Separates several draws for the same id in the same step.

        Returns
        -------
        array of float64, the shape, library and device of `ids`
            53 random bits each.
        """
        import array_api_compat

        xp = array_api_compat.array_namespace(ids)
        key = _signed(derive_seed(self.seed, self.stream, self.step, purpose))
        bits = _mix(_mix(ids * _GOLDEN + key) ^ key)
        return xp.astype(_shift_right(bits, 11), xp.float64) * 2.0**-53

    def one(self, purpose: str = "") -> float:
        """Return a single number in [0, 1)."""
        return (derive_seed(self.seed, self.stream, self.step, purpose, "one") >> 11) * 2.0**-53
