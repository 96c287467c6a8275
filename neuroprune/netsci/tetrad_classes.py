"""The classes of four-node subgraphs, and how many of each are contained in each.

A labelled subgraph of nodes 0, 1, 2, 3 is a *code* of 12 bits: two for each dyad, in the order of `DYADS`. The
class of a code is named by the number of its adjacency matrix, read row by row as bits (``i -> j`` is bit
``4 i + j``), smallest over all orders of the nodes: the id that mfinder and its successors print. So ``"204"`` is
the bi-fan and ``"904"`` the bi-parallel of Milo et al. (2002).
"""

from collections.abc import Mapping
from itertools import permutations

import numpy as np

from neuroprune.core.errors import GraphError

DYADS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""Dyad of each pair of bits of a code, lowest first."""

TETRADS_UNDIRECTED = ("star", "path", "cycle", "paw", "diamond", "clique")
"""The six connected classes without direction."""

_SHAPES = (
    ((0, 1), (0, 2), (0, 3)),
    ((0, 1), (1, 2), (2, 3)),
    ((0, 1), (1, 2), (2, 3), (0, 3)),
    ((0, 1), (0, 2), (1, 2), (0, 3)),
    ((0, 1), (0, 2), (0, 3), (1, 2), (2, 3)),
    DYADS,
)


def tetrad_code(codes: Mapping[tuple[int, int], int]) -> int:
    """Return the code of a labelled subgraph from the codes of its dyads ``(i, j)``, as `i` sees them."""
    total = 0
    for (i, j), code in codes.items():
        if i > j:
            i, j, code = j, i, (code & 1) << 1 | code >> 1
        total |= code << 2 * DYADS.index((i, j))
    return total


def _class_numbers() -> np.ndarray:
    """Return the class of each of the 4096 codes, as the number that names it; -1 where it is not connected."""
    codes = np.arange(4096)
    dyads = [codes >> 2 * k & 3 for k in range(6)]
    smallest = np.full(4096, 1 << 16)
    for p in permutations(range(4)):
        number = np.zeros(4096, np.int64)
        for (i, j), dyad in zip(DYADS, dyads, strict=True):
            number |= (dyad & 1) << 4 * p[i] + p[j] | (dyad >> 1) << 4 * p[j] + p[i]
        smallest = np.minimum(smallest, number)
    # Three dyads or more connect four nodes, unless one node has none.
    present = np.stack([dyad > 0 for dyad in dyads])
    touched = [present[[node in pair for pair in DYADS]].any(axis=0) for node in range(4)]
    connected = np.all(touched, axis=0) & (present.sum(axis=0) >= 3)
    return np.where(connected, smallest, -1)


def _containment() -> np.ndarray:
    """Return in ``[p, q]`` how many proper subgraphs of class p, dyads left out, a subgraph of class q contains."""
    representative = np.array([np.flatnonzero(q == CLASS_OF_CODE)[0] for q in range(len(TETRADS))])
    contains = np.zeros((len(TETRADS), len(TETRADS)), np.int64)
    for kept in range(64):
        mask = sum(3 << 2 * k for k in range(6) if kept >> k & 1)
        part = representative & mask
        proper = (part != representative) & (CLASS_OF_CODE[part] >= 0)
        # Two subsets that leave the same code are the same subgraph: count only those that keep nothing absent.
        for k in range(6):
            proper &= ~((kept >> k & 1 == 1) & (representative >> 2 * k & 3 == 0))
        np.add.at(contains, (CLASS_OF_CODE[part[proper]], np.flatnonzero(proper)), 1)
    return contains


_NUMBERS = _class_numbers()
_FOUND = np.unique(_NUMBERS)[1:]

TETRADS = tuple(str(number) for number in _FOUND)
"""Names of the 199 connected directed classes, ascending by number."""

CLASS_OF_CODE = np.where(_NUMBERS < 0, -1, np.searchsorted(_FOUND, _NUMBERS))
"""Index in `TETRADS` of each code, -1 where it is not connected; int64, shape (4096,)."""

CONTAINS = _containment()
"""How many proper subgraphs of the class of the row one of the class of the column contains; shape (199, 199)."""

_MUTUAL = CLASS_OF_CODE[[tetrad_code(dict.fromkeys(shape, 3)) for shape in _SHAPES]]

CONTAINS_UNDIRECTED = CONTAINS[np.ix_(_MUTUAL, _MUTUAL)]
"""The same for `TETRADS_UNDIRECTED`; shape (6, 6)."""


def induced_counts(counts: np.ndarray, contains: np.ndarray) -> np.ndarray:
    """Return how many subgraphs are induced, from how many there are of each class, induced or not.

    Every subgraph lies in exactly one induced subgraph of its nodes, which may be of a class with more dyads:
    ``counts = induced + contains @ induced``. There are 3 to 6 dyads, so three substitutions solve it exactly.
    """
    induced = counts
    for _ in range(3):
        induced = counts - contains @ induced
    return induced


def tetrad_edges(label: str) -> list[tuple[int, int]]:
    """Return the edges of a class of four-node subgraphs, between nodes 0 to 3.

    Parameters
    ----------
    label : str
        One of `TETRADS` for the arcs ``(i, j)``, or of `TETRADS_UNDIRECTED` for the pairs.

    Raises
    ------
    GraphError
        If there is no such class.

    Examples
    --------
    >>> tetrad_edges("204")
    [(0, 2), (0, 3), (1, 2), (1, 3)]
    """
    if label in TETRADS_UNDIRECTED:
        return list(_SHAPES[TETRADS_UNDIRECTED.index(label)])
    if label not in TETRADS:
        raise GraphError(
            f"no class {label!r} of connected four-node subgraphs; there are {', '.join(TETRADS_UNDIRECTED)}, "
            f"and {len(TETRADS)} directed ones numbered {TETRADS[0]} to {TETRADS[-1]} as in mfinder"
        )
    return [(i, j) for i in range(4) for j in range(4) if int(label) >> 4 * i + j & 1]
