"""Describe a Brian2 model to the launcher, and turn it into a C++ project."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroprune.core.errors import EngineError, SpecificationError
from neuroprune.spiking.standalone.manifest import FlatArray, GeneratorArrays, MonitorFiles

if TYPE_CHECKING:
    from brian2 import Network, SpikeGeneratorGroup, SpikeMonitor

_SEEDING = """
{{
    const char* _seed_text = std::getenv("{env}");
    if (_seed_text == NULL) {{ std::cerr << "Error: {env} is not set." << std::endl; return 1; }}
    const unsigned long _seed = std::strtoul(_seed_text, NULL, 10);
    for (size_t _k = 0; _k < brian::_random_generators.size(); _k++)
        brian::_random_generators[_k].seed(_seed + _k);
}}
"""


@dataclass(frozen=True)
class Model:
    """What a builder made, and what of it changes from run to run.

    Attributes
    ----------
    network : brian2.Network
        All objects to simulate.
    duration : float
        Simulated time of one run (s).
    inputs : mapping of str to (object, variable name)
        State variables set anew for every run, after every assignment that the builder made; delays that differ
        between synapses are ``(synapses.pre, "delay")``.
    outputs : mapping of str to (object, variable name)
        State variables read at the end of a run.
    spikes : mapping of str to brian2.SpikeMonitor
        Monitors read at the end of a run.
    generator : brian2.SpikeGeneratorGroup, optional
        The group whose spikes are given anew for every run; make it with `spike_input`.
    namespace : mapping of str to object
        Constants for objects without a namespace of their own. No caller's variables are looked at.
    """

    network: Network
    duration: float
    inputs: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    spikes: Mapping[str, SpikeMonitor] = field(default_factory=dict)
    generator: SpikeGeneratorGroup | None = None
    namespace: Mapping[str, Any] = field(default_factory=dict)


def spike_input(
    neurons: int, capacity: int, *, duration: float, dt: float, name: str = "spike_input"
) -> SpikeGeneratorGroup:
    """Make the spike generator of a `Model`: silent by itself, with room for the spikes that a run brings.

    Parameters
    ----------
    neurons : int
        Number of sources.
    capacity : int
        The most spikes that a run may bring, at least 2 (Brian2 writes a single one into the code).
    duration, dt : float
        Duration of a run and time step of the generator (s).
    name : str
        Name of the Brian2 group.

    Returns
    -------
    brian2.SpikeGeneratorGroup
    """
    from brian2 import SpikeGeneratorGroup, second

    if capacity < 2:
        raise SpecificationError(f"a capacity of {capacity} spikes is too small: it must be 2 or more")
    beyond = duration + dt * np.arange(1, capacity + 1)
    indices = np.zeros(capacity, dtype=np.int32)
    return SpikeGeneratorGroup(neurons, indices, beyond * second, dt=dt * second, name=name, sorted=True)


def generate(builder: Callable[[], Model], project: Path, seed_env: str) -> dict[str, Any]:
    """Write the C++ project of a model into `project` and return the arrays for its manifest.

    Brian2's device, preferences and default time step are afterwards what they were before.
    """
    from brian2 import second

    with _standalone_device() as device:
        device.insert_code("main", _SEEDING.format(env=seed_env))
        model = builder()
        if {"seed", "run_network"} & {action for action, _ in device.main_queue}:
            raise SpecificationError("a builder must neither seed nor run its network")
        # Here rather than right before the time loop, so that delays given as inputs reach the spike queues.
        device.apply_run_args()
        model.network.run(model.duration * second, namespace=dict(model.namespace))
        try:
            described = _describe(device, model)
            device.build(directory=str(project), compile=False, run=False)
        except ReferenceError as error:
            raise SpecificationError("the builder made a Brian2 object that neither it nor the model kept") from error
    return described


@contextlib.contextmanager
def _standalone_device() -> Iterator[Any]:
    """Activate a fresh standalone device with known preferences, and put everything back afterwards."""
    from brian2 import defaultclock, get_device, prefs, second
    from brian2.devices.device import all_devices, reset_device, set_device

    if get_device() is not all_devices["runtime"]:
        raise EngineError("another Brian2 device is active: call brian2.set_device('runtime') before a build")
    preferences, dt = dict(prefs.prefs), float(defaultclock.dt)
    device = all_devices["cpp_standalone"]
    set_device(device, build_on_run=False)
    try:
        prefs.reset_to_defaults()  # a user's preference file would change the code but not the cache key
        default = prefs["codegen.cpp.extra_compile_args_gcc"]  # with the -march and -std for this Brian2
        strict = [flag for flag in default if "math" not in flag]
        prefs["codegen.cpp.extra_compile_args"] = [*strict, "-ffp-contract=off"]
        device.reinit()
        device.activate(build_on_run=False)
        defaultclock.dt = 1e-4 * second
        yield device
    finally:
        device.reinit()
        reset_device()
        prefs.prefs.update(preferences)
        defaultclock.dt = dt * second


def _describe(device: Any, model: Model) -> dict[str, Any]:
    """Return the arrays of a model whose code has been generated."""
    simulated, group = {thing.name for thing in model.network.sorted_objects}, model.generator
    return {
        "inputs": _arguments(device, simulated, model.inputs),
        "outputs": {name: _result(device, simulated, name, *where) for name, where in model.outputs.items()},
        "monitors": {name: _monitor(device, simulated, name, m) for name, m in model.spikes.items()},
        "generator": None if group is None else _generator(device, group, model.duration),
    }


def _result(device: Any, simulated: set[str], name: str, owner: Any, variable: str) -> FlatArray:
    """Describe the result file of a state variable, whose length must be known before the run."""
    from brian2.core.variables import ArrayVariable, DynamicArrayVariable

    var = owner.variables.get(variable)
    if not isinstance(var, ArrayVariable):
        raise SpecificationError(f"{name!r}: {owner.name} stores no state variable {variable!r}")
    holder: Any = var.owner  # of a variable that `owner` may only refer to
    if holder.name not in simulated:
        raise SpecificationError(f"{name!r}: the network lacks {holder.name}")
    size: Any = var.size
    if isinstance(var, DynamicArrayVariable):
        count = owner.variables.get("N")
        known = None if count is None or var.ndim != 1 else device.array_cache.get(count)
        if known is None:
            raise SpecificationError(
                f"{name!r}: the length of {owner.name}.{variable} must not depend on the run; "
                "connect synapses with i= and j="
            )
        size = 1 if var.scalar else known[0]
    return FlatArray(device.get_array_filename(var), np.dtype(var.dtype).name, int(size))


def _arguments(device: Any, simulated: set[str], inputs: Mapping[str, tuple[Any, str]]) -> dict[str, FlatArray]:
    """Describe the command line arguments of state variables."""
    settable = Counter(f"{var.owner.name}.{var.name}" for var in device.arrays if not var.read_only)
    arguments: dict[str, FlatArray] = {}
    for name, (owner, variable) in inputs.items():
        result = _result(device, simulated, name, owner, variable)
        var = owner.variables[variable]
        argument = f"{var.owner.name}.{var.name}"
        if var.read_only:
            raise SpecificationError(f"input {name!r}: Brian2 does not allow {argument} to be set")
        # The binary sets the first of several: the pre pathway's delay when the post pathway's is meant.
        if settable[argument] > 1:
            raise SpecificationError(f"input {name!r}: several Brian2 variables are called {argument}")
        if argument in {other.name for other in arguments.values()}:
            raise SpecificationError(f"input {name!r}: {argument} is an input already")
        arguments[name] = result._replace(name=argument)
    return arguments


def _monitor(device: Any, simulated: set[str], name: str, monitor: SpikeMonitor) -> MonitorFiles:
    if monitor.name not in simulated:
        raise SpecificationError(f"{name!r}: the network lacks {monitor.name}")
    if not monitor.record:
        raise SpecificationError(f"{name!r}: {monitor.name} counts spikes without recording them")
    return MonitorFiles(*(device.get_array_filename(monitor.variables[v]) for v in ("N", "i", "t")))


def _generator(device: Any, group: SpikeGeneratorGroup, duration: float) -> GeneratorArrays:
    """Find the static arrays from which the binary copies the spikes of `group` before it runs."""
    if float(group.variables["period"].get_value().item()) != 0:
        raise SpecificationError(f"the spike generator {group.name} must not be periodic")
    copied = {what[0]: what[1] for action, what in device.main_queue if action == "set_by_array"}
    arrays = []
    for variable in ("neuron_index", "_timebins"):
        name = copied.get(device.get_array_name(group.variables[variable], access_data=False))
        if name is None:
            raise SpecificationError(f"the network lacks the spike generator {group.name}; see spike_input")
        stored = device.static_arrays[name]
        arrays.append(FlatArray(name, stored.dtype.name, stored.size))
    dt = float(group.clock.dt_)
    return GeneratorArrays(arrays[0], arrays[1], int(group.N), dt, round(duration / dt))
