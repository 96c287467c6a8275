"""Measures of a graph by name: what an analysis reports and a null model is asked for.

A name may stand for several values that one pass gives together, such as the counts of all motifs. Every value has
a dotted key, the same in tables, in JSON and in a :class:`~neuroprune.netsci.significance.NullTest`.
"""

from collections.abc import Callable, Mapping

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph

Measure = Callable[[Graph], Mapping[str, float]]


def _reciprocity(graph: Graph) -> dict[str, float]:
    return {"reciprocity": graph.reciprocity}


def _clustering(graph: Graph) -> dict[str, float]:
    from neuroprune.netsci.clustering import binary_clustering

    undirected, fagiolo = binary_clustering(graph)
    return {
        "clustering.undirected": undirected.mean(),
        "clustering.fagiolo": fagiolo.mean(),
        "transitivity": undirected.transitivity,
    }


def _weighted_clustering(graph: Graph) -> dict[str, float]:
    from neuroprune.netsci.clustering import WEIGHTED, clustering

    values = {f"clustering.{name}": clustering(graph, weight=name).mean() for name in WEIGHTED}
    return values | {"clustering.fagiolo_onnela": clustering(graph, "fagiolo", weight="onnela").mean()}


def _triads(graph: Graph) -> dict[str, float]:
    from neuroprune.netsci.triads import CONNECTED_TRIADS, motif_counts

    return {f"triads.{name}": count for name, count in zip(CONNECTED_TRIADS, motif_counts(graph).tolist(), strict=True)}


def _tetrads(graph: Graph) -> dict[str, float]:
    from neuroprune.netsci.tetrads import tetrad_census

    return {f"tetrads.{name}": count for name, count in tetrad_census(graph).to_dict().items()}


def _edges_in_no_triangle(graph: Graph) -> dict[str, float]:
    from neuroprune.netsci.participation import fraction_in_no_triangle

    return {"edges_in_no_triangle": fraction_in_no_triangle(graph)}


def _paths(graph: Graph) -> dict[str, float]:
    from neuroprune.netsci.paths import path_summary

    paths = path_summary(graph)
    return {"efficiency": paths.efficiency, "mean_path": paths.mean_path, "reachable": paths.reachable}


def _bipartite(graph: Graph) -> dict[str, float]:
    from neuroprune.netsci.bipartite import bifans, bipartite_clustering, robins_alexander

    def mean(side: str) -> float:
        local = bipartite_clustering(graph, side)  # type: ignore[arg-type]
        return float(np.nanmean(local)) if np.isfinite(local).any() else np.nan

    return {
        "bipartite.bifans": bifans(graph),
        "bipartite.clustering_sources": mean("source"),
        "bipartite.clustering_targets": mean("target"),
        "bipartite.robins_alexander": robins_alexander(graph),
    }


MEASURES: dict[str, Measure] = {
    "reciprocity": _reciprocity,
    "clustering": _clustering,
    "weighted_clustering": _weighted_clustering,
    "triads": _triads,
    "tetrads": _tetrads,
    "edges_in_no_triangle": _edges_in_no_triangle,
    "paths": _paths,
    "bipartite": _bipartite,
}


def measure(name: str) -> Measure:
    """Return a measure by name.

    Parameters
    ----------
    name : str
        One of `MEASURES`: ``reciprocity``, ``clustering`` (undirected, fagiolo and transitivity),
        ``weighted_clustering``, ``triads`` (the 13 connected classes), ``tetrads``, ``edges_in_no_triangle`` (a
        fraction of the pairs that an arc connects), ``paths`` (efficiency, mean path, reachable pairs) or
        ``bipartite``.

    Returns
    -------
    callable
        Takes a graph and returns its values by key.

    Raises
    ------
    GraphError
        If there is no such measure.
    """
    try:
        return MEASURES[name]
    except KeyError:
        raise GraphError(f"no measure {name!r}; there are {', '.join(MEASURES)}") from None
