"""Values of the connectomes that an implementation has to reproduce."""

import csv
from dataclasses import dataclass
from importlib.resources import files

from neuroprune.core.errors import GraphError


@dataclass(frozen=True)
class PublishedValue:
    """A measure of a connectome, and under which convention it has its value.

    Parameters
    ----------
    dataset : str
        What :func:`~neuroprune.datasets.load` takes.
    measure : str
        A dotted name. Before it may stand of which part of the graph: ``giant.`` (the largest component, strong where
        the graph is directed), ``undirected.`` (directions ignored) or ``at_least_5.`` (edges of weight 5 or more, and
        the nodes that have one). ``weight_sum`` takes no weight of self-loops; ``connections`` are arcs and self-loops.
    value : float
    tolerance : float
        Largest difference that rounding explains, half a unit of the last digit; 0 for counts.
    kind : {"published", "computed"}
        Printed in the paper that `source` names, or computed from the data by other programs.
    convention : str
        Choices without which the value is another one.
    source : str
    """

    dataset: str
    measure: str
    value: float
    tolerance: float
    kind: str
    convention: str
    source: str


def published_values(dataset: str | None = None) -> list[PublishedValue]:
    """Return known values, of one connectome or of all.

    Parameters
    ----------
    dataset : str, optional
        Name of a connectome, with or without its parts; by default all.

    Raises
    ------
    GraphError
        If no value is known of it.

    Examples
    --------
    >>> [v.value for v in published_values("celegans_varshney2011") if v.measure == "giant.mean_path"]
    [3.48, 4.52, 2.87]
    """
    text = files("neuroprune.datasets").joinpath("published_values.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    values = [
        PublishedValue(**{**row, "value": float(row["value"]), "tolerance": float(row["tolerance"])})  # type: ignore[arg-type]
        for row in rows
    ]
    if dataset is None:
        return values
    found = [value for value in values if value.dataset == dataset or value.dataset.startswith(f"{dataset}/")]
    if not found:
        families = dict.fromkeys(value.dataset.partition("/")[0] for value in values)
        raise GraphError(
            f"no value is known of {dataset!r}; there are some of {', '.join(families)}, and parts of them"
        )
    return found
