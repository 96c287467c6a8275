"""Everything about one graph at once: its measures, its motifs, and how they stand against a null model."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuroprune.core.errors import GraphError
from neuroprune.netsci.bipartite import layers
from neuroprune.netsci.census import Census
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.measures import measure
from neuroprune.netsci.triads import triad_census

if TYPE_CHECKING:
    from neuroprune.netsci.significance import NullTest

NO_TRIANGLES = (
    "Each layer projects only to the next one, so that no odd cycle and no triangle can occur: clustering, "
    "transitivity and closed triads say nothing here. Bi-fans and bipartite clustering take their place."
)


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """What :func:`analyze` found.

    Parameters
    ----------
    graph : Graph
    values : mapping of str to float
        Measures by dotted key; NaN where one is not defined.
    triads : Census
    tetrads : Census or None
        Counts of the four-node motifs, if they were asked for.
    test : NullTest or None
        The measures against a null model, if one was asked for.
    notes : tuple of str
        What to know when reading them.
    """

    graph: Graph
    values: Mapping[str, float]
    triads: Census
    tetrads: Census | None
    test: "NullTest | None"
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain nested data, None where a value is not defined.

        The key ``null`` repeats the keys of the measures, each with mean, sd, z, p and interval.
        """
        graph = self.graph
        content: dict[str, Any] = {
            "n": graph.n,
            "m": graph.m,
            "directed": graph.directed,
            "weighted": graph.weight is not None,
            "self_loops": graph.self_loops,
            "parallel": graph.parallel,
            "density": defined(graph.density),
        }
        content |= nested({key: defined(value) for key, value in self.values.items()})
        content["triads"] = self.triads.to_dict()
        if self.tetrads is not None:
            content["tetrads"] = self.tetrads.to_dict()
        content["notes"] = list(self.notes)
        if self.test is not None:
            test = self.test.to_dict()
            statistics = test.pop("statistics")
            content["null"] = {"name": test.pop("null")} | test | nested(statistics)
        return content

    def __repr__(self) -> str:
        against = "" if self.test is None else f", null {self.test.null!r}"
        return f"<Analysis of {self.graph!r}{against}>"


def analyze(
    graph: Graph,
    null: str | None = None,
    samples: int = 1000,
    *,
    motifs: int = 3,
    rng: Any = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Analysis:
    """Measure a graph, and compare it with a null model.

    Parameters
    ----------
    graph : Graph
        Where it has weights, weighted clustering is reported beside the binary measures.
    null : str, optional
        A model of :data:`~neuroprune.netsci.nulls.NULLS`. The null decides what a z-score means: name it wherever
        you print one.
    samples : int, default 1000
        Samples of the null model.
    motifs : {3, 4}, default 3
        Nodes of the largest motifs to count.
    rng : None, int, Generator or SeedSequence
        Where the samples come from.
    workers : int, default 1
        Threads; they do not change the result.
    progress : callable, optional
        Called with the number of samples done.

    Returns
    -------
    Analysis

    Raises
    ------
    GraphError
        If the graph has no nodes, or a request makes no sense.

    Notes
    -----
    Where each layer projects only to the next one, as afferents to their cells do, triangles are impossible:
    bi-fans and bipartite clustering are reported too, and the ``degree`` null keeps the degrees of both sides.

    Examples
    --------
    >>> analyze(Graph.from_coo([0, 1, 2, 2], [1, 2, 0, 3])).to_dict()["clustering"]
    {'undirected': 0.5833333333333334, 'fagiolo': 0.2916666666666667}
    """
    if graph.n == 0:
        raise GraphError("a graph without nodes has nothing to analyze")
    if motifs not in (3, 4):
        raise GraphError(f"motifs={motifs!r}: motifs of 3 or of 4 nodes can be counted")
    names = ["reciprocity", "clustering", "edges_in_no_triangle", "paths"]
    notes = []
    if graph.weight is not None and (graph.weight < 0).any():
        notes.append("Some weights are negative, for which weighted clustering is not defined: it is left out.")
    elif graph.weight is not None:
        names.insert(2, "weighted_clustering")
    two_sided = graph.directed and graph.arcs > 0 and layers(graph) is not None
    if two_sided:
        names.append("bipartite")
        notes.append(NO_TRIANGLES)
    values: dict[str, float] = {}
    for name in names:
        values |= measure(name)(graph)
    tetrads = None
    if motifs == 4:
        from neuroprune.netsci.tetrads import tetrad_census

        tetrads = tetrad_census(graph)
    test = None
    if null is not None:
        from neuroprune.netsci.significance import null_test

        statistics = [*names, "triads", *(["tetrads"] if motifs == 4 else [])]
        test = null_test(graph, statistics, null, samples, rng=rng, workers=workers, progress=progress)
    return Analysis(graph, values, triad_census(graph), tetrads, test, tuple(notes))


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping whose dotted keys have become levels.

    Examples
    --------
    >>> nested({"triads.003": 1, "triads.012": 2, "m": 3})
    {'triads': {'003': 1, '012': 2}, 'm': 3}
    """
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, leaf = key.split(".")
        level = tree
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    return tree


def defined(value: float) -> float | None:
    """Return a number, or None where it is NaN or infinite."""
    return value if math.isfinite(value) else None
