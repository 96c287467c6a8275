"""``neuroprune compress`` as its users meet it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.images import load_images
from neuroprune.bridge.saving import load_network
from neuroprune.bridge.training import evaluate
from neuroprune.bridge.zoo import make_model
from neuroprune.cli import app

SMALL = ["compress", "--epochs", "2", "--fine-tune", "1", "--device", "cpu"]


def run(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(app, [*SMALL, "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_file_is_the_network_of_the_last_station(tmp_path: Path) -> None:
    out, figure = tmp_path / "small.safetensors", tmp_path / "way.png"
    said = run("--macs", "0.5", "--svd", "0.95", "--out", str(out), "--figure", str(figure))
    stations = said["stations"]
    assert isinstance(stations, list)
    assert [s["name"] for s in stations] == ["original", "pruned", "factorized", "fine-tuned"]
    macs = [s["cost"]["macs"] for s in stations]
    assert 0.45 * macs[0] < macs[1] <= 0.5 * macs[0]
    assert macs[2] <= macs[1] and macs[3] == macs[2]
    images, model = load_images("digits"), load_network(out)
    example = (torch.zeros(1, 1, 8, 8),)
    assert network_cost(model, example).macs == macs[-1]
    score = evaluate(model, images.test)
    assert (score.accuracy, score.loss) == (
        pytest.approx(stations[-1]["test"]["accuracy"]),
        pytest.approx(stations[-1]["test"]["loss"], rel=1e-4),
    )
    assert figure.stat().st_size > 10_000


def test_the_table_shows_stations_and_layers() -> None:
    result = CliRunner().invoke(app, [*SMALL, "--model", "lenet300", "--svd", "0.9", "--no-distil"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "lenet300 on digits, seed 0"
    assert [line.split()[0] for line in lines[3:6]] == ["original", "factorized", "fine-tuned"]
    assert any("(300 to 100): rank" in line and "plain SVD" in line for line in lines)
    assert result.stderr.splitlines() == ["train", "factorize", "fine-tune"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --macs, --svd or both"),
        (["--svd", "0.9", "--out", "x.pt"], "must end in .safetensors"),
        (["--svd", "0.9", "--figure", "x.txt"], "must end in .png"),
        (["--svd", "1.5", "--epochs", "0"], "--svd 1.5: it must be a share"),
        (["--svd", "0.9", "--temperature", "0", "--epochs", "0"], "--temperature 0: it must be above 0"),
        (["--macs", "1.5", "--epochs", "0"], "1.5"),
        (["--svd", "0.9", "--model", "none"], "no model 'none'"),
    ],
)
def test_requests_that_make_no_sense(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, [*SMALL, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--macs", "nan"), "--macs nan: it must be a share"),
        (("--svd", "1.5"), "--svd 1.5: it must be a share"),
        (("--svd", "0.9", "--temperature", "0"), "--temperature 0: it must be above 0"),
        (("--svd", "0.9", "--no-distil", "--temperature", "2"), "--temperature: there is no teacher"),
        (("--svd", "0.9", "--fine-tune", "0", "--temperature", "2"), "--temperature: there is no fine-tuning"),
        (("--svd", "0.9", "--out", "/proc/x/o.safetensors"), "cannot write '/proc/x/o.safetensors'"),
    ],
)
def test_requests_are_checked_before_anything_is_trained(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["compress", *arguments])
    assert result.exit_code == 2 and message in result.stderr and "train\n" not in result.stderr


def test_weights_that_are_none_or_not_finite_are_named(tmp_path: Path) -> None:
    junk, infinite = tmp_path / "junk.pt", tmp_path / "infinite.pt"
    junk.write_text("hello")
    model: Any = make_model("lenet300", (1, 8, 8), 10)
    with torch.no_grad():
        model[5].bias[0] = float("inf")
    torch.save(model.state_dict(), infinite)
    for path, message in ((junk, "cannot load"), (infinite, "'5.bias' in")):
        result = CliRunner().invoke(app, ["compress", "--model", "lenet300", "--svd", "0.9", "--weights", str(path)])
        assert result.exit_code == 2 and message in result.stderr
