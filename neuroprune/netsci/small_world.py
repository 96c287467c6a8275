"""Small worlds: clustering and path length against random graphs and against a lattice."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.core.randomness import derive_seed
from neuroprune.netsci.clustering import clustering
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.lattice import lattice_reference
from neuroprune.netsci.nulls import sample_nulls, seed_of
from neuroprune.netsci.paths import mean_path, path_summary
from neuroprune.netsci.significance import percentile_interval


@dataclass(frozen=True, eq=False, repr=False)
class SmallWorld:
    """Clustering C and mean path L of a graph, of samples of a null model, and of lattices.

    Parameters
    ----------
    clustering, mean_path : float
        C and L of the graph.
    reachable : float
        Fraction of the pairs of nodes that L is the mean over.
    null_clustering, null_mean_path : array of float64, shape (samples,)
        C and L of each sample.
    lattice_clustering : float
        Largest C among the lattices.
    null : str
        Name of the null model.
    seed : int
        What reproduces the samples and lattices.
    """

    clustering: float
    mean_path: float
    reachable: float
    null_clustering: np.ndarray
    null_mean_path: np.ndarray
    lattice_clustering: float
    null: str
    seed: int

    @property
    def samples(self) -> int:
        """Number of samples of the null model."""
        return self.null_clustering.size

    @property
    def sigma(self) -> float:
        """(C / C_null) / (L / L_null), with the means over the samples; NaN where the null has no triangles."""
        null_c, null_l = self.null_clustering.mean(), self.null_mean_path.mean()
        return _ratio(self.clustering * null_l, null_c * self.mean_path)

    @property
    def omega(self) -> float:
        """L_null / L - C / C_lattice: 0 in a small world, towards -1 in a lattice and 1 in a random graph."""
        lattice = _ratio(self.clustering, self.lattice_clustering)
        return _ratio(float(self.null_mean_path.mean()), self.mean_path) - lattice

    def sigma_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the central percentile interval of sigma taken with one sample at a time."""
        pairs = zip(self.null_clustering.tolist(), self.null_mean_path.tolist(), strict=True)
        return _interval([_ratio(self.clustering * path, c * self.mean_path) for c, path in pairs], level)

    def omega_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the central percentile interval of omega taken with one sample at a time; the lattice is fixed."""
        lattice = _ratio(self.clustering, self.lattice_clustering)
        omegas = [_ratio(path, self.mean_path) - lattice for path in self.null_mean_path.tolist()]
        return _interval(omegas, level)

    def __repr__(self) -> str:
        (s_low, s_high), (o_low, o_high) = self.sigma_interval(), self.omega_interval()
        return (
            f"<SmallWorld: sigma {self.sigma:.3f} [{s_low:.3f}, {s_high:.3f}], "
            f"omega {self.omega:.3f} [{o_low:.3f}, {o_high:.3f}]; "
            f"null {self.null!r}, {self.samples:,} samples, seed {self.seed}>"
        )


def small_world(
    graph: Graph,
    null: str = "degree+reciprocity",
    samples: int = 100,
    *,
    lattices: int = 5,
    rng: Any = None,
) -> SmallWorld:
    """Compare clustering and path length with a null model and with a lattice.

    Parameters
    ----------
    graph : Graph
        Directions and weights are ignored in C and L, but the null model is sampled with directions. So the default
        keeps the number of neighbours of each node, which the ``"degree"`` null of a directed graph does not.
    null : str
        A model of :data:`~neuroprune.netsci.nulls.NULLS`.
    samples : int, default 100
        Samples of the null model.
    lattices : int, default 5
        Lattices to make, each from another ring; the best clustered counts.
    rng : None, int, Generator or SeedSequence
        Where samples and lattices come from.

    Returns
    -------
    SmallWorld
        sigma [1]_ and omega [2]_ with intervals over the samples.

    Raises
    ------
    GraphError
        If there is no such null model, or samples or lattices are fewer than 1.

    Notes
    -----
    C is the mean of the undirected clustering, a node with fewer than two neighbours counting as 0. L is the mean
    over the pairs that a path connects: compare graphs that reach equally much, or their giant components. sigma
    grows with the number of nodes, so that only graphs of one size can be compared by it. omega depends on how good
    the lattice is: those made by few blind switches are poor in large graphs, and their omega is too low.

    The lattices take longest: about a minute each at 10,000 nodes and 500,000 arcs, less than a second in all for a
    worm. `lattices` says how many.

    References
    ----------
    .. [1] Humphries & Gurney (2008) PLoS ONE 3:e0002051.
    .. [2] Telesford et al. (2011) Brain Connectivity 1:367.
    """
    for name, value in (("samples", samples), ("lattices", lattices)):
        if value < 1:
            raise GraphError(f"{name}={value!r}: at least 1 is needed")
    seed = seed_of(rng)
    paths = path_summary(graph, directed=False)
    pairs = [
        (clustering(sample).mean(), mean_path(sample, directed=False))
        for sample in sample_nulls(graph, null, samples, rng=seed)
    ]
    null_clustering, null_mean_path = np.array(pairs).T
    best = max(clustering(lattice_reference(graph, derive_seed(seed, i))).mean() for i in range(lattices))
    return SmallWorld(
        clustering(graph).mean(), paths.mean_path, paths.reachable, null_clustering, null_mean_path, best, null, seed
    )


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b else math.nan


def _interval(values: list[float], level: float) -> tuple[float, float]:
    low, high = percentile_interval(values, level).tolist()
    return low, high
