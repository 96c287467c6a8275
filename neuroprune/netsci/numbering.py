"""The numbers that other programs and papers give to classes of subgraphs."""

from neuroprune.core.errors import GraphError
from neuroprune.netsci.tetrad_classes import TETRADS
from neuroprune.netsci.triads import TRIADS

MFINDER_TRIADS = {
    "021D": 6, "021C": 12, "111U": 14, "021U": 36, "030T": 38, "120U": 46, "111D": 74, "201": 78, "030C": 98,
    "120C": 102, "120D": 108, "210": 110, "300": 238,
}  # fmt: skip
"""Adjacency matrix read row by row as bits, ``i -> j`` bit ``3 i + j``, smallest over all orders of the nodes."""

MILO_TRIADS = {label: place for place, label in enumerate(MFINDER_TRIADS, start=1)}
"""Milo et al. (2002), figure 1B: in the order of the mfinder ids, so that the feed-forward loop is 5."""

BCT_TRIADS = {
    "021U": 1, "021C": 2, "021D": 3, "111D": 4, "030T": 5, "111U": 6, "030C": 7, "120D": 8, "201": 9, "120C": 10,
    "120U": 11, "210": 12, "300": 13,
}  # fmt: skip
"""Sporns & Kötter (2004), as in the Brain Connectivity Toolbox: M9 is two mutual dyads, M13 all three."""

IGRAPH_TRIADS: dict[str, int] = dict(zip(TRIADS, (0, 1, 3, 6, 2, 4, 5, 9, 7, 11, 10, 8, 13, 12, 14, 15), strict=True))
"""Isoclasses of igraph, which count up what its motif functions return."""

_IGRAPH_TETRAD_IDS: tuple[int, ...] = (
    76, 24, 92, 41, 13, 77, 96, 47, 103, 19, 82, 176, 7, 25, 93, 29, 95, 31, 102, 42, 97, 48, 104, 98, 12, 35, 45,
    105, 43, 100, 17, 37, 49, 107, 123, 52, 143, 54, 169, 79, 138, 80, 148, 85, 177, 119, 124, 139, 66, 67, 110,
    151, 70, 145, 152, 112, 181, 199, 3, 14, 78, 56, 58, 115, 20, 83, 184, 60, 117, 171, 173, 89, 186, 213, 8, 26,
    94, 30, 16, 36, 40, 99, 46, 106, 32, 18, 38, 44, 101, 50, 108, 109, 68, 155, 73, 175, 114, 81, 161, 86, 178, 63,
    121, 140, 51, 64, 125, 126, 141, 128, 129, 130, 149, 132, 144, 150, 135, 189, 200, 57, 65, 122, 127, 142, 53,
    133, 71, 146, 153, 59, 131, 134, 69, 72, 147, 154, 111, 156, 157, 158, 159, 201, 116, 162, 163, 164, 165, 192,
    202, 168, 55, 170, 87, 180, 88, 185, 113, 21, 61, 118, 179, 172, 74, 183, 182, 84, 174, 90, 187, 188, 136, 190,
    206, 166, 193, 211, 210, 196, 197, 214, 75, 137, 160, 167, 203, 204, 205, 191, 207, 208, 209, 195, 194, 212, 91,
    198, 215, 216, 217,
)  # fmt: skip

IGRAPH_TETRADS: dict[str, int] = {
    **dict(zip(TETRADS, _IGRAPH_TETRAD_IDS, strict=True)),
    **{"star": 4, "path": 6, "paw": 7, "cycle": 8, "diamond": 9, "clique": 10},
}
"""The same for four nodes; igraph counts directed and undirected classes apart, each from 0."""

NUMBERINGS: dict[int, dict[str, dict[str, int]]] = {
    3: {"milo": MILO_TRIADS, "mfinder": MFINDER_TRIADS, "bct": BCT_TRIADS, "igraph": IGRAPH_TRIADS},
    4: {"mfinder": {label: int(label) for label in TETRADS}, "igraph": IGRAPH_TETRADS},
}


def numbers(size: int, numbering: str) -> dict[str, int]:
    """Return the number of each class of subgraphs in a numbering.

    Parameters
    ----------
    size : int
        Nodes of a subgraph, 3 or 4.
    numbering : {"milo", "mfinder", "bct", "igraph"}
        ``"milo"`` and ``"bct"`` number the 13 connected triads; ``"mfinder"`` numbers connected directed classes;
        ``"igraph"`` numbers all triads, and the connected classes of four nodes, directed or not. The names of triads
        are already those of networkx.

    Returns
    -------
    dict of str to int
        Numbers by label; a class that the numbering leaves out is not there.

    Raises
    ------
    GraphError
        If there is no such numbering for subgraphs of this size.

    References
    ----------
    .. [1] Milo et al. (2002) Science 298:824.
    .. [2] Sporns & Kötter (2004) PLoS Biology 2:e369.

    Examples
    --------
    >>> numbers(3, "milo")["030T"], numbers(3, "mfinder")["030T"], numbers(4, "mfinder")["204"]
    (5, 38, 204)
    """
    known = NUMBERINGS.get(size)
    if known is None:
        raise GraphError(
            f"subgraphs of {size} nodes have no numbering; those of {' or '.join(map(str, NUMBERINGS))} do"
        )
    if numbering not in known:
        raise GraphError(f"no numbering {numbering!r} of {size}-node subgraphs; there are {', '.join(known)}")
    return dict(known[numbering])
