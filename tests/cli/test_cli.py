"""The command line as its users meet it: output, exit statuses, and one line when something is wrong."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import toy_system
from typer.testing import CliRunner

from neuroprune import __version__
from neuroprune.cli import app
from neuroprune.core.errors import RecordError
from neuroprune.experiments import find_model
from neuroprune.record import open_record


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = toy_system.install(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return str(path.relative_to(tmp_path))


def call(*arguments: str, status: int = 0) -> str:
    """Run a command that must end with a status; return its stdout, or the one line of stderr if it fails."""
    result = CliRunner().invoke(app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    if status == 0:
        return result.stdout
    line = result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.output
    return line


# --- run ---


def test_run_prints_a_table_and_leaves_record_and_figure(toy: str) -> None:
    output = call("run", toy, "--condition", "half_drive")
    lines = output.splitlines()
    assert lines[0] == "toy, half_drive, seed 1"
    assert lines[2].split() == ["P0", "P2", "P4", "P8"]
    assert any(line.startswith("total weight") for line in lines)
    record, figure = Path("runs/toy-half_drive-seed1.nc"), Path("runs/toy-half_drive-seed1.png")
    assert f"record  {record}" in output and f"figure  {figure}" in output
    assert open_record(record).complete
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_run_as_json(toy: str) -> None:
    content = json.loads(call("run", toy, "--json", "--seed", "5", "--no-figure", "--out", "here", "--to", "P3"))
    assert (content["system"], content["seed"], content["conditions"]) == ("toy", 5, [])
    assert (content["record"], content["figure"]) == ("here/toy-seed5.nc", None)
    assert content["seconds"].keys() == {"compile", "run", "total"}
    assert [entry["age"] for entry in content["ages"]] == ["P0", "P2", "P3"]
    assert content["ages"][0]["drive"] == pytest.approx(2e-9)


def test_seeds_are_summarised(toy: str) -> None:
    content = json.loads(call("run", toy, "--json", "--seeds", "3", "--seed", "2", "--no-figure"))
    assert [r["seed"] for r in content["runs"]] == [2, 3, 4]
    last = [r["ages"][-1]["total_weight"] for r in content["runs"]]
    summary = content["summary"][-1]["total_weight"]
    assert summary["n"] == 3 and summary["sd"] > 0
    assert summary["mean"] == pytest.approx(sum(last) / 3)
    table = call("run", toy, "--seeds", "3", "--seed", "2", "--no-figure", "--resume")
    assert "mean ± SD of 3 seeds" in table and "±" in table.splitlines()[4]


def test_what_is_set_is_what_runs(toy: str) -> None:
    call("run", toy, "--set", "system.cells=3", "--set", "rules.loss.rate=0 / day", "--no-figure")
    record = open_record("runs/toy-seed1.nc")
    assert record.connections.sizes["connection"] == 12
    assert (record.connections["death_step"].values < 0).all()


def test_progress_is_sparse_where_there_is_no_terminal(toy: str) -> None:
    result = CliRunner().invoke(app, ["run", toy, "--no-figure"])
    lines = result.stderr.splitlines()
    assert lines[0] == "building the toy"
    assert 3 <= len(lines) <= 7 and lines[-1].startswith("seed 1: P8")
    assert "seed 1: P8" not in result.stdout


def test_resume_goes_on_and_refuses_other_runs(toy: str) -> None:
    call("run", toy, "--no-figure")
    result = CliRunner().invoke(app, ["run", toy, "--no-figure", "--resume"])
    assert "is complete already" in result.stderr
    line = call("run", toy, "--no-figure", "--resume", "--set", "system.cells=3", status=1)
    assert line.startswith("error: runs/toy-seed1.nc is the record of another run: its config.system.cells is 6")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "system.cels=3"], "error: --set: unknown parameter system.cels: did you mean 'cells'?"),
        (["--set", "rules.loss.rate=5 mV"], 'error: --set: rules.loss.rate: "5 mV" has the wrong unit'),
        (["--set", "rules.loss.rate=0.5"], 'rules.loss.rate: 0.5 has no unit: write it like "0.5 / day"'),
        (["--set", "rules.loss.rate=-0.5 / day"], 'rules.loss.rate = "-0.5 / day": it must be a quantity in 1/day'),
        (["--set", "rules.losses.rate=1 / day"], "there is no rule 'losses' here: did you mean 'loss'?"),
        (["--set", "system.cells"], "error: --set system.cells: write it like --set"),
        (["--condition", "lesion"], "error: unknown condition 'lesion' of toy: it must be one of half_drive"),
        (["--to", "E12"], "error: --to: age 'E12' is not valid: write it like P3"),
        (["--from", "P8"], "development ends at P8 but starts at P8: the end must be later"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line(toy: str, arguments: list[str], message: str) -> None:
    assert message in call("run", toy, *arguments, status=2)
    assert not Path("runs").exists()


def test_an_unknown_model_is_named(toy: str) -> None:
    assert "error: unknown model 'cerebelum': it must be one of" in call("run", "cerebelum", status=2)
    assert call("run", "mine.toml", status=2) == "error: no file mine.toml"


def test_a_folder_that_cannot_be_written_is_one_line(toy: str) -> None:
    Path("runs").write_text("a file")
    assert call("run", toy, status=1).startswith("error: cannot write the record runs/toy-seed1.nc")


def test_a_full_disk_is_one_line(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "runs/toy-seed1.png")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    assert call("run", toy, status=1) == "error: No space left on device: runs/toy-seed1.png"


def test_an_unexpected_error_keeps_its_traceback(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy_system, "build", lambda *_, **__: 1 / 0)
    result = CliRunner().invoke(app, ["run", toy])
    assert isinstance(result.exception, ZeroDivisionError)


def test_an_interrupt_says_how_to_go_on(toy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["neuroprune", "run", toy, "--seed", "4"])
    monkeypatch.setattr(toy_system.Toy, "apply", interrupted)
    line = call("run", toy, "--seed", "4", status=130)
    assert line == "interrupted; go on with: neuroprune run toy/model.toml --seed 4 --resume"
    monkeypatch.undo()


# --- show ---


def test_show(toy: str) -> None:
    call("run", toy, "--condition", "half_drive", "--no-figure")
    path = "runs/toy-half_drive-seed1.nc"
    text = call("show", path)
    assert text.startswith("<Record of toy, seed 1, P0 to P8")
    assert "conditions   half_drive" in text and "loss " in text and "total weight" in text
    content = json.loads(call("show", path, "--json"))
    assert content["complete"] and content["experiment"] == "toy"
    assert sum(content["connections"].values()) == 24


def test_show_refuses_what_is_no_record(toy: str) -> None:
    assert call("show", "runs/none.nc", status=1) == "error: no record at runs/none.nc"
    Path("text.nc").write_text("hello")
    assert "error: cannot read text.nc: not a record, or truncated" in call("show", "text.nc", status=1)
    call("run", toy, "--no-figure")
    whole = Path("runs/toy-seed1.nc").read_bytes()
    Path("half.nc").write_bytes(whole[: len(whole) // 2])
    assert "error: cannot read half.nc: not a record, or truncated" in call("show", "half.nc", status=1)
    with pytest.raises(RecordError):
        open_record("half.nc")


# --- what there is ---


def test_models_lists_conditions() -> None:
    text = call("models")
    assert "cerebellum" in text and "no_microglia" in text and "microglia absent" in text


def test_rules_lists_what_each_needs_and_its_parameters() -> None:
    text = call("rules")
    assert "elimination  Withdraw tagged inputs" in text
    assert "contacts, microglia, protection" in text
    assert "rate: a quantity in 1/day, at least 0 (required)" in text


def test_config_prints_an_experiment_that_runs(toy: str) -> None:
    text = call("config", toy, "--set", "system.cells=3", "--condition", "no_loss_p4")
    assert "cells = 3" in text and 'drive = "2 nS"' in text
    Path("mine.toml").write_text(text)
    assert call("config", "mine.toml") == text
    sources = call("config", toy, "--sources", "--set", "system.cells=3")
    assert 'drive = { value = "2 nS", source = "Toy et al. 2001", confidence = "read", note = "peak" }' in sources
    assert 'cells = { value = 3, note = "set by --set" }' in sources


def test_config_of_the_cerebellum_says_where_values_come_from() -> None:
    assert "confidence" in call("config", str(find_model("cerebellum")), "--sources")


def test_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROPRUNE_CACHE_DIR", str(tmp_path))
    lines = call("doctor").splitlines()
    assert all(line.split()[0] in ("ok", "warn") for line in lines)
    assert any(line.startswith("ok    brian2 test") for line in lines)
    assert any(str(tmp_path) in line for line in lines)


def test_doctor_fails_on_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NEUROPRUNE_CACHE_DIR", str(tmp_path / "file"))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "set NEUROPRUNE_CACHE_DIR to a folder that can be written" in result.stdout


# --- in processes of their own ---

PROGRAM = [sys.executable, "-m", "neuroprune"]


def test_version_and_help() -> None:
    done = subprocess.run([*PROGRAM, "--version"], capture_output=True, text=True)
    assert done.stdout == f"neuroprune {__version__}\n"
    for command in ("run", "show", "models", "rules", "config", "doctor"):
        assert f"{command} [OPTIONS]" in call(command, "--help")


def test_help_of_every_command_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from neuroprune.cli import main\n"
        "sys.argv = ['neuroprune', 'run', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'brian2', 'torch', 'matplotlib', 'xarray', 'numpy', 'scipy', 'pint'}\n"
        "print('loaded:', *sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]


def test_output_may_be_cut_off() -> None:
    with subprocess.Popen([*PROGRAM, "rules"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_control_c_in_a_terminal_leaves_what_resumes(tmp_path: Path, processes: str) -> None:
    small = ["system.purkinje_cells=4", "development.activity=20 ms", "development.record=[]"]
    arguments = ["run", "cerebellum", "--engine", "runtime", "--no-figure", "--to", "P4", "--out", str(tmp_path)]
    arguments += [part for text in small for part in ("--set", text)]
    arguments += ["--seeds", "2", "--processes", processes]
    text, status = interrupt([*PROGRAM, *arguments], when="Hz")
    assert status == 130, text
    assert "interrupted; go on with: neuroprune run" in text and "Traceback" not in text
    interrupted = open_record(tmp_path / "cerebellum-seed1.nc")
    assert not interrupted.complete
    done = subprocess.run([*PROGRAM, *arguments, "--resume", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(r["complete"] for r in json.loads(done.stdout)["runs"])


def interrupt(command: list[str], when: str) -> tuple[str, int]:
    """Run a command in a terminal of its own and press Ctrl-C once it has printed `when`."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    text, pressed, deadline = "", False, time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                text += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # the terminal closes with its last process
                break
        if when in text and not pressed:
            os.write(terminal, b"\x03")
            pressed = True
    os.close(terminal)
    return text, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
