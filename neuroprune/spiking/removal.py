"""Exact removal of synapses from a Brian2 network between two runs.

Brian2 can add synapses but not remove them, and a synapse that is only masked (weight zero) costs as much
simulation time as a living one. `remove_synapses` shrinks a `Synapses` object in place. It has to use a few
private parts of Brian2 (the spike queues and the list of arrays that ``connect`` resizes), so before the
first removal in a process a tiny network checks that removing and masking still give the same result.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
import traceback
import weakref
from collections.abc import Iterator
from typing import Any

import brian2
import numpy as np
from brian2 import BrianObject, Clock, Network, NeuronGroup, StateMonitor, Synapses, ms, prefs
from brian2.core.variables import ArrayVariable, Subexpression
from brian2.devices.device import RuntimeDevice, get_device
from numpy.typing import NDArray

from neuroprune.core.errors import EngineError, SpecificationError

__all__ = ["remove_synapses"]

BoolArray = NDArray[np.bool_]


def remove_synapses(synapses: Synapses, keep: BoolArray) -> int:
    """Remove synapses from a Brian2 `Synapses` object in place, between two calls of ``run``.

    The survivors go on exactly as if the other synapses had been masked: their state variables, delays, times
    of the last event-driven update and spikes in flight are kept, in the same order. Removed synapses deliver
    nothing more, not even spikes already in flight. Survivors get the indices ``0 .. keep.sum() - 1``, in the
    old order. Shared variables, scalar delays and values of the multisynaptic index do not change.

    Parameters
    ----------
    synapses : brian2.Synapses
        Synapses on Brian2's runtime device (any code generation target).
    keep : array of bool, shape ``(len(synapses),)``
        True for every synapse that stays.

    Returns
    -------
    int
        The number of removed synapses, ``len(keep) - keep.sum()``.

    Raises
    ------
    SpecificationError
        If `synapses` is no `Synapses` object, `keep` is not a boolean array with one value per synapse, the
        network is running, or something else refers to single synapses by index: a `StateMonitor`, `Synapses`
        connected to these synapses, a linked variable in either direction. Nothing has been changed then.
    EngineError
        If the active device is not the runtime device, or the installed Brian2 does not pass the self-test.

    Notes
    -----
    `SynapticSubgroup` objects such as ``synapses[:10]`` become invalid; Brian2 refuses to use them.
    Memory of removed synapses is reused by later ``connect`` calls, not returned to the system.
    Synaptic equations and ``on_pre`` statements that draw random numbers draw fewer of them afterwards.
    Restoring a state from before a removal brings the removed synapses back. Brian2 before 2.10 does not
    store delays that vary across synapses; if they are missing, the next ``run`` raises `EngineError`.
    """
    if not isinstance(synapses, Synapses):
        raise SpecificationError(f"synapses must be a brian2.Synapses object, not {type(synapses).__name__}")
    device = get_device()
    if not isinstance(device, RuntimeDevice):
        raise EngineError(
            f"Cannot remove synapses of '{synapses.name}' on a {type(device).__name__}, which does not hold "
            "their state between runs. Call set_device('runtime') before building the network."
        )
    _refuse_running_network(synapses)
    mask = _boolean_mask(synapses, keep)
    _verify_brian2()
    _refuse_links_from(synapses)
    _refuse_references_to(synapses)
    if not mask.all():
        _compact(synapses, mask)
    return int(mask.size - np.count_nonzero(mask))


def _boolean_mask(synapses: Synapses, keep: Any) -> BoolArray:
    mask = np.asarray(keep)
    n = len(synapses)
    if mask.dtype != np.bool_:
        raise SpecificationError(
            f"keep must be an array of bool, one for each of the {n} synapses of '{synapses.name}', not of "
            f"{mask.dtype}. To keep synapses by index: keep = np.zeros({n}, bool); keep[indices] = True"
        )
    if mask.shape != (n,):
        raise SpecificationError(
            f"keep must have shape ({n},), one value for each synapse of '{synapses.name}', not {mask.shape}"
        )
    return mask


def _refuse_running_network(synapses: Synapses) -> None:
    # Network's own flag stays up after a run that raised (Brian2 < 2.11); the call stack is always right.
    for frame, _ in traceback.walk_stack(sys._getframe()):
        if frame.f_code.co_name == "run" and frame.f_globals.get("__name__") == Network.__module__:
            raise SpecificationError(
                f"Cannot remove synapses of '{synapses.name}' while a network is running (in a "
                "network_operation or report function). Split the run and remove them between its parts."
            )


def _refuse_references_to(synapses: Synapses) -> None:
    if _references_to(synapses):
        # A monitor that the caller has deleted lives on in reference cycles and, before Python 3.13, in the
        # copies of local variables that Brian2's look-up of names leaves in frames; reading them renews them.
        for frame, _ in traceback.walk_stack(sys._getframe()):
            _ = frame.f_locals
        gc.collect()
    if references := _references_to(synapses):
        raise SpecificationError(
            f"Cannot remove synapses of '{synapses.name}' because other objects refer to them by index, and "
            f"these indices would point to other synapses afterwards: {', '.join(references)}. Delete them "
            "first (copy what a monitor has recorded) and create them anew after the removal."
        )


def _references_to(synapses: Synapses) -> list[str]:
    own = {id(synapses), *map(id, synapses.contained_objects)}
    indices = synapses.variables.indices
    per_synapse = {id(variable) for name, variable in synapses.variables.items() if indices[name] == "_idx"}
    found = []
    for reference in list(BrianObject.__instances__()):
        other = reference()
        if other is None or id(other) in own:
            continue
        variables = getattr(other, "variables", None) or {}
        if synapses.id in getattr(other, "_dependencies", ()) or per_synapse & {
            id(variable) for variable in variables.values()
        }:
            found.append(f"{type(other).__name__} '{other.name}'")
    return sorted(found)


def _refuse_links_from(synapses: Synapses) -> None:
    variables, arrays = synapses.variables, synapses._registered_variables
    for name, variable in variables.items():
        index = variables.indices[name]
        if index == "0" or not isinstance(variable, (ArrayVariable, Subexpression)):
            continue
        owner = getattr(variable.owner, "name", None)
        if index != "_idx":
            compacted = variables[index] in arrays
        else:
            compacted = variable in arrays or (isinstance(variable, Subexpression) and owner == synapses.name)
        if not compacted:
            raise SpecificationError(
                f"Cannot remove synapses of '{synapses.name}' because its variable '{name}' is linked to "
                f"'{owner}.{variable.name}' element by element: the survivors would be paired with other "
                "elements. Use linked_var(..., index=NAME), NAME being an integer variable of the synapses."
            )


class _LengthCheck(BrianObject):
    """Refuses to run synapses whose arrays differ in length.

    Brian2 < 2.10 leaves delays out of a stored state. Restoring a state from before a removal then brings
    back the old number of synapses but not their delays, and the spike queue would read past an array's end.
    """

    invalidates_magic_network = False

    def __init__(self, synapses: Synapses) -> None:
        super().__init__(clock=synapses.clock, when=synapses.when, name=f"{synapses.name}_length_check")
        self.group = weakref.proxy(synapses)

    def before_run(self, run_namespace: Any) -> None:
        n = len(self.group)
        for variable in self.group._registered_variables:
            if len(variable.get_value()) != n:
                raise EngineError(
                    f"'{self.group.name}' has {n} synapses but {len(variable.get_value())} values of "
                    f"'{variable.name}'. A state from before a removal of synapses was restored, but Brian2 "
                    f"{brian2.__version__} had not stored all their arrays. Restore a state from after the "
                    "last removal, or use Brian2 2.10 or later."
                )


def _compact(synapses: Synapses, keep: BoolArray) -> None:
    """Drop the synapses that are not in `keep`, without any check."""
    new_index = np.cumsum(keep, dtype=np.int32) - 1
    for pathway in synapses._pathways:
        # The state is (position of the current time step, indices of the synapses to activate at each step).
        position, steps = pathway.queue._full_state()
        events = [np.asarray(step, dtype=np.int32) for step in steps]
        pathway.queue._restore_from_full_state((position, [new_index[e[keep[e]]].tolist() for e in events]))

    n = int(np.count_nonzero(keep))
    for variable in synapses._registered_variables:
        values = variable.get_value()[keep]
        variable.resize(n)
        variable.set_value(values)
    variables = synapses.variables
    variables["N"].set_value(n)
    for count, neuron in (("N_outgoing", "_synaptic_pre"), ("N_incoming", "_synaptic_post")):
        per_neuron = variables[count]
        indices = variables[neuron].get_value()
        per_neuron.set_value(np.bincount(indices, minlength=len(per_neuron.get_value())))

    if not any(isinstance(contained, _LengthCheck) for contained in synapses.contained_objects):
        synapses.contained_objects.append(_LengthCheck(synapses))


@functools.cache
def _verify_brian2() -> None:
    """Check once per process that removal is exact with the installed Brian2.

    Raises
    ------
    EngineError
        If it is not.
    """
    try:
        with _numpy_target():
            differing = _differences_from_masking()
    except Exception as error:
        raise EngineError(
            f"Cannot remove synapses with Brian2 {brian2.__version__}, whose internals differ from those of "
            f"Brian2 2.9 to 2.11: {type(error).__name__}: {error}"
        ) from error
    if differing:
        raise EngineError(
            f"Cannot remove synapses with Brian2 {brian2.__version__}: in a small test network, removed and "
            f"masked synapses differ in {', '.join(differing)}. Brian2 2.9 to 2.11 are known to work."
        )


@contextlib.contextmanager
def _numpy_target() -> Iterator[None]:
    """Generate numpy code, which needs no compiler; leave preferences and run statistics as they were."""
    device = get_device()
    targets = [name for name in ("codegen.target", "codegen.synapse_connect_target") if name in prefs]
    saved = {name: prefs[name] for name in targets}
    statistics = {name: value for name, value in vars(device).items() if name.startswith("_last_run")}
    try:
        for name in targets:
            prefs[name] = "numpy"
        yield
    finally:
        for name, value in saved.items():
            prefs[name] = value
        vars(device).update(statistics)


def _differences_from_masking() -> list[str]:
    """Run a removed and a masked copy of a small plastic network and name what differs between them.

    Every neuron fires at each step, so all delays hold spikes in flight when synapses are removed.
    """
    # Its own clock, explicit names and namespaces: nothing here is visible to the caller's network.
    clock = Clock(dt=1 * ms, name="neuroprune_self_test_clock")
    pre, post = (index.ravel() for index in np.indices((4, 4)))
    keep = np.arange(16) % 3 != 1

    def build(name: str) -> tuple[NeuronGroup, Synapses]:
        common: dict[str, Any] = {"clock": clock, "namespace": {}, "name": f"neuroprune_self_test_{name}"}
        cells = NeuronGroup(5, "received : 1", threshold="received >= 0", reset="", **common)
        common["name"] += "_synapses"
        synapses = Synapses(
            cells[1:],
            cells[:4],
            """alive : 1
               weight : 1
               gain : 1 (shared)
               deligibility/dt = -eligibility / (10*ms) : 1 (event-driven)""",
            on_pre={
                "near": "received_post += gain * weight * alive; eligibility += 1",
                "far": "received_post += alive",
            },
            on_post="weight += eligibility * alive",
            delay={"far": 2 * ms},
            **common,
        )
        synapses.connect(i=pre, j=post)
        synapses.near.delay = (np.arange(16) % 5) * ms
        synapses.post.delay = (np.arange(16) % 2) * ms
        synapses.alive = 1
        synapses.weight = np.arange(16)
        synapses.gain = 3
        return cells, synapses

    def state(synapses: Synapses) -> dict[str, NDArray[Any]]:
        names = ("i", "j", "weight", "eligibility", "lastupdate")
        values = {name: synapses.state(name, use_units=False)[:] for name in names}
        return values | {"delay": synapses.near.delay_[:]}

    cells, synapses = build("removed")
    masked_cells, masked = build("masked")
    network = Network(cells, synapses, masked_cells, masked, name="neuroprune_self_test_network")
    network.run(5 * ms, namespace={}, profile=False)
    _compact(synapses, keep)
    masked.alive = keep
    network.run(6 * ms, namespace={}, profile=False)

    expected = state(masked)
    same = {name: np.array_equal(value, expected[name][keep]) for name, value in state(synapses).items()}
    same["spike transmission"] = np.array_equal(cells.received_[:], masked_cells.received_[:])
    same["shared variables"] = np.array_equal(synapses.gain_[:], masked.gain_[:])
    same["N_outgoing"] = np.array_equal(synapses.N_outgoing_pre, np.bincount(pre[keep] + 1, minlength=5))
    same["N_incoming"] = np.array_equal(synapses.N_incoming_post, np.bincount(post[keep], minlength=4))

    _refuse_links_from(synapses)
    unwatched = not _references_to(synapses)
    monitor = StateMonitor(synapses, "weight", record=[0], clock=clock, name="neuroprune_self_test_monitor")
    same["detection of monitors"] = unwatched and _references_to(synapses) == [f"StateMonitor '{monitor.name}'"]

    _compact(synapses, np.zeros(len(synapses), dtype=bool))
    received = cells.received_[:].copy()
    network.run(2 * ms, namespace={}, profile=False)
    same["removal of all synapses"] = len(synapses) == 0 and np.array_equal(cells.received_[:], received)
    return [name for name, equal in same.items() if not equal]
