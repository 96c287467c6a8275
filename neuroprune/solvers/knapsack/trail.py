"""How states came about: a forest of decisions in which every state is a node, and its past the way to the root."""

import numpy as np
from numba import njit

ROOT = -1
"""The state before any decision."""


class Trail:
    """Decisions that states have in common are stored once; what no living state needs is forgotten.

    Parameters
    ----------
    limit : int
        Nodes that may be held, 8 bytes each.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._parent = np.empty(1 << 12, np.int32)
        self._option = np.empty(1 << 12, np.int32)

    def add(self, parent: np.ndarray, option: np.ndarray) -> np.ndarray:
        """Add nodes, with the options that they stand for, and return their numbers."""
        end = self.size + parent.size
        if end > self._parent.size:
            room = max(end, 2 * self._parent.size) - self.size
            self._parent = np.concatenate([self._parent[: self.size], np.empty(room, np.int32)])
            self._option = np.concatenate([self._option[: self.size], np.empty(room, np.int32)])
        self._parent[self.size : end] = parent
        self._option[self.size : end] = option
        numbers = np.arange(self.size, end, dtype=np.int32)
        self.size = end
        return numbers

    def path(self, node: int) -> list[int]:
        """Return the options on the way from a node to the root."""
        found = []
        while node != ROOT:
            found.append(int(self._option[node]))
            node = int(self._parent[node])
        return found

    def make_room(self, needed: int, nodes: np.ndarray) -> tuple[bool, np.ndarray]:
        """Forget what does not lead to `nodes` if so many more would not fit; return whether they do, and `nodes`."""
        if self.size + needed > self.limit:
            number = _living(self._parent[: self.size], nodes)
            alive = number >= 0
            parent = self._parent[: self.size][alive]
            self._option[: parent.size] = self._option[: self.size][alive]
            self._parent[: parent.size] = np.where(parent == ROOT, ROOT, number[parent])
            self.size = parent.size
            nodes = np.where(nodes == ROOT, ROOT, number[nodes]).astype(np.int32)
        return self.size + needed <= self.limit, nodes


@njit(cache=True, nogil=True)
def _living(parent, nodes):  # pragma: no cover
    """Return the new number of every node on the way from `nodes` to the root, -1 for the others."""
    number = np.full(parent.size, -1, np.int32)
    for node in nodes:
        while node != -1 and number[node] < 0:
            number[node] = 0
            node = parent[node]
    n = 0
    for node in range(parent.size):
        if number[node] == 0:
            number[node] = n
            n += 1
    return number
