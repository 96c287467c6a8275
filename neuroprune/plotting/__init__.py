"""Figures of records and graphs: compute once, draw many. A ``plot_*`` function takes ``ax`` and returns it."""

from neuroprune.plotting.comparison import plot_comparison
from neuroprune.plotting.compression import plot_compression
from neuroprune.plotting.courses import plot_causes, plot_course, plot_living
from neuroprune.plotting.critical import plot_critical
from neuroprune.plotting.development import plot_development
from neuroprune.plotting.graphs import (
    plot_adjacency,
    plot_against_null,
    plot_analysis,
    plot_degrees,
    plot_null_values,
)
from neuroprune.plotting.inputs import example_cells, plot_fates, plot_strengths
from neuroprune.plotting.motifs import plot_motif, plot_motif_profile
from neuroprune.plotting.pair_sizes import plot_pair_sizes
from neuroprune.plotting.roofline import plot_roofline
from neuroprune.plotting.scorecard import plot_scorecard
from neuroprune.plotting.style import STYLE, save_figure
from neuroprune.record import strongest_inputs

__all__ = [
    "STYLE",
    "example_cells",
    "plot_adjacency",
    "plot_against_null",
    "plot_analysis",
    "plot_causes",
    "plot_comparison",
    "plot_compression",
    "plot_course",
    "plot_critical",
    "plot_degrees",
    "plot_development",
    "plot_fates",
    "plot_living",
    "plot_motif",
    "plot_motif_profile",
    "plot_null_values",
    "plot_pair_sizes",
    "plot_roofline",
    "plot_scorecard",
    "plot_strengths",
    "save_figure",
    "strongest_inputs",
]
