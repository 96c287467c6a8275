"""Many seeds side by side, each in a process of its own."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any

from neuroprune.core.errors import EngineError, NeuropruneError, SpecificationError
from neuroprune.development import Progress
from neuroprune.experiments.experiment import load_experiment
from neuroprune.experiments.running import Run, record_path, run_experiment, silent
from neuroprune.record import open_record


@dataclass
class _Child:
    process: SpawnProcess
    connection: Connection
    seed: int


def run_seeds(
    name_or_path: str | Path = "cerebellum",
    *,
    seeds: Sequence[int],
    out: Path | str,
    processes: int = 1,
    conditions: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    start: str | float | None = None,
    stop: str | float | None = None,
    origin: str = "overrides",
    progress: Callable[[int, Progress], None] | None = None,
    say: Callable[[str], None] = silent,
    **options: Any,
) -> list[Run]:
    """Run an experiment with several seeds and return the runs in the order of the seeds.

    Parameters
    ----------
    name_or_path, conditions, overrides, start, stop, origin
        See :func:`neuroprune.experiments.load_experiment`.
    seeds : sequence of int
    out : Path
        Folder for the records, one for each seed.
    processes : int
        How many seeds run at a time. It changes no result.
    progress : function, optional
        Called with the seed and its progress.
    say : function, optional
    **options
        ``resume``, ``engine`` and ``activity_seed`` of :func:`neuroprune.experiments.run`.

    Raises
    ------
    NeuropruneError
        Of the first seed that fails, naming it; the others are stopped and can be resumed.
    """
    if processes < 1:
        raise SpecificationError(f"processes = {processes}: it must be at least 1")
    if len(set(seeds)) != len(seeds) or not seeds:
        raise SpecificationError(f"seeds = {list(seeds)}: it must list at least one seed, each once")
    loading = {
        "conditions": tuple(conditions),
        "overrides": overrides,
        "start": start,
        "stop": stop,
        "origin": origin,
    }
    experiment = load_experiment(name_or_path, **loading)  # what is malformed is said before a process starts
    if processes == 1:
        runs = []
        for seed in seeds:
            told = None if progress is None else (lambda p, seed=seed: progress(seed, p))
            runs.append(run_experiment(experiment, seed=seed, out=out, progress=told, say=say, **options))
        return runs

    seconds: dict[int, Any] = {}
    pending, running = list(seeds), dict[Connection, _Child]()
    context = multiprocessing.get_context("spawn")
    try:
        while pending or running:
            while pending and len(running) < processes:
                seed = pending.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                arguments = (sender, str(name_or_path), loading, {**options, "seed": seed, "out": str(out)})
                process = context.Process(target=_work, args=arguments, daemon=True, name=f"seed {seed}")
                _start_deaf(process)
                sender.close()
                running[receiver] = _Child(process, receiver, seed)
            for connection in wait(list(running)):
                child = running[connection]  # type: ignore[index]
                message, content = _receive(child)
                if message == "progress" and progress is not None:
                    progress(child.seed, content)
                elif message == "say":
                    say(f"seed {child.seed}: {content}")
                elif message == "error":
                    kind, text = content
                    raise kind(f"seed {child.seed}: {text}")
                elif message == "done":
                    seconds[child.seed] = content
                    child.process.join()
                    del running[child.connection]
    finally:
        for child in running.values():
            child.process.terminate()
        for child in running.values():
            child.process.join()
    paths = {seed: record_path(experiment, seed, out) for seed in seeds}
    return [Run(seed, open_record(paths[seed]), paths[seed], seconds[seed]) for seed in seeds]


def _receive(child: _Child) -> tuple[str, Any]:
    try:
        return child.connection.recv()
    except EOFError:
        child.process.join()
        code = child.process.exitcode
        why = f"killed by signal {-code}, perhaps for memory" if code and code < 0 else f"exit status {code}"
        raise EngineError(f"seed {child.seed}: its process ended without a result ({why})") from None


def _start_deaf(process: SpawnProcess) -> None:
    """Start a process that does not hear Ctrl-C, which reaches a whole terminal: the parent stops it."""
    # The first start of all would start the resource tracker too, which unblocks SIGINT before the process inherits it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _work(connection: Connection, name: str, loading: dict[str, Any], options: dict[str, Any]) -> None:
    """Run one seed in a process of its own; the parent hears of progress, the end, and errors."""
    signal.signal(signal.SIGTERM, _leave)  # so that what this process started and wrote is cleaned up
    try:
        finished = run_experiment(
            load_experiment(name, **loading),
            progress=lambda p: connection.send(("progress", p)),
            say=lambda text: connection.send(("say", text)),
            **options,
        )
        connection.send(("done", dict(finished.seconds)))
    except NeuropruneError as error:
        connection.send(("error", (type(error), str(error))))
    except BrokenPipeError:
        pass  # the parent is gone, and the last checkpoint stands
