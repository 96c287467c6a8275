"""The triad census: induced subgraphs of three nodes, in 16 classes.

Only closed triads are enumerated, each once, along the forward adjacency. Open ones follow from the dyads of
each node: all pairs of its dyads, less those whose other side is closed. So no hub is expensive, where methods
that visit the neighbours of every pair (Batagelj & Mrvar 2001) take longest.
"""

from itertools import product

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK
from neuroprune.netsci.census import Census
from neuroprune.netsci.graph import Graph

TRIADS = (
    "003", "012", "102", "021D", "021U", "021C", "111D", "111U",
    "030T", "030C", "201", "120D", "120U", "120C", "210", "300",
)  # fmt: skip
"""Names of the classes after Holland & Leinhardt (mutual, asymmetric, null dyads, direction)."""

CONNECTED_TRIADS = tuple(t for t in TRIADS if t not in ("003", "012", "102"))
"""The 13 classes in which the three nodes hang together, what motif tables list."""

WEDGES = ((1, 1), (2, 2), (3, 3), (1, 2), (1, 3), (2, 3))
"""Unordered pairs of codes of the two dyads at the centre of an open triad."""


def flipped(code: int) -> int:
    """Return the code of a dyad as the other node sees it."""
    return (code & 1) << 1 | code >> 1


def triad_class(a: int, b: int, c: int) -> str:
    """Return the class of nodes 0, 1, 2 from the codes of the dyads 0-1, 0-2 and 1-2.

    Examples
    --------
    >>> triad_class(1, 1, 1), triad_class(3, 0, 2)
    ('030T', '111D')
    """
    codes = {(0, 1): a, (0, 2): b, (1, 2): c}
    mutual = sum(code == 3 for code in codes.values())
    null = sum(code == 0 for code in codes.values())
    counts = f"{mutual}{3 - mutual - null}{null}"
    arcs = [pair for pair, code in codes.items() if code == 1]
    arcs += [(v, u) for (u, v), code in codes.items() if code == 2]
    out = [sum(u == node for u, _ in arcs) for node in range(3)]
    into = [sum(v == node for _, v in arcs) for node in range(3)]
    if counts in ("021", "120"):
        return counts + ("D" if 2 in out else "U" if 2 in into else "C")
    if counts == "111":
        (pair,) = (pair for pair, code in codes.items() if code == 3)
        return counts + ("D" if arcs[0][1] in pair else "U")
    if counts == "030":
        return counts + ("T" if 2 in out else "C")
    return counts


def triad_edges(label: str) -> list[tuple[int, int]]:
    """Return the arcs of a class of triads, between nodes 0 to 2; node 0 is the centre, where there is one.

    Raises
    ------
    GraphError
        If there is no such class.

    Examples
    --------
    >>> triad_edges("030C")
    [(0, 1), (1, 2), (2, 0)]
    """
    if label not in TRIADS:
        raise GraphError(f"no class {label!r} of triads; there are {', '.join(TRIADS)}")
    pairs = ((0, 1), (0, 2), (1, 2))
    drawings = [codes for codes in product(range(4), repeat=3) if triad_class(*codes) == label]
    codes = min(drawings, key=lambda codes: (0 in codes and codes[2] != 0, codes[0] != codes[1], codes))
    arcs = [(u, v) for (u, v), code in zip(pairs, codes, strict=True) if code & 1]
    return sorted(arcs + [(v, u) for (u, v), code in zip(pairs, codes, strict=True) if code & 2])


def _closed_table() -> np.ndarray:
    """Return what a closed triad of each code adds to the 16 classes: itself, and three open ones fewer."""
    table = np.zeros((64, 16), np.int64)
    for a, b, c in product((1, 2, 3), repeat=3):
        row = table[a << 4 | b << 2 | c]
        row[TRIADS.index(triad_class(a, b, c))] += 1
        for x, y in ((a, b), (flipped(a), c), (flipped(b), flipped(c))):
            row[TRIADS.index(triad_class(x, y, 0))] -= 1
    return table


CLOSED = _closed_table()
OPEN = np.array([[triad_class(x, y, 0) == name for name in TRIADS] for x, y in WEDGES], np.int64)
ASYMMETRIC = np.array([int(name[1]) for name in TRIADS])
MUTUAL = np.array([int(name[0]) for name in TRIADS])


@njit(cache=True, nogil=True)
def closed_triads(n, start, packed):  # pragma: no cover
    """Return how many closed triads have each code ``c_uv << 4 | c_uw << 2 | c_vw``, u < v < w in rank.

    The inner loop has no branch, so that it is vectorised: each neighbour w of u holds a one in a field of 21
    bits that its code selects, zero elsewhere, and the code of v-w shifts it within the field, 7 bits a class.
    No field overflows within 127 neighbours.
    """
    seen = np.zeros(n, np.uint64)
    counts = np.zeros(64, np.int64)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            code = np.uint64(packed[e] & CODE_MASK)
            seen[packed[e] >> CODE_BITS] = np.uint64(1) << (np.uint64(21) * (code - np.uint64(1)))
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            base = (packed[e] & CODE_MASK) << np.uint32(4)
            f, f_end = start[v], start[v + 1]
            while f < f_end:
                row = packed[f : min(f_end, f + 127)]
                f += 127
                fields = np.uint64(0)
                for i in range(row.size):
                    x = row[i]
                    fields += seen[x >> CODE_BITS] << np.uint64((x & CODE_MASK) * np.uint32(7) - np.uint32(7))
                if fields:
                    for c_uw in range(1, 4):
                        for c_vw in range(1, 4):
                            counts[base | np.uint32((c_uw << 2) | c_vw)] += np.int64(fields & np.uint64(127))
                            fields >>= np.uint64(7)
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = np.uint64(0)
    return counts


@njit(cache=True, nogil=True)
def count_wedges(degrees):  # pragma: no cover
    """Return the pairs of dyads at each node with the codes of `WEDGES`, summed over nodes, from dyad degrees."""
    wedges = np.zeros(6, np.int64)
    for u in range(degrees.shape[0]):
        o, i, r = degrees[u, 1], degrees[u, 2], degrees[u, 3]
        wedges[0] += o * (o - 1) // 2
        wedges[1] += i * (i - 1) // 2
        wedges[2] += r * (r - 1) // 2
        wedges[3] += o * i
        wedges[4] += o * r
        wedges[5] += i * r
    return wedges


def assemble(n: int, closed: np.ndarray, wedges: np.ndarray, asymmetric: ArrayLike, mutual: ArrayLike) -> np.ndarray:
    """Return the census of one graph, or of many, from what was counted in them.

    Parameters
    ----------
    n : int
        Number of nodes.
    closed : array of int64, shape (..., 64)
        Closed triads by code.
    wedges : array of int64, shape (..., 6)
        Pairs of dyads at the nodes, in the order of `WEDGES`.
    asymmetric, mutual : array of int64, shape (...)
        Numbers of dyads.

    Returns
    -------
    array of int64, shape (..., 16)
        Counts in the order of `TRIADS`; Python integers (dtype object) where ``n`` choose 3 exceeds int64.
    """
    counts = closed @ CLOSED + wedges @ OPEN
    counts[..., 1] = np.asarray(asymmetric) * (n - 2) - counts[..., 3:] @ ASYMMETRIC[3:]
    counts[..., 2] = np.asarray(mutual) * (n - 2) - counts[..., 3:] @ MUTUAL[3:]
    total = n * (n - 1) * (n - 2) // 6
    if total > np.iinfo(np.int64).max:
        counts = counts.astype(object)
    counts[..., 0] = total - counts[..., 1:].sum(axis=-1)
    return counts


def count_triads(graph: Graph) -> np.ndarray:
    """Return the census as an array, in the order of `TRIADS`."""
    degrees = graph.dyad_degrees
    closed = closed_triads(graph.n, graph.forward.start, graph.forward.packed)
    _, o, _, r = degrees.sum(axis=0)
    return assemble(graph.n, closed, count_wedges(degrees), o, r // 2)


def triad_census(graph: Graph) -> Census:
    """Count the induced subgraphs of three nodes.

    Parameters
    ----------
    graph : Graph
        Weights are ignored; an undirected graph has mutual dyads only.

    Returns
    -------
    Census
        Counts of the 16 classes, named as in Holland & Leinhardt: 111D is ``a <-> b <- c``, 111U is
        ``a <-> b -> c``, as in networkx and igraph.

    Notes
    -----
    Exact. The time is that of enumerating triangles on the forward adjacency, O(m sqrt(m)).

    References
    ----------
    .. [1] Holland & Leinhardt (1976) Sociological Methodology 7:1.
    .. [2] Batagelj & Mrvar (2001) Social Networks 23:237.

    Examples
    --------
    >>> triad_census(Graph.from_coo([0, 1, 0], [1, 2, 2]))["030T"]
    1
    """
    return Census(TRIADS, count_triads(graph), 3)


def motif_counts(graph: Graph) -> np.ndarray:
    """Return the counts of the connected classes as an array, in the order of `CONNECTED_TRIADS`."""
    return count_triads(graph)[3:]


def motif_census(graph: Graph) -> Census:
    """Count the connected induced subgraphs of three nodes: :func:`triad_census` without 003, 012 and 102."""
    return Census(CONNECTED_TRIADS, motif_counts(graph), 3)
