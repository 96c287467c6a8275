"""The C++ compiler of this machine, and what its code depends on."""

import contextlib
import functools
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from neuroprune.core.errors import EngineError
from neuroprune.spiking.standalone.process import launch

# Nearly every source begins with the same headers: reading them once takes half off the compilation.
_PRECOMPILED = """
$(OBJS): objects.h.gch
$(OBJS): CXXFLAGS += -include objects.h
objects.h.gch: $(H_SRCS)
\t$(CXX) $(OPTIMISATIONS) -I. -x c++-header objects.h -o $@
"""


@functools.cache
def compiler_available() -> str | None:
    """Return the command of a C++ compiler that makes a working program here, or None.

    It is $CXX if that is set, else the first of g++, c++ and clang++. The trial is made once per process.
    """
    command = _command()
    if command is None or shutil.which("make") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="neuroprune-") as folder:
        source, program = Path(folder, "trial.cpp"), Path(folder, "trial")
        source.write_text("#include <vector>\nint main() { return std::vector<int>(7).size() != 7; }\n")
        for step in ([*command, str(source), "-o", str(program)], [str(program)]):
            try:
                if subprocess.run(step, capture_output=True).returncode != 0:
                    return None
            except OSError:
                return None
    return shlex.join(command)


def identify() -> dict[str, object]:
    """Return the compiler and the processor, which decide the machine code that a source becomes.

    Raises
    ------
    EngineError
        If there is no compiler at all.
    """
    command = _command()
    if command is None:
        raise EngineError("no C++ compiler: install g++ or clang++, set CXX, or use Brian2's runtime mode")
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, errors="replace")
    return {
        "compiler": [shlex.join(command), *version.stdout.splitlines()[:1]],
        "machine": platform.machine(),
        "processor": _processor(),
    }


def make(project: Path) -> None:
    """Compile the Brian2 project in the folder `project`.

    Raises
    ------
    EngineError
        If it does not compile; the message ends with what the compiler said.
    """
    compiler = compiler_available()
    if compiler is None:
        raise EngineError("the C++ compiler does not work, or there is no make: see compiler_available()")
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    jobs = len(affinity(0)) if affinity else os.cpu_count() or 1
    # A make that started this process would hand down its own flags.
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    (project / "precompiled.mk").write_text(_PRECOMPILED)
    command = ["make", "-f", "makefile", "-f", "precompiled.mk", f"-j{jobs}", f"CXX={compiler}"]
    status, text = launch(command, project, environment)
    if status != 0:
        raise EngineError(f"the simulation does not compile (make exits with {status}):\n{text[-4000:]}")


def _command() -> list[str] | None:
    """Return the compiler's command with the full path of its program."""
    chosen = os.environ.get("CXX", "").strip()
    for candidate in [chosen] if chosen else ["g++", "c++", "clang++"]:
        program, *options = shlex.split(candidate)
        path = shutil.which(program)
        if path is not None:
            return [path, *options]
    return None


def _processor() -> list[str]:
    """Return the model and the features of the processor, which -march=native turns into instructions."""
    wanted = ("vendor_id", "model name", "flags", "CPU implementer", "CPU part", "Features")
    with contextlib.suppress(FileNotFoundError):  # Linux only
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
        return [line for line in first.splitlines() if line.partition(":")[0].strip() in wanted]
    asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
    return [asked.stdout.strip()]


def processor_name() -> str:
    """Return what the processor calls itself, or else its architecture."""
    lines = _processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter([*named, *(line for line in lines if ":" not in line and line)]), platform.machine())
