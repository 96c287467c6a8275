"""Build a simulation once, and keep it under a name that says all that it was built from."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import inspect
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from platformdirs import user_cache_dir

from neuroprune.core.errors import EngineError, SpecificationError
from neuroprune.spiking.standalone import compiler
from neuroprune.spiking.standalone.binary import Binary
from neuroprune.spiking.standalone.manifest import Manifest, digest
from neuroprune.spiking.standalone.model import Model, generate

# Read at import: a file edited since then must not vouch for the code in memory.
_LAUNCHER = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
_BUILDING = threading.Lock()  # Brian2's device and preferences are global


def build(
    builder: Callable[[], Model],
    *,
    key: Mapping[str, Any],
    cache_dir: Path | None = None,
    seed_env: str = "NEUROPRUNE_SEED",
) -> Binary:
    """Return the binary of the model that `builder` makes, compiled only if the cache does not have it.

    Parameters
    ----------
    builder : callable
        Makes the Brian2 objects. It is called on a cache miss, while the standalone device is active and the
        default clock has 0.1 ms. It neither seeds nor runs, and connects synapses with ``i=`` and ``j=``.
    key : mapping
        Every constant that the builder bakes in, as JSON values. Together with the source of the builder's
        module and of this package, the versions of Brian2 and of the compiler, and the processor, it names
        the cache entry. What the builder takes from other modules belongs in it too.
    cache_dir : Path, optional
        Default: ``standalone`` in the folder that NEUROPRUNE_CACHE_DIR names, or else in the user's cache.
    seed_env : str
        The environment variable that carries the seed into the binary.

    Returns
    -------
    Binary

    Raises
    ------
    SpecificationError
        If the key or the model cannot be used.
    EngineError
        If there is no compiler, it fails, or the cache cannot be read or written.

    Notes
    -----
    Code is compiled without ``-ffast-math``, contracted floating point or OpenMP, so that results repeat.
    Any number of processes may call this at once: they build in turn, and an entry appears by one rename. Within
    a process, no other thread should use Brian2 during a build, which switches Brian2's device for a while.
    """
    identity = _identity(builder, key, seed_env)
    root = (default_root() if cache_dir is None else Path(cache_dir)).absolute()
    entry = root / digest(identity)[:32]
    if entry.is_dir():
        return Binary(entry, Manifest.load(entry))
    with _turn(root):
        if entry.is_dir():
            return Binary(entry, Manifest.load(entry))
        started = time.perf_counter()
        _compile(builder, entry, identity, seed_env)
        seconds = time.perf_counter() - started
    return Binary(entry, Manifest.load(entry), seconds)


def default_root() -> Path:
    return Path(os.environ.get("NEUROPRUNE_CACHE_DIR") or user_cache_dir("neuroprune")) / "standalone"


def _identity(builder: Callable[[], Model], key: Mapping[str, Any], seed_env: str) -> dict[str, Any]:
    """Return what decides the machine code. Not the generated C++: its order of statements is not stable."""
    function: Any = builder
    while isinstance(function, functools.partial):
        function = function.func
    try:
        name = f"{function.__module__}.{function.__qualname__}"
        source = inspect.getsource(inspect.getmodule(function))  # pyright: ignore[reportArgumentType]
    except (AttributeError, OSError, TypeError) as error:
        raise SpecificationError(f"the builder {builder!r} must be a function in a file: {error}") from error
    try:
        constants = json.loads(json.dumps(dict(key), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SpecificationError(f"the key of a build must consist of JSON values: {error}") from error
    try:
        packages = {name: metadata.version(name) for name in ("brian2", "sympy")}  # sympy orders the terms
    except metadata.PackageNotFoundError as error:
        raise EngineError(f"the package {error.name} is not installed") from error
    return {
        "key": constants,
        "builder": name,
        "source": hashlib.sha256(source.encode()).hexdigest(),
        "launcher": hashlib.sha256(_LAUNCHER).hexdigest(),  # it sets the compiler's flags
        "seed_env": seed_env,
        **packages,
        **compiler.identify(),
    }


@contextlib.contextmanager
def _turn(root: Path) -> Iterator[None]:
    """Wait until nobody else builds in the cache `root`: one compilation keeps all processors busy."""
    with _BUILDING, contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((root / ".lock").open("w"))
        except OSError as error:
            raise EngineError(f"the cache {root} cannot be written: {error}") from error
        # Some network disks have no locks: then two machines may compile the same, and a rename decides.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _compile(builder: Callable[[], Model], entry: Path, identity: dict[str, Any], seed_env: str) -> None:
    """Build in a temporary folder beside `entry`, and move what a run needs into place."""
    try:
        with tempfile.TemporaryDirectory(prefix=".build-", dir=entry.parent) as folder:
            project, finished = Path(folder, "project"), Path(folder, "finished")
            described = generate(builder, project, seed_env)
            compiler.make(project)
            finished.mkdir()
            for name in ("main", "static_arrays"):  # the code and its objects are twenty times as large
                (project / name).rename(finished / name)
            kept = [path for path in finished.rglob("*") if path.is_file()]
            files = {path.relative_to(finished).as_posix(): path.stat().st_size for path in kept}
            Manifest(**described, files=files, seed_env=seed_env, identity=identity).save(finished)
            try:
                finished.rename(entry)
            except OSError:
                if not entry.is_dir():  # otherwise another machine was first, with the same content
                    raise
    except OSError as error:
        raise EngineError(f"the simulation could not be built in {entry.parent}: {error}") from error
