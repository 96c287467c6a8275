"""``neuroprune sparse-fit``: what it reads, prints and draws, and what it refuses."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from neuroprune.cli.app import app


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 6))
    y = 2.0 * X[:, 1] - X[:, 4] + 5.0 + 0.1 * rng.standard_normal(80)
    path = tmp_path / "data.csv"
    np.savetxt(path, np.column_stack([X[:, :3], y, X[:, 3:]]), delimiter=",", header="a,b,c,rate,d,e,f", comments="")
    return path


def invoke(*arguments: object):
    return CliRunner().invoke(app, ["sparse-fit", *map(str, arguments)])


def test_a_fit_names_the_features(table: Path) -> None:
    result = invoke(table, "--target", "rate", "-k", 2, "--exact")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "data.csv: 80 rows, 6 features"
    assert lines[3].split()[0] == "b" and float(lines[3].split()[1]) == pytest.approx(2.0, abs=0.05)
    assert lines[4].split()[0] == "e" and float(lines[4].split()[1]) == pytest.approx(-1.0, abs=0.05)
    assert "constant  5.0" in result.output or "constant  4.9" in result.output
    assert "proven optimal" in lines[-1]


def test_json_has_the_certificate_and_the_path(table: Path, tmp_path: Path) -> None:
    figure = tmp_path / "path.png"
    result = invoke(table, "--target", "rate", "--penalty", 1.0, "--path", "--json", "--figure", figure)
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert [row["feature"] for row in found["used"]] == ["b", "e"]
    assert found["lower_bound"] <= found["value"] and 0.0 <= found["gap"] <= 1.0
    sizes = [step["size"] for step in found["path"]]
    assert sizes[0] == 0 and sizes[-1] == 2 and found["path"][-1]["penalty"] == pytest.approx(1.0)
    assert found["path"][-1]["explained"] > 0.99
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_a_figure_alone_solves_the_path_but_does_not_print_it(table: Path, tmp_path: Path) -> None:
    result = invoke(table, "--target", "rate", "-k", 3, "--figure", tmp_path / "a.svg")
    assert result.exit_code == 0, result.output
    assert "explained" not in result.output and (tmp_path / "a.svg").is_file()
    printed = invoke(table, "--target", "rate", "-k", 3, "--path")
    assert "explained (%)" in printed.output and "proven" in printed.output


def test_compressed_tables_and_arrays_are_read(table: Path, tmp_path: Path) -> None:
    packed = tmp_path / "data.csv.gz"
    packed.write_bytes(gzip.compress(table.read_bytes()))
    plain, zipped = (invoke(p, "--target", "rate", "-k", 2, "--json") for p in (table, packed))
    assert json.loads(plain.output)["used"] == json.loads(zipped.output)["used"]
    values = np.loadtxt(table, delimiter=",", skiprows=1)
    np.savez(tmp_path / "two.npz", X=values[:, :3], Y=values[:, 3:5], note=np.array(3))
    found = json.loads(invoke(tmp_path / "two.npz", "--target", "Y", "-k", 1, "--json").output)
    assert found["outputs"] == ["Y[0]", "Y[1]"] and found["size"] == 2
    assert found["used"][0]["output"] == "Y[0]" and found["used"][0]["feature"] == "X[1]"
    text = invoke(tmp_path / "two.npz", "--target", "Y", "-k", 1, "--figure", tmp_path / "two.png").output
    assert "2 outputs with features of their own" in text and "X[1]" in text


def test_how_much_lower_the_optimum_can_be_is_not_the_floored_gap(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 60))
    y = X[:, :4].sum(axis=1) + 1e-4 * rng.standard_normal(40)
    np.savez(tmp_path / "a.npz", X=X, y=y)
    arguments = (tmp_path / "a.npz", "--target", "y", "-k", 4, "--no-intercept")
    found = json.loads(invoke(*arguments, "--json").output)
    assert found["lower_bound"] < 0.5 * found["value"] and found["gap"] < 0.1  # relative to the floor
    last = invoke(*arguments).output.splitlines()[-1]
    lower = found["value"] - found["lower_bound"]
    assert f"the optimum is lower by {lower:.3g} ({100 * lower / found['value']:.3g} % of it) at most" in last


def test_a_byte_order_mark_is_no_part_of_a_name(table: Path, tmp_path: Path) -> None:
    marked = tmp_path / "bom.csv"
    marked.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert invoke(marked, "--target", "a", "-k", 1).exit_code == 0


def test_a_figure_that_fails_leaves_no_json(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("neuroprune.plotting.save_figure", full)
    result = invoke(table, "--target", "rate", "-k", 1, "--json", "--figure", tmp_path / "a.png")
    assert result.exit_code != 0 and "{" not in result.output


def test_without_an_intercept_there_is_no_constant(table: Path) -> None:
    result = invoke(table, "--target", "rate", "-k", 2, "--no-intercept")
    assert "constant" not in result.output
    assert json.loads(invoke(table, "--target", "rate", "-k", 2, "--no-intercept", "--json").output)["intercept"] == [
        0.0
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.csv", "--target", "y", "-k", "1"], "no file 'none.csv'"),
        (["data.csv", "--target", "y", "-k", "1"], "no column 'y' in data.csv: it has a, b, c, rate, d, e, f"),
        (["data.csv", "--target", "rate"], "give either -k or --penalty"),
        (["data.csv", "--target", "rate", "-k", "1", "--penalty", "1"], "give either -k or --penalty"),
        (["data.csv", "--target", "rate", "-k", "7"], "from 0 to the 6 features, not 7"),
        (["data.csv", "--target", "rate", "-k", "7", "--path"], "from 0 to the 6 features, not 7"),
        (["data.csv", "--target", "rate", "--penalty", "-1"], "penalty must be"),
        (["data.csv", "--target", "rate", "--penalty", "0", "--path"], "must end above 0"),
        (["data.csv", "--target", "rate", "-k", "1", "--figure", "x.txt"], "must end in .png"),
        (["text.csv", "--target", "b", "-k", "1"], "a number in every cell"),
        (["short.csv", "--target", "b", "-k", "1"], "no rows below"),
        (["names.csv", "--target", "b", "-k", "1"], "3 names and 2 columns"),
        (["nan.csv", "--target", "b", "-k", "1"], "features must be finite; in row 1, column 0 there is nan"),
        (["data.txt", "--target", "b", "-k", "1"], "must be a .csv"),
        (["bad.npz", "--target", "b", "-k", "1"], "cannot read bad.npz"),
        (["hash.csv", "--target", "b", "-k", "1"], "a number in every cell"),
        (["twice.csv", "--target", "y", "-k", "1"], "a name of its own; check y"),
        (["unnamed.csv", "--target", "b", "-k", "1"], "a name of its own; check an empty name"),
        (["latin.csv", "--target", "b", "-k", "1"], "cannot read latin.csv: it is no UTF-8 text"),
        (["latin2.csv", "--target", "b", "-k", "1"], "cannot read latin2.csv: it is no UTF-8 text"),
        (["corrupt.csv.gz", "--target", "b", "-k", "1"], "cannot read corrupt.csv.gz"),
        (["cut.csv.gz", "--target", "b", "-k", "1"], "cannot read cut.csv.gz"),
        (["plain.csv.gz", "--target", "b", "-k", "1"], "cannot read plain.csv.gz"),
        (["empty.npz", "--target", "b", "-k", "1"], "cannot read empty.npz"),
        (["array.npz", "--target", "b", "-k", "1"], "cannot read array.npz: it is a single array"),
        (["scalar.npz", "--target", "y", "-k", "1"], "'y' in scalar.npz has 0 dimensions"),
        (["complex.npz", "--target", "y", "-k", "1"], "features must be real numbers, and they are complex"),
        (["one.npz", "--target", "b", "-k", "1"], "no array 'b'"),
        (["one.npz", "--target", "y", "-k", "1"], "must have one matrix of features besides 'y', not none"),
    ],
)
def test_requests_that_make_no_sense_are_one_line(
    table: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(table.parent)
    Path("text.csv").write_text("a,b\n1,2\nx,4\n")
    Path("short.csv").write_text("a,b\n")
    Path("names.csv").write_text("a,b,c\n1,2\n")
    Path("nan.csv").write_text("a,b\n1,2\nnan,3\n")
    Path("data.txt").write_text("a,b\n")
    Path("bad.npz").write_text("no zip")
    np.savez("one.npz", y=np.ones(3))
    Path("hash.csv").write_text("a,b\n1,2\n#3,4\n5,6\n")
    Path("twice.csv").write_text("a,b,y,y\n1,2,3,3\n4,5,6,6\n")
    Path("unnamed.csv").write_text("a,,b\n1,2,3\n4,5,6\n")
    Path("latin.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    Path("latin2.csv").write_bytes("a,b\n1,2\né,2\n".encode("latin-1"))
    packed = gzip.compress(np.random.default_rng(0).bytes(5000))
    Path("corrupt.csv.gz").write_bytes(packed[:20] + bytes(200) + packed[220:])
    Path("cut.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:-12])
    Path("plain.csv.gz").write_text("a,b\n1,2\n")
    Path("empty.npz").write_bytes(b"")
    with open("array.npz", "wb") as file:
        np.save(file, np.ones(3))
    np.savez("scalar.npz", y=np.array(1.0), X=np.ones((3, 2)))
    np.savez("complex.npz", y=np.ones(3), X=np.ones((3, 2)) + 1j)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output and result.output.count("\n") == 1
