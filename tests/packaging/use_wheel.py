"""Build the distributions and use the wheel as somebody who has nothing else of this repository.

Run by ``make wheel-test``, not by pytest: it installs a second environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CONSTRAINTS = REPOSITORY / "constraints.txt"
SHORT_RUN = ("run", "cerebellum", "--from", "P3", "--to", "P4", "--set", "system.purkinje_cells=10")

INSTALLED = """
import importlib.util, pathlib, sys, neuroprune
assert pathlib.Path(neuroprune.__file__).is_relative_to(sys.prefix), neuroprune.__file__
assert importlib.util.find_spec("torch") is None, "a plain install brought torch"
print(neuroprune.__version__)
"""


def run(*command: str | Path, cwd: Path = REPOSITORY, **environment: str) -> str:
    """Run a command and return its standard output; what it says on standard error is passed on."""
    print("$", *command, file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"exit status {done.returncode} after printing:\n{done.stdout}")
    return done.stdout


def build(folder: Path) -> Path:
    """Build the source distribution, and from it the wheel; return the wheel."""
    run(sys.executable, "-m", "build", "--outdir", folder, REPOSITORY, PIP_CONSTRAINT=str(CONSTRAINTS))
    (wheel,) = folder.glob("*.whl")
    return wheel


def check_content(wheel: Path) -> None:
    """Check that the wheel holds one package, with the models inside it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"neuroprune", f"{'-'.join(wheel.stem.split('-')[:2])}.dist-info"}, tops
    models = {path.relative_to(REPOSITORY / "models") for path in (REPOSITORY / "models").rglob("*.toml")}
    missing = {path for path in models if f"neuroprune/_models/{path.as_posix()}" not in names}
    assert models and not missing, missing


def use(wheel: Path, scratch: Path) -> None:
    """Install the wheel into a new environment and try the commands from an empty folder."""
    environment, empty = scratch / "venv", scratch / "empty"
    empty.mkdir()
    run(sys.executable, "-m", "venv", environment)
    python, neuroprune = environment / "bin" / "python", environment / "bin" / "neuroprune"
    run(python, "-m", "pip", "install", "-qq", "--no-compile", "-c", CONSTRAINTS, wheel)

    def command(*arguments: str) -> str:
        return run(neuroprune, *arguments, cwd=empty, NEUROPRUNE_CACHE_DIR=str(scratch / "cache"))

    version = run(python, "-c", INSTALLED, cwd=empty).strip()
    assert version == wheel.name.split("-")[1], version
    assert command("--version").split() == ["neuroprune", version]
    assert "cerebellum" in command("models")
    assert "competition" in command("rules")
    worm = json.loads(command("analyze", "celegans_varshney2011", "--null", "degree", "--samples", "50", "--json"))
    assert (worm["n"], worm["m"], worm["triads"]["030T"]) == (279, 2194, 1453), worm
    assert worm["null"]["triads"]["030T"]["sd"] > 0, worm["null"]
    report = json.loads(command(*SHORT_RUN, "--out", "out", "--json"))
    assert report["complete"] is True, report
    assert [row["age"] for row in report["ages"]][-1] == "P4", report["ages"]
    assert (empty / report["record"]).stat().st_size > 0
    assert (empty / report["figure"]).stat().st_size > 0
    command("analyze", report["record"], "--age", "P4", "--figure", "out/graph.png")
    assert (empty / "out" / "graph.png").stat().st_size > 0
    assert {path.name for path in empty.iterdir()} == {"out"}


def main() -> None:
    """Build, look inside, install, use."""
    with tempfile.TemporaryDirectory(prefix="neuroprune-wheel-") as name:
        scratch = Path(name)
        wheel = build(scratch / "dist")
        check_content(wheel)
        use(wheel, scratch)
        print(f"{wheel.name}: built, installed and used from an empty folder")


if __name__ == "__main__":
    main()
