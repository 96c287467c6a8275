"""The tetrad census: connected induced subgraphs of four nodes, in 199 directed or 6 undirected classes.

Only cliques are enumerated. Stars, paths, paws, diamonds and cycles are counted wherever they occur, induced or
not, from the degrees of nodes, the closed triads on dyads and pairs of two-edge paths; the induced counts follow by
exact inclusion and exclusion. So the time is that of the two-edge paths, not that of the far more numerous
subgraphs.
"""

from itertools import combinations_with_replacement, product

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.census import Census
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.tetrad_classes import (
    CLASS_OF_CODE,
    CONTAINS,
    CONTAINS_UNDIRECTED,
    TETRADS,
    TETRADS_UNDIRECTED,
    induced_counts,
    tetrad_code,
)
from neuroprune.netsci.tetrad_kernels import (
    MOST,
    closed_on_dyads,
    count_cycles,
    count_cycles_by_code,
    ranked_rows,
    sums_over_dyads,
)

LARGEST = np.iinfo(np.int64).max
STAR_CODES = tuple(combinations_with_replacement((1, 2, 3), 3))
"""Codes of the three dyads of a star, as its centre sees them."""


def _classes(*dyads: tuple[int, int]) -> np.ndarray:
    """Return the class of the subgraph of some dyads for all their codes, in the order of the kernels' arrays."""
    codes = product((1, 2, 3), repeat=len(dyads))
    return CLASS_OF_CODE[[tetrad_code(dict(zip(dyads, c, strict=True))) for c in codes]]


STARS = CLASS_OF_CODE[[tetrad_code(dict(zip(((0, 1), (0, 2), (0, 3)), c, strict=True))) for c in STAR_CODES]]
PATHS = _classes((0, 1), (0, 2), (1, 3))
PAWS = _classes((0, 1), (0, 2), (1, 2), (0, 3))
CYCLES = _classes((0, 1), (1, 2), (0, 3), (3, 2))
DIAMONDS = _classes((0, 1), (0, 2), (1, 2), (0, 3), (1, 3))


def choose(x: np.ndarray, k: int) -> np.ndarray:
    """Return the binomial coefficients of integers over `k` = 1, 2 or 3, exact in the integers of `x`."""
    return (x, x * (x - 1) // 2, x * (x - 1) * (x - 2) // 6)[k - 1]


def exact_integers(degrees: np.ndarray) -> np.ndarray:
    """Return degrees as Python integers (dtype object) if the stars at the nodes might not fit into int64.

    All other counts of four nodes fit: they contain two dyads that share no node, and each such pair is completed
    in at most four ways, so that there are fewer than 2 m² of them.
    """
    largest = degrees.sum(axis=-1) if degrees.ndim > 1 else degrees
    return degrees.astype(object) if (largest.astype(float) ** 3).sum() > LARGEST / 2 else degrees


def count_stars(degrees: np.ndarray) -> np.ndarray:
    """Return the stars of three dyads with the codes of `STAR_CODES`, from the dyad degrees (n, 4) of their centres."""
    exact = exact_integers(degrees)
    stars = [
        np.prod([choose(exact[:, code], codes.count(code)) for code in set(codes)], axis=0).sum()
        for codes in STAR_CODES
    ]
    return np.array(stars, exact.dtype)


def _smallest(counts: np.ndarray) -> np.ndarray:
    """Return counts as int64 where all fit, so that the type does not depend on how they were found."""
    return counts.astype(np.int64) if counts.max() <= LARGEST else counts


def count_tetrads(graph: Graph) -> np.ndarray:
    """Return the directed census as an array, in the order of `TETRADS`."""
    n, forward = graph.n, graph.forward
    degrees = graph.dyad_degrees[forward.order]
    size = degrees.sum(axis=1)
    most = max(1, int(size[-2])) if n > 1 else 1  # paths from the highest rank to w are no more than w has neighbours
    if most > MOST:
        raise GraphError(
            f"two nodes with {most:,} neighbours or more: the directed tetrad census counts up to {MOST:,} of the "
            "second-largest node; directed=False has no such limit"
        )
    triads, cliques = closed_on_dyads(n, forward.start, forward.packed, True)
    rows = ranked_rows(n, *graph.adjacency, forward.order, forward.rank)
    cycles = count_cycles_by_code(n, *rows, most)
    paths, paws, diamonds = sums_over_dyads(n, forward.start, forward.packed, degrees, triads)
    stars = count_stars(degrees)
    counts = np.zeros(len(TETRADS), stars.dtype)
    paws_twice = np.zeros(len(TETRADS), np.int64)
    np.add.at(paws_twice, PAWS, paws[1:, 1:, 1:, 1:].ravel())
    counts += paws_twice // 2
    for classes, found in (
        (STARS, stars),
        (PATHS, paths[1:, 1:, 1:]),
        (CYCLES, cycles),
        (DIAMONDS, diamonds[1:]),
    ):
        np.add.at(counts, classes, found.ravel())
    code = np.flatnonzero(cliques)
    np.add.at(counts, CLASS_OF_CODE[code], cliques[code])
    return _smallest(induced_counts(counts, CONTAINS))


def count_undirected_tetrads(graph: Graph) -> np.ndarray:
    """Return the census of the pairs that an arc connects, as an array, in the order of `TETRADS_UNDIRECTED`."""
    n, forward = graph.n, graph.forward
    degree = graph.degree[forward.order]
    low = np.repeat(np.arange(n), np.diff(forward.start))
    high = forward.packed >> 2
    triads, cliques = closed_on_dyads(n, forward.start, forward.packed, True)
    closed = triads.sum(axis=1, dtype=np.int64)
    at_low, at_high = degree[low] - 1, degree[high] - 1
    exact = exact_integers(degree)
    counts = np.array(
        [
            choose(exact, 3).sum(),
            (at_low * at_high - closed).sum(),
            count_cycles(n, *ranked_rows(n, *graph.adjacency, forward.order, forward.rank)),
            (closed * (at_low + at_high - 2)).sum() // 2,
            choose(closed, 2).sum(),
            cliques.sum(),
        ],
        exact.dtype,
    )
    return _smallest(induced_counts(counts, CONTAINS_UNDIRECTED))


def tetrad_census(graph: Graph, directed: bool | None = None) -> Census:
    """Count the connected induced subgraphs of four nodes.

    Parameters
    ----------
    graph : Graph
        Weights are ignored.
    directed : bool, optional
        True for the 199 directed classes (in an undirected graph every dyad is mutual), False for the 6 undirected
        ones of the pairs that an arc connects in either direction. By default what the graph is.

    Returns
    -------
    Census
        Counts of the directed classes named by number as in mfinder, ``"204"`` for the bi-fan and ``"904"`` for
        the bi-parallel (:func:`~neuroprune.netsci.tetrad_classes.tetrad_edges` shows any class), or of star, path,
        cycle, paw, diamond and clique.

    Raises
    ------
    GraphError
        In the directed census, if two nodes have more than 2,097,151 neighbours each.

    Notes
    -----
    Exact. With ``N`` the number of subgraphs of each class, induced or not, and ``C`` how many of each class a
    subgraph of each class contains, ``N = (1 + C) I`` is solved for the induced counts `I` in integers.

    References
    ----------
    .. [1] Milo et al. (2002) Science 298:824.
    .. [2] Chiba & Nishizeki (1985) SIAM Journal on Computing 14:210.
    .. [3] Pinar, Seshadhri & Vishal (2017) Proceedings of WWW 2017:1431.

    Examples
    --------
    >>> tetrad_census(Graph.from_coo([0, 0, 1, 1], [2, 3, 2, 3]))["204"]
    1
    """
    if graph.directed if directed is None else directed:
        return Census(TETRADS, count_tetrads(graph), 4)
    return Census(TETRADS_UNDIRECTED, count_undirected_tetrads(graph), 4)
