"""Progress on stderr: bars in a terminal, a few plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from neuroprune.core.clock import format_age
from neuroprune.development import Progress

_LINES = 5
"""Plain lines per run."""
_LINES_IN_ALL = 20
"""Plain lines for all runs of an overview."""


class _Display:
    """Bars on stderr in a terminal, plain lines elsewhere; a context manager.

    Parameters
    ----------
    waiting : str
        What the bar says that is shown until there is progress.
    """

    def __init__(self, waiting: str) -> None:
        self._bars: Any = None
        self._waiting: Any = None
        self._text = waiting
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bars

            left = TimeRemainingColumn(compact=True)
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[state]}"),
                left,
            )
            self._bars = Bars(*columns, console=Console(stderr=True, highlight=False), transient=True)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
            self._waiting = self._bars.add_task(self._text, total=None, state="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Show a line of text."""
        if self._bars is not None:
            self._bars.console.print(text, markup=False)
        else:
            print(text, file=sys.stderr, flush=True)


class Reporter(_Display):
    """Shows how far the runs of some seeds are; use it as a context manager."""

    def __init__(self) -> None:
        super().__init__("preparing")
        self._first: dict[int, tuple[int, float]] = {}
        self._tasks: dict[int, Any] = {}

    def step(self, seed: int, progress: Progress) -> None:
        """Show that a run has finished a step."""
        state = f"{format_age(progress.age):6} {progress.alive:6} inputs{_rate(progress.measures)}"
        first, began = self._first.setdefault(seed, (progress.step, time.monotonic()))
        if self._bars is not None:
            self._bars.update(self._waiting, visible=False)
            if seed not in self._tasks:
                self._tasks[seed] = self._bars.add_task(
                    f"seed {seed}", total=progress.n_steps, completed=first, state=state
                )
            self._bars.update(self._tasks[seed], completed=progress.step, state=state)
        elif progress.step * _LINES // progress.n_steps > (progress.step - 1) * _LINES // progress.n_steps:
            pace = (time.monotonic() - began) / max(1, progress.step - first)
            left = f"  {pace * (progress.n_steps - progress.step):.0f} s left" if progress.step > first else ""
            print(f"seed {seed}: {state}{left}", file=sys.stderr, flush=True)


class Overview(_Display):
    """Shows how many of several runs are done, in one bar; use it as a context manager."""

    def __init__(self) -> None:
        super().__init__("runs")
        self._began = time.monotonic()
        self._first: float | None = None
        self._next = 0.0

    def step(self, done: float, total: int) -> None:
        """Show how many runs are done, parts included."""
        if self._bars is not None:
            self._bars.update(self._waiting, completed=done, total=total, state=f"{int(done)} of {total}")
            return
        if self._first is None:
            self._first, self._began = done, time.monotonic()
        if done >= self._next:
            self._next = done + total / _LINES_IN_ALL
            pace = (time.monotonic() - self._began) / max(done - self._first, 1e-9)
            left = f", {pace * (total - done):.0f} s left" if done > self._first else ""
            print(f"{int(done)} of {total} runs{left}", file=sys.stderr, flush=True)


def _rate(measures: Mapping[str, float]) -> str:
    rate = next((value for name, value in measures.items() if name.endswith("_rate")), None)
    return "" if rate is None else f"  {rate:.2f} Hz"


@contextmanager
def sampling(samples: int) -> Iterator[Callable[[int], None] | None]:
    """Show a bar for the samples of a null model, in a terminal; yield what is told how many are done."""
    if not samples or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True, highlight=False), transient=True) as bars:
        task = bars.add_task("null samples", total=samples)
        yield lambda done: bars.update(task, completed=done)
