"""Every known value of a connectome that ships, reproduced under its convention."""

from collections.abc import Callable
from functools import cache

import pytest

from neuroprune.core.errors import GraphError
from neuroprune.datasets import PublishedValue, available, load, published_values
from neuroprune.netsci import (
    TRIADS,
    Graph,
    clustering,
    components,
    fraction_in_no_triangle,
    mean_path,
    transitivity,
    triad_census,
)


def giant(graph: Graph) -> Graph:
    return graph.subgraph(components(graph, strong=graph.directed) == 0)


def weight_sum(graph: Graph) -> float:
    assert graph.weight is not None
    return float(graph.weight.sum()) * graph.m / graph.arcs


PARTS: dict[str, Callable[[Graph], Graph]] = {
    "giant.": giant,
    "undirected.": lambda graph: graph.undirected(),
    "at_least_5.": lambda graph: graph.threshold(5).without_isolated(),
}

MEASURES: dict[str, Callable[[Graph], float]] = {
    "n": lambda graph: graph.n,
    "m": lambda graph: graph.m,
    "self_loops": lambda graph: graph.self_loops,
    "connections": lambda graph: graph.m + graph.self_loops,
    "weight_sum": weight_sum,
    "reciprocity": lambda graph: graph.reciprocity,
    "clustering.undirected": lambda graph: clustering(graph).mean(undefined="zero"),
    "clustering.fagiolo": lambda graph: clustering(graph, "fagiolo").mean(undefined="zero"),
    "clustering.out": lambda graph: clustering(graph, "out").mean(undefined="zero"),
    "clustering.neighbours": lambda graph: clustering(graph, "neighbours").mean(undefined="zero"),
    "transitivity": transitivity,
    "mean_path": mean_path,
    "edges_in_no_triangle": fraction_in_no_triangle,
    **{f"triads.{name}": lambda graph, name=name: triad_census(graph)[name] for name in TRIADS},
}

NEED_A_STUDY = (
    "clustering_over_null",
    "modularity_over_null",
    "motif_profile_correlation",
    "triads_z.030T",
)
"""Not tested here: they rest on samples of a null model, which ``analysis/celegans_development.py`` takes."""

CONTACT = "contacts_with_synapse"
MEASURED = [known for known in published_values() if known.measure not in (*NEED_A_STUDY, CONTACT)]


@cache
def connectome(name: str) -> Graph:
    return load(name)


def measured(known: PublishedValue) -> float:
    graph, measure = connectome(known.dataset), known.measure
    while part := next((part for part in PARTS if measure.startswith(part)), None):
        graph, measure = PARTS[part](graph), measure.removeprefix(part)
    return MEASURES[measure](graph)


def agrees(known: PublishedValue, found: float) -> bool:
    # A value half-way between two roundings may have been rounded either way.
    return abs(found - known.value) <= known.tolerance * (1 + 1e-9)


@pytest.mark.parametrize("known", MEASURED, ids=lambda known: f"{known.dataset}-{known.measure}")
def test_a_known_value_is_reproduced(known):
    found = measured(known)
    assert agrees(known, found), f"{found} is not {known.value}: {known.convention}"


@pytest.mark.parametrize("known", [known for known in published_values() if known.measure == CONTACT])
def test_the_fraction_of_contacts_that_carry_a_synapse(known):
    brain = connectome(known.dataset)
    contact = connectome(known.dataset.replace("/common", "/contact"))
    touching = contact.subgraph([k for k, name in enumerate(contact.names or ()) if name in set(brain.names or ())])
    assert touching.names == brain.names
    pairs = {(u, v) for u, v in zip(touching.source.tolist(), touching.target.tolist(), strict=True)}
    synaptic = brain.undirected()
    both = sum((u, v) in pairs for u, v in zip(synaptic.source.tolist(), synaptic.target.tolist(), strict=True))
    assert agrees(known, both / len(pairs))


def test_what_needs_a_study_is_listed_with_its_null_model():
    left_out = [known for known in published_values() if known.measure in NEED_A_STUDY]
    assert {known.measure for known in left_out} == set(NEED_A_STUDY)
    assert all("null model degree" in known.convention for known in left_out)


def test_every_value_says_of_what_and_from_where():
    for known in published_values():
        assert known.dataset in available()
        assert known.kind in ("published", "computed")
        assert known.convention and known.source and known.tolerance >= 0
    assert len(set(published_values())) == len(published_values())
    conventions = {(known.dataset, known.measure, known.kind, known.convention) for known in published_values()}
    assert len(conventions) == len(published_values())


def test_values_are_found_by_the_name_of_a_connectome_or_its_family():
    family = published_values("celegans_varshney2011")
    assert {known.dataset.partition("/")[2] for known in family} == {"", "gap", "all"}
    assert {known.dataset for known in published_values("bct_cortical_areas/fve30")} == {"bct_cortical_areas/fve30"}
    with pytest.raises(GraphError, match="no value is known of 'mouse'; there are some of celegans_varshney2011"):
        published_values("mouse")
