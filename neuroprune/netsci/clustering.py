"""Clustering coefficients: binary and weighted, undirected and directed, each under its own name."""

import math
from dataclasses import dataclass

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.ratios import ratio
from neuroprune.netsci.triads import WEDGES
from neuroprune.netsci.triangles import (
    adjacent_sums,
    by_node,
    product_sums,
    role_sums,
    triangle_sums,
)
from neuroprune.netsci.validation import check_positive_weights

ROLES = ("cycle", "middleman", "in", "out")
KINDS = ("undirected", "fagiolo", *ROLES, "neighbours")
WEIGHTED = ("onnela", "barrat", "zhang")
UNDEFINED = ("zero", "omit")

MULTIPLICITY = np.array([0, 1, 1, 2])
PRODUCTS = np.array([np.prod(MULTIPLICITY[[code >> 4, code >> 2 & 3, code & 3]]) for code in range(64)])
"""Product of the numbers of arcs of the three dyads of a closed triad, by its code."""
WEDGE_PRODUCTS = np.array([np.prod(MULTIPLICITY[list(pair)]) for pair in WEDGES])


@dataclass(frozen=True, eq=False, repr=False)
class Clustering:
    """Clustering coefficients of the nodes of a graph.

    Parameters
    ----------
    kind : str
        Which definition.
    numerator, denominator : array of float64, shape (n,)
        What closes at each node, and what could.
    """

    kind: str
    numerator: np.ndarray
    denominator: np.ndarray

    @property
    def local(self) -> np.ndarray:
        """Coefficient of each node, shape (n,), NaN where nothing could close."""
        return ratio(self.numerator, self.denominator)

    @property
    def undefined(self) -> int:
        """Number of nodes without a coefficient."""
        return int((self.denominator <= 0).sum())

    @property
    def transitivity(self) -> float:
        """Sum of the numerators over that of the denominators; NaN where nothing could close."""
        total = self.denominator.sum()
        return float(self.numerator.sum() / total) if total > 0 else math.nan

    def mean(self, undefined: str = "zero") -> float:
        """Return the average over nodes.

        Parameters
        ----------
        undefined : {"zero", "omit"}
            Whether a node without a coefficient counts as 0 (networkx, Brain Connectivity Toolbox) or not at all.

        Returns
        -------
        float
            NaN for a graph without nodes, or with ``"omit"`` if no node has a coefficient.
        """
        if undefined not in UNDEFINED:
            raise GraphError(f"undefined={undefined!r}: it must be one of {', '.join(UNDEFINED)}")
        defined = self.denominator > 0
        count = self.denominator.size if undefined == "zero" else int(defined.sum())
        total = (self.numerator[defined] / self.denominator[defined]).sum()
        return float(total / count) if count else math.nan

    def __repr__(self) -> str:
        return (
            f"<Clustering ({self.kind}) of {self.numerator.size:,} nodes: mean {self.mean():.4f}, "
            f"transitivity {self.transitivity:.4f}, {self.undefined:,} undefined>"
        )


def clustering(
    graph: Graph,
    kind: str = "undirected",
    *,
    weight: str | None = None,
    normalize: str | float = "max",
) -> Clustering:
    """Return the clustering coefficient of every node.

    Parameters
    ----------
    graph : Graph
    kind : str
        ``"undirected"``
            Fraction of pairs of neighbours that are neighbours; directions are ignored.
        ``"fagiolo"``
            Fraction of the possible directed triangles at a node that exist [1]_.
        ``"cycle"``, ``"middleman"``, ``"in"``, ``"out"``
            The same, of one role of the node in the triangle [1]_. ``"out"`` is the density of arcs among its
            out-neighbours.
        ``"neighbours"``
            Density of arcs among its in- or out-neighbours [2]_.
    weight : {"onnela", "barrat", "zhang"}, optional
        How weights count; by default they do not. ``"onnela"`` (geometric mean of the three weights [3]_, as
        extended by [1]_) goes with every kind but ``"neighbours"``; ``"barrat"`` [4]_ and ``"zhang"`` [5]_ with
        ``"undirected"`` alone, where a pair has the larger weight of its two arcs.
    normalize : "max" or float
        What weights are divided by: the largest of this graph, or a constant. Use one constant for all graphs of
        a history, for else losing the strongest edge looks like a change of all coefficients.

    Returns
    -------
    Clustering
        NaN for nodes at which nothing could close (fewer than two neighbours); how an average treats them is
        chosen in :meth:`Clustering.mean`.

    Raises
    ------
    GraphError
        If kind or weight is unknown, they do not go together, weights are asked for in a binary graph, a weight is
        negative or the constant is not positive.

    Notes
    -----
    With degrees k (neighbours), d_in, d_out, d = d_in + d_out and r mutual dyads, adjacency A, the coefficients are

    * undirected: 2 t / (k (k - 1)), t triangles;
    * fagiolo: [(A + A')^3]_ii / 2 / (d (d - 1) - 2 r);
    * cycle: [A^3]_ii, middleman: [A A' A]_ii, each over d_in d_out - r;
    * in: [A' A^2]_ii / (d_in (d_in - 1)); out: [A^2 A']_ii / (d_out (d_out - 1));
    * onnela: A replaced by the cube roots of the weights in the numerators;
    * barrat: sum of (w_ij + w_ih) over triangles / (s (k - 1)), strength s;
    * zhang: 2 sum of w_ij w_jh w_hi over triangles / ((sum of w)^2 - sum of w^2).

    Transitivity is the sum of the numerators over the sum of the denominators. Libraries that take the transitivity
    of a directed graph give several other numbers, because they mix out-neighbours with directions ignored.

    References
    ----------
    .. [1] Fagiolo (2007) Phys Rev E 76:026107.
    .. [2] Watts & Strogatz (1998) Nature 393:440; directed as in Sporns & Zwi (2004) Neuroinformatics 2:145.
    .. [3] Onnela et al. (2005) Phys Rev E 71:065103.
    .. [4] Barrat et al. (2004) PNAS 101:3747.
    .. [5] Zhang & Horvath (2005) Stat Appl Genet Mol Biol 4:17.

    Examples
    --------
    >>> triangle_and_tail = Graph.from_coo([0, 1, 2, 2], [1, 2, 0, 3])
    >>> clustering(triangle_and_tail).local
    array([1.        , 1.        , 0.33333333,        nan])
    >>> round(clustering(triangle_and_tail).mean("omit"), 4)
    0.7778
    """
    if kind not in KINDS:
        raise GraphError(f"kind={kind!r}: it must be one of {', '.join(KINDS)}")
    if weight is not None:
        return _weighted(graph, kind, weight, normalize)
    if kind in ("undirected", "fagiolo"):
        return binary_clustering(graph)[kind == "fagiolo"]
    column = (*ROLES, "neighbours").index(kind)
    return Clustering(kind, _role_sums(graph, np.ones(graph.arcs))[:, column], _possible(graph, kind))


def binary_clustering(graph: Graph) -> tuple[Clustering, Clustering]:
    """Return the undirected coefficients and Fagiolo's, both from one pass over the triangles."""
    triangles, products = triangle_sums(graph)
    return (
        Clustering("undirected", 2.0 * triangles, _possible(graph, "undirected")),
        Clustering("fagiolo", products.astype(np.float64), _possible(graph, "fagiolo")),
    )


def transitivity(graph: Graph, kind: str = "undirected") -> float:
    """Return the fraction of what could close that does: of pairs of neighbours, or of directed triangles.

    Parameters
    ----------
    graph : Graph
    kind : str
        As for :func:`clustering`; ``"undirected"`` is three times the triangles over the paths of two edges.
    """
    return clustering(graph, kind).transitivity


def closed_fraction(closed: np.ndarray, wedges: np.ndarray, kind: str) -> np.ndarray:
    """Return the transitivity of one graph, or of many, from what was counted in them.

    Parameters
    ----------
    closed : array of int64, shape (..., 64)
        Closed triads by code.
    wedges : array of int64, shape (..., 6)
        Pairs of dyads at the nodes, in the order of `WEDGES`.
    kind : {"undirected", "fagiolo"}

    Returns
    -------
    array of float64, shape (...)
        NaN where nothing could close.

    Notes
    -----
    Each of the three nodes of a closed triad sees it, which makes 3 triangles over the pairs of neighbours. Fagiolo's
    numerator is the product of the numbers of arcs of the three dyads, and his denominator
    d (d - 1) - 2 r is twice the sum of that product over pairs of dyads.

    Raises
    ------
    GraphError
        If the kind is unknown.
    """
    if kind == "undirected":
        return ratio(3 * closed.sum(axis=-1), wedges.sum(axis=-1))
    if kind == "fagiolo":
        return ratio(3 * (closed @ PRODUCTS), 2 * (wedges @ WEDGE_PRODUCTS))
    raise GraphError(f"kind={kind!r}: it must be one of {', '.join(KINDS)}")


def _possible(graph: Graph, kind: str) -> np.ndarray:
    """Return what could close at each node."""
    _, o, i, r = graph.dyad_degrees.T.astype(np.float64)
    d_out, d_in, k = o + r, i + r, o + i + r
    if kind in ("undirected", "neighbours"):
        return k * (k - 1)
    if kind == "fagiolo":
        return (d_in + d_out) * (d_in + d_out - 1) - 2 * r
    if kind == "in":
        return d_in * (d_in - 1)
    if kind == "out":
        return d_out * (d_out - 1)
    return d_in * d_out - r


def _forward_weights(graph: Graph, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of both arcs of each forward dyad, from the lower rank and to it, 0 for one that is not."""
    padded = np.append(weight, 0.0)
    outward, inward = graph.forward_arcs
    return padded[outward], padded[inward]


def _role_sums(graph: Graph, weight: np.ndarray) -> np.ndarray:
    start, packed, order, _ = graph.forward
    return by_node(role_sums(graph.n, start, packed, *_forward_weights(graph, weight)), order)


def _weighted(graph: Graph, kind: str, weight: str, normalize: str | float) -> Clustering:
    if weight not in WEIGHTED:
        raise GraphError(f"weight={weight!r}: it must be one of {', '.join(WEIGHTED)}")
    if kind == "neighbours" or (weight != "onnela" and kind != "undirected"):
        raise GraphError(f"weight={weight!r} has no definition for kind={kind!r}")
    name = f"{kind}, {weight}"
    values = _normalized(graph, normalize)
    start, packed, order, _ = graph.forward
    possible = _possible(graph, kind)
    if weight == "onnela":
        roots = np.cbrt(values)
        if kind in ROLES:
            return Clustering(name, _role_sums(graph, roots)[:, ROLES.index(kind)], possible)
        outward, inward = _forward_weights(graph, roots)
        if kind == "fagiolo":
            sums = product_sums(graph.n, start, packed, outward + inward)
            return Clustering(name, by_node(sums, order), possible)
        sums = product_sums(graph.n, start, packed, np.maximum(outward, inward))
        return Clustering(name, 2 * by_node(sums, order), possible)
    pair = np.maximum(*_forward_weights(graph, values))
    low = np.repeat(np.arange(graph.n), np.diff(start))
    high = packed >> 2
    strength = by_node(_added(graph.n, low, high, pair), order)
    if weight == "barrat":
        degree = graph.degree.astype(np.float64)
        possible = strength * (degree - 1)
        return Clustering(name, by_node(adjacent_sums(graph.n, start, packed, pair), order), possible)
    possible = strength**2 - by_node(_added(graph.n, low, high, pair**2), order)
    possible[graph.degree < 2] = 0.0  # what is left there is rounding
    return Clustering(name, 2 * by_node(product_sums(graph.n, start, packed, pair), order), possible)


def _added(n: int, low: np.ndarray, high: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.bincount(low, value, n) + np.bincount(high, value, n)


def _normalized(graph: Graph, normalize: str | float) -> np.ndarray:
    """Return the weights over what they are normalised by."""
    if graph.weight is None:
        raise GraphError("a binary graph has no weights; leave weight=None")
    check_positive_weights(graph, "weighted clustering")
    if normalize == "max":
        constant = float(graph.weight.max()) if graph.arcs else 1.0
    elif isinstance(normalize, int | float) and math.isfinite(normalize) and normalize > 0:
        constant = float(normalize)
    else:
        raise GraphError(f"normalize={normalize!r}: it must be 'max' or a positive number")
    return graph.weight / constant
