"""Run a child process to its end, or not at all."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path


def launch(command: list[str], folder: Path, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run `command` in `folder` and return its exit status and all that it printed.

    The child gets a process group of its own, so that Ctrl-C reaches only this process. Whatever is raised
    here while waiting, KeyboardInterrupt above all, kills the group before it goes on.

    Raises
    ------
    OSError
        If the command cannot be started.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    try:
        text, _ = process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        raise
    return process.returncode, text.strip()
