"""Connectomes that travel with the package, as graphs."""

import csv
import difflib
import gzip
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from neuroprune.core.errors import GraphError

if TYPE_CHECKING:
    from neuroprune.netsci import Graph

Edge = tuple[str, str, float]

STAGES = ("L1_1", "L1_2", "L1_3", "L1_4", "L2", "L3", "L4", "Adult_1", "Adult_2", "Adult_3", "Dauer")
WITH_CONTACT = ("L1_1", "L1_2", "L1_3", "L1_4", "L2", "L3", "Adult_2", "Dauer")
AREAS = {
    "fve30": ("visual cortex of the macaque, 30 areas", "Felleman & van Essen (1991) Cereb Cortex 1:1"),
    "fve32": ("visual cortex of the macaque, 32 areas", "Felleman & van Essen (1991) Cereb Cortex 1:1"),
    "macaque47": ("cortex of the macaque, 47 areas", "Honey et al. (2007) PNAS 104:10240"),
    "cat_ctx": ("cortex of the cat, 52 areas", "Scannell et al. (1999) Cereb Cortex 9:277"),
}
NO_NEURON = re.compile(r"BWM-|CEPsh|GLR")
"""How the names of muscles and glia begin in the brains of Yim et al. (2024)."""

YOUNGEST = "L1_1"
"""The stage whose neurons all others have too."""


@dataclass(frozen=True)
class Connectome:
    """What a connectome is and whom to cite.

    Parameters
    ----------
    name : str
        What :func:`load` takes.
    description : str
        One line.
    licence : str
        Terms under which the data may be passed on.
    citation : str
        What to cite.
    source : str
        Where the data were taken from.
    """

    name: str
    description: str
    licence: str
    citation: str
    source: str


_VARSHNEY = (
    "CC BY 2.5",
    "Varshney et al. (2011) PLoS Comput Biol 7:e1001066",
    "the authors' repository lrvarshney/elegans",
)
_FENYVES = (
    "CC BY 4.0",
    "Fenyves et al. (2020) PLoS Comput Biol 16:e1007974",
    "the repository VinceThi/low-rank-hypothesis-complex-systems",
)
_YIM = (
    "CC BY 4.0, the licence of the journal",
    "Yim et al. (2024) Nat Commun 15:1546; for L1_1 to L3, Adult_1 and Adult_2 also Witvliet et al. (2021) Nature "
    "596:257, for L4 and Adult_3 also White et al. (1986) Phil Trans R Soc B 314:1",
    "supplementary data of Yim et al., from the Python package cect 0.3.5",
)
_WINDING = (
    "MIT, Copyright 2021 NeuroData / B. Pedigo",
    "Winding et al. (2023) Science 379:eadd9330; Pedigo et al. (2023) eLife 12:e83739",
    "the repository neurodata/bilateral-connectome",
)
_BCT_LICENCE = "MIT, Copyright 2009 Indiana University"
_BCT_SOURCE = "the repository lheric/bct-cpp"
_TOOLBOX = "; toolbox: Rubinov & Sporns (2010) NeuroImage 52:1059"


def _catalogue() -> dict[str, Connectome]:
    entries = [
        Connectome("celegans_varshney2011", "C. elegans, 279 neurons, chemical synapses", *_VARSHNEY),
        Connectome("celegans_varshney2011/gap", "the same, gap junctions (undirected)", *_VARSHNEY),
        Connectome("celegans_varshney2011/all", "the same, chemical synapses or gap junctions", *_VARSHNEY),
        Connectome(
            "celegans_fenyves2020_signed",
            "C. elegans, all chemical synapses of the signed connectome, whatever their sign",
            *_FENYVES,
        ),
        Connectome(
            "celegans_fenyves2020_signed/signed",
            "the same, those with a predicted sign; inhibitory weights are negative",
            *_FENYVES,
        ),
    ]
    for stage in STAGES:
        base = f"celegans_yim2024_stages/{stage}"
        entries.append(Connectome(base, f"C. elegans, brain at {stage}, with muscles and glia", *_YIM))
        entries.append(Connectome(f"{base}/neurons", "the same, neurons with a synapse only", *_YIM))
        entries.append(Connectome(f"{base}/common", "the same, the 161 neurons that all stages have", *_YIM))
        if stage in WITH_CONTACT:
            entries.append(Connectome(f"{base}/contact", "area of contact of its cells (undirected)", *_YIM))
    for key, (text, compiled) in AREAS.items():
        name = f"bct_cortical_areas/{key}"
        entries.append(Connectome(name, text, _BCT_LICENCE, compiled + _TOOLBOX, _BCT_SOURCE))
    entries += [
        Connectome(
            "drosophila_larva_winding2023", "larva of Drosophila, brain, the 2952 neurons marked in_lcc", *_WINDING
        ),
        Connectome("drosophila_larva_winding2023/all", "the same, all 3554 neurons of the data", *_WINDING),
    ]
    return {entry.name: entry for entry in entries}


CATALOGUE = _catalogue()


def available() -> dict[str, str]:
    """Return the names that :func:`load` takes, and what they are."""
    return {name: entry.description for name, entry in CATALOGUE.items()}


def describe(name: str) -> Connectome:
    """Return what a connectome is, its licence and its citation.

    Raises
    ------
    GraphError
        If there is none of that name.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    parts = [known for known in CATALOGUE if known.startswith(f"{name}/")]
    if parts:
        raise GraphError(f"{name!r} has several parts, name one: {', '.join(parts)}")
    near = difflib.get_close_matches(name, CATALOGUE, 3, 0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else "."
    raise GraphError(f"no connectome {name!r}{hint} There are {', '.join(_families())}, and parts of them")


def load(name: str) -> "Graph":
    """Load a connectome.

    Parameters
    ----------
    name : str
        A key of :func:`available`.

    Returns
    -------
    Graph
        With weights, and with names where the data have any (areas of the cortex are numbered). Self-loops are
        removed and counted. The weight of ``celegans_varshney2011/all`` is the number of chemical synapses and gap
        junctions from one neuron to another; those of areas of the macaque are 1.

    Raises
    ------
    GraphError
        If there is none of that name, or it names several parts of which none is the whole.

    Notes
    -----
    Each comes with a README on its origin, licence and conversion in ``neuroprune/datasets/connectomes``. Cite what
    ``describe(name).citation`` says.

    Examples
    --------
    >>> load("celegans_varshney2011")
    <Graph: 279 nodes, 2,194 arcs, weighted>
    """
    from neuroprune.netsci import Graph

    folder, *part = describe(name).name.split("/")
    if folder == "celegans_varshney2011":
        nodes = [row["name"] for row in _rows(folder, "nodes.csv")]
        wanted = {"": ["chemical"], "gap": ["gap"], "all": ["chemical", "gap"]}["".join(part)]
        edges = [edge for kind in wanted for edge in _edges(folder, kind, both=part == ["all"] and kind == "gap")]
        return Graph.from_edges(*_columns(edges), directed=part != ["gap"], nodes=nodes)
    if folder == "celegans_yim2024_stages":
        stage, *kind = part
        if kind == ["contact"]:
            edges = list(_edges(folder, f"contact/{stage}", weight="contact_nm2"))
            return Graph.from_edges(*_columns(edges), directed=False)
        if kind == ["neurons"]:
            return Graph.from_edges(*_columns(_between_neurons(stage))).without_isolated()
        if kind == ["common"]:
            nodes = sorted({neuron for edge in _between_neurons(YOUNGEST) for neuron in edge[:2]})
            edges = _among(nodes, _between_neurons(stage))
            return Graph.from_edges(*_columns(edges), nodes=nodes)
        return Graph.from_edges(*_columns(list(_edges(folder, stage))))
    if folder == "bct_cortical_areas":
        return Graph.from_edges(*_columns([(int(u), int(v), w) for u, v, w in _edges(folder, part[0])]))
    if folder == "drosophila_larva_winding2023":
        nodes = [row["id"] for row in _rows(folder, "nodes.csv") if part == ["all"] or row["in_lcc"] == "True"]
        return Graph.from_edges(*_columns(_among(nodes, _edges(folder, "edges"))), nodes=nodes)
    if part == ["signed"]:
        signs = {"+": 1.0, "-": -1.0}
        rows = [row for row in _rows(folder, "edges.csv") if row["sign"] in signs]
        edges = [(row["source"], row["target"], signs[row["sign"]] * float(row["weight"])) for row in rows]
        return Graph.from_edges(*_columns(edges))
    return Graph.from_edges(*_columns(list(_edges(folder, "edges"))))


def _between_neurons(stage: str) -> list[Edge]:
    edges = _edges("celegans_yim2024_stages", stage)
    return [edge for edge in edges if not (NO_NEURON.match(edge[0]) or NO_NEURON.match(edge[1]))]


def _among(nodes: list[str], edges: Iterable[Edge]) -> list[Edge]:
    known = set(nodes)
    return [edge for edge in edges if edge[0] in known and edge[1] in known]


def _families() -> list[str]:
    return list(dict.fromkeys(name.partition("/")[0] for name in CATALOGUE))


def _rows(folder: str, name: str) -> Iterator[dict[str, str]]:
    """Return the rows of a CSV that ships, gzipped or not."""
    path = files("neuroprune.datasets").joinpath("connectomes", folder, *name.split("/"))
    if path.is_file():
        content = path.read_bytes()
    else:
        zipped = files("neuroprune.datasets").joinpath("connectomes", folder, *f"{name}.gz".split("/"))
        content = gzip.decompress(zipped.read_bytes())
    return csv.DictReader(io.StringIO(content.decode()))


def _edges(folder: str, name: str, weight: str = "weight", both: bool = False) -> Iterator[Edge]:
    for row in _rows(folder, f"{name}.csv"):
        edge = row["source"], row["target"], float(row[weight])
        yield edge
        if both and edge[0] != edge[1]:
            yield edge[1], edge[0], edge[2]


def _columns(edges: list) -> tuple[list, list, list]:
    source, target, weight = zip(*edges, strict=True)
    return list(source), list(target), list(weight)
