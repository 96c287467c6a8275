"""Core and periphery: the best division of the nodes into two, and the k-core that each node belongs to."""

import math
from dataclasses import dataclass

import numpy as np

from neuroprune.netsci.graph import Graph
from neuroprune.netsci.peeling import peel


@dataclass(frozen=True, eq=False, repr=False)
class CorePeriphery:
    """A division of the nodes into a core, densely connected, and a periphery that is not.

    Parameters
    ----------
    core : array of bool, shape (n,)
        True for the nodes of the core.
    mismatches : int
        Ordered pairs that differ from the ideal: pairs of core nodes without an arc, and arcs within the periphery.
    correlation : float
        Pearson correlation of arcs with the ideal, 1 within the core and 0 within the periphery, over the ordered
        pairs within either; NaN where there is nothing to correlate.
    core_density, between_density, periphery_density : float
        Arcs over ordered pairs within the core, between the two, and within the periphery; NaN without pairs.
    """

    core: np.ndarray
    mismatches: int
    correlation: float
    core_density: float
    between_density: float
    periphery_density: float

    def __repr__(self) -> str:
        return (
            f"<CorePeriphery: {int(self.core.sum()):,} of {self.core.size:,} nodes in the core, "
            f"correlation {self.correlation:.3f}>"
        )


def core_periphery(graph: Graph) -> CorePeriphery:
    """Divide the nodes into a core and a periphery.

    Parameters
    ----------
    graph : Graph
        Weights are ignored. In a directed graph the degree is in-degree plus out-degree.

    Returns
    -------
    CorePeriphery

    Notes
    -----
    Exact: the division with the fewest mismatches against the ideal of Borgatti & Everett [1]_ in which pairs
    between core and periphery do not count. With k nodes of the core, total degrees d and m arcs, there are
    ``k (k - 1) + m - sum of d over the core`` mismatches, so that the core holds the nodes of highest degree [2]_.
    Of equal degrees the lower node number comes first, and of equally good sizes the smaller is taken. Every graph
    has such a division: ask whether its correlation exceeds that of a null model.

    References
    ----------
    .. [1] Borgatti & Everett (1999) Social Networks 21:375.
    .. [2] Lip (2011) arXiv:1102.5511.

    Examples
    --------
    >>> clique_with_leaves = Graph.from_coo([0, 0, 1, 0, 1, 2], [1, 2, 2, 3, 4, 5], directed=False)
    >>> core_periphery(clique_with_leaves).core
    array([ True,  True,  True, False, False, False])
    """
    degree = graph.out_degree + graph.in_degree
    order = np.argsort(-degree, kind="stable")
    size = np.arange(graph.n + 1)
    mismatches = size * (size - 1) + graph.arcs - np.concatenate([[0], np.cumsum(degree[order])])
    k = int(mismatches.argmin())
    core = np.zeros(graph.n, bool)
    core[order[:k]] = True
    ends = core[graph.source].astype(np.int8) + core[graph.target]
    outside, between, inside = (int(count) for count in np.bincount(ends, minlength=3))
    rest = graph.n - k
    return CorePeriphery(
        core,
        int(mismatches[k]),
        _correlation(inside, k * (k - 1), outside, rest * (rest - 1)),
        _density(inside, k * (k - 1)),
        _density(between, 2 * k * rest),
        _density(outside, rest * (rest - 1)),
    )


def core_numbers(graph: Graph) -> np.ndarray:
    """Return the largest k for which each node is in the k-core.

    Parameters
    ----------
    graph : Graph
        Directions are ignored: two nodes that arcs join both ways are neighbours once.

    Returns
    -------
    array of int64, shape (n,)
        The k-core is the largest set of nodes that have at least k neighbours within it.

    Notes
    -----
    O(m): the node with the fewest neighbours left is taken away, again and again.

    References
    ----------
    .. [1] Batagelj & Zaversnik (2003) arXiv:cs/0310049.

    Examples
    --------
    >>> core_numbers(Graph.from_coo([0, 0, 1, 2], [1, 2, 2, 3]))
    array([2, 2, 2, 1])
    """
    return peel(graph.n, *graph.adjacency)


def _density(arcs: int, pairs: int) -> float:
    return arcs / pairs if pairs else math.nan


def _correlation(inside: int, core_pairs: int, outside: int, periphery_pairs: int) -> float:
    """Return the correlation of two yes-or-no variables from their table of counts."""
    absent_inside, absent_outside = core_pairs - inside, periphery_pairs - outside
    spread = core_pairs * periphery_pairs * (inside + outside) * (absent_inside + absent_outside)
    return (inside * absent_outside - absent_inside * outside) / math.sqrt(spread) if spread else math.nan
