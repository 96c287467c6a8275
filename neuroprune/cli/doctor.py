"""``neuroprune doctor``: whether this machine has what runs need."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, NamedTuple

import typer

Status = Literal["ok", "warn", "fail"]

_NEEDED = (
    "brian2",
    "numpy",
    "scipy",
    "pydantic",
    "pint",
    "xarray",
    "h5netcdf",
    "h5py",
    "networkx",
    "numba",
    "matplotlib",
)
_OPTIONAL = {"torch": "the bridge to torch", "igraph": "communities", "leidenalg": "directed communities"}
_ROOM = 1e9


class Finding(NamedTuple):
    """The result of one check."""

    status: Status
    what: str
    detail: str


def doctor() -> None:
    """Check what this machine has and runs need."""
    failed = False
    for check in (_python, _packages, _models, _compiler, _cache, _removal):
        for finding in check():
            typer.echo(f"{finding.status:5} {finding.what:12} {finding.detail}")
            failed |= finding.status == "fail"
    if failed:
        raise typer.Exit(1)


def _python() -> Iterator[Finding]:
    good = (3, 11) <= sys.version_info[:2] < (3, 14)
    detail = platform.python_version() + ("" if good else ": it must be 3.11, 3.12 or 3.13")
    yield Finding("ok" if good else "fail", "python", detail)
    known = platform.system() in ("Linux", "Darwin")
    detail = f"{platform.platform()}, {os.cpu_count()} processors" + ("" if known else ": not tested")
    yield Finding("ok" if known else "warn", "platform", detail)


def _packages() -> Iterator[Finding]:
    for name in _NEEDED:
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("fail", name, "not installed")
    for name, purpose in _OPTIONAL.items():
        try:
            yield Finding("ok", name, version(name))
        except PackageNotFoundError:
            yield Finding("ok", name, f"not installed; only {purpose} needs it")


def _models() -> Iterator[Finding]:
    from neuroprune.experiments import list_models

    models = list_models()
    yield Finding("ok" if models else "fail", "models", ", ".join(models) or "none found")


def _compiler() -> Iterator[Finding]:
    from neuroprune.spiking.standalone import compiler_available

    command = compiler_available()
    missing = "no C++ compiler works here: simulations run, some fifty times slower"
    yield Finding("warn", "compiler", missing) if command is None else Finding("ok", "compiler", command)


def _cache() -> Iterator[Finding]:
    from neuroprune.spiking.standalone.cache import default_root

    folder = default_root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        advice = "set NEUROPRUNE_CACHE_DIR to a folder that can be written"
        yield Finding("fail", "cache", f"{folder}: {error.strerror}; {advice}")
        return
    yield Finding("ok" if free > _ROOM else "warn", "cache", f"{folder}, {free / 1e9:.1f} GB free")


def _removal() -> Iterator[Finding]:
    try:
        _remove_synapses()
    except Exception as error:  # whatever is wrong with Brian2 here is what this check is for
        yield Finding("fail", "brian2 test", f"{type(error).__name__}: {error}".splitlines()[0])
    else:
        yield Finding("ok", "brian2 test", "synapses are removed exactly")


def _remove_synapses() -> None:
    import brian2
    import numpy as np

    from neuroprune.spiking.removal import remove_synapses

    brian2.BrianLogger.suppress_name("unused_brian_object")  # nothing has to run here
    brian2.prefs.codegen.target = "numpy"
    cells = brian2.NeuronGroup(2, "v : 1", name="doctor_cells")
    synapses = brian2.Synapses(cells, cells, "w : 1", name="doctor_synapses")
    synapses.connect(i=[0, 0, 1, 1], j=[0, 1, 0, 1])
    remove_synapses(synapses, np.asarray([True, False, True, True]))
