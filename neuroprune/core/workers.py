"""A few processes that do one task after another, so that what they import is imported once."""

import multiprocessing
import signal
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from neuroprune.core.errors import EngineError, NeuropruneError

Tell = Callable[[Any], None]
Work = Callable[[Any, Tell], Any]


def work_in_processes(
    work: Work, tasks: Sequence[Any], *, names: Sequence[str], processes: int, hear: Callable[[int, Any], None]
) -> list[Any]:
    """Do tasks in processes of their own, and return the results in the order of the tasks.

    Parameters
    ----------
    work : function
        Called in a process with a task and a function that tells this process something. It, the tasks and the
        results must be picklable.
    tasks : sequence
    names : sequence of str
        What errors call each task; empty for nothing.
    processes : int
        How many there are, at the most. Each does one task after another.
    hear : function
        Called here with the index of a task and what was told of it.

    Raises
    ------
    NeuropruneError
        Of the first task that fails; EngineError if its process died.
    RuntimeError
        If a task fails in another way, with the traceback of its process.
    """
    results: list[Any] = [None] * len(tasks)
    pending = deque(range(len(tasks)))
    workers: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(processes, len(tasks))):
            worker = _Worker(work)
            workers[worker.connection] = worker
            worker.give(index := pending.popleft(), tasks[index])
        while workers:
            for connection in wait(list(workers)):
                worker = workers[connection]  # type: ignore[index]
                index, name = worker.index, names[worker.index]
                message, content = worker.receive(name)
                if message == "told":
                    hear(index, content)
                elif message == "error":
                    kind, text = content
                    raise kind(named(name, text))
                else:
                    results[index] = content
                    if pending:
                        worker.give(index := pending.popleft(), tasks[index])
                    else:
                        workers.pop(worker.connection).stop()
    finally:
        for worker in workers.values():
            worker.process.terminate()
        for worker in workers.values():
            worker.stop()
    return results


def named(name: str, text: str) -> str:
    """Return a message that says what it is about."""
    return f"{name}: {text}" if name else text


class _Worker:
    """The process, as its parent sees it, and the index of the task that it does."""

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self.index = -1
        _start_deaf(self.process)
        theirs.close()  # so that the connection breaks when the process dies

    def give(self, index: int, task: Any) -> None:
        self.index = index
        with suppress(ConnectionError):  # it died: so the next receive says
            self.connection.send(task)

    def stop(self) -> None:
        self.process.terminate()
        self.connection.close()  # whatever it still tells fails, should it have missed the signal
        self.process.join()

    def receive(self, name: str) -> tuple[str, Any]:
        try:
            return self.connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            code = self.process.exitcode
            why = f"killed by signal {-code}, perhaps for memory" if code and code < 0 else f"exit status {code}"
            raise EngineError(named(name, f"its process ended without a result ({why})")) from None


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


def _serve(connection: Connection, work: Work) -> None:
    """Do the tasks that come, and answer; end when the parent is gone."""
    signal.signal(signal.SIGTERM, _leave)  # so that what this process started and wrote is cleaned up
    with suppress(EOFError, ConnectionError):
        while True:
            connection.send(_answer(work, connection.recv(), connection))


def _answer(work: Work, task: Any, connection: Connection) -> tuple[str, Any]:
    try:
        return "done", work(task, lambda content: connection.send(("told", content)))
    except NeuropruneError as error:
        return "error", (type(error), str(error))
    except Exception:
        return "error", (RuntimeError, traceback.format_exc())
