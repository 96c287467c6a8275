"""What every test runs under: caches of its own, no window, reproducible examples, Ctrl-C as in a terminal."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

_CREATED = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Point every cache at one fresh folder before a test, or the package, is imported.

    The process that was started by hand makes the folder. The workers of pytest-xdist inherit the environment
    and so share it, and a simulator's binary is compiled once. ``NEUROPRUNE_TEST_CACHE`` names a folder that is
    kept between runs instead.
    """
    if hasattr(config, "workerinput"):
        return
    kept = os.environ.get("NEUROPRUNE_TEST_CACHE")
    if kept is None:
        cache = config.stash[_CREATED] = Path(tempfile.mkdtemp(prefix="neuroprune-tests-"))
    else:
        cache = Path(kept).expanduser().resolve()
    os.environ["NEUROPRUNE_CACHE_DIR"] = str(cache / "neuroprune")
    os.environ["CYTHON_CACHE_DIR"] = str(cache / "cython")
    os.environ["MPLBACKEND"] = "Agg"
    # A shell starts its background jobs with Ctrl-C ignored, and so would be every process that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the folder, in the process that made it."""
    if _CREATED in config.stash:
        shutil.rmtree(config.stash[_CREATED])
