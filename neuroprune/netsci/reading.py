"""Graphs from and to files: CSV edge lists and GraphML."""

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.core.files import write_whole
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.interop import from_edges, from_networkx, to_networkx

ENDS = ("source", "target")
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")


def read_csv(
    path: Path | str,
    weight: str | None = None,
    *,
    threshold: float | None = None,
    keep_isolated: bool = False,
    directed: bool = True,
) -> Graph:
    """Read a graph from a CSV edge list.

    Parameters
    ----------
    path : path
        A file with a header that has the columns ``source`` and ``target``, names or numbers; gzipped where the name
        ends in ``.gz``. Further columns are ignored unless named.
    weight : str, optional
        Column with the weights; None makes a binary graph. Weights may be negative, as in a signed connectome;
        weighted clustering refuses them.
    threshold : float, optional
        Keep only edges with at least this weight, after the weights of parallel edges are added. The weights are those
        of the column `weight`, or of the column called ``weight`` if none is named: the graph stays binary then.
    keep_isolated : bool, default False
        Keep the nodes that are left without an edge.
    directed : bool, default True
        False where the file lists pairs without direction, each once.

    Returns
    -------
    Graph
        Nodes in the order of their labels, numbers by value.

    Raises
    ------
    GraphError
        If a column is missing, a line has the wrong number of cells, no end or a weight that is no finite number, or
        the file holds no edges or no text.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    column = weight if weight is not None or threshold is None else "weight"
    source, target, values = _read_columns(path, column)
    graph = from_edges(_as_numbers(source, target), _as_numbers(target, source), values, directed=directed)
    if threshold is not None:
        graph = graph.threshold(threshold)
    if weight is None:
        graph = graph.binary()
    if keep_isolated:
        return graph
    if graph.names is None and not graph.degree.all():  # numbers are names once some are missing
        graph = replace(graph, names=tuple(map(str, range(graph.n))))
    return graph.without_isolated()


def _read_columns(path: Path, column: str | None) -> tuple[list[str], list[str], np.ndarray | None]:
    """Return the ends of all edges, and their weights if there is a column for them."""
    try:
        with _open(path) as file:
            rows = csv.reader(file)
            header = [cell.strip() for cell in next(rows, [])]
            if not any(header):
                raise GraphError(f"{path} is empty: a graph needs a header 'source,target' and edges")
            wanted = (*ENDS, *([] if column is None else [column]))
            for name in wanted:
                if name not in header:
                    raise GraphError(f"{path} has no column {name!r}; it has {', '.join(map(repr, header))}")
                if header.count(name) > 1:
                    raise GraphError(f"{path} has {header.count(name)} columns {name!r}: one can be read")
            places = [header.index(name) for name in wanted]
            columns: list[list[str]] = [[] for _ in places]
            lines: list[int] = []
            for row in rows:
                if not row:
                    continue
                if len(row) != len(header):
                    raise GraphError(
                        f"{path}, line {rows.line_num}: {len(row)} cells, but the header has {len(header)} columns"
                    )
                for cells, place in zip(columns, places, strict=True):
                    cells.append(row[place].strip())
                lines.append(rows.line_num)
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise GraphError(f"{path} cannot be read as a table of text: {error}") from None
    if not lines:
        raise GraphError(f"{path} has no edges below its header")
    for name, cells in zip(ENDS, columns, strict=False):
        if "" in cells:
            raise GraphError(f"{path}, line {lines[cells.index('')]}: no {name}")
    weights = None if column is None else np.fromiter(_numbers(path, column, columns[2], lines), float, len(lines))
    return columns[0], columns[1], weights


def _open(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")  # type: ignore[return-value]
    return path.open(encoding="utf-8-sig", newline="")


def _numbers(path: Path, column: str, cells: list[str], lines: list[int]) -> Iterator[float]:
    for cell, line in zip(cells, lines, strict=True):
        try:
            value = math.nan if "_" in cell else float(cell)  # 1_000 is a number in Python alone
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise GraphError(f"{path}, line {line}: the {column} is {cell!r}, it must be a finite number")
        yield value


def _as_numbers(cells: list[str], others: list[str]) -> list[str] | list[int]:
    """Return labels as integers if those of both ends all are, written as Python writes them: 9 precedes 10 then."""
    if all(INTEGER.fullmatch(cell) for column in (cells, others) for cell in column):
        return [int(cell) for cell in cells]
    return cells


def write_csv(graph: Graph, path: Path | str) -> None:
    """Write the edges of a graph as CSV.

    Parameters
    ----------
    graph : Graph
        An undirected edge is listed once: read it with ``directed=False``. Nodes without an edge are lost.
    path : path
        Gzipped where the name ends in ``.gz``. The file appears whole or not at all.
    """
    path = Path(path)
    source, target, weight = graph.edges
    labels = range(graph.n) if graph.names is None else graph.names
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(ENDS if weight is None else (*ENDS, "weight"))
    ends = ((labels[u], labels[v]) for u, v in zip(source.tolist(), target.tolist(), strict=True))
    if weight is None:
        rows.writerows(ends)
    else:
        rows.writerows((u, v, repr(w)) for (u, v), w in zip(ends, weight.tolist(), strict=True))
    _replace(path, text.getvalue().encode())


def read_graphml(path: Path | str, weight: str | None = None) -> Graph:
    """Read a graph from GraphML.

    Parameters
    ----------
    path : path
    weight : str, optional
        Edge attribute with the weights; None makes a binary graph.

    Raises
    ------
    GraphError
        If the file is no GraphML, or an edge lacks the attribute.
    OSError
        If the file cannot be read.
    """
    from xml.etree.ElementTree import ParseError

    import networkx as nx

    try:
        peer = nx.read_graphml(path)
    except (ParseError, nx.NetworkXError, KeyError, ValueError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise GraphError(f"{path} is no GraphML that can be read: {error}") from None
    graph = from_networkx(peer, weight)
    numbered = graph.names == tuple(str(k) for k in range(graph.n))
    return replace(graph, names=None) if numbered else graph


def write_graphml(graph: Graph, path: Path | str) -> None:
    """Write a graph as GraphML, gzipped where the name ends in ``.gz``; weights are the edge attribute ``weight``."""
    import networkx as nx

    text = "\n".join(nx.generate_graphml(to_networkx(graph)))
    _replace(Path(path), f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, gzipped where its name ends in ``.gz``."""
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    write_whole(path, content)
