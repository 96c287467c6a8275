"""``neuroprune critical``: the table, JSON, the figure, and what a mistake is told."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from neuroprune.cli.app import app
from neuroprune.core.errors import SpecificationError
from neuroprune.plotting import plot_critical


def call(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["critical", *map(str, arguments)])
    assert result.exit_code == status, result.output + result.stderr
    return result.stdout if status == 0 else result.stderr


def test_one_class_as_json():
    arguments = ("--class", 3, "--epochs", 3, "--draws", 3, "--json", "--relevance", 0.4)
    found = json.loads(call(*arguments))
    assert found == json.loads(call(*arguments))
    assert found["whole_network"] == {"units_by_layer": {"3": 100}, "cost": 100.0, "flow": 100.0}
    (entry,) = found["classes"]
    n = sum(map(len, entry["units"].values()))
    assert entry["class"] == 3 and entry["cost"] == entry["flow"] == n < 10 and entry["proven"]
    assert len(entry["without_random"]) == 3 and found["relevance"] == 0.4 and found["figure"] is None
    assert entry["without_cut"]["class"] < entry["accuracy"]["class"]


def test_all_classes_as_a_table_and_a_figure(tmp_path):
    path = tmp_path / "critical.png"
    text = call("--epochs", 1, "--draws", 1, "--figure", path)
    assert "whole network: 100 units of layer 3 (cost 100 = flow 100)" in text
    assert "points from the class" in text and f"figure  {path}" in text
    assert path.stat().st_size > 1000


def test_the_figure_of_no_class_is_refused():
    with pytest.raises(SpecificationError, match="no trials to draw"):
        plot_critical([])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--class", 30), "--class 30: the classes of digits are 0 to 9"),
        (("--relevance", 2), "relevance is 2.0"),
        (("--figure", "a.gif"), "must end in .png"),
        (("--model", "vit-tiny"), "LayerNorm"),
        (("--model", "nothing"), "no model 'nothing'"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    assert message in call(*arguments, "--epochs", 0, status=2)


FACTORIES = """
from torch import nn
glu = lambda shape, n: nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.GLU(), nn.Linear(8, n))
few = lambda shape, n: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
bad = lambda shape, n: {}["key"]
"""


@pytest.mark.parametrize(
    "factory, message",
    [
        ("glu", "GLU(dim=-1) stands between layers"),
        ("few", "returns (1, 3) for one image: 10 classes"),
        ("bad", "made no network: KeyError: 'key'"),
    ],
)
def test_networks_of_one_s_own_that_do_not_fit(tmp_path, monkeypatch, factory, message):
    (tmp_path / "networks_to_cut.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    assert message in call("--model", f"networks_to_cut:{factory}", "--epochs", 0, status=2)
