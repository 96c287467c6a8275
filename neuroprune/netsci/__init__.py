"""Network science: clustering, motifs, null models, whole histories, paths, communities, and graphs to ask.

The first question takes a moment: kernels are compiled once for a machine, and kept on disk.

Conventions, the same everywhere:

* A graph is simple. ``A[i, j] != 0`` is the arc i -> j. Self-loops are removed and parallel edges merged, and both
  are counted. Weights count only where they are asked for.
* What is undefined is NaN: the clustering of a node with one neighbour, a z-score where the null has no spread.
* Motifs are induced and connected, and triads have the names of Holland & Leinhardt.
* A null model is named beside every z. Counts are exact integers.
* Random functions take ``rng``: None, an integer, a Generator or a SeedSequence.
"""

from neuroprune.netsci.analysis import Analysis, analyze
from neuroprune.netsci.bipartite import bifans, bipartite_clustering, four_cycles, layers, robins_alexander, sides
from neuroprune.netsci.census import Census
from neuroprune.netsci.clustering import Clustering, clustering, transitivity
from neuroprune.netsci.communities import Communities, communities, modularity
from neuroprune.netsci.core_periphery import CorePeriphery, core_numbers, core_periphery
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.history import History
from neuroprune.netsci.measures import MEASURES, measure
from neuroprune.netsci.nulls import NULLS, Mixing, mixing, randomize, sample_nulls
from neuroprune.netsci.participation import (
    TRIAD_ROLES,
    edge_triad_participation,
    edges_in_no_triangle,
    fraction_in_no_triangle,
    triad_participation,
    triangles_per_edge,
)
from neuroprune.netsci.paths import (
    PathSummary,
    components,
    global_efficiency,
    local_efficiency,
    mean_path,
    path_summary,
)
from neuroprune.netsci.rich_club import RichClub, rich_club
from neuroprune.netsci.robustness import (
    giant_component,
    giant_component_of_edges,
    removal_order,
    robustness,
)
from neuroprune.netsci.significance import NullTest, null_test, significance_profile
from neuroprune.netsci.small_world import SmallWorld, small_world
from neuroprune.netsci.spatial import ConnectionProbability, connection_probability, edge_lengths, wiring_cost
from neuroprune.netsci.tetrad_classes import TETRADS, TETRADS_UNDIRECTED, tetrad_edges
from neuroprune.netsci.tetrads import tetrad_census
from neuroprune.netsci.tracker import TriadTracker
from neuroprune.netsci.triads import CONNECTED_TRIADS, TRIADS, motif_census, triad_census, triad_edges

__all__ = [
    "CONNECTED_TRIADS",
    "MEASURES",
    "NULLS",
    "TETRADS",
    "TETRADS_UNDIRECTED",
    "TRIADS",
    "TRIAD_ROLES",
    "Analysis",
    "Census",
    "Clustering",
    "Communities",
    "ConnectionProbability",
    "CorePeriphery",
    "Graph",
    "History",
    "Mixing",
    "NullTest",
    "PathSummary",
    "RichClub",
    "SmallWorld",
    "TriadTracker",
    "analyze",
    "bifans",
    "bipartite_clustering",
    "clustering",
    "communities",
    "components",
    "connection_probability",
    "core_numbers",
    "core_periphery",
    "edge_lengths",
    "edge_triad_participation",
    "edges_in_no_triangle",
    "four_cycles",
    "fraction_in_no_triangle",
    "giant_component",
    "giant_component_of_edges",
    "global_efficiency",
    "layers",
    "local_efficiency",
    "mean_path",
    "measure",
    "mixing",
    "modularity",
    "motif_census",
    "null_test",
    "path_summary",
    "randomize",
    "removal_order",
    "rich_club",
    "robins_alexander",
    "robustness",
    "sample_nulls",
    "sides",
    "significance_profile",
    "small_world",
    "tetrad_census",
    "tetrad_edges",
    "transitivity",
    "triad_census",
    "triad_edges",
    "triad_participation",
    "triangles_per_edge",
    "wiring_cost",
]
