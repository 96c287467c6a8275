"""Where studies keep what they print: ``results/<study>.txt``, headed by the command that made it."""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from neuroprune import __version__

_BEGAN = time.perf_counter()


def keep(script: str, lines: Sequence[str]) -> None:
    """Print the lines of a study, and keep them beside it with the command, the version and the wall time."""
    command = shlex.join(["python", Path(script).name, *sys.argv[1:]])
    made = f"neuroprune {__version__}; wall time {time.perf_counter() - _BEGAN:.0f} s"
    text = "\n".join([f"$ {command}", made, "", *lines]) + "\n"
    print(text, end="")
    results = Path(script).resolve().parent / "results" / f"{Path(script).stem}.txt"
    results.parent.mkdir(exist_ok=True)
    results.write_text(text, encoding="utf-8")
