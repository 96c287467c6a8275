"""Communities: groups of nodes with more edges among them than their degrees explain."""

import math
import random
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.core.randomness import derive_seed
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.nulls import seed_of
from neuroprune.netsci.paths import largest_first
from neuroprune.netsci.validation import check_positive_weights

_IGRAPH_RANDOM = Lock()
"""Held while igraph, which has one generator for all threads, draws from ours."""


@dataclass(frozen=True, eq=False, repr=False)
class Communities:
    """A partition of the nodes.

    Parameters
    ----------
    membership : array of int64, shape (n,)
        Community of each node, numbered by descending size.
    modularity : float
        Modularity at the resolution asked for; NaN without edges.
    method : str
        The algorithm, and the package that ran it.
    seed : int
        What reproduces the partition, with the same versions of that package.
    """

    membership: np.ndarray
    modularity: float
    method: str
    seed: int

    @property
    def n(self) -> int:
        """Number of communities."""
        return self.sizes.size

    @property
    def sizes(self) -> np.ndarray:
        """Nodes of each community, int64, descending, shape (n,)."""
        return np.bincount(self.membership)

    def __repr__(self) -> str:
        return f"<Communities: {self.n:,}, modularity {self.modularity:.4f}; {self.method}, seed {self.seed}>"


def communities(graph: Graph, *, resolution: float = 1.0, rng: Any = None, trials: int = 10) -> Communities:
    """Find the partition of highest modularity, by the Leiden algorithm.

    Parameters
    ----------
    graph : Graph
        Weights count where there are any. Directions count too: ask for ``graph.undirected()`` to ignore them.
    resolution : float, default 1.0
        More than 1 finds smaller communities.
    rng : None, int, Generator or SeedSequence
        Where the order of moves comes from.
    trials : int, default 10
        Runs, of which the best is returned.

    Returns
    -------
    Communities

    Raises
    ------
    GraphError
        If the packages of the extra ``communities`` are missing, a weight is negative, the resolution is not
        positive or trials are fewer than 1.

    Notes
    -----
    igraph for undirected graphs, leidenalg for directed ones, each until no move improves modularity. The latter takes
    seconds a trial from some 10,000 arcs without clear communities: ask for fewer `trials` then. Random graphs have
    communities by this measure too: compare the modularity with that of a null model.

    References
    ----------
    .. [1] Traag, Waltman & van Eck (2019) Sci Rep 9:5233.
    """
    _check_resolution(resolution)
    if trials < 1:
        raise GraphError(f"trials={trials!r}: at least 1 is needed")
    check_positive_weights(graph, "modularity")
    seed = seed_of(rng)
    run = _leidenalg if graph.directed else _igraph
    method = "Leiden, directed (leidenalg)" if graph.directed else "Leiden (igraph)"
    if graph.arcs == 0:
        return Communities(np.arange(graph.n), math.nan, method, seed)
    found = run(graph, resolution, [derive_seed(seed, "communities", trial) for trial in range(trials)])
    scores = [modularity(graph, membership, resolution) for membership in found]
    best = int(np.argmax(scores))
    return Communities(largest_first(found[best]), scores[best], method, seed)


def modularity(graph: Graph, membership: ArrayLike, resolution: float = 1.0) -> float:
    """Return the modularity of a partition.

    Parameters
    ----------
    graph : Graph
        Weights count where there are any.
    membership : array_like of int, shape (n,)
        Community of each node, by any numbers.
    resolution : float, default 1.0

    Returns
    -------
    float
        NaN without edges.

    Raises
    ------
    GraphError
        If membership is not one integer for each node, a weight is negative, or the resolution is not positive.

    Notes
    -----
    ``Q = 1/W sum_ij (A_ij - resolution s_i^out s_j^in / W) [c_i = c_j]``, W the sum of A, s its row and column sums
    [2]_. With symmetric A that is the modularity of undirected graphs [1]_.

    References
    ----------
    .. [1] Newman (2006) PNAS 103:8577.
    .. [2] Leicht & Newman (2008) Phys Rev Lett 100:118703.

    Examples
    --------
    >>> two_pairs = Graph.from_coo([0, 2], [1, 3], directed=False)
    >>> modularity(two_pairs, [0, 0, 1, 1])
    0.5
    """
    _check_resolution(resolution)
    check_positive_weights(graph, "modularity")
    groups = np.asarray(membership)
    if groups.shape != (graph.n,) or (graph.n and groups.dtype.kind not in "iub"):
        raise GraphError(
            f"membership of shape {groups.shape} and type {groups.dtype}: each of the {graph.n} nodes needs one integer"
        )
    group = np.unique(groups, return_inverse=True)[1]
    weight = np.ones(graph.arcs) if graph.weight is None else graph.weight
    total = weight.sum()
    if total == 0:
        return math.nan
    outgoing = np.bincount(group[graph.source], weight, graph.n)
    incoming = np.bincount(group[graph.target], weight, graph.n)
    within = weight[group[graph.source] == group[graph.target]].sum()
    return float(within / total - resolution * (outgoing @ incoming) / total**2)


def _igraph(graph: Graph, resolution: float, seeds: list[int]) -> list[np.ndarray]:
    igraph = _require("igraph")
    peer = graph.to_igraph()
    found = []
    with _IGRAPH_RANDOM:
        try:
            for seed in seeds:
                igraph.set_random_number_generator(random.Random(seed))
                clusters = peer.community_leiden(
                    objective_function="modularity",
                    weights=None if graph.weight is None else "weight",
                    resolution=resolution,
                    n_iterations=-1,
                )
                found.append(np.asarray(clusters.membership))
        finally:
            igraph.set_random_number_generator(random)
    return found


def _leidenalg(graph: Graph, resolution: float, seeds: list[int]) -> list[np.ndarray]:
    leidenalg = _require("leidenalg")
    peer = graph.to_igraph()
    return [
        np.asarray(
            leidenalg.find_partition(
                peer,
                leidenalg.RBConfigurationVertexPartition,
                weights=None if graph.weight is None else "weight",
                n_iterations=-1,
                seed=seed % 2**31,
                resolution_parameter=resolution,
            ).membership
        )
        for seed in seeds
    ]


def _require(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise GraphError(f"communities need {name}: pip install 'neuroprune[communities]'") from error


def _check_resolution(resolution: float) -> None:
    if not (math.isfinite(resolution) and resolution > 0):
        raise GraphError(f"resolution={resolution!r}: it must be a positive number")
