"""Which Brian2 mode runs a model: a compiled standalone binary, or Brian2's runtime where no compiler is."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, Literal, Protocol

import numpy as np

from neuroprune.core.errors import EngineError, SpecificationError
from neuroprune.core.provenance import code_version
from neuroprune.spiking.standalone import Model, Outputs, SpikeTrain, build, compiler_available
from neuroprune.spiking.standalone.compiler import processor_name

EngineName = Literal["auto", "standalone", "runtime"]


class Engine(Protocol):
    """Runs one model again and again."""

    @property
    def name(self) -> str:
        """``standalone`` or ``runtime``."""
        ...

    @property
    def compile_seconds(self) -> float:
        """Wall time spent on compiling, 0 when the binary was in the cache."""
        ...

    def run(self, inputs: Mapping[str, np.ndarray], *, seed: int, spikes: tuple[np.ndarray, np.ndarray]) -> Outputs:
        """Simulate once from the start."""
        ...


class Standalone:
    """A binary that is compiled once, kept in the cache, and run as a process of its own."""

    name = "standalone"

    def __init__(self, builder: Callable[[], Model], key: Mapping[str, Any]) -> None:
        self._binary = build(builder, key=key)
        self.compile_seconds = self._binary.compile_seconds

    def run(self, inputs: Mapping[str, np.ndarray], *, seed: int, spikes: tuple[np.ndarray, np.ndarray]) -> Outputs:
        """Simulate once from the start."""
        return self._binary.run(inputs, seed=seed, spikes=spikes)


class Runtime:
    """Brian2's runtime mode with the numpy target: no compiler needed, some fifty times slower."""

    name = "runtime"
    compile_seconds = 0.0

    def __init__(self, builder: Callable[[], Model]) -> None:
        from brian2 import prefs

        before = prefs.codegen.target
        prefs.codegen.target = "numpy"
        try:
            self._model = builder()
            self._model.network.store("start")
        finally:
            prefs.codegen.target = before

    def run(self, inputs: Mapping[str, np.ndarray], *, seed: int, spikes: tuple[np.ndarray, np.ndarray]) -> Outputs:
        """Simulate once from the start."""
        from brian2 import prefs, second
        from brian2 import seed as set_seed

        model = self._model
        if inputs.keys() != model.inputs.keys() or model.generator is None:
            raise SpecificationError(f"inputs are {sorted(inputs)}: they must be {sorted(model.inputs)}")
        model.network.restore("start")
        for name, (owner, variable) in model.inputs.items():
            owner.variables[variable].set_value(np.ascontiguousarray(inputs[name], dtype=float))
        # Brian2 rounds spike times down to a step, the binary's launcher to the nearest: make them the same here.
        dt = float(model.generator.clock.dt_)
        bins = np.rint(spikes[1] / dt)
        order = np.lexsort((spikes[0], bins))
        model.generator.set_spikes(spikes[0][order], bins[order] * dt * second)
        before = prefs.codegen.target, prefs.core.stop_on_keyboard_interrupt
        prefs.codegen.target = "numpy"
        # Brian2 would take Ctrl-C for the wish to end this simulation early, and return as if nothing had happened.
        prefs.core.stop_on_keyboard_interrupt = False
        set_seed(seed)
        try:
            model.network.run(model.duration * second, namespace=dict(model.namespace))
        finally:
            prefs.codegen.target, prefs.core.stop_on_keyboard_interrupt = before
            set_seed()
        arrays = {n: np.array(o.variables[v].get_value()) for n, (o, v) in model.outputs.items()}
        trains = {n: SpikeTrain(np.asarray(m.i[:]), np.asarray(m.t[:] / second)) for n, m in model.spikes.items()}
        return Outputs(arrays, trains)


def make_engine(
    builder: Callable[[], Model],
    key: Mapping[str, Any],
    engine: EngineName = "auto",
    say: Callable[[str], None] = lambda text: None,
) -> Engine:
    """Return an engine for the model that `builder` makes.

    Parameters
    ----------
    builder : callable
    key : mapping
        The constants baked into the model; they name the binary in the cache.
    engine : {"auto", "standalone", "runtime"}
        ``auto`` takes the binary if there is a C++ compiler, and says so if there is none.
    say : callable
        Receives one line about what takes time.

    Raises
    ------
    EngineError
        If ``standalone`` is asked for and there is no compiler.
    """
    compiler = compiler_available() if engine != "runtime" else None
    if engine == "standalone" and compiler is None:
        raise EngineError(
            'engine "standalone" needs a C++ compiler, and none works here: install one, or use "runtime"'
        )
    if compiler is not None:
        made = Standalone(builder, key)
        if made.compile_seconds:
            say(f"compiled the spiking model in {made.compile_seconds:.1f} s; later runs find it in the cache")
        return made
    if engine == "auto":
        say("no C++ compiler works here: Brian2 runs in its numpy mode, some fifty times slower")
    return Runtime(builder)


def engine_provenance(engine: Engine) -> dict[str, str]:
    """Return what spike trains depend on: the code, engine, Brian2 and numpy versions, kind of processor."""
    return {
        "neuroprune": code_version(),
        "engine": engine.name,
        "brian2": version("brian2"),
        "numpy": version("numpy"),
        "processor": processor_name(),
    }
