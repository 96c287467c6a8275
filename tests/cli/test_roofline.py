"""``neuroprune roofline``: tables, JSON, the figure, the machine in the cache, and what a mistake is told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch
from synthetic_machine import machine, time_call

from neuroprune.bridge.roofline import Machine, predict
from neuroprune.bridge.roofline.machine import processor_of
from neuroprune.bridge.timing import Timing
from neuroprune.bridge.zoo import make_model
from neuroprune.cli.app import app


@pytest.fixture(autouse=True)
def measurements(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple]:
    """Let measuring a machine take no time, and count how often it is done."""
    made: list[tuple] = []
    here = {"name": processor_of(torch.device("cpu")), "torch_version": torch.__version__}

    def measure(threads, dtypes, device, *, say):
        made.append((threads, tuple(dtypes), device.type))
        say("ceilings")
        ceilings, costs = machine().ceilings["float32"], machine().costs["float32"]
        names = [str(dtype).removeprefix("torch.") for dtype in dtypes]
        return machine(
            threads=threads, ceilings=dict.fromkeys(names, ceilings), costs=dict.fromkeys(names, costs), **here
        )

    monkeypatch.setattr(Machine, "measure", measure)
    monkeypatch.setattr("neuroprune.bridge.timing.stopwatch", lambda *_, **__: time_call)
    monkeypatch.setenv("NEUROPRUNE_CACHE_DIR", str(tmp_path / "cache"))
    return made


def call(*arguments: object, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["roofline", *map(str, arguments)])
    assert result.exit_code == status, result.output + result.stderr
    return result.stdout if status == 0 else result.stderr


def test_layers_and_forms_as_json(measurements):
    found = json.loads(call("--batch", "2", "--sparsity", 0.9, "--json"))
    assert found["model"] == "lenet300" and found["dtype"] == "float32" and found["sparsity"] == 0.9
    (batch,) = found["batches"]
    names = [layer["name"] for layer in batch["layers"]]
    assert names == ["", "0", "1", "2", "3", "4", "5"]
    assert batch["layers"][2]["flops"] == 2 * 2 * 64 * 300
    expected = predict(make_model("lenet300", (1, 8, 8), 10), (torch.zeros(2, 1, 8, 8),), machine())
    assert batch["predicted_seconds"] == pytest.approx(expected.seconds)
    assert batch["measured_seconds"] == pytest.approx(expected.seconds, rel=0.2) and set(batch["forms"]) == {
        "masked",
        "sparse",
        "slimmed",
    }
    assert batch["forms"]["masked"]["removed"] == pytest.approx(0.9, abs=1e-3)
    assert "needless" in batch["forms"]["slimmed"]["sentence"]
    assert found["machine"]["ceilings"]["peak_flops_per_second"] == 5e10
    assert measurements == [(1, (torch.float32,), "cpu")]


def test_a_machine_is_measured_once(measurements):
    for extra in ((), (), ("--measure",), ("--threads", 2), ("--dtype", "bfloat16"), ("--dtype", "bfloat16")):
        call("--batch", 1, "--json", *extra)
    assert [(threads, dtypes) for threads, dtypes, _ in measurements] == [
        (1, (torch.float32,)), (1, (torch.float32,)), (2, (torch.float32,)), (1, (torch.bfloat16,))
    ]  # fmt: skip


def test_tables_and_the_figure(tmp_path, monkeypatch):
    monkeypatch.setattr("neuroprune.cli.roofline._SHOWN", 2)
    path = tmp_path / "roofline.png"
    text = call("--model", "lenet5", "--batch", 4, "--sparsity", 0.5, "--figure", path)
    assert "peak    50.0 GFLOP/s" in text and "working set" in text
    assert "lenet5 on digits, float32, batch 4" in text and "predicted" in text and "measured (" in text
    assert "not calibrated, and taken for what is most like it: elementwise, pooling" in text
    assert "masked: 50% of the operations are needless" in text and "slimmed: " in text
    assert "of 3 Linear layers are sparse, where that is faster" in text
    assert "and 3 layers that take less (all of them with --json)" in text
    assert f"figure  {path}" in text and path.read_bytes().startswith(b"\x89PNG")


def test_a_disturbed_measurement_is_noted(monkeypatch):
    monkeypatch.setattr("neuroprune.bridge.timing.stopwatch", lambda *_, **__: lambda call: Timing(1e-3, 0.5))
    assert "samples of that spread by 50%: the machine is busy" in call("--batch", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch", "1,x"), "--batch 1,x: write numbers of images like 1,64"),
        (("--batch", "0"), "--batch 0: write numbers"),
        (("--batch", "²"), "write numbers"),
        (("--sparsity", 1), "--sparsity 1: the share must be between 0 and 1"),
        (("--figure", "roof.doc"), "must end in .png, .svg or .pdf"),
        (("--model", "lenet7"), "no model 'lenet7'"),
    ],
)
def test_mistakes(arguments, message):
    assert message in call(*arguments, status=2)


def test_the_figure_shows_ceilings_and_layers():
    from neuroprune.plotting import plot_roofline

    on_paper = machine()
    found = predict(make_model("lenet5", (1, 8, 8), 10), (torch.zeros(16, 1, 8, 8),), on_paper)
    ax = plot_roofline(on_paper.ceilings["float32"], found.layers, title="lenet5")
    products = [layer for layer in found.layers if layer.work.flops]
    lines = [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in ax.lines]
    points = {(x[0], y[0]) for x, y in lines if len(x) == 1}
    assert points == {(x.work.flops / x.work.bytes, x.work.flops / x.seconds / 1e9) for x in products}
    roofs = [y.max() for x, y in lines if len(x) > 2]
    assert roofs == [50.0, 50.0]  # of the fastest and the slowest memory
    assert any("GFLOP/s" in text.get_text() for text in ax.texts)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


@pytest.mark.parametrize("text", ['{"format": 0}', "no JSON"])
def test_a_machine_that_cannot_be_read_is_measured_again(measurements, tmp_path, text):
    path = tmp_path / "cache" / "machines" / "cpu-1-thread.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    result = CliRunner().invoke(app, ["roofline", "--batch", "1"])
    assert result.exit_code == 0 and len(measurements) == 1
    note, *others = result.stderr.splitlines()
    assert note.startswith("note: ") and str(path) in note and others[0].startswith("measuring this machine")
    assert Machine.load(path).is_here()


FACTORIES = """
from torch import nn


class Reads(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.fc = nn.Linear(64, n)

    def forward(self, x):
        return self.fc(x.flatten(1).to(self.fc.weight.dtype))


def zero(shape, n):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, n))
    nn.init.zeros_(model[3].weight)
    return model


reads = lambda shape, n: Reads(n)
"""


@pytest.mark.parametrize(
    ("factory", "message"), [("zero", "3: nothing was removed"), ("reads", "0 of 1 Linear layers are sparse")]
)
def test_networks_of_one_s_own(tmp_path, monkeypatch, factory, message):
    (tmp_path / "networks_to_time.py").write_text(FACTORIES)
    monkeypatch.chdir(tmp_path)
    assert message in call("--model", f"networks_to_time:{factory}", "--sparsity", 0.95, "--batch", 64)
