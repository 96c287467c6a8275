"""Graphs from and to arrays, scipy, networkx, igraph and pandas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph

if TYPE_CHECKING:
    import igraph
    import networkx as nx
    import pandas as pd
    import scipy.sparse as sp

Labels = Sequence[Any] | np.ndarray


def from_edges(
    source: Labels,
    target: Labels,
    weight: ArrayLike | None = None,
    *,
    directed: bool = True,
    nodes: Labels | None = None,
) -> Graph:
    """Make a graph from edges between labels; see :meth:`Graph.from_edges`."""
    src, dst = _labels("source", source), _labels("target", target)
    if nodes is None and _joins_exactly(src, dst):
        labels, number = np.unique(np.concatenate([src, dst]), return_inverse=True)
        names = None if (labels == np.arange(labels.size)).all() else tuple(map(str, labels.tolist()))
        u, v = number[: len(src)], number[len(src) :]
        return Graph.from_coo(u, v, weight, labels.size, directed=directed, names=names)
    listed = None if nodes is None else _labels("nodes", nodes)
    *columns, order = _of_one_kind(src, dst, [] if listed is None else listed)
    if listed is None:
        order = sorted({*columns[0], *columns[1]})
    known: dict[Any, int] = {}
    for label in order:
        if label in known:
            raise GraphError(f"the node {label!r} occurs twice in nodes: labels must be unique")
        known[label] = len(known)
    try:
        u, v = (np.fromiter(map(known.__getitem__, column), np.int64, len(column)) for column in columns)
    except KeyError as error:
        raise GraphError(f"an edge has the node {error.args[0]!r}, which is not in nodes") from None
    names = None if list(known) == list(range(len(known))) else tuple(map(str, known))
    return Graph.from_coo(u, v, weight, len(known), directed=directed, names=names)


def _labels(what: str, values: Labels) -> np.ndarray | list[int] | list[str]:
    """Return labels as integers if all are, else as strings."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise GraphError(f"{what} has shape {values.shape}: it must have one axis, a label for each edge")
        whole = values.dtype.kind == "f" and (values == np.floor(values)).all() and (abs(values) < 2**53).all()
        if whole:  # what pandas makes of a column of numbers in which one was missing
            return values.astype(np.int64)
        if values.dtype.kind in "iu":
            return values
    items = list(values)
    kinds = set(map(type, items))
    if kinds == {str}:
        return items
    for k, label in enumerate(items):
        if label is None or (isinstance(label, float | np.floating) and label != label):
            raise GraphError(f"{what} has no label at {k}, it is {label}: every edge needs two ends")
    if not all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
        return [str(label) for label in items]
    try:
        return np.array(items, np.int64)
    except OverflowError:
        return [int(label) for label in items]


def _joins_exactly(source: np.ndarray | list, target: np.ndarray | list) -> bool:
    """Return whether both are integers of kinds that numpy joins: it makes float64 of int64 and uint64."""
    both = isinstance(source, np.ndarray) and isinstance(target, np.ndarray)
    return both and np.result_type(source, target).kind in "iu"


def _of_one_kind(*columns: np.ndarray | list) -> list[list[Any]]:
    """Return columns of labels as lists, of integers if all are, else of strings."""
    lists: list[list[Any]] = [c.tolist() if isinstance(c, np.ndarray) else c for c in columns]
    if any(column and isinstance(column[0], str) for column in lists):
        return [c if c and isinstance(c[0], str) else [str(label) for label in c] for c in lists]
    return lists


def from_array(matrix: ArrayLike, *, directed: bool = True, weighted: bool = True) -> Graph:
    """Make a graph from a dense square matrix.

    Parameters
    ----------
    matrix : array_like, shape (n, n)
        ``matrix[i, j] != 0`` is the arc ``i -> j``. Its diagonal is self-loops, which are removed and counted.
    directed : bool, default True
        False demands a symmetric matrix, whose entries are undirected edges.
    weighted : bool, default True
        Whether the entries are weights.

    Raises
    ------
    GraphError
        If the matrix is not square, not finite, or not symmetric where it must be.

    Examples
    --------
    >>> from_array([[0, 2.0], [0, 0]])
    <Graph: 2 nodes, 1 arc, weighted>
    """
    try:
        dense = np.asarray(matrix, np.float64)
    except (TypeError, ValueError) as error:
        raise GraphError(f"the matrix must hold numbers: {error}") from None
    if dense.ndim != 2 or dense.shape[0] != dense.shape[1]:
        raise GraphError(f"the matrix has shape {dense.shape}: an adjacency matrix is square")
    _check_finite(dense)
    if not directed and not np.array_equal(dense, dense.T):
        i, j = (int(x[0]) for x in np.nonzero(dense != dense.T))
        raise GraphError(f"[{i}, {j}] is {dense[i, j]:g} and [{j}, {i}] is {dense[j, i]:g}: it must be symmetric")
    source, target = np.nonzero(dense if directed else np.triu(dense))
    weight = dense[source, target] if weighted else None
    return Graph.from_coo(source, target, weight, len(dense), directed=directed)


def _check_finite(entries: np.ndarray) -> None:
    if not np.isfinite(entries).all():
        raise GraphError(f"the matrix has the entry {entries[~np.isfinite(entries)][0]}: entries must be finite")


def from_scipy(matrix: "sp.sparray | sp.spmatrix", *, directed: bool = True, weighted: bool = True) -> Graph:
    """Make a graph from a square scipy.sparse matrix.

    Parameters
    ----------
    matrix : sparse array, shape (n, n)
        ``matrix[i, j] != 0`` is the arc ``i -> j``; stored zeros are none. Entries of the same place are added, as
        scipy does.
    directed, weighted : bool, default True
        As for :func:`from_array`.

    Raises
    ------
    GraphError
        As for :func:`from_array`.
    """
    import scipy.sparse as sp

    shape: tuple[int, ...] = matrix.shape  # type: ignore[union-attr]
    if len(shape) != 2 or shape[0] != shape[1]:
        raise GraphError(f"the matrix has shape {shape}: an adjacency matrix is square")
    compressed = sp.csr_array(matrix, copy=True)  # adding entries of one place writes into the arrays
    compressed.sum_duplicates()
    _check_finite(compressed.data)
    if not directed:
        difference = abs(compressed - compressed.T)
        if difference.nnz and difference.max() > 0:
            raise GraphError("the matrix is not symmetric, as that of an undirected graph must be")
        compressed = sp.csr_array(sp.triu(compressed))
    coo = compressed.tocoo()
    there = coo.data != 0
    source, target = coo.coords[0][there], coo.coords[1][there]
    weight = coo.data[there] if weighted else None
    return Graph.from_coo(source, target, weight, shape[0], directed=directed)


def from_networkx(graph: "nx.Graph", weight: str | None = None) -> Graph:
    """Make a graph from one of networkx.

    Parameters
    ----------
    graph : networkx Graph, DiGraph, MultiGraph or MultiDiGraph
        Its nodes keep their order; they become names unless they are 0 to n - 1.
    weight : str, optional
        Edge attribute with the weights; None makes a binary graph.

    Raises
    ------
    GraphError
        If an edge lacks the attribute.
    """
    nodes = list(graph.nodes)
    number = {node: k for k, node in enumerate(nodes)}
    edges = list(graph.edges(data=True))
    values = None if weight is None else [_attribute(data, weight, f"{u!r} -> {v!r}") for u, v, data in edges]
    names = None if nodes == list(range(len(nodes))) else [str(node) for node in nodes]
    source, target = ([number[edge[end]] for edge in edges] for end in (0, 1))
    return Graph.from_coo(source, target, values, len(nodes), directed=graph.is_directed(), names=names)


def _attribute(data: Any, weight: str, edge: str) -> Any:
    if weight not in data:
        there = ", ".join(map(str, data)) or "none"
        raise GraphError(f"the edge {edge} has no attribute {weight!r}; it has {there}")
    return data[weight]


def from_igraph(graph: "igraph.Graph", weight: str | None = None) -> Graph:
    """Make a graph from one of igraph.

    Parameters
    ----------
    graph : igraph Graph
        The vertex attribute ``name`` becomes the names, if it is there.
    weight : str, optional
        Edge attribute with the weights; None makes a binary graph.

    Raises
    ------
    GraphError
        If there is no such attribute.
    """
    attributes = graph.es.attributes()
    if weight is not None and weight not in attributes:
        raise GraphError(f"no edge attribute {weight!r}; there are {', '.join(attributes) or 'none'}")
    ends = np.array(graph.get_edgelist(), np.int64).reshape(-1, 2)
    values = None if weight is None else graph.es[weight]
    names = graph.vs["name"] if "name" in graph.vs.attributes() else None
    return Graph.from_coo(ends[:, 0], ends[:, 1], values, graph.vcount(), directed=graph.is_directed(), names=names)


def from_pandas(
    edges: "pd.DataFrame",
    source: str = "source",
    target: str = "target",
    weight: str | None = None,
    *,
    directed: bool = True,
) -> Graph:
    """Make a graph from an edge list in a data frame.

    Parameters
    ----------
    edges : pandas.DataFrame
        A row for each edge, with labels as for :meth:`Graph.from_edges`.
    source, target : str
        Columns with the ends.
    weight : str, optional
        Column with the weights; None makes a binary graph.
    directed : bool, default True

    Raises
    ------
    GraphError
        If a column is not there, or an end is missing.
    """
    for column in (source, target, *([] if weight is None else [weight])):
        if column not in edges.columns:
            raise GraphError(f"no column {column!r}; there are {', '.join(map(str, edges.columns))}")
    for column in (source, target):
        missing = edges[column].isna().to_numpy()
        if missing.any():
            raise GraphError(f"row {int(missing.argmax())} has no {column}")
    values = None if weight is None else edges[weight].to_numpy()
    return from_edges(edges[source].to_numpy(), edges[target].to_numpy(), values, directed=directed)


def to_scipy(graph: Graph) -> "sp.csr_array":
    """Return the adjacency matrix; see :meth:`Graph.to_scipy`."""
    import scipy.sparse as sp

    weight = np.ones(graph.arcs) if graph.weight is None else graph.weight
    return sp.csr_array((weight, (graph.source, graph.target)), shape=(graph.n, graph.n))


def _node_labels(graph: Graph) -> list[Any]:
    return list(range(graph.n)) if graph.names is None else list(graph.names)


def to_networkx(graph: Graph) -> "nx.Graph":
    """Return a networkx graph; see :meth:`Graph.to_networkx`."""
    import networkx as nx

    peer: nx.Graph = nx.DiGraph() if graph.directed else nx.Graph()
    labels = _node_labels(graph)
    peer.add_nodes_from(labels)
    source, target, weight = graph.edges
    ends = ((labels[u], labels[v]) for u, v in zip(source.tolist(), target.tolist(), strict=True))
    if weight is None:
        peer.add_edges_from(ends)
    else:
        peer.add_weighted_edges_from((u, v, w) for (u, v), w in zip(ends, weight.tolist(), strict=True))
    return peer


def to_igraph(graph: Graph) -> "igraph.Graph":
    """Return an igraph graph; see :meth:`Graph.to_igraph`."""
    try:
        import igraph
    except ImportError:
        raise GraphError("igraph is not installed: pip install 'neuroprune[communities]'") from None
    source, target, weight = graph.edges
    peer = igraph.Graph(graph.n, np.column_stack([source, target]).tolist(), directed=graph.directed)
    if graph.names is not None:
        peer.vs["name"] = list(graph.names)
    if weight is not None:
        peer.es["weight"] = weight.tolist()
    return peer


def to_pandas(graph: Graph) -> "pd.DataFrame":
    """Return the edges as a data frame; see :meth:`Graph.to_pandas`."""
    try:
        import pandas as pd
    except ImportError:
        raise GraphError("pandas is not installed: pip install 'neuroprune[data]'") from None
    source, target, weight = graph.edges
    labels = np.array(_node_labels(graph), None if graph.names is None else object)
    columns = {"source": labels[source], "target": labels[target]}
    return pd.DataFrame(columns if weight is None else columns | {"weight": weight})
