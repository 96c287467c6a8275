"""Figures of graphs show what the graphs and tests hold."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle

from neuroprune.core.errors import GraphError
from neuroprune.netsci import Graph, analyze, null_test
from neuroprune.plotting import (
    plot_adjacency,
    plot_against_null,
    plot_analysis,
    plot_degrees,
    plot_motif,
    plot_motif_profile,
    plot_null_values,
    save_figure,
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def x_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_xdata())


def y_of(line: Line2D) -> np.ndarray:
    return np.asarray(line.get_ydata())


def clustered(seed: int = 0) -> Graph:
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 30, 200)
    return Graph.from_coo(source, (source + rng.integers(1, 6, 200)) % 30, n=30)


def test_degrees_are_the_fraction_of_nodes_that_have_at_least_as_many():
    star = Graph.from_coo([0, 0, 0, 0], [1, 2, 3, 4])
    into, out = plot_degrees(star).get_lines()
    assert x_of(into).tolist() == [1, 1, 1, 1] and y_of(into) == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert x_of(out).tolist() == [4] and y_of(out).tolist() == [0.2]


def test_the_adjacency_is_ordered_by_community():
    graph = Graph.from_coo([0, 2], [2, 0], n=4)
    ax = plot_adjacency(graph, np.array([1, 0, 1, 0]))
    image = np.asarray(ax.images[0].get_array())
    assert (image[:2].sum(), image[:, :2].sum()) == (0, 0)
    assert image[2, 3] > 0 and image[3, 2] > 0
    assert y_of(ax.get_lines()[0])[0] == 1.5
    with pytest.raises(GraphError, match=r"membership has shape \(3,\)"):
        plot_adjacency(graph, np.zeros(3))


def test_a_motif_has_its_arrows():
    assert len(plot_motif("030T").patches) == 3
    (mutual,) = plot_motif("102").patches
    assert isinstance(mutual, FancyArrowPatch) and type(mutual.get_arrowstyle()).__name__ == "CurveFilledAB"
    assert len(plot_motif("204").patches) == 4
    with pytest.raises(GraphError):
        plot_motif("031X")


def test_the_profile_shows_z_and_the_null_interval():
    test = null_test(clustered(), "triads", "degree", 60, rng=1)
    ax = plot_motif_profile(test)
    shown = np.concatenate([y_of(line) for line in ax.get_lines() if line.get_marker() == "o"])
    assert sorted(shown) == pytest.approx(sorted(test.z[np.isfinite(test.z)]))
    assert [label.get_text() for label in ax.get_xticklabels()][5] == "030T"
    assert len(ax.child_axes) == 13
    heights = np.array([bar.get_height() for bar in ax.patches if isinstance(bar, Rectangle)])
    spread = test.sd > 0
    assert heights[spread] == pytest.approx((test.high - test.low)[spread] / test.sd[spread])
    with pytest.raises(GraphError, match="needs a test of the statistic 'triads'"):
        plot_motif_profile(null_test(clustered(), "paths", "degree", 5, rng=1))


def test_values_are_relative_to_the_mean_of_the_null():
    test = null_test(clustered(), "clustering", "degree", 60, rng=1)
    ax = plot_null_values(test, ["clustering.undirected", "transitivity"])
    dots = [x_of(line)[0] for line in ax.get_lines() if line.get_marker() == "o"]
    rows = [test.names.index(name) for name in ("clustering.undirected", "transitivity")]
    assert dots == pytest.approx(test.observed[rows] / test.mean[rows])


def test_a_measure_over_age_with_its_null():
    tests = [null_test(clustered(seed), "clustering", "degree", 20, rng=1) for seed in range(3)]
    ax = plot_against_null(np.array([3.0, 7.0, 11.0]), np.array([0.1, 0.2, 0.3]), tests)
    mean, observed = ax.get_lines()
    k = tests[0].names.index("clustering.undirected")
    assert y_of(mean) == pytest.approx([t.mean[k] for t in tests])
    assert y_of(observed).tolist() == [0.1, 0.2, 0.3]
    with pytest.raises(GraphError, match="2 ages, 3 values and 3 tests"):
        plot_against_null(np.array([3.0, 7.0]), np.zeros(3), tests)


@pytest.mark.parametrize("null", [None, "degree"])
def test_a_page_fits_a_graph_with_and_without_a_null(null, tmp_path):
    figure = plot_analysis(analyze(clustered(), null, 20, rng=1))
    assert len(figure.axes) == 4
    save_figure(figure, tmp_path / "page.png", tmp_path / "page.svg")


@pytest.mark.parametrize("null", [None, "degree"])
def test_the_page_of_afferents_shows_what_can_differ_there(null):
    rng = np.random.default_rng(0)
    afferents = Graph.from_coo(rng.integers(0, 8, 40), rng.integers(8, 16, 40))
    values, motifs = plot_analysis(analyze(afferents, null, 20, rng=1)).axes[2:]
    labels = [label.get_text() for label in values.get_yticklabels()]
    expected = ["bipartite, clustering sources", "bipartite, clustering targets", "bipartite, robins alexander"]
    assert labels == ([] if null is None else ["bipartite, bifans"]) + expected
    assert motifs.get_ylabel() == "induced triads"
