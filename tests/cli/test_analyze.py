"""``neuroprune analyze``: a CSV, a connectome, a record; tables and JSON; what a mistake is told."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from neuroprune import develop
from neuroprune.cli.app import app
from neuroprune.core.clock import Clock
from neuroprune.core.tables import Table, Tables
from neuroprune.rules import RandomPruning
from neuroprune.testing import TableSubstrate


def call(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["analyze", *map(str, arguments)])
    assert result.exit_code == status, result.output + result.stderr
    return result.stdout if status == 0 else result.stderr


@pytest.fixture
def edges(tmp_path: Path) -> Path:
    path = tmp_path / "edges.csv"
    path.write_text("source,target,synapses\na,b,5\nb,c,2\na,c,7\nc,a,1\nd,d,3\na,b,1\n")
    return path


def test_a_csv_as_json(edges):
    found = json.loads(call(edges, "--json"))
    assert (found["n"], found["m"], found["self_loops"], found["parallel"]) == (3, 4, 1, 1)
    assert found["triads"]["120C"] == 1 and found["triads"]["003"] == 0
    assert found["clustering"] == {"undirected": 1.0, "fagiolo": pytest.approx(2 / 3, abs=0.2)}
    assert not found["weighted"] and "null" not in found
    assert json.loads(call(edges, "--json", "--keep-isolated"))["n"] == 4


def test_weights_threshold_and_directions(edges):
    found = json.loads(call(edges, "--weight", "synapses", "--threshold", 5, "--json"))
    assert (found["n"], found["m"], found["weighted"]) == (3, 2, True)
    assert "onnela" in found["clustering"]
    assert json.loads(call(edges, "--undirected", "--json"))["m"] == 3


def test_a_null_with_a_seed_repeats(edges):
    arguments = (edges, "--null", "degree+reciprocity", "--samples", 20, "--json", "--seed", 3)
    first = json.loads(call(*arguments))
    assert first == json.loads(call(*arguments, "--workers", 2))
    assert first["null"]["name"] == "degree+reciprocity"
    assert first["null"]["samples"] == 20 and first["null"]["seed"] == 3


def test_tables_name_the_null_beside_the_z(edges, tmp_path):
    zipped = tmp_path / "edges.csv.gz"
    zipped.write_bytes(gzip.compress(edges.read_bytes()))
    text = call(zipped, "--null", "degree", "--samples", 10, "--motifs", 4)
    assert "3 nodes, 4 arcs; 1 self-loop removed; 1 parallel edge merged" in text
    assert "null    degree, 10 samples, seed 1" in text
    assert "triads 120C" in text and "reciprocity" in text


def test_a_connectome_and_their_list(tmp_path):
    figure = tmp_path / "fve30.png"
    assert json.loads(call("bct_cortical_areas/fve30", "--json", "--figure", figure))["m"] == 311
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert "celegans_varshney2011" in call("list")
    assert json.loads(call("bct_cortical_areas/cat_ctx", "--threshold", 3, "--json"))["m"] < 818


def test_a_record_at_an_age_is_a_network_of_afferents(tmp_path):
    ids = np.arange(40).reshape(8, 5)
    table = Table("cells", ids, ids >= 0, 1.0 + ids % 3, ids % 6, {})
    path = tmp_path / "run.nc"
    substrate = TableSubstrate(Tables([table]), [{}])
    develop(substrate, [RandomPruning(rate=0.5)], clock=Clock(3.0, 5.0, 0.5), seed=1, path=path)
    found = json.loads(call(path, "--age", "P4", "--json", "--null", "degree", "--samples", 10))
    assert found["notes"] and found["bipartite"]["bifans"] >= 0
    assert "weights are in" in call(path, "--age", "P4", "--weight", "weight", status=1)
    later = json.loads(call(path, "--json"))
    assert later["m"] < found["m"] < json.loads(call(path, "--age", "P3", "--json"))["m"]
    assert "the record has no age 9" in call(path, "--age", "P9", status=1)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("nowhere.csv",), 1, "no file 'nowhere.csv'; no connectome"),
        (("celegans_varshney",), 1, "did you mean celegans_varshney2011"),
        (("celegans_varshney2011", "--null", "erdos"), 2, "no null model 'erdos'; there are degree"),
        (("celegans_varshney2011", "--age", "P3"), 2, "--age P3 needs the record of a run"),
        (("celegans_varshney2011", "--undirected"), 2, "--undirected says how to read a CSV"),
        (("celegans_varshney2011", "--weight", "size"), 1, "no weights 'size'"),
        (("celegans_varshney2011", "--figure", "x.txt"), 2, "must end in .png, .svg or .pdf"),
        (("celegans_varshney2011", "--null", "distance"), 1, "positions"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, status, message):
    text = call(*arguments, status=status)
    assert message in text and "Traceback" not in text and text.count("\n") == 1


def test_a_csv_with_a_mistake_names_its_line(tmp_path):
    path = tmp_path / "edges.csv"
    path.write_text("source,target,w\na,b,1\nb,c,many\n")
    assert "line 3: the w is 'many'" in call(path, "--weight", "w", status=1)
    path.write_text("source,target,source\na,b,c\n")
    assert "has 2 columns 'source'" in call(path, status=1)
    path.write_text("source,target\na,a\nb,b\n")
    assert "2 self-loops were removed" in call(path, status=1)
    assert json.loads(call(path, "--keep-isolated", "--json", "--figure", tmp_path / "loops.png"))["n"] == 2
    path.write_text("")
    assert "is empty" in call(path, status=1)
