"""``neuroprune compare-em`` and its parts: distances, matrices as people write them, what a mistake is told."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy.stats import ks_2samp
from typer.testing import CliRunner

import neuroprune.datasets
from neuroprune.cli.app import app
from neuroprune.core.clock import Clock
from neuroprune.core.errors import SpecificationError
from neuroprune.core.tables import Table, Tables
from neuroprune.datasets import climbing_fibre_synapses_p3, climbing_fibre_synapses_p7
from neuroprune.development import develop
from neuroprune.experiments import compare_pair_sizes, read_connectivity
from neuroprune.plotting import plot_pair_sizes
from neuroprune.record import Record
from neuroprune.rules import RandomPruning
from neuroprune.testing import TableSubstrate

MATRIX = [[1, 0, 2], [0, 3, 6]]


def grown(path: Path | None = None, rate: float = 0.0) -> Record:
    """Return a record, P3 to P5, of two cells with inputs of 1, 2, 3 and 4 synapses."""
    ids = np.arange(4).reshape(2, 2)
    table = Table("cells", ids, ids >= 0, 1.0 + ids, ids % 3, {})
    clock, rules = Clock(3.0, 5.0, 1.0), [RandomPruning(rate=rate)]
    return develop(TableSubstrate(Tables([table]), [{}]), rules, clock=clock, seed=1, path=path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run.nc"
    grown(path)
    return path


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "matrix.csv"
    path.write_text("\n".join(",".join(map(str, row)) for row in MATRIX) + "\n")
    return path


def call(*arguments: object, status: int = 0) -> str:
    """Run the command, which must end with a status; return its stdout, or the one line of stderr if it fails."""
    result = CliRunner().invoke(app, ["compare-em", *map(str, arguments)])
    assert result.exit_code == status, result.output + result.stderr
    if status == 0:
        return result.stdout
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    return result.stderr


# ------------------------------------------------------------------------------------------------- distances


def test_distances_and_statistics_by_hand() -> None:
    # Model 1, 2, 3, 4; data 1, 2, 3, 6: equal up to 4, where three of four data are below; 2 / 4 to move on average.
    found = compare_pair_sizes(grown(), MATRIX, "P3")
    assert (found.ks, found.wasserstein) == (0.25, 0.5)
    peer: Any = ks_2samp([1, 2, 3, 4], [1, 2, 3, 6])
    assert found.ks_p == peer.pvalue
    assert (found.model.mean, found.data.mean) == (2.5, 3)
    assert found.data.sd == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 3))
    assert (found.model.pairs, found.data.pairs, found.model.max, found.data.max) == (4, 4, 4, 6)
    assert found.model.quantiles == pytest.approx({"5%": 1.15, "25%": 1.75, "50%": 2.5, "75%": 3.25, "95%": 3.85})
    assert sorted(found.data.values) == [1, 2, 3, 6]


def test_the_age_may_be_days() -> None:
    assert compare_pair_sizes(grown(), MATRIX, 5).age == compare_pair_sizes(grown(), np.array(MATRIX), "P5").age == 5


def test_a_single_pair_has_no_sd() -> None:
    found = compare_pair_sizes(grown(), [[0, 7]], 3).to_dict()
    assert found["sd"]["data"] is None and found["sd"]["model"] > 0
    assert found["quantiles"]["data"]["5%"] == found["max"]["data"] == 7


def test_only_what_lives_at_the_age_is_compared() -> None:
    record = grown(rate=0.3)
    living = 1 + np.flatnonzero(record.connections["death_step"].values < 0)
    assert 0 < len(living) < 4
    assert compare_pair_sizes(record, MATRIX, 3).model.pairs == 4
    assert sorted(compare_pair_sizes(record, MATRIX, 5).model.values) == living.tolist()


def test_a_record_in_which_no_pair_is_connected_is_refused() -> None:
    with pytest.raises(SpecificationError, match="no pair is connected at P5 in <Record"):
        compare_pair_sizes(grown(rate=50.0), MATRIX, 5)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], r"has shape \(0,\)"),
        ([[]], r"has shape \(1, 0\)"),
        ([1, 2], r"has shape \(2,\)"),
        ([[1, 2], [3]], "rows of different length, or text"),
        ([["a"]], "rows of different length, or text"),
        ([[1, 2], [3, -4]], "has -4 in row 2, column 2"),
        ([[1, 2.5]], "has 2.5 in row 1, column 2"),
        ([[np.nan, 2]], "has nan in row 1, column 1"),
        ([[1], [np.inf]], "has inf in row 2, column 1"),
        ([[0, 0]], "has no positive entry"),
    ],
)
def test_what_is_no_matrix_of_counts_is_refused(bad: list, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        compare_pair_sizes(grown(), bad, 3)


# -------------------------------------------------------------------------------------------------- matrices


@pytest.mark.parametrize(
    "text",
    [
        "1,0,2\n0,3,6\n",
        "1,0,2\r\n0,3,6",
        "\ufeff1, 0 ,2\n\n0,3,6\n\n",
        "PC1,PC2,PC3\n1,0,2\n0,3,6\n",
        "axon,PC1,PC2,PC3\na,1,0,2\nb,0,3,6\n",
        ",PC1,PC2,PC3\n5,1,0,2\n7,0,3,6\n",
        ",0,1,2\n0,1,0,2\n1,0,3,6\n",
        "a,1,0,2\nb,0,3,6\n",
        "1.0,0.0,2.0\n0,3e0,6\n",
        '"PC 1","PC, 2",x\n"1",0,2\n0,3,6\n',
    ],
)
def test_a_matrix_is_read_with_labels_and_without(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.csv").write_text(text, encoding="utf-8", newline="")
    assert read_connectivity(tmp_path / "m.csv").tolist() == MATRIX


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("1,2\n3\n", "line 2: 1 cells, but the first line has 2"),
        ("1,2\n3,4,\n", "line 2: 3 cells, but the first line has 2"),
        ("1,x\n3,4\n", "line 1: 'x' is no number of synapses"),
        ("x,2\n3,4\n", "line 1: 'x' is no number of synapses"),
        ("3,2\nx,4\n", "line 2: 'x' is no number of synapses"),
        ("1,2\n3,x\n", "line 2: 'x' is no number of synapses"),
        ("1,2,x\n3,4,5\n", "line 1: 'x' is no number of synapses"),
        ("1,2\n3,\n", "line 2: '' is no number of synapses"),
        ("axon,2,2\n1,4,5\n", "line 1: 'axon' is no number of synapses"),
        ("axon,1,2,3\na,1,0,2\nb,0,3,6\n", "line 1: 1 to 3 may number the columns or count synapses: if these are"),
        ("\naxon,0,1,2\na,1,0,2\n", "line 2: 0 to 2 may number the columns or count synapses"),
        ("axon,1.0,2.0\na,1,0\n", "line 1: 1.0 to 2.0 may number the columns or count synapses"),
        ("axon,1\na,4\n", "line 1: 1 may number the columns or count synapses"),
        ("axon,1,2\n1,4,5\n", "line 1: 1 to 2 may number the columns or count synapses"),
        ("axon,1,2\n", "line 1: 1 to 2 may number the columns or count synapses"),
        ("1,2,3\na,1,0,2\nb,0,3,6\n", "line 1: 1 to 3 may number the columns or count synapses"),
        ("0,1,2,3\na,1,0,2\nb,0,3,6\n", "line 1: 0 to 3 may number the columns or count synapses"),
        ("1_0,2\n3,4\n", "line 1: '1_0' is no number of synapses"),
        ("1 0 2\n0 3 6\n", "has labels only: numbers of synapses must stand between its commas"),
        ("a,b\n", "has labels only"),
        (",b\n", "has labels only"),
        ("a\n", "has labels only"),
        ("a,b\n1,2\n3,-4\n", "has -4 in row 2, column 2: it must hold counts"),
        ("1,2\n\x00\udcff,2\n", "cannot be read as a table of text|is no number"),
    ],
)
def test_a_file_that_is_no_matrix_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "m.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SpecificationError, match=message) as caught:
        read_connectivity(tmp_path / "m.csv")
    assert "m.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("axon,x,y,z\na,1,2,3\nb,0,1,2\n", [[1, 2, 3], [0, 1, 2]]),  # counted below headings in words
        (",1,2,3\na,1,2,3\nb,0,1,2\n", [[1, 2, 3], [0, 1, 2]]),  # and below numbers with an empty corner
        ("1,2,3\n0,1,2\n", [[1, 2, 3], [0, 1, 2]]),  # no labels at all
        ("1,2,3\n", [[1, 2, 3]]),
        ("a,2,3,4\nb,0,1,2\n", [[2, 3, 4], [0, 1, 2]]),  # neither from 0 nor from 1
        ("a,1,3\nb,0,1\n", [[1, 3], [0, 1]]),
        ("a,2,1\nb,0,1\n", [[2, 1], [0, 1]]),
        ("a,1,1\nb,0,1\n", [[1, 1], [0, 1]]),
    ],
)
def test_counts_that_look_like_headings_are_read_where_they_cannot_be_any(
    tmp_path: Path, text: str, expected: list[list[int]]
) -> None:
    (tmp_path / "m.csv").write_text(text)
    assert read_connectivity(tmp_path / "m.csv").tolist() == expected


def test_the_matrices_of_the_paper_have_names() -> None:
    np.testing.assert_array_equal(read_connectivity("p3"), climbing_fibre_synapses_p3())
    np.testing.assert_array_equal(read_connectivity("p7"), climbing_fibre_synapses_p7())
    np.testing.assert_array_equal(read_connectivity("P7"), climbing_fibre_synapses_p7())


def test_the_matrix_at_p7_is_that_of_the_paper() -> None:
    counts = climbing_fibre_synapses_p7()
    assert counts.shape == (64, 18)
    positive = counts[counts > 0]
    assert (len(positive), positive.sum(), positive.max()) == (253, 1482, 45)
    assert positive.mean() == pytest.approx(5.86, abs=0.005)
    assert positive.std(ddof=1) == pytest.approx(6.81, abs=0.005)
    assert np.quantile(positive, [0.25, 0.5, 0.75, 0.95]).tolist() == [2, 3, 8, 19]
    assert (counts[:, 0] > 0).all()  # every branch touches the seed cell


def test_the_examples_of_the_data_sets_print_what_they_say() -> None:
    assert doctest.testmod(neuroprune.datasets) == (0, 5)


# ---------------------------------------------------------------------------------------------- command line


def test_as_json(run: Path, matrix: Path) -> None:
    found = json.loads(call(run, "--age", "P5", matrix, "--json"))
    assert found == {
        **compare_pair_sizes(grown(), MATRIX, "P5").to_dict(),
        "record": str(run),
        "matrix": str(matrix),
        "figure": None,
    }
    assert (found["age"], found["ks"], found["wasserstein"]) == ("P5", 0.25, 0.5)
    assert found["shape"] == [2, 3]
    for key in ("pairs", "mean", "sd", "quantiles", "max"):
        assert found[key].keys() == {"model", "data"}
    assert found["quantiles"]["data"].keys() == {"5%", "25%", "50%", "75%", "95%"}


def test_as_a_table_and_a_figure(run: Path, matrix: Path, tmp_path: Path) -> None:
    figure = tmp_path / "new" / "sizes.png"
    lines = call(run, matrix, "--age", "P3", "--figure", figure).splitlines()
    cells = [line.split() for line in lines]
    assert lines[0].split("  ")[-2:] == ["model P3", "data matrix.csv"]
    assert ["pairs", "4", "4"] in cells and ["mean", "2.50", "3.00"] in cells and ["SD", "1.29", "2.16"] in cells
    assert ["quantile", "95%", "3.85", "5.55"] in cells and ["largest", "4", "6"] in cells
    assert any(line.startswith("Kolmogorov-Smirnov  0.250  (p = 1, descriptive") for line in lines)
    assert "Wasserstein         0.50 synapses" in lines and "data                2 axons x 3 cells" in lines
    assert lines[-1] == f"figure  {figure}"
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_shipped_matrix(run: Path) -> None:
    found = json.loads(call(run, "P7", "--age", "P5", "--json"))
    assert found["pairs"] == {"model": 4, "data": 253} and found["shape"] == [64, 18]
    lines = call(run, "P3", "--age", "P5").splitlines()
    assert lines[0].split("  ")[-1] == "data P3" and lines[-1].split("  ")[-1] == "84 axons x 30 cells"


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_figure_that_cannot_be_written_leaves_the_table(
    run: Path, matrix: Path, form: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    result = CliRunner().invoke(
        app, ["compare-em", *map(str, (run, matrix)), "--age", "P5", "--figure", str(tmp_path / "x.png"), *form]
    )
    assert result.exit_code == 1 and result.stderr == "error: No space left on device\n"
    assert "0.25" in result.stdout and "figure  " not in result.stdout


def test_help_says_that_p_is_descriptive() -> None:
    text = " ".join(call("--help").split())
    assert "pooled over connected pairs" in text and "not independent" in text and "descriptive" in text


def test_mistakes_are_one_clear_line(run: Path, matrix: Path, tmp_path: Path) -> None:
    def told(*arguments: object, status: int = 2) -> str:
        return call(*arguments, status=status)

    assert "age P4 was not recorded: it must be one of P3, P5" in told(run, matrix, "--age", "P4")
    assert "age 'seven' is not valid" in told(run, matrix, "--age", "seven")
    assert "no matrix 'p9': it must be a CSV file, or one of p3, p7" in told(run, "p9", "--age", "P5")
    assert "no matrix" in told(run, tmp_path, "--age", "P5")
    assert "must end in .png, .svg or .pdf" in told(run, matrix, "--age", "P5", "--figure", "x.txt")
    assert f"cannot write '{run}/x.png'" in told(run, matrix, "--age", "P5", "--figure", f"{run}/x.png")
    assert "not a record, or truncated" in told(matrix, matrix, "--age", "P5", status=1)
    assert "no record at" in told(tmp_path / "none.nc", matrix, "--age", "P5", status=1)
    for text, message in (
        ("", "is empty"),
        ("1,2\n3\n", "line 2: 1 cells"),
        ("1,-2\n", "it must hold counts"),
        ("1,2.5\n", "it must hold counts"),
        ("1,nan\n", "it must hold counts"),
        ("0,0\n", "no positive entry"),
    ):
        matrix.write_text(text)
        assert f"{matrix}" in (line := told(run, matrix, "--age", "P5")) and message in line


# ---------------------------------------------------------------------------------------------------- figure


def course_of(ax: Axes, label: str) -> list[tuple[float, float]]:
    line = next(line for line in ax.get_lines() if str(line.get_label()).startswith(label))
    assert line.get_drawstyle() == "steps-post"
    return list(zip(*np.asarray(line.get_data()).tolist(), strict=True))


def test_the_figure_shows_cumulative_distributions() -> None:
    _, ax = plt.subplots()
    assert plot_pair_sizes({"model": [4, 1, 1, 2], "data": [8, 2]}, ax=ax) is ax
    assert course_of(ax, "model (n = 4)") == [(1, 0), (1, 0.5), (2, 0.75), (4, 1), (8, 1)]
    assert course_of(ax, "data (n = 2)") == [(2, 0), (2, 0.5), (8, 1), (8, 1)]
    assert ax.get_xscale() == "log"
    plt.close(ax.figure)  # type: ignore[arg-type]


@pytest.mark.parametrize("sizes", [[], [0, 1], [-1, 2], [np.nan]])
def test_the_figure_refuses_what_is_no_size(sizes: list[float]) -> None:
    with pytest.raises(SpecificationError, match="pair sizes 'model' must be positive"):
        plot_pair_sizes({"model": sizes})
