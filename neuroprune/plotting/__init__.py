"""Figures of records: compute once, draw many. Every ``plot_*`` function takes ``ax`` and returns it."""

from neuroprune.plotting.courses import plot_causes, plot_course, plot_living
from neuroprune.plotting.development import plot_development
from neuroprune.plotting.inputs import example_cells, plot_fates, plot_strengths
from neuroprune.plotting.lives import strongest_inputs
from neuroprune.plotting.style import STYLE, save_figure

__all__ = [
    "STYLE",
    "example_cells",
    "plot_causes",
    "plot_course",
    "plot_development",
    "plot_fates",
    "plot_living",
    "plot_strengths",
    "save_figure",
    "strongest_inputs",
]
