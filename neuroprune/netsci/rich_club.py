"""The rich club: whether nodes of high degree connect among themselves more than their degrees explain."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.nulls import sample_nulls, seed_of
from neuroprune.netsci.ratios import ratio
from neuroprune.netsci.significance import p_values, percentile_interval


@dataclass(frozen=True, eq=False, repr=False)
class RichClub:
    """The density among the nodes of degree above k, for k = 0, 1, ... up to the largest degree, less one.

    Parameters
    ----------
    phi : array of float64, shape (largest degree,)
        Arcs among the nodes with degree > k, over their ordered pairs; NaN with fewer than two such nodes.
    nodes, arcs : array of int64, shape (largest degree,)
        Nodes with degree > k, and arcs among them (an undirected edge is two).
    null_phi : array of float64, shape (samples, largest degree), or None
        The same of each sample of the null model.
    null : str or None
        Name of the null model.
    seed : int or None
        What reproduces the samples.
    """

    phi: np.ndarray
    nodes: np.ndarray
    arcs: np.ndarray
    null_phi: np.ndarray | None = None
    null: str | None = None
    seed: int | None = None

    @property
    def samples(self) -> int:
        """Number of samples of the null model."""
        return 0 if self.null_phi is None else self.null_phi.shape[0]

    @property
    def ratio(self) -> np.ndarray:
        """phi over its mean in the null model, shape (largest degree,); NaN where that is 0 or undefined."""
        mean = self._sampled().mean(axis=0)
        return ratio(self.phi, mean)

    @property
    def p(self) -> np.ndarray:
        """Two-sided p of each k, (1 + as extreme samples) / (1 + samples) of the rarer side, doubled, at most 1.

        NaN where phi is undefined in the graph or in a sample. These are many dependent tests: correct them before
        claiming a club at some k.
        """
        return p_values(self.phi, self._sampled())

    def interval(self, level: float = 0.95) -> np.ndarray:
        """Return the central percentile interval of phi in the null model, shape (2, largest degree)."""
        return percentile_interval(self._sampled(), level)

    def _sampled(self) -> np.ndarray:
        if self.null_phi is None:
            raise GraphError("this rich club has no null model to be compared with: give rich_club a null")
        return self.null_phi

    def __repr__(self) -> str:
        against = f", {self.samples:,} samples of {self.null!r}, seed {self.seed}" if self.null else ""
        return f"<RichClub: k from 0 to {self.phi.size - 1:,}{against}>" if self.phi.size else "<RichClub: no edges>"


def rich_club(graph: Graph, null: str | None = None, samples: int = 100, *, rng: Any = None) -> RichClub:
    """Return the rich-club coefficient at every degree, and how it stands against a null model.

    Parameters
    ----------
    graph : Graph
        The degree of an undirected graph is the number of neighbours; that of a directed one is in-degree plus
        out-degree. Weights are ignored.
    null : str, optional
        A model of :data:`~neuroprune.netsci.nulls.NULLS`. The coefficient grows with k in a random graph too, so
        that it says little without one that keeps degrees.
    samples : int, default 100
        Samples of the null model.
    rng : None, int, Generator or SeedSequence
        Where the samples come from.

    Returns
    -------
    RichClub
        Index k is for nodes with degree above k, as the keys of networkx are; the Brain Connectivity Toolbox
        counts from k + 1.

    Raises
    ------
    GraphError
        If there is no such null model, or samples are fewer than 1.

    Notes
    -----
    ``phi(k) = arcs among nodes of degree > k / (N (N - 1))``. O(m) for each graph.

    References
    ----------
    .. [1] Colizza et al. (2006) Nature Physics 2:110.
    .. [2] van den Heuvel & Sporns (2011) J Neurosci 31:15775.

    Examples
    --------
    >>> club = rich_club(Graph.from_coo([0, 0, 1, 2], [1, 2, 2, 3], directed=False))
    >>> club.phi
    array([0.66666667, 1.        ,        nan])
    """
    if samples < 1:
        raise GraphError(f"samples={samples!r}: at least 1 is needed")
    size = int(_degree(graph).max(initial=0))
    observed = _curve(graph, size)
    if null is None:
        return RichClub(*observed)
    seed = seed_of(rng)
    sampled = [_curve(sample, size)[0] for sample in sample_nulls(graph, null, samples, rng=seed)]
    return RichClub(*observed, np.array(sampled), null, seed)


def _degree(graph: Graph) -> np.ndarray:
    return graph.out_degree + graph.in_degree if graph.directed else graph.out_degree


def _curve(graph: Graph, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return phi, nodes and arcs for k = 0 ... size - 1."""
    degree = _degree(graph)
    poorer = np.minimum(degree[graph.source], degree[graph.target])
    nodes = graph.n - np.cumsum(np.bincount(degree, minlength=size + 1))[:size]
    arcs = graph.arcs - np.cumsum(np.bincount(poorer, minlength=size + 1))[:size]
    phi = ratio(arcs, nodes * (nodes - 1))
    return phi, nodes, arcs
