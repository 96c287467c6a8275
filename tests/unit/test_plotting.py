"""Figures show what the record holds; the data sets are what their README says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.patches import Rectangle

from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import SpecificationError
from neuroprune.core.tables import Table, Tables
from neuroprune.datasets import Interval, climbing_fibre_course, climbing_fibre_synapses_p3
from neuroprune.development import Activity, develop
from neuroprune.environment import Microglia
from neuroprune.plotting import (
    example_cells,
    plot_causes,
    plot_course,
    plot_development,
    plot_fates,
    plot_living,
    plot_strengths,
    save_figure,
    strongest_inputs,
)
from neuroprune.record import Record
from neuroprune.rules import Competition, Elimination, Engulfment, Tag
from neuroprune.testing import TableSubstrate

CELLS, SLOTS = 12, 6


class Sheet(TableSubstrate):
    """Cells in a row, each with inputs of one to three synapses, that earn credit for their strength."""

    def __init__(self, seed: int, measures_fibres: bool) -> None:
        rng = np.random.default_rng(seed)
        self.measures_fibres = measures_fibres
        ids = np.arange(CELLS * SLOTS, dtype=np.int64).reshape(CELLS, SLOTS)
        alive = np.arange(SLOTS) < rng.integers(3, SLOTS + 1, (CELLS, 1))
        weight = np.where(alive, rng.integers(1, 4, ids.shape), 0).astype(float)
        place = np.arange(CELLS, dtype=float)[:, None] * 20e-6
        at = {"x": place, "y": np.zeros_like(place), "z": np.zeros_like(place)}
        super().__init__(Tables([Table("cells", ids, alive, weight, ids % 40, at)]), [{"eligibility": weight}])

    def sample(self, now: Now) -> Activity:
        return Activity([{"eligibility": self.tables()[0].weight ** 0.8}], {})

    def measures(self, tables: Tables) -> Mapping[str, float]:
        count = tables[0].alive.sum(axis=1)
        if not self.measures_fibres:
            return {"inputs": float(count.sum())}
        return {
            "climbing_fibres_per_cell": float(count.mean()),
            "mono_innervated": float((count == 1).mean()),
            "synapses_per_input": float(tables[0].weight[tables[0].alive].mean()),
        }


def grow(seed: int, measures_fibres: bool = True) -> Record:
    """Let a sheet develop from P3 to P21 under competition, two phases of elimination, and microglia."""
    return develop(
        Sheet(seed, measures_fibres),
        [
            Competition(rate=0.4, to=9.5),  # type: ignore[call-arg]
            Tag(),
            Elimination(name="early", rate=0.3, to=11.5, **{"from": 5.0}),  # type: ignore[arg-type]
            Elimination(name="late", rate=0.4, **{"from": 11.5}),  # type: ignore[arg-type]
            Engulfment(probability=0.004),
        ],
        clock=Clock(3.0, 21.0, 0.5),
        seed=seed,
        environment=[Microglia()],
        ages=[5, 7, 9, 11, 14, 17],
    )


@pytest.fixture(scope="module")
def record() -> Record:
    return grow(1)


@pytest.fixture(scope="module")
def records(record: Record) -> list[Record]:
    return [record, grow(2), grow(3)]


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    plt.close("all")


def line(ax: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the data of the one line whose label starts so."""
    found = [one for one in ax.get_lines() if str(one.get_label()).startswith(label)]
    found += [c.lines[0] for c in error_bars(ax) if str(c.get_label()).startswith(label)]
    assert len(found) == 1, [one.get_label() for one in ax.get_lines()]
    return np.asarray(found[0].get_xdata()), np.asarray(found[0].get_ydata())


def error_bars(ax: Axes) -> list[ErrorbarContainer]:
    return [c for c in ax.containers if isinstance(c, ErrorbarContainer)]


def bars(ax: Axes) -> list[tuple[float, float, float]]:
    """Return age, low and high of every interval that is drawn."""
    boxes = [b for b in ax.patches if isinstance(b, Rectangle)]
    return [(b.get_x() + b.get_width() / 2, b.get_y(), b.get_y() + b.get_height()) for b in boxes]


# ---------------------------------------------------------------------------------------------- courses


def test_course_is_mean_and_sd_over_seeds_against_the_intervals_of_its_measure(records: list[Record]) -> None:
    _, ax = plt.subplots()
    course = climbing_fibre_course()
    assert plot_course(records, "climbing_fibres_per_cell", intervals=course, ax=ax) is ax
    values = np.stack([r.measures()["climbing_fibres_per_cell"] for r in records])
    ages, mean = line(ax, "mean ± SD of 3 seeds")
    np.testing.assert_allclose(ages, records[0].ages)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    (container,) = error_bars(ax)
    segments = container.lines[2][0].get_segments()
    np.testing.assert_allclose([s[:, 1].mean() for s in segments], values.mean(axis=0))
    np.testing.assert_allclose([np.ptp(s[:, 1]) for s in segments], 2 * values.std(axis=0, ddof=1))
    expected = [(i.age, i.low, i.high) for i in course if i.measure == "climbing_fibres_per_cell"]
    np.testing.assert_allclose(bars(ax), expected)
    assert ax.get_xlabel() == "age (days)"
    assert ax.get_ylabel() == "climbing fibres per Purkinje cell"


def test_intervals_are_never_called_published(record: Record) -> None:
    intervals = [
        Interval(5, "synapses_per_input", 1, 4, "fitted", "low", "recalled"),
        Interval(7, "synapses_per_input", 2, 8, "predicted", "read", "a page"),
    ]
    ax = plot_course(record, "synapses_per_input", intervals=intervals)
    labels = [" ".join(text.get_text().split()) for text in ax.get_legend().get_texts()]  # type: ignore[union-attr]
    assert labels == [
        "accepted interval (recalled, low confidence; fitted)",
        "accepted interval (read; predicted)",
        "seed 1",
    ]


def test_course_of_one_record_has_no_spread(record: Record) -> None:
    ax = plot_course(record, "mono_innervated", legend=False)
    _, fraction = line(ax, "seed 1")
    np.testing.assert_allclose(fraction, record.measures()["mono_innervated"])
    assert ax.get_legend() is None
    assert ax.yaxis.get_major_formatter()(0.25) == "25"  # the label says percent


def test_course_names_the_measure_that_is_missing(record: Record) -> None:
    with pytest.raises(SpecificationError, match=r"no measure 'disparity_ratio' \(it has: climbing_fibres_per_cell, "):
        plot_course(record, "disparity_ratio")
    with pytest.raises(SpecificationError, match="no record"):
        plot_course([], "disparity_ratio")


def test_living_and_causes_add_up(record: Record) -> None:
    _, ax = plt.subplots()
    assert plot_living(record, ax=ax) is ax
    ages, living = line(ax, "seed 1")
    assert (ages[0], ages[-1]) == (3, 21)
    for age, n in zip(ages, living, strict=True):
        assert n == ((record.birth_age() <= age) & (record.death_age() > age)).sum()
    _, ax = plt.subplots()
    assert plot_causes(record, ax=ax) is ax
    gone = sum(np.asarray(one.get_ydata()) for one in ax.get_lines())
    np.testing.assert_array_equal(gone, living[0] - living)
    assert len(ax.get_lines()) == len(record.causes) == 3


# ----------------------------------------------------------------------------------------------- inputs


def test_strongest_inputs_are_the_largest_weight_of_each_cell(record: Record) -> None:
    for age in (None, 7.0):
        k = -1 if age is None else record.ages.tolist().index(age)
        weight, post = record.snapshots["weight"].values[k], record.connections["post"].values
        found = strongest_inputs(record, age)
        np.testing.assert_array_equal(post[found], np.unique(post[~np.isnan(weight)]))
        for i in found:
            assert weight[i] == np.nanmax(weight[post == post[i]])
    with pytest.raises(SpecificationError, match="age P8 was not recorded: it must be one of P3, P5, P7"):
        strongest_inputs(record, 8.0)


def test_strengths_draw_every_input_and_the_medians_of_the_living(record: Record) -> None:
    _, ax = plt.subplots()
    assert plot_strengths(record, ax=ax) is ax
    weight = record.snapshots["weight"].values
    wins = strongest_inputs(record)
    ages, median = line(ax, "strongest input at P21")
    np.testing.assert_allclose(ages, record.ages)
    np.testing.assert_allclose(median, np.median(weight[:, wins], axis=1))
    _, others = line(ax, "other inputs")
    np.testing.assert_allclose(others, np.nanmedian(np.delete(weight, wins, axis=1), axis=1))
    drawn = [s for c in ax.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    assert len(drawn) == weight.shape[1]
    ends = sorted(s[-1, 0] for s in drawn)
    np.testing.assert_allclose(ends, sorted(np.minimum(record.death_age(), 21)))
    assert ax.get_ylabel() == "synapses per input"


def test_strengths_say_when_not_every_input_is_drawn(record: Record) -> None:
    ax = plot_strengths(record, most=10)
    drawn = sum(len(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection))
    n = record.connections.sizes["connection"]
    assert drawn <= 12
    assert ax.get_title(loc="right") == f"lines: 1 in {-(-n // 10)} of {n} inputs"


def test_fates_show_every_input_of_the_cells_with_its_end(record: Record) -> None:
    _, ax = plt.subplots()
    cells = [2, 5]
    assert plot_fates(record, cells, ax=ax) is ax
    connections, death = record.connections, record.death_age()
    shown = np.flatnonzero(np.isin(connections["post"].values, cells))
    assert len(ax.collections) == len(shown)  # one life each
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cell 2", "cell 5"]
    for name in record.causes:
        marks = [m for m in ax.get_lines() if str(m.get_label()).startswith(f"ended by {name}")]
        of_cause = shown[connections["cause"].values[shown] == record.causes.index(name)]
        ends = sorted(float(x) for m in marks for x in np.asarray(m.get_xdata()))
        np.testing.assert_allclose(ends, sorted(death[of_cause]))
    agents = connections["agent"].values[shown]
    assert sorted(int(t.get_text()) for t in ax.texts) == sorted(agents[agents >= 0])
    assert (agents >= 0).any()


def test_fates_are_as_thick_as_strengths(record: Record) -> None:
    cell = int(record.connections["post"].values[strongest_inputs(record)[0]])
    ax = plot_fates(record, [cell])
    mine = record.connections["post"].values == cell
    weight = record.snapshots["weight"].values[:, mine]
    thickness = [np.ptp(np.asarray(c.get_paths()[0].vertices)[:, 1]) for c in ax.collections]
    known = np.fmax(np.nanmax(weight, axis=0), np.nan_to_num(record.connections["weight_at_death"].values[mine]))
    np.testing.assert_allclose(sorted(thickness), sorted(0.92 * known / known.max()))


def test_fates_refuse_a_cell_without_inputs(record: Record) -> None:
    with pytest.raises(SpecificationError, match="cell 99 of table 0 never had an input"):
        plot_fates(record, [99])


def test_example_cells_show_as_many_causes_as_any(record: Record) -> None:
    post, cause = (record.connections[k].values for k in ("post", "cause"))
    variety = {int(c): len(set(cause[post == c].tolist())) for c in np.unique(post)}
    chosen = example_cells(record, 3)
    assert sorted(variety[c] for c in chosen) == sorted(variety.values())[-3:]
    assert chosen == sorted(chosen)


# ---------------------------------------------------------------------------------------------- figures


def test_development_is_one_figure_of_four_panels(records: list[Record]) -> None:
    figure = plot_development(records, cells=[1, 2])
    assert [t.get_text() for ax in figure.axes for t in ax.texts if t.get_fontweight() == "bold"] == list("ABCD")
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels[:2] == ["climbing fibres per Purkinje cell", "Purkinje cells with one fibre (%)"]
    assert all(len(bars(ax)) == 8 for ax in figure.axes[:2])
    caption = figure.get_suptitle()
    assert "seeds 1, 2, 3 (C and D: seed 1)" in caption
    assert f"{CELLS} cells" in caption
    assert "chosen" not in caption


def test_development_of_another_system_says_what_it_lacks() -> None:
    figure = plot_development(grow(1, measures_fibres=False))
    assert [ax.get_ylabel() for ax in figure.axes[:2]] == ["living connections", "eliminated connections"]
    caption = " ".join(figure.get_suptitle().split())
    assert "Not measured in this record: climbing fibres per cell and mono innervated." in caption
    assert "Cells of D are chosen for the variety of their fates." in caption
    assert figure.axes[2].get_ylabel() == "strength of input (weight)"


def test_causes_have_the_same_colours_in_every_panel(record: Record) -> None:
    by_panel = []
    for ax in (plot_causes(record), plot_fates(record)):
        labels = {str(one.get_label()).removeprefix("ended by "): to_hex(one.get_color()) for one in ax.get_lines()}
        by_panel.append({c: color for c in record.causes for text, color in labels.items() if text.startswith(c)})
    assert by_panel[0] == by_panel[1]
    assert len(set(by_panel[0].values())) == 3


def test_style_is_left_as_it_was(record: Record) -> None:
    before = dict(plt.rcParams)
    plot_development(record)
    assert dict(plt.rcParams) == before


def test_the_same_figure_gives_the_same_file(record: Record, tmp_path: Path) -> None:
    save_figure(plot_development(record), tmp_path / "new" / "a.svg", tmp_path / "a.png")
    save_figure(plot_development(record), tmp_path / "b.svg", tmp_path / "b.png")
    assert (tmp_path / "new" / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert ">climbing fibres per Purkinje cell</text>" in (tmp_path / "b.svg").read_text()  # text stays text


# --------------------------------------------------------------------------------------------- data sets


def test_climbing_fibre_synapses_are_those_of_the_paper() -> None:
    counts = climbing_fibre_synapses_p3()
    assert counts.shape == (84, 30)
    positive = counts[counts > 0]
    assert (len(positive), positive.sum(), positive.max()) == (284, 485, 13)
    assert positive.mean() == pytest.approx(1.71, abs=0.005)
    assert positive.std(ddof=1) == pytest.approx(1.34, abs=0.005)
    assert np.quantile(positive, [0.25, 0.5, 0.75, 0.95]).tolist() == [1, 1, 2, 4]
    assert (counts[:, 0] > 0).all()  # every branch touches the seed cell


def test_course_holds_well_formed_fitted_intervals() -> None:
    course = climbing_fibre_course()
    assert {i.kind for i in course} == {"fitted"}
    assert {i.confidence for i in course} == {"medium", "low"}
    assert all(i.low < i.high and i.source for i in course)
    assert len({(i.measure, i.age) for i in course}) == len(course) == 26
    fibres = {i.age: i for i in course if i.measure == "climbing_fibres_per_cell"}
    assert sorted(fibres) == [3, 5, 7, 9, 11, 14, 17, 21]
    assert 1.05 in fibres[21]
    assert 1.26 not in fibres[21]
    assert float("nan") not in fibres[21]
