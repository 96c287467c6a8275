"""The numbers of subgraph classes against the rules and programs that define them."""

from itertools import permutations

import numpy as np
import pytest

from neuroprune.core.errors import GraphError
from neuroprune.netsci.census import Census
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.numbering import NUMBERINGS, numbers
from neuroprune.netsci.tetrad_classes import TETRADS, TETRADS_UNDIRECTED, tetrad_edges
from neuroprune.netsci.tetrads import tetrad_census
from neuroprune.netsci.triads import CONNECTED_TRIADS, TRIADS, motif_census, triad_census, triad_class

PAIRS = [(i, j) for i in range(3) for j in range(3) if i != j]


def by_number(census: Census, numbering: str) -> dict[int, int]:
    return {int(number): count for number, count in census.to_dict(numbering).items()}


def all_triads():
    """Yield all 64 labelled triads as class name and adjacency matrix."""
    for number in range(64):
        matrix = np.zeros((3, 3), int)
        for bit, pair in enumerate(PAIRS):
            matrix[pair] = number >> bit & 1
        codes = matrix + 2 * matrix.T
        yield triad_class(int(codes[0, 1]), int(codes[0, 2]), int(codes[1, 2])), matrix


def test_mfinder_ids_are_the_smallest_numbers_of_the_adjacency_matrix():
    smallest: dict[str, int] = {}
    for name, matrix in all_triads():
        for p in permutations(range(3)):
            number = sum(1 << 3 * p[i] + p[j] for i, j in PAIRS if matrix[i, j])
            smallest[name] = min(number, smallest.get(name, number))
    assert numbers(3, "mfinder") == {name: smallest[name] for name in CONNECTED_TRIADS}


def test_milo_numbers_are_the_places_of_the_mfinder_ids():
    ids = numbers(3, "mfinder")
    assert numbers(3, "milo") == {name: 1 + sum(other < ids[name] for other in ids.values()) for name in ids}
    assert numbers(3, "milo")["030T"] == 5  # the feed-forward loop
    assert numbers(3, "milo")["300"] == 13


def test_bct_numbers_follow_the_degrees_of_the_nodes():
    # The toolbox ranks classes by the sorted (out-degree, in-degree) of their nodes, then renames seven of them
    # after Sporns & Kötter.
    ranked = sorted(
        {
            (tuple(sorted(zip(m.sum(axis=1).tolist(), m.sum(axis=0).tolist(), strict=True))), name)
            for name, m in all_triads()
        }
    )
    place = {name: k for k, name in enumerate((n for _, n in ranked if n in CONNECTED_TRIADS), start=1)}
    renamed = {1: 3, 3: 6, 4: 1, 6: 11, 7: 4, 8: 7, 11: 8}
    assert numbers(3, "bct") == {name: renamed.get(k, k) for name, k in place.items()}
    assert numbers(3, "bct")["201"] == 9


def test_igraph_isoclasses_of_triads():
    igraph = pytest.importorskip("igraph")
    expected = {name: igraph.Graph.Adjacency(matrix).isoclass() for name, matrix in all_triads()}
    assert numbers(3, "igraph") == expected


def test_igraph_isoclasses_of_all_directed_tetrads():
    igraph = pytest.importorskip("igraph")
    for label in TETRADS:
        assert igraph.Graph(n=4, edges=tetrad_edges(label), directed=True).isoclass() == numbers(4, "igraph")[label]


def test_igraph_isoclasses_of_undirected_tetrads():
    igraph = pytest.importorskip("igraph")
    for label in TETRADS_UNDIRECTED:
        assert igraph.Graph(n=4, edges=tetrad_edges(label)).isoclass() == numbers(4, "igraph")[label]


@pytest.mark.parametrize(("size", "name"), [(size, name) for size, known in NUMBERINGS.items() for name in known])
def test_no_two_classes_share_a_number(size, name):
    for labels in (TRIADS, TETRADS, TETRADS_UNDIRECTED):
        found = [number for label, number in numbers(size, name).items() if label in labels]
        assert len(set(found)) == len(found)


def test_a_census_is_returned_by_number():
    loop = Graph.from_coo([0, 0, 1], [1, 2, 2])
    assert by_number(motif_census(loop), "milo")[5] == 1
    assert by_number(motif_census(loop), "mfinder")[38] == 1
    assert by_number(motif_census(loop), "bct")[5] == 1
    assert by_number(triad_census(loop), "igraph")[7] == 1
    assert set(by_number(triad_census(loop), "milo")) == set(range(1, 14))
    bifan = Graph.from_coo([0, 0, 1, 1], [2, 3, 2, 3])
    assert by_number(tetrad_census(bifan), "mfinder")[204] == 1
    assert by_number(tetrad_census(bifan), "igraph")[19] == 1
    assert by_number(tetrad_census(bifan, directed=False), "igraph") == {4: 0, 6: 0, 7: 0, 8: 1, 9: 0, 10: 0}


def test_a_table_handed_out_is_a_copy():
    numbers(3, "milo").clear()
    assert len(numbers(3, "milo")) == 13


@pytest.mark.parametrize(
    ("size", "numbering", "message"),
    [
        (3, "fanmod", "no numbering 'fanmod' of 3-node subgraphs; there are milo, mfinder, bct, igraph"),
        (4, "milo", "no numbering 'milo' of 4-node subgraphs; there are mfinder, igraph"),
        (5, "igraph", "subgraphs of 5 nodes have no numbering; those of 3 or 4 do"),
    ],
)
def test_an_unknown_numbering_is_refused(size, numbering, message):
    with pytest.raises(GraphError, match=message):
        numbers(size, numbering)
