"""z, p and intervals against hand computation; tests that do not depend on threads."""

import json
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.nulls import sample_nulls
from neuroprune.netsci.significance import adjusted, null_test, p_values, significance_profile
from neuroprune.netsci.triads import CONNECTED_TRIADS, count_triads

RING = Graph.from_coo([0, 1, 2, 3], [1, 2, 3, 0])


def moderate() -> Graph:
    rng = np.random.default_rng(4)
    return Graph.from_coo(rng.integers(0, 40, 300), rng.integers(0, 40, 300), n=40)


def scripted(values: list[float], observed: float) -> Callable[[Graph], float]:
    """Return a statistic that is `observed` first, in the graph itself, and then takes one value after the other."""
    script: Iterator[float] = iter([observed, *values])
    return lambda graph: next(script)


def test_mean_sd_z_and_p_by_hand() -> None:
    test = null_test(RING, {"x": scripted([1, 2, 3, 4], 6)}, samples=4, rng=1)
    found = test["x"]
    sd = math.sqrt(5 / 3)
    assert (found["observed"], found["mean"]) == (6, 2.5)
    assert found["sd"] == pytest.approx(sd)
    assert found["z"] == pytest.approx(3.5 / sd)
    assert found["p"] == pytest.approx(2 / 5), "nothing is as large: (0 + 1) / (4 + 1), twice"
    assert found["low"] == pytest.approx(1 + 0.025 * 3)
    assert found["high"] == pytest.approx(4 - 0.025 * 3)
    assert test.values.tolist() == [[1], [2], [3], [4]]


@pytest.mark.parametrize(
    "observed, p",
    [
        (0, 2 / 5),
        (1, 4 / 5),
        (2, 1),
        (2.5, 1),
        (3, 1),
        (4, 4 / 5),
        (4 + 1e-14, 4 / 5),
        (4.1, 2 / 5),
        (math.nan, math.nan),
    ],
)
def test_p_is_two_sided_and_counts_the_observed_value(observed: float, p: float) -> None:
    found = p_values(np.array([observed]), np.array([[1.0], [2.0], [3.0], [4.0]]))
    assert found[0] == pytest.approx(p, nan_ok=True)


def test_p_is_uniform_where_the_graph_is_of_the_null() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(2000, 100))
    p = np.array([p_values(row[:1], row[1:, None])[0] for row in values])
    for level in (0.05, 0.1, 0.3):
        assert abs((p <= level).mean() - level) < 3.5 * math.sqrt(level * (1 - level) / 2000)


def test_without_spread_there_is_no_z() -> None:
    test = null_test(RING, {"same": lambda g: 3.0, "other": scripted([2, 2, 2, 2, 2], 3)}, samples=5, rng=1)
    assert test.sd.tolist() == [0, 0]
    assert np.isnan([test.z, test.z_low, test.z_high]).all()
    assert test["same"]["p"] == 1
    assert test["other"]["p"] == pytest.approx(2 / 6)


def test_rounding_is_no_spread() -> None:
    values = [0.1 + 0.2, 0.3, 0.3, 0.1 + 0.2]
    test = null_test(RING, {"x": scripted(values, 0.3)}, samples=4, rng=1)
    assert test["x"]["sd"] == 0 and math.isnan(test["x"]["z"])
    assert test["x"]["p"] == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_undefined_once_is_undefined(bad: float) -> None:
    test = null_test(RING, {"x": scripted([1, bad, 3], 2), "y": scripted([1, 2, 3], 2)}, samples=3, rng=1)
    row = test["x"]
    assert all(math.isnan(row[key]) for key in ("z", "p", "p_adjusted", "z_low", "z_high"))
    assert test["y"]["p_adjusted"] == test["y"]["p"], "one p is defined, and nothing to correct for"
    assert math.isnan(row["mean"]) and math.isnan(row["sd"]) and math.isnan(row["low"])
    assert test.to_dict()["statistics"]["x"]["z"] is None


def test_an_undefined_observation_has_no_z() -> None:
    test = null_test(RING, {"x": scripted([1, 2, 3], math.nan)}, samples=3, rng=1)
    assert all(math.isnan(test["x"][key]) for key in ("z", "p", "z_low", "z_high"))
    assert test["x"]["mean"] == 2


def test_the_interval_of_z_covers_its_spread() -> None:
    rng = np.random.default_rng(3)
    intervals, estimates = [], []
    for seed in range(20):
        values = rng.normal(size=400).tolist()
        found = null_test(RING, {"x": scripted(values, 3)}, samples=400, rng=seed)["x"]
        assert found["z_low"] < found["z"] < found["z_high"]
        intervals.append(found["z_high"] - found["z_low"])
        estimates.append(found["z_low"] <= 3 <= found["z_high"])
    # The standard error of z is sqrt((1 + z^2 / 2) / samples).
    assert np.mean(intervals) == pytest.approx(2 * 1.96 * math.sqrt((1 + 4.5) / 400), rel=0.1)
    assert sum(estimates) >= 16


def test_the_interval_of_z_survives_large_counts() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=300)
    small = null_test(RING, {"x": scripted(values.tolist(), 2)}, samples=300, rng=5)["x"]
    large = null_test(RING, {"x": scripted((1e10 + values).tolist(), 1e10 + 2)}, samples=300, rng=5)["x"]
    assert large["z_low"] == pytest.approx(small["z_low"], rel=1e-4)
    assert large["z_high"] == pytest.approx(small["z_high"], rel=1e-4)


def test_corrections_by_hand() -> None:
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    assert adjusted(p, "holm") == pytest.approx([0.03, 0.06, 0.06, np.nan, 0.02], nan_ok=True)
    assert adjusted(p, "bh") == pytest.approx([0.02, 0.04, 0.04, np.nan, 0.02], nan_ok=True)
    assert adjusted(np.array([0.6, 0.9]), "holm") == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("correction", ["holm", "bh", None])
def test_the_correction_asked_for_is_made(correction: str | None) -> None:
    test = null_test(moderate(), "triads", samples=30, correction=correction, rng=1)
    assert test.correction == correction
    if correction is None:
        assert test.p_adjusted is None and "p_adjusted" not in test["triads.030T"]
    else:
        assert test.p_adjusted is not None
        assert np.array_equal(test.p_adjusted, adjusted(test.p, correction), equal_nan=True)


def triangles(graph: Graph) -> int:
    return int(count_triads(graph)[-7:].sum())


def two(graph: Graph) -> Mapping[str, float]:
    return {"arcs": graph.m, "mutual": float(graph.dyad_degrees[:, 3].sum() // 2)}


def test_statistics_in_every_form() -> None:
    graph = moderate()
    test = null_test(graph, ["reciprocity", triangles, two], samples=5, rng=1)
    assert test.names == ("reciprocity", "triangles", "arcs", "mutual")
    assert test.observed.tolist() == [graph.reciprocity, triangles(graph), graph.m, two(graph)["mutual"]]
    assert null_test(graph, triangles, samples=5, rng=1).names == ("triangles",)
    assert null_test(graph, {"t": triangles}, samples=5, rng=1).values[:, 0].tolist() == test.values[:, 1].tolist()
    assert null_test(graph, samples=5, rng=1).names == tuple(f"triads.{name}" for name in CONNECTED_TRIADS)


@pytest.mark.parametrize("null", ["degree", "degree+reciprocity", "gnm"])
def test_the_values_are_those_of_the_samples(null: str) -> None:
    graph = moderate()
    test = null_test(graph, "triads", null, 6, rng=7)
    assert test.values.tolist() == [count_triads(sample)[3:].tolist() for sample in sample_nulls(graph, null, 6, rng=7)]


def test_threads_and_the_number_of_samples_change_no_sample() -> None:
    graph = moderate()
    one = null_test(graph, "triads", samples=40, rng=3)
    done: list[int] = []
    many = null_test(graph, "triads", samples=40, rng=3, workers=3, progress=done.append)
    assert done == list(range(1, 41))
    assert np.array_equal(one.values, many.values)
    assert one.to_dict() == many.to_dict()
    assert np.array_equal(null_test(graph, "triads", samples=10, rng=3).values, one.values[:10])


def test_the_seed_repeats_the_test() -> None:
    graph = moderate()
    test = null_test(graph, "triads", samples=10)
    again = null_test(graph, "triads", samples=10, rng=test.seed)
    assert test.to_dict() == again.to_dict()
    assert test.seed < 2**53
    assert test.to_dict() != null_test(graph, "triads", samples=10).to_dict()


def test_it_says_how_samples_were_made() -> None:
    graph = moderate()
    switched = null_test(graph, "triads", "degree", 20, method="switching", moves=2, rng=1)
    assert (switched.null, switched.method, switched.moves, switched.samples) == ("degree", "switching", 2, 20)
    assert 0.5 < switched.acceptance < 1
    drawn = null_test(graph, "triads", "gnm", 3, rng=1)
    assert drawn.method is drawn.moves is None and math.isnan(drawn.acceptance)


def test_plain_data_and_text() -> None:
    test = null_test(RING, {"same": lambda g: 3.0, "arcs in": scripted([1, 2, 5], 4)}, samples=3, rng=1)
    data = json.loads(json.dumps(test.to_dict(), allow_nan=False))
    assert data["null"] == "degree" and data["samples"] == 3 and data["seed"] == 1
    assert data["statistics"]["same"]["z"] is None
    assert data["statistics"]["arcs in"]["observed"] == 4
    header, columns, *rows = str(test).splitlines()
    assert "degree" in header and "3 samples" in header
    assert columns.split() == ["observed", "mean", "sd", "z", "p"]
    assert [row.split()[0] for row in rows] == ["same", "arcs"]


def test_the_null_decides() -> None:
    # Reciprocated pairs make triangles: mutual dyads of the graph are far more than degrees explain.
    rng = np.random.default_rng(5)
    source, target = rng.integers(0, 60, (2, 150))
    graph = Graph.from_coo(np.r_[source, target], np.r_[target, source], n=60)
    assert null_test(graph, "reciprocity", "degree", 200, rng=1).z[0] > 10
    kept = null_test(graph, "reciprocity", "degree+reciprocity", 200, rng=1)
    assert kept.sd[0] == 0 and kept.p[0] == 1


def test_the_significance_profile_has_length_one() -> None:
    test = null_test(moderate(), ["reciprocity", "triads"], samples=50, rng=1)
    profile = significance_profile(test)
    z = test.z[1:]
    assert np.isfinite(z).all()
    assert profile == pytest.approx(z / math.sqrt(float((z**2).sum())))
    assert np.linalg.norm(profile) == pytest.approx(1)


def test_a_profile_needs_motifs() -> None:
    with pytest.raises(GraphError, match="triads"):
        significance_profile(null_test(moderate(), "reciprocity", samples=5, rng=1))


def test_an_unknown_row() -> None:
    with pytest.raises(GraphError, match="'030T'"):
        null_test(moderate(), "triads", samples=5, rng=1)["030T"]


@pytest.mark.parametrize(
    "how, message",
    [
        ({"samples": 1}, "samples"),
        ({"samples": 2.5}, "samples"),
        ({"workers": 0}, "workers"),
        ({"correction": "bonferroni"}, "'bonferroni'"),
        ({"interval": 1.0}, "interval"),
        ({"interval": 95}, "interval"),
        ({"null": "random"}, "'random'"),
        ({"statistics": "motif"}, "'motif'"),
        ({"statistics": []}, "no statistics"),
        ({"statistics": {}}, "no statistics"),
        ({"statistics": [5]}, "5 is no statistic"),
        ({"statistics": {"x": "triads"}}, "'triads' is no statistic"),
        ({"statistics": [triangles, triangles]}, "'triangles'"),
        ({"rng": -1}, "rng"),
    ],
)
def test_requests_that_make_no_sense(how: dict[str, object], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        null_test(moderate(), **{"samples": 5, **how})  # type: ignore[arg-type]


def test_statistics_must_keep_their_names() -> None:
    names = iter("abcd")
    with pytest.raises(GraphError, match="named b in a sample, but a"):
        null_test(RING, lambda graph: {next(names): 1.0}, samples=3, rng=1)
