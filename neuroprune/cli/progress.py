"""Progress on stderr: bars in a terminal, a few plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from neuroprune.core.clock import format_age
from neuroprune.development import Progress

_LINES = 5
"""Plain lines per run."""


class Reporter:
    """Shows how far the runs of some seeds are; use it as a context manager."""

    def __init__(self) -> None:
        self._first: dict[int, tuple[int, float]] = {}
        self._tasks: dict[int, Any] = {}
        self._bars: Any = None
        self._waiting: Any = None
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

    def __enter__(self) -> "Reporter":
        if self._bars is not None:
            self._bars.start()
            self._waiting = self._bars.add_task("preparing", total=None, state="")
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
