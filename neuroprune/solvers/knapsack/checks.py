"""Inputs, checked: what is worth how much, what it costs, and what may be spent."""

from typing import Any

import numpy as np

from neuroprune.core.errors import SpecificationError


def check_values(values: Any, what: str, *, negative: bool = False) -> np.ndarray:
    """Return values as a float64 vector.

    Raises
    ------
    SpecificationError
        If they are no vector, or one is not finite, or is negative although it must not be.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise SpecificationError(f"{what} have shape {found.shape}: they must be a vector")
    bad = np.flatnonzero(~np.isfinite(found))
    if bad.size:
        raise SpecificationError(f"{what}: number {bad[0]} is {found[bad[0]]}, and must be finite")
    if not negative and (found < 0).any():
        worst = int(np.flatnonzero(found < 0)[0])
        raise SpecificationError(
            f"{what}: number {worst} is {found[worst]}, and must be 0 or more; "
            "what does harm is better left out of the choice"
        )
    with np.errstate(over="ignore"):
        total = np.abs(found).sum()
    if not np.isfinite(total):
        raise SpecificationError(f"{what}: their sum is not finite; scale them down")
    return found


def check_costs(costs: Any, what: str, like: np.ndarray) -> np.ndarray:
    """Return costs as an int64 vector as long as `like`.

    Raises
    ------
    SpecificationError
        If they are not whole numbers of 0 or more, or not as many as the values.
    """
    found = np.asarray(costs)
    if found.shape != like.shape:
        raise SpecificationError(f"{what} have shape {found.shape}, but there are {like.size} values")
    if found.dtype.kind == "f":
        bad = np.flatnonzero(~(np.isfinite(found) & (found == np.floor(found))))
        if bad.size:
            raise SpecificationError(
                f"{what}: number {bad[0]} is {found[bad[0]]}, and must be a whole number; "
                "count in a smaller unit (bytes, nanoseconds)"
            )
    elif found.dtype.kind not in "iub" and found.size:
        raise SpecificationError(f"{what} are of type {found.dtype}: they must be whole numbers")
    if found.size and found.min() < 0:
        worst = int(np.argmin(found))
        raise SpecificationError(f"{what}: number {worst} is {found[worst]}, and must be 0 or more")
    if found.size and float(found.sum(dtype=np.float64)) >= 2.0**62:
        raise SpecificationError(f"{what}: their sum exceeds 2**62; count in a larger unit")
    return found.astype(np.int64)


def check_budget(budget: Any) -> int:
    """Return a budget as an integer.

    Raises
    ------
    SpecificationError
        If it is no whole number of 0 or more.
    """
    try:
        whole = int(budget)
        if whole != budget:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise SpecificationError(
            f"budget is {budget!r}, and must be a whole number, in the unit of the costs"
        ) from None
    if whole < 0:
        raise SpecificationError(f"budget is {whole}, and must be 0 or more: nothing costs less than nothing")
    return whole
