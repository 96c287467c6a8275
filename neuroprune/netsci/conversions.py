"""What a graph is made from and turned into, as methods: the work is done, and documented in full, by functions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import igraph
    import networkx as nx
    import pandas as pd
    import scipy.sparse as sp

    from neuroprune.netsci.graph import Graph
    from neuroprune.record import Record


class Conversions:
    """Graphs from labels, matrices, other libraries, records and files, and back; a base of Graph alone."""

    @classmethod
    def from_edges(
        cls,
        source: Sequence[Any] | np.ndarray,
        target: Sequence[Any] | np.ndarray,
        weight: ArrayLike | None = None,
        *,
        directed: bool = True,
        nodes: Sequence[Any] | None = None,
    ) -> "Graph":
        """Make a graph from edges between labels of any kind, numbers or names.

        Parameters
        ----------
        source, target : sequence of int or str, length edges
            Labels. Nodes are numbered in the order of their sorted labels.
        weight : array_like of float, shape (edges,), optional
        directed : bool, default True
        nodes : sequence, optional
            All labels in the order wanted; it may hold nodes without an edge.

        Raises
        ------
        GraphError
            As for :meth:`from_coo`, or if an edge has a label that is not in `nodes`.

        Examples
        --------
        >>> from neuroprune.netsci import Graph
        >>> Graph.from_edges(["AVA", "AVB"], ["AVB", "PVC"]).names
        ('AVA', 'AVB', 'PVC')
        """
        from neuroprune.netsci.interop import from_edges

        return from_edges(source, target, weight, directed=directed, nodes=nodes)

    @classmethod
    def from_array(cls, matrix: ArrayLike, *, directed: bool = True, weighted: bool = True) -> "Graph":
        """Make a graph from a dense square matrix in which ``matrix[i, j] != 0`` is the arc ``i -> j``."""
        from neuroprune.netsci.interop import from_array

        return from_array(matrix, directed=directed, weighted=weighted)

    @classmethod
    def from_scipy(cls, matrix: "sp.sparray | sp.spmatrix", *, directed: bool = True, weighted: bool = True) -> "Graph":
        """Make a graph from a square scipy.sparse matrix in which ``matrix[i, j] != 0`` is the arc ``i -> j``."""
        from neuroprune.netsci.interop import from_scipy

        return from_scipy(matrix, directed=directed, weighted=weighted)

    @classmethod
    def from_networkx(cls, graph: "nx.Graph", weight: str | None = None) -> "Graph":
        """Make a graph from a networkx graph, weighted by the edge attribute `weight` if that is given."""
        from neuroprune.netsci.interop import from_networkx

        return from_networkx(graph, weight)

    @classmethod
    def from_igraph(cls, graph: "igraph.Graph", weight: str | None = None) -> "Graph":
        """Make a graph from an igraph graph, weighted by the edge attribute `weight` if that is given."""
        from neuroprune.netsci.interop import from_igraph

        return from_igraph(graph, weight)

    @classmethod
    def from_pandas(
        cls,
        edges: "pd.DataFrame",
        source: str = "source",
        target: str = "target",
        weight: str | None = None,
        *,
        directed: bool = True,
    ) -> "Graph":
        """Make a graph from an edge list in a pandas data frame, whose columns are named."""
        from neuroprune.netsci.interop import from_pandas

        return from_pandas(edges, source, target, weight, directed=directed)

    @classmethod
    def from_record(cls, record: "Record", age: float | None = None) -> "Graph":
        """Make the graph of the connections that live at an age (days) in the record of a run; by default its last."""
        from neuroprune.netsci.records import graph_of_record

        return graph_of_record(record, age)

    @classmethod
    def read_csv(
        cls,
        path: Path | str,
        weight: str | None = None,
        *,
        threshold: float | None = None,
        keep_isolated: bool = False,
        directed: bool = True,
    ) -> "Graph":
        """Read a graph from a CSV with the columns ``source`` and ``target``, also gzipped."""
        from neuroprune.netsci.reading import read_csv

        return read_csv(path, weight, threshold=threshold, keep_isolated=keep_isolated, directed=directed)

    @classmethod
    def read_graphml(cls, path: Path | str, weight: str | None = None) -> "Graph":
        """Read a graph from GraphML, weighted by the edge attribute `weight` if that is given."""
        from neuroprune.netsci.reading import read_graphml

        return read_graphml(path, weight)

    def to_scipy(self: Any) -> "sp.csr_array":
        """Return the adjacency matrix, ``A[i, j]`` the weight of ``i -> j`` (1 in a binary graph)."""
        from neuroprune.netsci.interop import to_scipy

        return to_scipy(self)

    def to_networkx(self: Any) -> "nx.Graph":
        """Return a networkx DiGraph, or Graph where this one is undirected, with names and weights."""
        from neuroprune.netsci.interop import to_networkx

        return to_networkx(self)

    def to_igraph(self: Any) -> "igraph.Graph":
        """Return an igraph graph with names (``name``), weights (``weight``) and the same node numbers."""
        from neuroprune.netsci.interop import to_igraph

        return to_igraph(self)

    def to_pandas(self: Any) -> "pd.DataFrame":
        """Return the edges as a data frame with the columns source, target and, where there are any, weight."""
        from neuroprune.netsci.interop import to_pandas

        return to_pandas(self)

    def write_csv(self: Any, path: Path | str) -> None:
        """Write the edges as CSV, gzipped where the name ends in ``.gz``."""
        from neuroprune.netsci.reading import write_csv

        write_csv(self, path)

    def write_graphml(self: Any, path: Path | str) -> None:
        """Write the graph as GraphML."""
        from neuroprune.netsci.reading import write_graphml

        write_graphml(self, path)
