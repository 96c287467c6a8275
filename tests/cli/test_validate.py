"""``neuroprune validate`` as its users meet it: the scorecard, exit statuses, and one line when something is wrong."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import toy_system
from typer.testing import CliRunner

from neuroprune.cli import app
from neuroprune.cli.progress import Overview
from neuroprune.cli.validate import parse_rows
from neuroprune.core.errors import SpecificationError
from neuroprune.experiments.observables import MEASURED

VALIDATION = """
[modes]
plain = []
weak = ["half_drive"]

[[observations]]
row = 1
says = "weight is left"
measure = "total_weight"
age = "P4"
min = 1
kind = "fitted"
source = "Toy et al. 2001"
confidence = "read"

[[observations]]
row = 2
part = "a"
says = "nothing is lost [any more]"
condition = "no_loss_p4"
measure = "eliminated_fraction"
cause = "loss"
from = "P0"
to = "P8"
compare = "difference"
accept = [0.5, 0.6]
kind = "predicted"
source = "Toy et al. 2002"
confidence = "assumed"
why = "it stops, but late"

[[observations]]
row = 3
says = "weight falls"
measure = "total_weight"
ages = ["P0", "P2", "P8"]
compare = "falling"
kind = "assumed"
source = "Toy et al. 2003"
confidence = "recalled"
why = "perhaps it rises"
"""


RISING = 'measure = "gain_rate"\nages = ["P0", "P4", "P8"]\ncompare = "rising"'


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = toy_system.install(tmp_path, monkeypatch)
    path.with_name("validation.toml").write_text(VALIDATION)
    monkeypatch.chdir(tmp_path)
    return str(path.relative_to(tmp_path))


def call(toy: str, *arguments: str, status: int = 0) -> str:
    """Run the command, which must end with a status; return its stdout."""
    result = CliRunner().invoke(app, ["validate", toy, "--seeds", "1", "--processes", "1", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.stdout if status in (0, 1) else result.stderr.strip().splitlines()[-1]


def edit(toy: str, old: str, new: str) -> None:
    path = Path(toy).with_name("validation.toml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_scorecard_is_printed(toy: str) -> None:
    lines = call(toy).splitlines()
    assert max(map(len, lines)) <= 140
    assert re.match(r"toy, mean ± SD of 1 seed, neuroprune \d", lines[0])
    assert "mode plain (default)" in lines and "mode weak" in lines
    first = next(line for line in lines if line.startswith("1 "))
    assert re.search(r"^1 +weight is left +control +P4 +\d+(\.\d+)? +≥ 1 +1/1 +holds +fitted +1 \(read\)", first)
    second = next(line for line in lines if line.startswith("2a "))
    assert "nothing is lost" in second and re.search(r"P0–P8 +-\d+\.\d +50 to 60 pts +0/1 +FAILS +predicted", second)
    assert re.search(r"P0–P8 +-\d+\.\d+ +always falling +1/1 +holds +assumed", "\n".join(lines))
    assert lines.count("2a fails (predicted): nothing is lost [any more]") == 1
    assert "    it stops, but late" in map(str.rstrip, lines) and "perhaps it rises" not in "\n".join(lines)
    assert "fails: 2a" in lines
    assert [line for line in lines if "Toy et al." in line] == [f" {k}  Toy et al. 200{k}" for k in (1, 2, 3)]
    counts = [line.split() for line in lines if line.startswith(("plain", "weak"))]
    expected = ["1/1", "(1/1)", "1/1", "(1/1)", "0/1", "(0/1)", "2/3", "(2/3)"]
    assert counts == [["plain", *expected], ["weak", *expected]]
    assert re.fullmatch(r"4 runs made, 0 found complete, \d+ s", lines[-1])
    assert Path("runs/validate/plain/toy-seed1.nc").exists()
    assert Path("runs/validate/weak/toy-half_drive-no_loss_p4-seed1.nc").exists()


def test_json_figure_and_runs_that_are_there(toy: str) -> None:
    arguments = ("--json", "--rows", "1,3", "--out", "here", "--figure", "drawn/card.png")
    content = json.loads(call(toy, *arguments))
    assert content["figures"] == ["drawn/card.png", "drawn/card-weak.png"]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in content["figures"])
    assert [(o["row"], o["mode"]) for o in content["observations"]] == [
        (1, "plain"),
        (3, "plain"),
        (1, "weak"),
        (3, "weak"),
    ]
    assert content["runs"] == {"made": 2, "reused": 0} and content["acceptable"]
    again = json.loads(call(toy, "--json", "--rows", "1-3", "--modes", "weak", "--out", "here"))
    assert again["runs"] == {"made": 1, "reused": 1} and again["modes"] == ["weak"]
    fresh = json.loads(call(toy, "--json", "--rows", "1", "--modes", "weak", "--out", "here", "--fresh"))
    assert fresh["runs"] == {"made": 1, "reused": 0}


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_figure_that_cannot_be_written_leaves_the_scorecard(
    toy: str, form: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    arguments = ["validate", toy, "--seeds", "1", "--processes", "1", "--rows", "1", "--figure", "card.png", *form]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1 and result.stderr.splitlines()[-1].startswith("error: ")
    assert "weight is left" in result.stdout and "figure  card" not in result.stdout


def test_what_is_drawn_is_named(toy: str) -> None:
    lines = call(toy, "--rows", "1", "--figure", "card.svg").splitlines()
    assert lines[-2:] == ["figure  card.svg", "figure  card-weak.svg"]
    assert Path("card.svg").exists() and Path("card-weak.svg").exists()


@pytest.mark.parametrize(("kind", "status"), [("fitted", 1), ("assumed", 1), ("predicted", 0)])
def test_the_exit_status_is_about_what_is_fitted_or_assumed(toy: str, kind: str, status: int) -> None:
    edit(toy, 'min = 1\nkind = "fitted"', f'max = 1\nkind = "{kind}"')
    output = call(toy, "--rows", "1", "--modes", "plain", status=status)
    assert f"1 fails ({kind}): weight is left" in output


def test_what_is_undefined_is_shown_and_fails(toy: str) -> None:
    edit(toy, 'condition = "no_loss_p4"', 'reference = "no_loss_p4"')
    edit(toy, 'from = "P0"', 'from = "P4"')  # from where nothing is lost in the reference
    edit(toy, 'compare = "difference"', 'compare = "ratio"')
    edit(toy, "predicted", "assumed")
    output = call(toy, "--rows", "2", "--modes", "plain", status=1)
    assert re.search(r"control / no loss p4 +P4–P8 +undefined in 1 +0\.5 to 0\.6 +0/1 +FAILS", output)


def test_the_smallest_rise_is_shown(toy: str) -> None:
    edit(toy, 'measure = "total_weight"\nages = ["P0", "P2", "P8"]\ncompare = "falling"', RISING)
    MEASURED.add("gain_rate")
    try:
        output = call(toy, "--rows", "3", "--modes", "plain")
    finally:
        MEASURED.remove("gain_rate")
    assert re.search(r"P0–P8 +\+0\.00 +always rising +1/1 +holds", output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "1-"], "error: --rows 1-: write numbers and ranges of rows like 1-5,9"),
        (["--rows", "7"], "error: toy/validation.toml has no row 7: it has 1, 2, 3"),
        (["--rows", "1-999999999999"], "error: toy/validation.toml has no row 4: it has 1, 2, 3"),
        (["--figure", "x.xyz"], "error: cannot draw 'x.xyz': its name must end in .png, .svg or .pdf"),
        (["--modes", "plane"], "error: toy/validation.toml has no mode 'plane': did you mean 'plain'?"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(toy: str, arguments: list[str], message: str) -> None:
    assert call(toy, *arguments, status=2).startswith(message)
    assert not Path("runs").exists()


def test_a_wrong_option_is_found_before_anything_runs(toy: str) -> None:
    edit(toy, 'ages = ["P0", "P2", "P8"]', 'ages = ["P0", "P3"]')
    line = call(toy, status=2)
    assert line.startswith(
        "error: toy/validation.toml: row 3: age = P3 is not an age that is recorded: valid is P0, P2"
    )
    assert not Path("runs").exists()


def test_help_says_what_the_exit_status_means() -> None:
    text = " ".join(CliRunner().invoke(app, ["validate", "--help"]).stdout.split())
    assert "status is 0 when all rows hold" in text and "Predictions and the other modes" in text


def test_rows_are_numbers_and_ranges() -> None:
    assert list(parse_rows("1-3, 9, 5 - 6")) == [1, 2, 3, 9, 5, 6]
    for text in ("", "a", "3-1", "1,,2", "-2", "1-2-3", "1-", "٣", 5000 * "9"):
        with pytest.raises(SpecificationError, match="write numbers and ranges of rows like 1-5,9"):
            parse_rows(text)


def test_an_interrupt_says_how_to_go_on(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["neuroprune", "validate", toy, "--fresh"])
    monkeypatch.setattr(toy_system.Toy, "apply", interrupted)
    assert call(toy, "--fresh", status=130) == "interrupted; go on with: neuroprune validate toy/model.toml"


def test_progress_is_sparse_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with Overview() as overview:
        for step in range(401):
            overview.step(step / 4, 100)
        overview.say("compiled")
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == "" and lines[0] == "0 of 100 runs" and lines[-1] == "compiled"
    assert 15 <= len(lines) <= 23 and re.fullmatch(r"95 of 100 runs, \d+ s left", lines[-3])
