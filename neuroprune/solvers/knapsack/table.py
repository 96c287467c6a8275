"""Dynamic programming over every cost up to the budget: simple, exact, and an oracle for what is faster."""

import numpy as np
from numba import njit

from neuroprune.core.errors import SpecificationError

MEMORY = 2**31
"""Bytes that a table may take."""


def fill_table(cost: np.ndarray, value: np.ndarray, budget: int) -> np.ndarray:
    """Return which items to keep.

    Parameters
    ----------
    cost, value : int64 array, shape (n_items,)
    budget : int

    Raises
    ------
    SpecificationError
        If the table would not fit into memory: 8 bytes per unit of budget, and a bit per item besides.
    """
    needed = (budget + 1) * (8 + (cost.size + 7) // 8)
    if needed > MEMORY:
        raise SpecificationError(
            f"a table of {cost.size:,} items and a budget of {budget:,} takes {needed / 2**30:.1f} GiB, "
            f"and may take {MEMORY / 2**30:.0f}; use the method core, or count costs in a larger unit"
        )
    return _fill(cost, value, budget)


@njit(cache=True, nogil=True)
def _fill(cost, value, budget):  # pragma: no cover
    best = np.zeros(budget + 1, np.int64)
    taken = np.zeros(((cost.size + 7) // 8, budget + 1), np.uint8)
    for j in range(cost.size):
        row, bit = taken[j >> 3], np.uint8(1 << (j & 7))
        for left in range(budget, cost[j] - 1, -1):
            with_j = best[left - cost[j]] + value[j]
            if with_j > best[left]:
                best[left] = with_j
                row[left] |= bit
    chosen = np.zeros(cost.size, np.bool_)
    left = budget
    for j in range(cost.size - 1, -1, -1):
        if taken[j >> 3, left] & np.uint8(1 << (j & 7)):
            chosen[j] = True
            left -= cost[j]
    return chosen
