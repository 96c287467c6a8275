"""The package and its help start without loading a simulator, a tensor library or a plotting library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("brian2", "torch", "matplotlib", "xarray", "pandas", "numba")

REPORT = """
import sys
print("loaded:", *sorted(set(sys.modules) & set({heavy!r})))
"""

IMPORT = "import neuroprune\n"

HELP = """
import sys
from neuroprune.cli import main
sys.argv = ["neuroprune", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def run_in_fresh_process(program: str, directory: Path) -> list[str]:
    """Run a program in a new interpreter, away from the repository; return the lines it printed."""
    done = subprocess.run([sys.executable, "-c", program], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("program", [IMPORT, HELP], ids=["import", "help"])
def test_starts_light(program: str, tmp_path: Path) -> None:
    lines = run_in_fresh_process(program + REPORT.format(heavy=HEAVY), tmp_path)
    assert lines[-1].split() == ["loaded:"]


@pytest.mark.parametrize("name", ["matplotlib", "xarray"])
def test_the_check_sees_a_heavy_import(name: str, tmp_path: Path) -> None:
    lines = run_in_fresh_process(f"import {name}\n" + REPORT.format(heavy=HEAVY), tmp_path)
    assert name in lines[-1].split()


def test_remove_synapses_is_offered_without_loading_brian2_before_its_use() -> None:
    code = (
        "import sys, neuroprune.spiking.cerebellum, neuroprune.spiking as s; assert 'brian2' not in sys.modules; "
        "assert s.remove_synapses.__module__ == 'neuroprune.spiking.removal'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
